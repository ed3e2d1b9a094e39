package scenario_test

import (
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// bare is a workload "jobs" whose container "api" names the target's tag alone, on nodes that start each pod with what they
// have pulled when it starts.
type bare struct {
	*harness.Scenario
	t    *testing.T
	kind string
	form imageForm

	last product.Workload // as the last tick reported it

	mu      sync.Mutex
	pulled  string               // the image ID that the next pods get
	started map[types.UID]string // by pod
	crashes []string             // image IDs, or digests in references, whose pods crash
}

// imageForm is how a container runtime names a build in a pod's status.
type imageForm func(t *testing.T, build registries.Content) string

// pulledAs is the form of containerd, and of CRI-O until 1.27: the repository, and the digest of what was pulled.
func pulledAs(t *testing.T, build registries.Content) string {
	t.Helper()
	digest, err := build.Digest()
	require.NoError(t, err)
	return "ghcr.io/tracebloc/ingestor@" + digest
}

// imageForms are the forms that nodes report.
var imageForms = map[string]imageForm{
	"containerd": pulledAs,
	"containerd, a manifest of the index": func(t *testing.T, build registries.Content) string {
		t.Helper()
		manifest, _, err := build.Parts()
		require.NoError(t, err)
		return "ghcr.io/tracebloc/ingestor@" + manifest
	},
	"containerd, loaded from a file": func(t *testing.T, build registries.Content) string {
		t.Helper()
		_, config, err := build.Parts()
		require.NoError(t, err)
		return config
	},
	"CRI-O (I70)": func(t *testing.T, build registries.Content) string {
		t.Helper()
		_, config, err := build.Parts()
		require.NoError(t, err)
		return strings.TrimPrefix(config, "sha256:")
	},
	"cri-dockerd": func(t *testing.T, build registries.Content) string {
		t.Helper()
		return "docker-pullable://" + pulledAs(t, build)
	},
}

// bareOf makes a workload of a kind on the tag, whose nodes pull this build. Nothing is deployed yet.
func bareOf(t *testing.T, kind string, form imageForm, lines ...string) *bare {
	t.Helper()
	b := &bare{Scenario: environment.Scenario(t), t: t, kind: kind, form: form, started: map[types.UID]string{}}
	b.Behave(b.behaviour)
	b.follow(lines...)
	return b
}

// follow configures the target, with these lines.
func (b *bare) follow(lines ...string) {
	b.t.Helper()
	b.Configure("targets:\n" + targetOf("ingestor", ingestor, entry(b.kind, "jobs", "api"), lines...))
}

// deploy deploys the workload on nodes that pull this build, which the tag means.
func (b *bare) deploy(content registries.Content, options ...workloads.Option) (digest string) {
	b.t.Helper()
	digest = b.Push(ingestor, content)
	b.pull(content)
	b.Deploy(build(b.kind, "jobs", append([]workloads.Option{workloads.Container("api", ingestor)}, options...)...))
	return digest
}

// install deploys the workload, and has it adopted.
func (b *bare) install(content registries.Content, options ...workloads.Option) (digest string) {
	b.t.Helper()
	digest = b.deploy(content, options...)
	b.tick(0, "adopted", "")
	return digest
}

// pull says what nodes have pulled when they start the next pod by the tag.
func (b *bare) pull(build registries.Content) {
	b.t.Helper()
	id := b.form(b.t, build)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pulled = id
}

// crash makes pods crash that run this build, by the tag or by its digest.
func (b *bare) crash(build registries.Content) {
	b.t.Helper()
	digest, err := build.Digest()
	require.NoError(b.t, err)
	b.mu.Lock()
	b.crashes = append(b.crashes, b.form(b.t, build), digest)
	b.mu.Unlock()
}

func (b *bare) behaviour(pod *corev1.Pod) fakenode.Behaviour {
	b.mu.Lock()
	defer b.mu.Unlock()
	id, known := b.started[pod.UID]
	if !known {
		id = b.pulled
		b.started[pod.UID] = id
	}
	for _, bad := range b.crashes {
		if fakenode.Runs(pod, bad) || id == bad && !fakenode.Runs(pod, "@") {
			return crash().Running(id)
		}
	}
	return fakenode.Ready().Running(id)
}

// restart deletes a pod, and waits for the one in its place.
func (b *bare) restart() {
	b.t.Helper()
	pods := b.pods()
	require.NotEmpty(b.t, pods)
	b.Kubectl("delete", "pod", pods[0].Name, "--wait=false")
	b.Eventually("another pod has started", func() bool {
		now := b.pods()
		for _, pod := range now {
			if pod.UID == pods[0].UID {
				return false
			}
		}
		return len(now) == len(pods)
	})
	b.settle()
}

func (b *bare) pods() []corev1.Pod {
	b.t.Helper()
	list, err := b.Client.CoreV1().Pods(b.Namespace).List(b.t.Context(), metav1.ListOptions{})
	require.NoError(b.t, err)
	return list.Items
}

func (b *bare) settle() {
	b.t.Helper()
	b.Settle(build(b.kind, "jobs"))
}

func (b *bare) now() workloads.Object { return look(b.Scenario, b.kind, "jobs") }

// requireRecords asserts mark and record, and what the slot holds: the tag, or a digest.
func (b *bare) requireRecords(holds, recordedDigest string) {
	b.t.Helper()
	o, want, wantMark := b.now(), ingestor, "unpinned"
	if holds != "" {
		want, wantMark = ingestor+"@"+holds, label(holds)
	}
	assert.Equal(b.t, want, workloads.Image(o, "api"), "the slot")
	got, _, _ := strings.Cut(o.GetLabels()[mark], ".")
	assert.Equal(b.t, wantMark, got, "the mark")
	assert.Equal(b.t, recordedDigest, o.GetAnnotations()[recorded], "the record")
}

// tick runs one tick, and asserts how it ended for the one workload.
func (b *bare) tick(exit int, outcome, cause string) {
	b.t.Helper()
	b.settle()
	b.Forget()
	b.last = requireOutcome(b.t, b.Tick(), exit, outcome, cause)
}

// requireUnchanged asserts that so many ticks find nothing to do, write nothing, and ask no more than an unchanged tick does,
// and for the pods.
func (b *bare) requireUnchanged(ticks int) {
	b.t.Helper()
	for range ticks {
		b.tick(0, "unchanged", "")
		assert.Empty(b.t, b.API.Writes(), "an unchanged tick writes nothing")
		assert.Len(b.t, b.API.Reads(), 2, "the workload, and its pods")
		assert.Len(b.t, b.API.Requests(apiproxy.Verb("list", "pods")), 1)
		assert.Len(b.t, b.Site.Front.Calls(registries.At("ghcr.io", registries.Head)), 1)
		assert.Empty(b.t, b.Site.Front.Calls(registries.At("ghcr.io", registries.Get, registries.Blob)), "no manifest is read twice")
	}
}

// requireRollouts asserts how often the workload was rolled out.
func (b *bare) requireRollouts(n int) {
	b.t.Helper()
	assert.Equal(b.t, n, rollouts(b.t, b.Scenario, b.kind, "jobs"), "rollouts")
}
