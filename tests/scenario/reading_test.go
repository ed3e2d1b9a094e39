package scenario_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/tests/docs"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// After a change of a message: go test ./scenario -run TestReading -update-readings, and read each file as a stranger: it has to
// say which host, stage, workload and credential it is about, and what to do.
var updateReadings = flag.Bool("update-readings", false, "write what an operator reads into testdata/readings")

// subject is a scenario with its fault in it, and what the commands of the runbook take from its message.
type subject struct {
	*harness.Scenario
	image, host string
}

type subjectOf = func(t *testing.T) subject

// atFault is a fault of a registry, or of the way to it, at a stage.
func atFault(name, stage string) subjectOf {
	return func(t *testing.T) subject {
		t.Helper()
		c := faultAt(t, name, stage)
		return subject{c.Scenario, c.image, c.host}
	}
}

// also is a subject whose registry, by whatever name, answers so at one more stage.
func also(first subjectOf, stage registries.Stage, do faultinject.Action) subjectOf {
	return func(t *testing.T) subject {
		t.Helper()
		s := first(t)
		inject(s.Scenario, registries.At("", stage), do)
		return s
	}
}

// atPrivate is a private image, which the registry or its token endpoint refuses to the account that pods pull it with.
func atPrivate(status int, host string, stage registries.Stage) subjectOf {
	return func(t *testing.T) subject {
		t.Helper()
		s := guarded(t)
		s.Kubectl("create", "secret", "docker-registry", "regcred",
			"--docker-server="+someHost, "--docker-username="+goodLogin.user, "--docker-password="+goodLogin.password)
		inject(s, registries.At(host, stage), faultinject.Reply(status, ""))
		return subject{s, somePrivate, someHost}
	}
}

// onJobs is the Deployment "jobs", adopted, with something done to it.
func onJobs(do func(s *harness.Scenario)) subjectOf {
	return func(t *testing.T) subject {
		t.Helper()
		s, _ := adopted(t)
		do(s)
		return subject{Scenario: s}
	}
}

// onTheTag is the same with the image that a message names.
func onTheTag(do func(s *harness.Scenario)) subjectOf {
	return func(t *testing.T) subject {
		t.Helper()
		s := onJobs(do)(t)
		s.image, s.host = ingestor, "ghcr.io"
		return s
	}
}

// onRollout is a rollout of the Deployment "jobs" that fails, and is taken back at once.
var onRollout = onJobs(func(s *harness.Scenario) {
	breaks(s, crash(), s.Push(ingestor, image("second")))
	s.Setenv("ROLLOUT_TIMEOUT", "2s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
})

// readings makes the real fault of each cause.
var readings = map[string]struct {
	make subjectOf
	// confirmed matches what the commands print with which the runbook's section confirms the cause.
	confirmed string
}{
	"dns":                {atFault("a name that does not resolve", "name"), "Could not resolve host"},
	"connection-refused": {atFault("a closed port", "connect"), "Failed to connect"},
	"timeout":            {atFault("no answer", "ping"), "timed out"},
	"tls":                {atFault("an expired certificate", "TLS"), "expire date"},
	"proxy":              {atFault("a proxy that answers 403", "proxy"), "403 Forbidden"},
	"server-error":       {atFault("a 503", "token"), "503"},
	"credential-missing": {atFault("a 401, and a named secret is not there", "token"), "NotFound"},
	"platform-missing":   {atFault("an image without a platform that live offers", "index"), "no child with platform"},
	"unsigned": {onTheTag(func(s *harness.Scenario) {
		writeKeys(s.Dir)
		s.Configure(ingestorConfig + "    verify: {keys: [release.pub]}\n")
		s.Push(ingestor, image("second"))
	}), "MANIFEST_UNKNOWN"},
	"forbidden":    {atPrivate(403, someHost, registries.Head), "403"},
	"unauthorized": {atPrivate(401, "auth."+someHost, registries.Token), "401"},
	"not-found":    {atFault("a 404", "manifest"), "MANIFEST_UNKNOWN"},
	"rate-limited": {also(atFault("a 429", "manifest"), registries.Get, faultinject.Reply(429, "")), "429"},
	"bad-response": {also(atFault("a login page with status 200", "manifest"), registries.Ping, loginPage), "(?s)200.*please log in"},
	"stale": {func(t *testing.T) subject {
		t.Helper()
		s, _ := adopted(t)
		s.Configure(ingestorConfig + "    staleAfter: 240h\n")
		atHour := playClock(s)
		requireOutcome(t, s.Tick(), 0, "unchanged", "")
		atHour(241)
		return subject{s, ingestor, "ghcr.io"}
	}, "sha256:"},
	"workload-missing": {onJobs(func(s *harness.Scenario) {
		s.Configure(strings.ReplaceAll(ingestorConfig, "container: api", "container: apl"))
	}), "api"},
	"slot-invalid": {onJobs(func(s *harness.Scenario) {
		s.Patch(harness.Argo, s.Deployment("jobs"), `{"spec":{"template":{"spec":{"containers":[{"name":"api","env":[`+
			`{"name":"`+slot+`","value":null,"valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]}]}}}}`)
	}), "valueFrom"},
	"slot-mismatch": {onJobs(func(s *harness.Scenario) {
		s.Configure("targets:\n" + targetOf("ingestor", "ghcr.io/tracebloc/other:1", entry("Deployment", "jobs", "api")))
	}), "docker.io/tracebloc/jobs-manager"},
	"api": {onJobs(func(s *harness.Scenario) {
		s.Grant(s.Namespace, rulesWithout("patch", "deployments")...)
		s.Push(ingestor, image("second"))
	}), "no\n"},
	"rollout-failed": {onRollout, "RolledBack"},
	"not-settled": {onJobs(func(s *harness.Scenario) {
		s.Behave(func(*corev1.Pod) fakenode.Behaviour { return fakenode.Stuck() })
		s.Kubectl("rollout", "restart", "deployment", "jobs")
		s.Setenv("UNSETTLED_THRESHOLD", "1")
	}), "Waiting for"},
	"contested": {onJobs(func(s *harness.Scenario) {
		first := live(s)
		s.Push(ingestor, image("second"))
		s.Setenv("CONTESTED_THRESHOLD", "1")
		for range 2 {
			s.Tick() // it is refreshed, and put back
			s.Patch(harness.Argo, s.Deployment("jobs"), set(first))
			s.Settle(workloads.Deployment("jobs"))
		}
	}), "manager: " + harness.Argo},
}

// For every cause that a result may name: what an operator reads of it is kept, to be read, and the commands of the runbook's
// section to which the message leads confirm the cause.
func TestReading(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, strings.Fields("not-found unauthorized forbidden credential-missing rate-limited dns connection-refused"+
		" timeout tls proxy server-error bad-response platform-missing unsigned stale rollout-failed not-settled contested workload-missing"+
		" slot-invalid slot-mismatch api"),
		slices.Collect(maps.Keys(readings)))
	for cause, reading := range readings {
		t.Run(cause, func(t *testing.T) {
			t.Parallel()
			s := reading.make(t)
			s.Setenv("RESOLVE_FAILURE_THRESHOLD", "1")
			text := read(t, s.Scenario)
			assert.Regexp(t, reading.confirmed, pasted(t, s, cause, true))
			assert.Contains(t, text, "docs/runbook.md#"+cause)
			golden := filepath.Join("testdata", "readings", cause+".txt")
			if *updateReadings {
				require.NoError(t, os.WriteFile(golden, []byte(text), 0o600))
			}
			kept, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(kept), text)
		})
	}
}

