package tick

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// The digests of the tests: A runs, B is latest, C is a third one.
var digestA, digestB, digestC = digestOf("a"), digestOf("b"), digestOf("c")

func digestOf(letter string) image.Digest {
	return image.Digest("sha256:" + strings.Repeat(letter, 64))
}

// now is when the ticks of the tests run.
var now = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)

// fakeCluster is an API server that holds Deployments. It refuses a write to what has changed since it was read, and panics
// where it is asked for anything that the test does not expect.
type fakeCluster struct {
	mu        sync.Mutex
	objects   map[string]*appsv1.Deployment           // by name
	expects   []string                                // the kinds of calls that are allowed
	calls     []string                                // all but reads, in their order
	before    map[string][]func(*appsv1.Deployment)   // by call: what happens before it, one thing each time
	waits     map[string][][]func(*appsv1.Deployment) // by name: what happens during a wait
	secrets   []string                                // of every service account
	pods      decide.PodProblems
	running   decide.Running
	refuses   *failure.Error          // every write, with this
	meanwhile func(kind, name string) // nil: nothing more happens before a call
}

// call takes note of a call, and lets happen what the test wants to happen before it: one thing each time.
func (f *fakeCluster) call(kind, name, what string) *appsv1.Deployment {
	if !slices.Contains(f.expects, kind) {
		panic("nobody expects " + kind + " " + name + what)
	}
	if kind != "get" && kind != "wait" {
		f.calls = append(f.calls, kind+" "+name+what)
	}
	if f.meanwhile != nil {
		f.meanwhile(kind, name)
	}
	d := f.objects[name]
	if next := f.before[kind+" "+name]; len(next) > 0 && d != nil {
		if f.before[kind+" "+name] = next[1:]; next[0] != nil {
			f.change(name, next[0])
		}
	}
	return f.objects[name]
}

// change changes an object as anybody may: its version is another one afterwards.
func (f *fakeCluster) change(name string, change func(*appsv1.Deployment)) {
	d := f.objects[name].DeepCopy()
	change(d)
	version, _ := strconv.Atoi(d.ResourceVersion)
	d.ResourceVersion = strconv.Itoa(version + 1)
	f.objects[name] = d
}

func (*fakeCluster) Date() time.Time { return now }

func (f *fakeCluster) Get(_ context.Context, ref workload.Ref) (*workload.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.call("get", ref.Name, "")
	if d == nil {
		return nil, &failure.Error{Cause: failure.WorkloadMissing, Message: ref.String() + " does not exist"}
	}
	return workload.New(d)
}

func (f *fakeCluster) PullSecrets(_ context.Context, _, account string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("secrets", account, "")
	return f.secrets, nil
}

// write changes an object as a guarded patch does.
func (f *fakeCluster) write(kind string, read *workload.Object, what string, change func(*appsv1.Deployment)) (*workload.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.call(kind, read.Name, what)
	if f.refuses != nil {
		return nil, f.refuses
	}
	if d.ResourceVersion != read.Meta.ResourceVersion {
		return nil, fmt.Errorf("%s: %w", read.Ref, cluster.ErrConflict)
	}
	f.change(read.Name, change)
	return workload.New(f.objects[read.Name])
}

func (f *fakeCluster) Patch(_ context.Context, read *workload.Object, change workload.Change) (*workload.Object, error) {
	var what []string
	for _, slot := range change.Slots {
		what = append(what, " "+slot.Slot.Key()+"="+slot.Digest.Short())
	}
	return f.write("patch", read, strings.Join(what, ""), func(d *appsv1.Deployment) {
		for key, value := range change.Labels {
			setOrDelete(d.Labels, key, value)
		}
		for key, value := range change.Annotations {
			setOrDelete(d.Annotations, key, value)
		}
		for _, slot := range change.Slots {
			for i := range d.Spec.Template.Spec.Containers {
				if container := &d.Spec.Template.Spec.Containers[i]; container.Name == slot.Slot.Container {
					container.Image = slot.Slot.Value(slot.Digest)
					d.ManagedFields = append(d.ManagedFields, claim(workload.FieldManager, metav1.ManagedFieldsOperationUpdate, container.Name))
				}
			}
			d.Generation++ // which its controller has yet to observe
		}
	})
}

func setOrDelete(values map[string]string, key, value string) {
	if values[key] = value; value == "" {
		delete(values, key)
	}
}

