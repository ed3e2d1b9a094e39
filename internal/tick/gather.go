package tick

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// observePatience is how long a workload may look unsettled only because its controller has yet to observe an
// annotation write.
const observePatience = 4 * time.Second

// reading is a workload as it was read: an object and where its slots are, or why it could not be read.
type reading struct {
	object  *workload.Object
	places  [][]workload.Place // by binding and entry
	account []string           // the pull secrets of its service account, where they count
	// staleUntil is up to when the controller's report of failure is about an older rollout.
	staleUntil time.Time
	failure    *failure.Error
}

// gather reads every workload once, side by side, and warns of what on them is not as it should be.
func (t *tick) gather(ctx context.Context) []reading {
	readings := t.readAll(ctx, true)
	for at, w := range t.workloads {
		if readings[at].failure == nil {
			t.warnOfGarbage(ctx, w, readings[at].object)
		}
	}
	if !t.Preflight { // which has a line for each
		for _, left := range t.leftovers(readings) {
			t.Log.WarnContext(ctx, left.Message, "workload", left.Ref.String())
		}
	}
	return readings
}

// readAll reads every workload once, side by side, with what it takes to ask registries as its pods do if asks is set.
func (t *tick) readAll(ctx context.Context, asks bool) []reading {
	readings := make([]reading, len(t.workloads))
	var all sync.WaitGroup
	for at, w := range t.workloads {
		all.Go(func() {
			read := t.read(ctx, w)
			if asks && read.failure == nil {
				read.account = t.accountSecrets(ctx, w, read.object)
			}
			readings[at] = read
		})
	}
	all.Wait()
	return readings
}

// read reads one workload.
func (t *tick) read(ctx context.Context, w boundWorkload) reading {
	object, err := t.newest(ctx, w.ref)
	if err != nil {
		return reading{failure: failure.Of(err, failure.API)}
	}
	return reading{object: object, places: object.Locate(w.bindings), failure: object.Deleting()}
}

// with is the reading with a newer object.
func (r reading) with(object *workload.Object, w boundWorkload) reading {
	r.object, r.places = object, object.Locate(w.bindings)
	return r
}

// facts is the reading in plain values.
func (t *tick) facts(read reading) decide.Object {
	object := read.object.Facts(t.keys, read.places, read.staleUntil)
	object.Newer = t.newerState(read.object)
	return object
}

// newerState is the failure of a workload on which a newer release than this has left a state: what it means is not known
// here, and writing anything beside it might undo what it is there for.
func (t *tick) newerState(object *workload.Object) *failure.Error {
	key, version := t.keys.NewerState(object.Meta.Annotations)
	if key == "" {
		return nil
	}
	return &failure.Error{
		Cause: failure.SlotInvalid, Message: fmt.Sprintf(
			"%s: %s is of version %d, which a newer release has written and this one cannot read, so nothing is changed here", object.Ref, key, version),
		Fix: fmt.Sprintf("install that release again, or remove the annotation (kubectl annotate %s %s-), which re-arms everything",
			object.Kubectl(), key),
	}
}

// warnOfGarbage says, once a tick, which of our labels and annotations do not parse. Each reads as absent.
func (t *tick) warnOfGarbage(ctx context.Context, w boundWorkload, object *workload.Object) {
	var warnings []error
	labels, annotations := object.Meta.Labels, object.Meta.Annotations
	for _, binding := range w.bindings {
		_, found := t.keys.Read(binding.Target.Name, labels, annotations)
		warnings = append(warnings, found...)
		_, found = t.keys.ReadCounters(binding.Target.Name, annotations)
		warnings = append(warnings, found...)
	}
	if _, err := annotate.ParseCount(annotations[t.keys.SkipStreak()]); err != nil {
		warnings = append(warnings, fmt.Errorf("%s is read as absent: %w", t.keys.SkipStreak(), err))
	}
	if held, set := labels[t.keys.Hold()]; set && held != "true" && held != "false" {
		warnings = append(warnings, fmt.Errorf(`%s is read as absent: only "true" holds a workload`, t.keys.Hold()))
	}
	for _, key := range []string{t.keys.Approve(), t.keys.Skip()} {
		if digits, set := labels[key]; set {
			if _, err := annotate.ParseDigits(digits); err != nil {
				warnings = append(warnings, fmt.Errorf("%s is read as absent: %w", key, err))
			}
		}
	}
	for _, warning := range warnings {
		t.Log.WarnContext(ctx, warning.Error(), "workload", w.ref.String())
	}
}

// newest reads a workload, and gives its controller a moment to observe what was written to it last.
func (t *tick) newest(ctx context.Context, ref workload.Ref) (*workload.Object, error) {
	object, err := t.Cluster.Get(ctx, ref)
	if err != nil || !object.Lagging() {
		return object, err
	}
	patience, cancel := context.WithTimeout(ctx, observePatience)
	defer cancel()
	return t.Cluster.Wait(patience, object, func(o *workload.Object) bool { return !o.Lagging() })
}

// accountSecrets reads the pull secrets of a workload's service account where they count: its pods name none, and a target
// pulls with theirs. A tick saves the request where no pull secrets are mounted at all, which a check reports.
func (t *tick) accountSecrets(ctx context.Context, w boundWorkload, object *workload.Object) []string {
	if len(object.Secrets()) > 0 || !slices.ContainsFunc(w.bindings, pullsAsPods) {
		return nil
	}
	if !t.Preflight && !t.ReadsSecrets && !exists(string(t.Config.PullSecretsDir)) {
		return nil
	}
	names, err := t.Cluster.PullSecrets(ctx, w.ref.Namespace, object.ServiceAccount())
	if err != nil {
		t.Log.WarnContext(ctx, "the pull secrets of a service account are unknown", "workload", w.ref.String(), "error", failure.Clean(err.Error()))
		return nil
	}
	return names
}

// KnowsSecrets says whether secrets of a namespace are mounted here at all, or read from the API server.
func (r *Runner) KnowsSecrets(namespace string) bool {
	return r.ReadsSecrets || exists(filepath.Join(string(r.Config.PullSecretsDir), namespace))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// pullsAsPods says whether the target is resolved with what the workload's pods pull with.
func pullsAsPods(binding workload.Binding) bool {
	return len(binding.Target.PullSecrets) == 0 && slices.ContainsFunc(binding.Entries, func(entry config.Workload) bool { return entry.Env == "" })
}

// floating says which containers name a tag that promises nothing, where the target follows the container. Of
// the configuration's own images the configuration warns.
func (t *tick) floating(readings []reading) []string {
	var warnings []string
	for at, w := range t.workloads {
		for i, binding := range w.bindings {
			if readings[at].failure != nil || binding.Target.Image != nil {
				continue
			}
			if first := readings[at].places[i][0]; first.Problem == nil && first.Slot.Follows.Floating {
				warnings = append(warnings, fmt.Sprintf("target %s follows %s of %s: the tag latest promises nothing about what it will become; follow a tag of a release line, as in :1.2",
					binding.Target.Name, first.Slot.Follows, w.ref))
			}
		}
	}
	return warnings
}