// What the runbook says of a digest that was rejected has it tried again.
func TestTheRunbookHasARejectedDigestTriedAgain(t *testing.T) {
	t.Parallel()
	s := onRollout(t)
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	s.Behave(nil)
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	assert.Contains(t, pasted(t, s, "rollout-failed", false), "annotated")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
}

// pasted runs the commands of the runbook's section about a cause that confirm it, or those that fix it, as somebody would
// who has read the message, and returns what they print.
func pasted(t *testing.T, s subject, cause string, confirms bool) (printed string) {
	t.Helper()
	page, err := docs.Runbook()
	require.NoError(t, err)
	crane, err := tool("crane")
	require.NoError(t, err)
	variables := map[string]string{
		"NAMESPACE": s.Namespace, "ACCOUNT": "system:serviceaccount:" + s.Namespace + ":image-refresh", "KIND": "deployment", "NAME": "jobs", "TARGET": "ingestor",
		"IMAGE": s.image, "HOST": s.host, "PLATFORM": "linux/amd64", "SECRET": "regcred", "VERB": "patch", "RESOURCE": "deployments.apps",
	}
	for _, script := range page[cause] {
		if script.Confirms == confirms {
			printed += s.Shell(script.Text, map[string]string{"crane": crane}, variables)
		}
	}
	return printed
}

// unsteady is what differs from run to run, and what stands for it.
var unsteady = []struct {
	pattern *regexp.Regexp
	stands  string
}{
	{regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`\bjobs-[0-9a-f]{6,10}-\w{5} on node-[ab]`), "jobs-HASH-POD on NODE"},
	{regexp.MustCompile(`[0-9.]+µ?m?s\b`), "DURATION"},
}

// read runs a tick as a kubelet would, which has to fail, and returns what kubectl describe shows of it: the termination message
// of the pod, and the Events and the last error of the workload.
func read(t *testing.T, s *harness.Scenario) string {
	t.Helper()
	path := file(t, s, "termination-message", "")
	result := s.StartAs("unshare", "--map-root-user", "--mount", "sh", "-c",
		"mount -t tmpfs none /dev && : > /dev/termination-log && "+s.Binary+"; code=$?; cat /dev/termination-log > "+path+
			"; exit $code").Finish()
	harness.RequireExit(t, 1, result)
	message, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := []string{string(message)}
	for _, event := range s.Events() {
		lines = append(lines, event.Type+" "+event.Reason+": "+event.Note+"\n")
	}
	slices.Sort(lines[1:])
	if text := s.Deployment("jobs").Annotations[lastError]; text != "" {
		lines = append(lines, lastError+": "+text+"\n")
	}
	text := strings.ReplaceAll(strings.Join(lines, ""), s.Namespace, "NAMESPACE")
	for _, one := range unsteady {
		text = one.pattern.ReplaceAllString(text, one.stands)
	}
	digests := map[string]string{}
	return regexp.MustCompile(`\b[0-9a-f]{12,64}\b`).ReplaceAllStringFunc(text, func(digest string) string {
		if digests[digest[:12]] == "" {
			digests[digest[:12]] = fmt.Sprintf("DIGEST%d", len(digests)+1)
		}
		return digests[digest[:12]]
	})
}
