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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/docs"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// After a change of a message: go test ./scenario -run TestReading -update-readings, and read each file as a stranger: it has to
// say which host, stage, workload and credential it is about, and what to do.
var updateReadings = flag.Bool("update-readings", false, "write what kubectl describe prints into testdata/readings")

// subject is a scenario with its fault in it, and what the commands of the runbook take from its message.
type subject struct {
	*harness.Scenario
	image, host string
}

type subjectOf = func(t *testing.T) subject

// atCell is the first field of the fault table with the trouble and at the stage.
func atCell(trouble, stage string) subjectOf {
	return func(t *testing.T) subject {
		t.Helper()
		c := faultAt(t, trouble, stage)
		return subject{c.Scenario, c.image, c.host}
	}
}

// atGHCR is an image of ghcr.io, the registry of which answers so at these stages.
func atGHCR(do faultinject.Action, stages ...registries.Stage) subjectOf {
	return func(t *testing.T) subject {
		t.Helper()
		s, _ := onTag(t, ingestor)
		s.Configure(ingestorConfig)
		for _, stage := range stages {
			s.Site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", stage), Do: do})
		}
		return subject{s, ingestor, "ghcr.io"}
	}
}

// atPrivate is a private image, which the registry or its token endpoint refuses to the account that pods pull it with.
func atPrivate(status int, host string, stage registries.Stage) subjectOf {
	return func(t *testing.T) subject {
		t.Helper()
		s := guarded(t)
		s.Kubectl("create", "secret", "docker-registry", "regcred",
			"--docker-server="+someHost, "--docker-username="+goodLogin.user, "--docker-password="+goodLogin.password)
		s.Site.Front.Inject(registries.Fault{Match: registries.At(host, stage), Do: faultinject.Reply(status, "")})
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
	"dns":                {atCell("a name that does not resolve", "name"), "Could not resolve host"},
	"connection-refused": {atCell("a closed port", "connect"), "Failed to connect"},
	"timeout":            {atCell("no answer", "ping"), "timed out"},
	"tls":                {atCell("an expired certificate", "TLS"), "expire date"},
	"proxy":              {atCell("a proxy that answers 403", "proxy"), "403 Forbidden"},
	"server-error":       {atCell("a 503", "token"), "503"},
	"credential-missing": {atCell("a 401, and a named secret is not there", "token"), "NotFound"},
	"platform-missing":   {atCell("an image without a platform that live offers", "index"), "no child with platform"},
	"forbidden":          {atPrivate(403, someHost, registries.Head), "403"},
	"unauthorized":       {atPrivate(401, "auth."+someHost, registries.Token), "401"},
	"rate-limited":       {atGHCR(faultinject.Reply(429, ""), registries.Head, registries.Get), "429"},
	"not-found": {
		atGHCR(faultinject.Reply(404, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`), registries.Head, registries.Get), "MANIFEST_UNKNOWN",
	},
	"bad-response": {
		atGHCR(faultinject.Reply(200, "<html>please log in</html>", "Content-Type", "text/html"), registries.Ping, registries.Head, registries.Get),
		"(?s)HTTP/2 200.*please log in",
	},
	"stale": {func(t *testing.T) subject {
		t.Helper()
		s, atHour := staleSoon(t)
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
		s.Configure("targets: [{name: ingestor, image: 'ghcr.io/tracebloc/other:1', workloads: [{kind: Deployment, name: jobs, container: api}]}]\n")
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
	"contested": {func(t *testing.T) subject {
		t.Helper()
		return subject{Scenario: contested(t)}
	}, "manager: " + harness.Argo},
}

// For every cause that a result may name: what kubectl describe prints of the tick's pod and of the workload is kept, to be
// read, and the commands of the runbook's section to which the message leads confirm the cause.
func TestReading(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, strings.Fields("not-found unauthorized forbidden credential-missing rate-limited dns connection-refused timeout tls"+
		" proxy server-error bad-response platform-missing stale rollout-failed not-settled contested workload-missing slot-invalid slot-mismatch api"),
		slices.Collect(maps.Keys(readings)))
	for cause, reading := range readings {
		t.Run(cause, func(t *testing.T) {
			t.Parallel()
			s := reading.make(t)
			s.Setenv("RESOLVE_FAILURE_THRESHOLD", "1")
			message := ended(t, s.Scenario)
			assert.Regexp(t, reading.confirmed, pasted(t, s, cause, true))
			text := described(s.Scenario, message)
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
		"NAMESPACE": s.Namespace, "RELEASE": "image-refresh", "KIND": "deployment", "NAME": "jobs", "TARGET": "ingestor", "IMAGE": s.image, "HOST": s.host,
		"PLATFORM": "linux/amd64", "SECRET": "regcred", "VERB": "patch", "RESOURCE": "deployments.apps",
	}
	for _, script := range page[cause] {
		if script.Confirms == confirms {
			printed += s.Shell(script.Text, map[string]string{"crane": crane}, variables)
		}
	}
	return printed
}

// ended runs a tick as a kubelet would, until it fails, and returns its termination message.
func ended(t *testing.T, s *harness.Scenario) string {
	t.Helper()
	message := file(t, s, "termination-message", "")
	result := s.StartAs("unshare", "--map-root-user", "--mount", "sh", "-c",
		"mount -t tmpfs none /dev && : > /dev/termination-log && "+s.Binary+"; code=$?; cat /dev/termination-log > "+message+"; exit $code").Finish()
	harness.RequireExit(t, 1, result)
	text, err := os.ReadFile(message)
	require.NoError(t, err)
	return string(text)
}

// described is what kubectl describe prints of the pod of a tick that ended with the message, and of the Deployment.
func described(s *harness.Scenario, message string) string {
	const name = "image-refresh-now"
	s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		if pod.Name == name {
			return fakenode.Completed(1).Saying(message)
		}
		return fakenode.Ready()
	})
	s.Create(&corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "image-refresh", Image: "image-refresh"}}},
	})
	s.Eventually("the pod of the tick has ended", func() bool {
		return s.Kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}") == "Failed"
	})
	return "$ kubectl describe pod " + name + "\n" + steady(s, s.Kubectl("describe", "pod", name)) +
		"\n$ kubectl describe deployment jobs\n" + steady(s, s.Kubectl("describe", "deployment", "jobs"))
}

// unsteady is what differs from run to run, and what stands for it; and what no tick has a part in, from one heading to the
// next: the rest of a pod and of a pod template, and Events of controllers, which come when they come.
var unsteady = []struct {
	pattern *regexp.Regexp
	stands  string
}{
	{regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`"20\d\d-[0-9T:.-]*\.\.\.`), `"TIME...`}, // cut off by kubectl
	{regexp.MustCompile(`\w{3}, \d\d \w{3} 20\d\d \d\d:\d\d:\d\d [+-]\d{4}`), "TIME"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`\bjobs-[0-9a-f]{6,10}-\w{5}\b`), "jobs-HASH-POD"},
	{regexp.MustCompile(`\bjobs-[0-9a-f]{6,10}\b`), "jobs-HASH"},
	{regexp.MustCompile(`node-[ab]`), "NODE"},
	{regexp.MustCompile(`(?m)^(  (?:Normal|Warning) +\w+ +)\S+(?: \(x\d+ over \w+\))? +`), "${1}AGE   "},
	{regexp.MustCompile(`(?m)^(  (?:Type|----) +(?:Reason|------) +(?:Age|----)) +`), "${1}  "},
	{regexp.MustCompile(`[0-9.]+µ?m?s\b`), "DURATION"},
	{regexp.MustCompile(`(?m)^  (?:Normal|Warning) +(?:ScalingReplicaSet|Scheduled).*\n`), ""},
	{regexp.MustCompile(`(?s)\n(?:    (?:Environment|Mounts)|Selector):.*?\n(Events:)`), "\n$1"},
	{regexp.MustCompile(`(?m) +$`), ""},
}

var (
	hexadecimal = regexp.MustCompile(`\b[0-9a-f]{12,64}\b`)
	events      = regexp.MustCompile(`(?:\n  (?:Normal|Warning) .*)+`)
)

// steady replaces what differs from run to run, numbers digests, and lists Events of one second in one order.
func steady(s *harness.Scenario, text string) string {
	text = strings.ReplaceAll(text, s.Namespace, "NAMESPACE")
	for _, one := range unsteady {
		text = one.pattern.ReplaceAllString(text, one.stands)
	}
	digests := map[string]string{}
	text = hexadecimal.ReplaceAllStringFunc(text, func(digest string) string {
		if digests[digest[:12]] == "" {
			digests[digest[:12]] = fmt.Sprintf("DIGEST%d", len(digests)+1)
		}
		return digests[digest[:12]]
	})
	return events.ReplaceAllStringFunc(text, func(listed string) string {
		return strings.Join(slices.Sorted(strings.SplitSeq(listed, "\n")), "\n")
	})
}
