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
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// lagPatience is how long a workload may look unsettled only because its controller has yet to observe an
// annotation write (FACTS.md).
const lagPatience = 4 * time.Second

// read reads every workload once, side by side.
func (t *tick) read(ctx context.Context) {
	var all sync.WaitGroup
	for _, j := range t.jobs {
		all.Go(func() {
			if t.readJob(ctx, j); j.failure == nil {
				t.readAccount(ctx, j)
			}
		})
	}
	all.Wait()
	for _, j := range t.jobs {
		if j.failure == nil {
			t.locate(j)
			t.warnOfGarbage(ctx, j)
			for _, m := range j.members {
				m.first = t.recordOf(m)
			}
		}
	}
}

// warnOfGarbage says, once a tick, which of our labels and annotations do not parse. Each reads as absent.
func (t *tick) warnOfGarbage(ctx context.Context, j *job) {
	var warnings []error
	labels, annotations := j.object.Meta.Labels, j.object.Meta.Annotations
	for _, m := range j.members {
		_, found := t.keys.Read(m.target.Name, labels, annotations)
		warnings = append(warnings, found...)
	}
	for _, own := range j.homes {
		_, found := t.keys.ReadShared(own.Name, annotations)
		warnings = append(warnings, found...)
	}
	if _, err := annotate.ParseCount(annotations[t.keys.SkipStreak()]); err != nil {
		warnings = append(warnings, fmt.Errorf("%s is read as absent: %w", t.keys.SkipStreak(), err))
	}
	if held, set := labels[t.keys.Hold()]; set && held != "true" && held != "false" {
		warnings = append(warnings, fmt.Errorf(`%s is read as absent: only "true" holds a workload`, t.keys.Hold()))
	}
	for _, warning := range warnings {
		t.Log.WarnContext(ctx, warning.Error(), "workload", j.ref.String())
	}
}

func (t *tick) readJob(ctx context.Context, j *job) {
	object, err := t.newest(ctx, j.ref)
	if err != nil {
		j.failure = fault.Of(err, fault.API)
		return
	}
	j.object, j.failure = object, nil
}

// newest reads a workload, and gives its controller a moment to observe what was written to it last.
func (t *tick) newest(ctx context.Context, ref workload.Ref) (*workload.Object, error) {
	object, err := t.Cluster.Get(ctx, ref)
	if err != nil || !object.Lagging() {
		return object, err
	}
	patience, cancel := context.WithTimeout(ctx, lagPatience)
	defer cancel()
	return t.Cluster.Wait(patience, object, func(o *workload.Object) bool { return !o.Lagging() })
}

// readAccount reads the pull secrets of a workload's service account where they count: its pods name none, and a target
// pulls with theirs. A tick saves the request where no pull secrets are mounted at all, which a check reports.
func (t *tick) readAccount(ctx context.Context, j *job) {
	if len(j.object.Secrets()) > 0 || !slices.ContainsFunc(j.members, (*member).pullsAsPods) {
		return
	}
	if !t.checks && !exists(string(t.Config.PullSecretsDir)) {
		return
	}
	names, err := t.Cluster.PullSecrets(ctx, j.ref.Namespace, j.object.ServiceAccount())
	if err != nil {
		t.Log.WarnContext(ctx, "the pull secrets of a service account are unknown", "workload", j.ref.String(), "error", fault.Clean(err.Error()))
		return
	}
	j.account = names
}

// mounted says whether secrets of the workload's namespace are mounted here at all.
func (t *tick) mounted(j *job) bool {
	return exists(filepath.Join(string(t.Config.PullSecretsDir), j.ref.Namespace))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// pullsAsPods says whether the target is resolved with what the workload's pods pull with.
func (m *member) pullsAsPods() bool {
	return len(m.target.PullSecrets) == 0 && slices.ContainsFunc(m.entries, func(entry config.Workload) bool { return entry.Env == "" })
}
