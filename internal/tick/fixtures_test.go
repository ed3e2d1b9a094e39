package tick

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
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
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/signature"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// The digests of the tests: A runs, B is latest, C is a third one. Their ticks run now.
var (
	digestA, digestB, digestC = digestOf("a"), digestOf("b"), digestOf("c")
	now                       = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	keys                      = annotate.NewKeys("tracebloc.io")
)

func digestOf(letter string) image.Digest {
	return image.Digest("sha256:" + strings.Repeat(letter, 64))
}

// change is what happens to a Deployment.
type change func(*appsv1.Deployment)

// all are several changes as one; nil is none.
func all(changes ...change) change {
	return func(d *appsv1.Deployment) {
		for _, change := range changes {
			if change != nil {
				change(d)
			}
		}
	}
}

// apiServer holds Deployments, and refuses a write to what has changed since it was read. What a tick is not expected to ask
// panics, since the interface is left empty.
type apiServer struct {
	Cluster
	mu      sync.Mutex
	objects map[string]*appsv1.Deployment
	before  map[string][]change // by name: what happens before each patch; nil for nothing
	during  map[string][]change // by name: what happens, one after the other, while it is waited for
	patches []string            // name, slots and digests of each
}

func holding(deployments ...*appsv1.Deployment) *apiServer {
	s := &apiServer{objects: map[string]*appsv1.Deployment{}, before: map[string][]change{}, during: map[string][]change{}}
	for _, d := range deployments {
		s.objects[d.Name] = d
	}
	return s
}

// next lets the next of these changes happen, and says whether there was one. An object's version is another one afterwards.
func (s *apiServer) next(changes map[string][]change, name string) bool {
	if len(changes[name]) == 0 {
		return false
	}
	if changes[name][0] != nil {
		s.objects[name] = s.objects[name].DeepCopy()
		changes[name][0](s.objects[name])
		s.objects[name].ResourceVersion += "x"
	}
	changes[name] = changes[name][1:]
	return true
}

func (*apiServer) Date() time.Time { return now }

func (s *apiServer) Get(_ context.Context, ref workload.Ref) (*workload.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return workload.New(s.objects[ref.Name])
}

func (s *apiServer) Patch(_ context.Context, read *workload.Object, patch workload.Change) (*workload.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := read.Name
	for _, slot := range patch.Slots {
		text += " " + slot.Slot.Key() + "=" + slot.Digest.Short()
	}
	s.patches = append(s.patches, text)
	s.next(s.before, read.Name)
	if s.objects[read.Name].ResourceVersion != read.Meta.ResourceVersion {
		return nil, fmt.Errorf("%s: %w", read.Ref, cluster.ErrConflict)
	}
	s.next(map[string][]change{read.Name: {func(d *appsv1.Deployment) {
		for key, value := range patch.Labels {
			set(d.Labels, key, value)
		}
		for key, value := range patch.Annotations {
			set(d.Annotations, key, value)
		}
		for _, slot := range patch.Slots {
			runs(slot.Digest)(d)
		}
	}}}, read.Name)
	return workload.New(s.objects[read.Name])
}

func set(values map[string]string, key, value string) {
	if values[key] = value; value == "" {
		delete(values, key)
	}
}

func (*apiServer) Emit(context.Context, *workload.Object, decide.Event, time.Time) error { return nil }

// PodProblems are pods that crash.
func (*apiServer) PodProblems(_ context.Context, _ *workload.Object, queries []workload.PodQuery) decide.PodProblems {
	crashed := slices.Repeat([]bool{true}, len(queries))
	return decide.PodProblems{Evidence: crashed, Crashed: crashed}
}

// Wait looks at an object until done says so or nothing more is to happen to it: then the wait's time is over.
func (s *apiServer) Wait(_ context.Context, from *workload.Object, done func(*workload.Object) bool) (*workload.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		newest, err := workload.New(s.objects[from.Name])
		if err != nil || done(newest) || !s.next(s.during, from.Name) {
			return newest, err
		}
	}
}

// registry serves one digest as latest of every image, and every digest.
type registry struct {
	Registry
	latest image.Digest
}

func (r registry) Resolve(_ context.Context, queries []resolver.Query) []resolver.Answer {
	return slices.Repeat([]resolver.Answer{{Digest: r.latest}}, len(queries))
}

func (registry) Inspect(context.Context, resolver.Query, image.Digest) (resolver.Manifest, error) {
	return resolver.Manifest{}, nil
}

func (registry) Build(context.Context, resolver.Query, image.Digest, []image.Platform) image.Build {
	return image.Build{}
}

func (registry) Serves(context.Context, resolver.Query, image.Digest) (bool, error) { return true, nil }

func (registry) Signed(context.Context, resolver.Query, image.Digest, signature.Keys) (signature.Key, error) {
	return signature.Key{}, nil
}

// deployment is one that runs A in a container "app", settled, with what is remembered of that for a target of its name.
func deployment(name string, changes ...change) *appsv1.Deployment {
	replicas := int32(1)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "tracebloc", Name: name, Generation: 3, Labels: map[string]string{}, Annotations: map[string]string{},
		},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app", Image: "ghcr.io/tracebloc/" + name + ":1@" + string(digestA)}},
		}}},
	}
	all(settle, remembers(annotate.Record{Mark: annotate.Of(digestA), Recorded: annotate.Of(digestA)}), all(changes...))(d)
	return d
}

// remembers is what a Deployment remembers of the target of its name.
func remembers(record annotate.Record) change {
	return func(d *appsv1.Deployment) {
		set(d.Labels, keys.Mark(d.Name), record.Mark.Mark())
		set(d.Annotations, keys.Recorded(d.Name), string(record.Recorded))
		set(d.Annotations, keys.State(d.Name), record.State.String())
	}
}

// runs puts a digest there, which the controller has yet to observe.
func runs(digest image.Digest) change {
	return func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Image = "ghcr.io/tracebloc/" + d.Name + ":1@" + string(digest)
		d.Generation++
	}
}

// settle is the end of a good rollout.
func settle(d *appsv1.Deployment) {
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
}

// configured is the configuration of a file and of variables, as in KEY=value.
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

// following is the configuration with a target for each of these Deployments.
func following(names ...string) string {
	file := "targets:\n"
	for _, name := range names {
		file += fmt.Sprintf("  - {name: %[1]s, image: \"ghcr.io/tracebloc/%[1]s:1\", workloads: [{kind: Deployment, name: %[1]s}]}\n", name)
	}
	return file
}

// ticking runs ticks of this configuration, where this digest is latest of every image.
func ticking(t *testing.T, s *apiServer, latest image.Digest, file string, env ...string) *Runner {
	t.Helper()
	return &Runner{
		Config: configured(t, file, env...), Namespace: "tracebloc", Registry: registry{latest: latest}, Cluster: s,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }, Started: now,
	}
}
