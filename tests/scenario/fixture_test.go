package scenario_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

const (
	ingestor    = "ghcr.io/tracebloc/ingestor:0.3"
	jobsManager = "docker.io/tracebloc/jobs-manager:prod"
	slot        = "INGESTOR_IMAGE_DIGEST"

	ingestorConfig = `
targets:
  - name: ingestor
    image: ghcr.io/tracebloc/ingestor:0.3
    workloads: [{kind: Deployment, name: jobs, container: api, env: INGESTOR_IMAGE_DIGEST}]
`
)

// jobs is the application's Deployment with a digest in its slot.
func jobs(digest string, options ...workloads.Option) workloads.Object {
	return workloads.Deployment("jobs", append([]workloads.Option{
		workloads.Container("api", jobsManager), workloads.Env("api", slot, digest),
	}, options...)...)
}

// Annotations and labels of the target "ingestor", spelled out a second time on purpose: they are the contract.
const (
	mark      = "tracebloc.io/ingestor-digest"
	recorded  = "tracebloc.io/last-refreshed-ingestor-digest"
	failures  = "tracebloc.io/ingestor-refresh-consecutive-failures"
	lastError = "tracebloc.io/ingestor-refresh-last-error"
	state     = "tracebloc.io/ingestor-refresh-state"
	streak    = "tracebloc.io/refresh-skip-streak"

	failingSince = "tracebloc.io/ingestor-refresh-failing-since"
)

var kinds = []string{"Deployment", "StatefulSet", "DaemonSet", "CronJob"}

// image is an index for the one platform that these tests use.
func image(build string) registries.Content { return registries.Index(build, "linux/amd64") }

// digestOf is a digest that no registry holds.
func digestOf(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }

// adopted makes a scenario in which a Deployment runs the digest that its tag means, and one tick has adopted it.
func adopted(t *testing.T, options ...workloads.Option) (s *harness.Scenario, digest string) {
	t.Helper()
	s = environment.Scenario(t)
	digest = s.Push(ingestor, image("first"))
	s.Deploy(jobs(digest, options...))
	s.Configure(ingestorConfig)
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	return s, digest
}

// crash is what a bad build does, and unpullable what a missing one does.
func crash() fakenode.Behaviour {
	return fakenode.Failing("CrashLoopBackOff", "back-off restarting failed container")
}

func unpullable() fakenode.Behaviour {
	return fakenode.Failing("ImagePullBackOff", "401 Unauthorized")
}

// eventsOf are the notes of the Events with a reason.
func eventsOf(s *harness.Scenario, reason string) (notes []string) {
	for _, event := range s.Events() {
		if event.Reason == reason {
			notes = append(notes, event.Note)
		}
	}
	return notes
}

// playClock has the API server's answers say that it is so many hours later than now, as the function that it returns is told.
func playClock(s *harness.Scenario) (at func(hours float64)) {
	var ahead atomic.Int64
	s.API.Inject(apiproxy.Fault{
		Match: func(r apiproxy.Request) bool { return r.Verb != "watch" },
		Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			faultinject.Header("Date", time.Now().Add(time.Duration(ahead.Load())).UTC().Format(http.TimeFormat))(w, r, next)
		},
	})
	return func(hours float64) { ahead.Store(int64(hours * float64(time.Hour))) }
}

// set is the strategic merge patch that puts a value into the slot of the Deployment "jobs".
func set(value string) string {
	return `{"spec":{"template":{"spec":{"containers":[{"name":"api","env":[{"name":"` + slot + `","value":"` + value + `"}]}]}}}}`
}

// breaks makes every pod that runs one of these digests behave in a way; all others are Ready.
func breaks(s *harness.Scenario, behaviour fakenode.Behaviour, digests ...string) {
	s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		if slices.ContainsFunc(digests, func(digest string) bool { return fakenode.Runs(pod, digest) }) {
			return behaviour
		}
		return fakenode.Ready()
	})
}

// build makes a workload of a kind.
func build(kind, name string, options ...workloads.Option) workloads.Object {
	switch kind {
	case "StatefulSet":
		return workloads.StatefulSet(name, options...)
	case "DaemonSet":
		return workloads.DaemonSet(name, options...)
	case "CronJob":
		return workloads.CronJob(name, options...)
	}
	return workloads.Deployment(name, options...)
}

// look reads a workload of a kind as it is now.
func look(s *harness.Scenario, kind, name string) workloads.Object {
	switch kind {
	case "StatefulSet":
		return s.StatefulSet(name)
	case "DaemonSet":
		return s.DaemonSet(name)
	case "CronJob":
		return s.CronJob(name)
	}
	return s.Deployment(name)
}

// live is what the slot of the Deployment "jobs" holds.
func live(s *harness.Scenario) string {
	value, _ := workloads.EnvValue(s.Deployment("jobs"), "api", slot)
	return value
}

