package scenario_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// byImage is the configuration of a target that follows the image of the Deployment "jobs"; more are further lines of it.
func byImage(more ...string) string {
	return "targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "api"), more...)
}

// Whoever deploys repository@digest has pinned it; a tick would have moved it on.
func TestADigestWithoutATagIsItsOwnersPin(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	s.Push(ingestor, image("second"))
	const repository = "ghcr.io/tracebloc/ingestor"
	s.Deploy(workloads.Deployment("jobs", workloads.Container("api", repository+"@"+first)))
	s.Configure(byImage())
	s.Forget()
	for range 2 {
		pinned := requireOutcome(t, s.Tick(), 1, "failed", "slot-mismatch")
		assert.Contains(t, pinned.Message, "owner's pin")
	}
	assert.Empty(t, s.API.Writes(), "untouched")
	s.Configure(byImage("pin: digest"))
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.True(t, strings.HasPrefix(workloads.Image(s.Deployment("jobs"), "api"), repository+"@sha256:"))
	// What we have marked is no pin of anybody else's, however it is spelled.
	s.Configure(byImage())
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
}

// I88: the variable held something else than the digest that was put in its place, and that was kept nowhere.
func TestI88AVariableOfAnotherFormIsUntouched(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	for name, c := range map[string]struct{ holds, form, says string }{
		"a whole reference":      {"ghcr.io/tracebloc/ingestor:0.3@" + digest, "digest", "ghcr.io/tracebloc/ingestor:0.3@sha256:"},
		"docker://":              {"docker://ghcr.io/tracebloc/ingestor@" + digest, "reference", "docker://ghcr.io"},
		"a flag":                 {"--image=" + digest, "digest", "--image="},
		"two references":         {ingestor + "," + ingestor, "reference", ingestor},
		"a word":                 {"stable", "digest", "stable"},
		"a digest, no reference": {digest, "reference", digest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			s.Push(ingestor, image("first"))
			s.Deploy(jobs(c.holds))
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "api", "env: "+slot, "envValue: "+c.form)))
			s.Forget()
			for range 2 {
				invalid := requireOutcome(t, s.Tick(), 1, "failed", "slot-invalid")
				assert.Contains(t, invalid.Message, c.says, "what it holds")
				assert.Contains(t, invalid.Message, "envValue: "+c.form, "what is expected")
			}
			assert.Empty(t, s.API.Writes(), "untouched")
			assert.Equal(t, c.holds, live(s))
		})
	}
}

// A digest in blanks, quotes or capitals is one all the same: it is put right.
func TestAVariableInQuotesIsPutRight(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	digest := s.Push(ingestor, image("first"))
	s.Deploy(jobs(`"` + digest + `" `))
	s.Configure(ingestorConfig)
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, digest, live(s))
}

// I89: no node fetches what its pod says never to pull.
func TestI89AnImageThatIsNeverPulledIsUntouched(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	first := s.Push(ingestor, image("first"))
	s.Push(ingestor, image("second"))
	s.Deploy(workloads.Deployment("jobs", workloads.Container("api", ingestor+"@"+first),
		workloads.Pod(func(pod *corev1.PodTemplateSpec) { pod.Spec.Containers[0].ImagePullPolicy = corev1.PullNever })))
	s.Configure(byImage())
	s.Forget()
	for range 2 {
		never := requireOutcome(t, s.Tick(), 1, "failed", "slot-invalid")
		assert.Contains(t, never.Message, "imagePullPolicy")
	}
	assert.Empty(t, s.API.Writes(), "untouched")
}

// A workload that a finalizer keeps is as good as gone, and is told as that.
func TestAWorkloadThatIsBeingDeletedIsTold(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Push(ingestor, image("second"))
	s.Patch(harness.Helm, s.Deployment("jobs"), `{"metadata":{"finalizers":["example.com/keep"]}}`)
	deployments := s.Client.AppsV1().Deployments(s.Namespace)
	require.NoError(t, deployments.Delete(t.Context(), "jobs", metav1.DeleteOptions{}))
	t.Cleanup(func() {
		_, err := deployments.Patch(context.Background(), "jobs", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		assert.NoError(t, err)
	})
	s.Forget()
	missing := requireOutcome(t, s.Tick(), 1, "failed", "workload-missing")
	assert.Contains(t, missing.Message, "being deleted")
	assert.Empty(t, s.API.Writes(), "untouched")
}

// What a newer release has noted is not known here, so nothing at all is written, whatever there is to do.
func TestAStateOfANewerReleaseStopsTheWorkload(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Push(ingestor, image("second"))
	s.Kubectl("annotate", "deployment/jobs", state+`={"version":99,"attempt":["of another form"]}`)
	s.Settle(workloads.Deployment("jobs"))
	s.Forget()
	stopped := requireOutcome(t, s.Tick(), 1, "failed", "slot-invalid")
	assert.Contains(t, stopped.Message, state)
	s.Site.Proxy.Refuse("ghcr.io", 403)
	for range 4 {
		requireOutcome(t, s.Tick(), 1, "failed", "slot-invalid")
	}
	assert.Empty(t, s.API.Writes(), "nothing at all is written")
	assert.Equal(t, first, live(s))
}

// Keys below kubernetes.io are Kubernetes' own.
func TestAReservedPrefixIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	for _, prefix := range []string{"kubernetes.io", "k8s.io", "apps.kubernetes.io"} {
		s.Setenv("ANNOTATION_PREFIX", prefix)
		s.Forget()
		refused := s.Tick()
		harness.RequireExit(t, 2, refused)
		assert.Contains(t, refused.Stderr, "ANNOTATION_PREFIX")
		assert.Empty(t, s.API.Requests(nil), "nothing is read")
	}
}