func (f *fakeCluster) ReturnOwnership(_ context.Context, read *workload.Object, slots []workload.Slot, owners map[string][]string) (*workload.Object, error) {
	body, err := read.ReturnOwnership(slots, owners)
	if err != nil {
		return nil, err
	}
	var sent struct{ Metadata metav1.ObjectMeta }
	if err := json.Unmarshal(body, &sent); err != nil {
		return nil, err
	}
	return f.write("return", read, fmt.Sprint(" ", owners), func(d *appsv1.Deployment) { d.ManagedFields = sent.Metadata.ManagedFields })
}

func (f *fakeCluster) Emit(_ context.Context, of *workload.Object, event decide.Event, _ time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("emit", of.Name, " "+string(event.Reason))
	return nil
}

func (f *fakeCluster) Running(_ context.Context, of *workload.Object, slots [][]workload.Slot) []decide.Running {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("running", of.Name, "")
	return slices.Repeat([]decide.Running{f.running}, len(slots))
}

func (f *fakeCluster) PodProblems(_ context.Context, of *workload.Object, queries []workload.PodQuery) decide.PodProblems {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("pods", of.Name, "")
	pods := f.pods
	for range queries { // they crash
		pods.Evidence, pods.Crashed = append(pods.Evidence, true), append(pods.Crashed, true)
	}
	return pods
}

// Wait looks at an object until done says so or nothing more is to happen to it: then the wait's time is over.
func (f *fakeCluster) Wait(_ context.Context, from *workload.Object, done func(*workload.Object) bool) (*workload.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("wait", from.Name, "")
	var changes []func(*appsv1.Deployment)
	if waits := f.waits[from.Name]; len(waits) > 0 {
		changes, f.waits[from.Name] = waits[0], waits[1:]
	}
	for {
		d := f.objects[from.Name]
		if d == nil {
			return from, &failure.Error{Cause: failure.WorkloadMissing, Message: from.String() + " is gone"}
		}
		newest, err := workload.New(d)
		if err != nil || done(newest) || len(changes) == 0 {
			return newest, err
		}
		f.change(from.Name, changes[0])
		changes = changes[1:]
	}
}

// claim is an entry of managedFields that owns the image of a container.
func claim(manager string, operation metav1.ManagedFieldsOperationType, container string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: operation, APIVersion: "apps/v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(
			`{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"` + container + `\"}":{"f:image":{}}}}}}}`),
	}
}

// fakeRegistry serves digests by the image's name, and manifests by digest. It panics where it is asked for anything else.
type fakeRegistry struct {
	mu        sync.Mutex
	latest    map[string]decide.Latest
	manifests map[image.Digest]resolver.Manifest
	warnings  []*failure.Error
	asked     []string // what was resolved or inspected, in their order
}

func (f *fakeRegistry) Resolve(_ context.Context, queries []resolver.Query) []resolver.Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	answers := make([]resolver.Answer, len(queries))
	for i, query := range queries {
		name := query.Image.Name()[strings.LastIndex(query.Image.Name(), "/")+1:]
		f.asked = append(f.asked, fmt.Sprint("resolve ", name, query.PullSecrets))
		latest, known := f.latest[name]
		if !known {
			panic("nobody expects that " + name + " is resolved")
		}
		answers[i] = resolver.Answer{Digest: latest.Digest, Failure: latest.Failure, Warnings: f.warnings}
	}
	return answers
}

func (f *fakeRegistry) Holds(context.Context, resolver.Query, image.Digest, []image.ID) (bool, error) {
	return false, nil
}

// Serves has what has a manifest.
func (f *fakeRegistry) Serves(_ context.Context, _ resolver.Query, digest image.Digest) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.manifests[digest]
	return known, nil
}

func (f *fakeRegistry) Inspect(_ context.Context, _ resolver.Query, digest image.Digest) (resolver.Manifest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, "inspect "+digest.Short())
	manifest, known := f.manifests[digest]
	if !known {
		return manifest, &failure.Error{Cause: failure.NotFound, Message: digest.Short() + " is not there"}
	}
	return manifest, nil
}

// serving is a registry where these images, by name, have this digest, and where A to C are good.
func serving(digest image.Digest, names ...string) *fakeRegistry {
	amd64, err := image.ParsePlatform("linux/amd64")
	if err != nil {
		panic(err)
	}
	f := &fakeRegistry{latest: map[string]decide.Latest{}, manifests: map[image.Digest]resolver.Manifest{}}
	for _, good := range []image.Digest{digestA, digestB, digestC} {
		f.manifests[good] = resolver.Manifest{Digest: good, Platforms: []image.Platform{amd64}, Created: now}
	}
	for _, name := range names {
		f.latest[name] = decide.Latest{Digest: digest}
	}
	return f
}