// rollouts counts the templates that a workload has had, the first one included. A CronJob counts none.
func rollouts(t *testing.T, s *harness.Scenario, kind, name string) int {
	t.Helper()
	if kind == "Deployment" {
		return workloads.Revision(s.Deployment(name))
	}
	list, err := s.Client.AppsV1().ControllerRevisions(s.Namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	newest := int64(0)
	for _, revision := range list.Items {
		if owner := metav1.GetControllerOf(&revision); owner.Kind == kind && owner.Name == name {
			newest = max(newest, revision.Revision)
		}
	}
	return int(newest)
}

// entry is a workload of a target in the configuration.
func entry(kind, name, container string, more ...string) string {
	parts := []string{"kind: " + kind, "name: " + name}
	if container != "" {
		parts = append(parts, "container: "+container)
	}
	return "      - {" + strings.Join(append(parts, more...), ", ") + "}\n"
}

// targetOf is a target of the configuration; more are further lines of it.
func targetOf(name, image string, entries string, more ...string) string {
	lines := []string{"  - name: " + name}
	if image != "" {
		lines = append(lines, "image: "+image)
	}
	return strings.Join(append(append(lines, more...), "workloads:"), "\n    ") + "\n" + entries
}

// asJSON is an object as kubectl reads it from a file.
func asJSON(t *testing.T, object workloads.Object) []byte {
	t.Helper()
	text, err := json.Marshal(object)
	require.NoError(t, err)
	return text
}

// label is the mark of a digest, as earlier releases wrote it: one for whatever slots there are.
func label(digest string) string { return strings.TrimPrefix(digest, "sha256:")[:40] }

// labelFor is the mark of a digest, or "unpinned", in slots, named as a container or as container/variable.
func labelFor(content string, slots ...string) string {
	slices.Sort(slots)
	sum := sha256.Sum256([]byte(strings.Join(slots, "\n")))
	if content != "unpinned" {
		content = label(content)
	}
	return content + "." + hex.EncodeToString(sum[:4])
}

// contentOf is what a mark says, without the slots that it was written for.
func contentOf(mark string) string {
	content, _, _ := strings.Cut(mark, ".")
	return content
}

// slotWrites are the program's writes to a slot of an object.
func slotWrites(s *harness.Scenario, resource, name string) []apiproxy.Request {
	return slices.DeleteFunc(s.API.Requests(apiproxy.Write(resource, name)), func(write apiproxy.Request) bool {
		return !strings.Contains(string(write.Body), `"template"`) || !strings.Contains(string(write.Body), `ontainers":`)
	})
}

// requireOutcome asserts exit code, outcome and cause of the target "ingestor" on the workload "jobs".
func requireOutcome(t *testing.T, result *product.Result, exit int, outcome, cause string) product.Workload {
	t.Helper()
	harness.RequireExit(t, exit, result)
	return outcomeOf(t, result, "ingestor", "jobs", outcome, cause)
}

// outcomeOf asserts one target's outcome on one workload.
func outcomeOf(t *testing.T, result *product.Result, target, name, outcome, cause string) product.Workload {
	t.Helper()
	workload := result.Report.Target(target).Workload(name)
	assert.Equal(t, outcome, workload.Outcome, "%s on %s: %s", target, name, workload.Message)
	assert.Equal(t, cause, workload.Cause)
	return workload
}

// requireOutcomes asserts the exit code, and the outcome of every workload of every target.
func requireOutcomes(t *testing.T, result *product.Result, exit int, outcome string) {
	t.Helper()
	harness.RequireExit(t, exit, result)
	for _, target := range result.Report.Targets {
		require.NotEmpty(t, target.Workloads)
		for _, workload := range target.Workloads {
			assert.Equal(t, outcome, workload.Outcome, "%s on %s %s: %s", target.Name, workload.Kind, workload.Name, workload.Message)
		}
	}
}

// requireRolled asserts that a digest is live, recorded, marked and settled, in so many rollouts.
//
// A record is an annotation, and writing one bumps the generation: the controller may lag behind for a moment.
func requireRolled(t *testing.T, s *harness.Scenario, name, digest string, revision int) {
	t.Helper()
	s.Settle(workloads.Deployment(name))
	d := s.Deployment(name)
	value, _ := workloads.EnvValue(d, "api", slot)
	assert.Equal(t, digest, value)
	assert.Equal(t, digest, d.Annotations[recorded])
	assert.Equal(t, label(digest), contentOf(d.Labels[mark]))
	assert.Equal(t, revision, workloads.Revision(d))
}

// requireQuiet asserts that a tick finds everything fresh and writes nothing, once the controllers have seen the last write to
// these objects.
func requireQuiet(t *testing.T, s *harness.Scenario, objects ...workloads.Object) {
	t.Helper()
	s.Settle(objects...)
	s.Forget()
	requireOutcomes(t, s.Tick(), 0, "unchanged")
	assert.Empty(t, s.API.Writes(), "an unchanged tick writes nothing")
}