// holding is a cluster with these Deployments.
func holding(deployments ...*appsv1.Deployment) *fakeCluster {
	f := &fakeCluster{objects: map[string]*appsv1.Deployment{}, expects: []string{"get"}, before: map[string][]func(*appsv1.Deployment){}, waits: map[string][][]func(*appsv1.Deployment){}}
	for _, d := range deployments {
		f.objects[d.Name] = d
	}
	return f
}

// expecting says what else may be asked of the cluster.
func (f *fakeCluster) expecting(kinds ...string) *fakeCluster {
	f.expects = append(f.expects, kinds...)
	return f
}

// on says what happens to an object before each of the next calls of a kind; nil for nothing.
func (f *fakeCluster) on(kind, name string, changes ...func(*appsv1.Deployment)) *fakeCluster {
	f.before[kind+" "+name] = append(f.before[kind+" "+name], changes...)
	return f
}

// during says what happens to an object, one after the other, during the next wait that has nothing to happen yet.
func (f *fakeCluster) during(name string, changes ...func(*appsv1.Deployment)) *fakeCluster {
	f.waits[name] = append(f.waits[name], changes)
	return f
}

// deployment is one that runs A in a container of its own name, settled, with what is remembered of that, for a target of
// the same name; unless changes say otherwise.
func deployment(name string, changes ...func(*appsv1.Deployment)) *appsv1.Deployment {
	replicas := int32(1)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "tracebloc", Name: name, Generation: 3, ResourceVersion: "1", Labels: map[string]string{}, Annotations: map[string]string{}},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app", Image: "ghcr.io/tracebloc/" + name + ":1@" + string(digestA)}},
		}}},
	}
	settle(d)
	remembers(name, annotate.Record{Mark: annotate.Of(digestA), Recorded: annotate.Of(digestA)})(d)
	for _, change := range changes {
		change(d)
	}
	return d
}

// remembers is what a Deployment remembers of a target.
func remembers(target string, record annotate.Record) func(*appsv1.Deployment) {
	keys := annotate.NewKeys("tracebloc.io")
	return func(d *appsv1.Deployment) {
		setOrDelete(d.Labels, keys.Mark(target), record.Mark.Mark())
		setOrDelete(d.Annotations, keys.Recorded(target), string(record.Recorded))
		setOrDelete(d.Annotations, keys.State(target), record.State.String())
	}
}

// runs makes a Deployment hold a digest.
func runs(digest image.Digest) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		container := &d.Spec.Template.Spec.Containers[0]
		before, _, _ := strings.Cut(container.Image, "@")
		container.Image = before + "@" + string(digest)
		d.Generation++
	}
}

// settle is the end of a good rollout.
func settle(d *appsv1.Deployment) {
	n := *d.Spec.Replicas
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n}
}

// hang is a rollout whose new replica does not become available.
func hang(d *appsv1.Deployment) {
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 2, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
}

// crash is a rollout with Recreate that does not come up.
func crash(d *appsv1.Deployment) {
	d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1}
}

// following is the configuration with a target for each of these Deployments.
func following(names ...string) string {
	var file strings.Builder
	file.WriteString("targets:\n")
	for _, name := range names {
		fmt.Fprintf(&file, "  - {name: %s, image: \"ghcr.io/tracebloc/%s:1\", workloads: [{kind: Deployment, name: %s}]}\n", name, name, name)
	}
	return file.String()
}

func configured(t *testing.T, file string, env ...string) config.Config {
	t.Helper()
	path := t.TempDir() + "/config.yaml"
	require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
	variables := map[string]string{"CONFIG_FILE": path, "PULL_SECRETS_DIR": t.TempDir() + "/none"}
	for _, variable := range env {
		key, value, _ := strings.Cut(variable, "=")
		variables[key] = value
	}
	read, err := config.Read(t.Context(), envconfig.MapLookuper(variables), config.Overrides{})
	require.NoError(t, err)
	return read
}

// runner runs ticks of this configuration; what it logs is in the buffer.
func runner(t *testing.T, file string, of Cluster, registry Registry, env ...string) (*Runner, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	return &Runner{
		Config: configured(t, file, env...), Namespace: "tracebloc", Registry: registry, Cluster: of,
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: func() time.Time { return now }, Started: now,
	}, &log
}

// recordOf is what a Deployment remembers of the target of its name.
func (f *fakeCluster) recordOf(name string) annotate.Record {
	d := f.objects[name]
	record, _ := annotate.NewKeys("tracebloc.io").Read(name, d.Labels, d.Annotations)
	return record
}

// image is what the first container of a Deployment runs.
func (f *fakeCluster) image(name string) string {
	return f.objects[name].Spec.Template.Spec.Containers[0].Image
}
