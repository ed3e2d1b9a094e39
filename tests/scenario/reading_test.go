package scenario_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/docs"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// After a change of a message: go test ./scenario -run TestReading -update-readings, and read each file as a stranger.
var updateReadings = flag.Bool("update-readings", false, "write what kubectl describe prints into testdata/readings")

// reading is one cause as somebody meets it who has nothing but kubectl describe, and then the runbook.
type reading struct {
	make func(t *testing.T) subject
	says []string // host, stage, workload, credential, and what to do
	// confirmed is what the commands print with which the runbook's section confirms the cause.
	confirmed []string
}

// subject is a scenario with its fault in it, and what the commands of the runbook take from its message.
type subject struct {
	*harness.Scenario
	image, host string
}

// atCell is the first field of the fault table with the trouble and at the stage.
func atCell(trouble, stage string) func(t *testing.T) subject {
	return func(t *testing.T) subject {
		t.Helper()
		c := faultAt(t, trouble, stage)
		return subject{c.Scenario, c.image, c.host}
	}
}

// atGHCR is an image of ghcr.io, the registry of which answers so at these stages.
func atGHCR(do faultinject.Action, stages ...registries.Stage) func(t *testing.T) subject {
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
func atPrivate(status int, host string, stage registries.Stage) func(t *testing.T) subject {
	return func(t *testing.T) subject {
		t.Helper()
		s := guarded(t)
		s.Create(&corev1.Secret{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: metav1.ObjectMeta{Name: "regcred"}, Type: corev1.SecretTypeDockerConfigJson,
			StringData: map[string]string{corev1.DockerConfigJsonKey: `{"auths":{"` + someHost + `":{"auth":"` + goodLogin.auth() + `"}}}`},
		})
		s.Site.Front.Inject(registries.Fault{Match: registries.At(host, stage), Do: faultinject.Reply(status, "")})
		return subject{s, somePrivate, someHost}
	}
}

// onJobs is the Deployment "jobs", adopted, with something done to it.
func onJobs(do func(s *harness.Scenario)) func(t *testing.T) subject {
	return func(t *testing.T) subject {
		t.Helper()
		s, _ := adopted(t)
		do(s)
		return subject{Scenario: s}
	}
}

var readings = map[string]reading{
	"dns":                {atCell("a name that does not resolve", "name"), []string{"nowhere.invalid", "resolving the name", "check its spelling"}, []string{"Could not resolve host"}},
	"connection-refused": {atCell("a closed port", "connect"), []string{"connecting", "allow egress to 127.0.0.1"}, []string{"Failed to connect"}},
	"timeout":            {atCell("no answer", "ping"), []string{"registry-1.docker.io:443", "/v2/", "allow egress to"}, []string{"timed out"}},
	"tls":                {atCell("an expired certificate", "TLS"), []string{"registry-1.docker.io", "TLS", "renewed"}, []string{"expire date"}},
	"proxy":              {atCell("a proxy that answers 403", "proxy"), []string{"registry-1.docker.io:443", "the proxy", "403", "allowed there"}, []string{"403 Forbidden"}},
	"server-error":       {atCell("a 503", "token"), []string{"auth.docker.io", "token endpoint", "503", "nothing to do here"}, []string{"503"}},
	"bad-response": {
		atGHCR(faultinject.Reply(200, "<html>please log in</html>", "Content-Type", "text/html"), registries.Ping, registries.Head, registries.Get),
		[]string{"ghcr.io", "the manifest", "captive portal"}, []string{"HTTP/2 200", "please log in"},
	},
	"not-found": {
		atGHCR(faultinject.Reply(404, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`), registries.Head, registries.Get),
		[]string{"ghcr.io", "the manifest", "build and push"}, []string{"MANIFEST_UNKNOWN"},
	},
	"rate-limited": {
		atGHCR(faultinject.Reply(429, ""), registries.Head, registries.Get),
		[]string{"ghcr.io", "429", "authenticate with a pull secret"}, []string{"429"},
	},
	"forbidden":          {atPrivate(403, someHost, registries.Head), []string{someHost, "regcred", "account " + goodLogin.user, "403"}, []string{"403"}},
	"credential-missing": {atCell("a 401, and a named secret is not there", "token"), []string{"auth.docker.io", "absent", "not mounted"}, []string{"NotFound"}},
	"platform-missing":   {atCell("an image without a platform that live offers", "index"), []string{"linux/amd64", "must publish"}, []string{"no child with platform"}},
	"stale": {func(t *testing.T) subject {
		t.Helper()
		s, atHour := staleSoon(t)
		atHour(241)
		return subject{Scenario: s, image: ingestor, host: "ghcr.io"}
	}, []string{"target ingestor", "staleAfter of 240h", "a mirror's sync"}, []string{"sha256:"}},
	"unauthorized": {
		atPrivate(401, "auth."+someHost, registries.Token),
		[]string{"auth." + someHost, "token endpoint", "regcred", "account " + goodLogin.user, "extend or enable the account"}, []string{"401"},
	},
	"workload-missing": {onJobs(func(s *harness.Scenario) {
		s.Configure(strings.ReplaceAll(ingestorConfig, "container: api", "container: apl"))
	}), []string{"Deployment NAMESPACE/jobs", `no container "apl"`, "correct the target's container"}, []string{"api"}},
	"slot-invalid": {onJobs(func(s *harness.Scenario) {
		s.Patch(harness.Argo, s.Deployment("jobs"), `{"spec":{"template":{"spec":{"containers":[{"name":"api","env":[`+
			`{"name":"`+slot+`","value":null,"valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]}]}}}}`)
	}), []string{"Deployment NAMESPACE/jobs", slot, "valueFrom", "plain value"}, []string{"valueFrom"}},
	"slot-mismatch": {onJobs(func(s *harness.Scenario) {
		s.Configure("targets: [{name: ingestor, image: 'ghcr.io/tracebloc/other:1', workloads: [{kind: Deployment, name: jobs, container: api}]}]\n")
	}), []string{"Deployment NAMESPACE/jobs", "docker.io/tracebloc/jobs-manager", "ghcr.io/tracebloc/other:1", "align the two"}, []string{"docker.io/tracebloc/jobs-manager"}},
	"api": {onJobs(func(s *harness.Scenario) {
		var rules []rbacv1.PolicyRule
		for _, rule := range harness.Rules() {
			rule.Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(verb string) bool { return verb == "patch" })
			rules = append(rules, rule)
		}
		s.Grant(s.Namespace, rules...)
		s.Push(ingestor, image("second"))
	}), []string{"forbids patch on deployments jobs", "grant the verb in its Role"}, []string{"no\n"}},
	"rollout-failed": {onJobs(func(s *harness.Scenario) {
		behave(s, s.Push(ingestor, image("second")), crash())
		s.Setenv("ROLLOUT_TIMEOUT", "2s")
		s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	}), []string{"Deployment NAMESPACE/jobs", "CrashLoopBackOff", "is restored", "publish a working image"}, []string{"RolledBack"}},
	"not-settled": {onJobs(func(s *harness.Scenario) {
		s.Behave(func(*corev1.Pod) fakenode.Behaviour { return fakenode.Stuck() })
		s.Kubectl("rollout", "restart", "deployment", "jobs")
		s.Setenv("UNSETTLED_THRESHOLD", "1")
	}), []string{"Deployment NAMESPACE/jobs", "freezes ingestor", "kubectl describe"}, []string{"Waiting for"}},
	"contested": {func(t *testing.T) subject {
		t.Helper()
		return subject{Scenario: contested(t)}
	}, []string{"Deployment NAMESPACE/jobs", harness.Argo, "stop one of the two writers"}, []string{"manager: " + harness.Argo}},
}

// For every cause the real fault is made. What kubectl describe prints of the tick's pod and of the workload says which
// host, stage, workload and credential it is about, and what to do. The whole of it is kept, to be read. The commands of
// the section to which the message leads confirm the cause.
func TestReading(t *testing.T) {
	t.Parallel()
	for _, cause := range causesOfTheContract {
		t.Run(cause, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, readings, cause, "how is %s read?", cause)
			s := readings[cause].make(t)
			s.Setenv("RESOLVE_FAILURE_THRESHOLD", "1")
			message := ended(t, s.Scenario)
			shown := pasted(t, s, cause, true)
			require.NotEmpty(t, readings[cause].confirmed)
			for _, text := range readings[cause].confirmed {
				assert.Contains(t, shown, text, "what the runbook confirms it with")
			}
			pod, workload := described(s.Scenario, message)
			for _, text := range append(readings[cause].says, cause, "docs/runbook.md#"+cause) {
				assert.Contains(t, pod, text)
			}
			golden := filepath.Join("testdata", "readings", cause+".txt")
			text := "$ kubectl describe pod image-refresh-now\n" + pod + "\n$ kubectl describe deployment jobs\n" + workload
			if *updateReadings {
				require.NoError(t, os.WriteFile(golden, []byte(text), 0o600))
			}
			kept, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(kept), text)
		})
	}
	assert.Len(t, readings, len(causesOfTheContract))
}

// pasted runs the commands of the runbook's section about a cause that confirm it, or those that mend it, as somebody would
// who has read the message, and returns what they print.
func pasted(t *testing.T, s subject, cause string, confirms bool) string {
	t.Helper()
	page, err := docs.Runbook()
	require.NoError(t, err)
	tool, err := crane()
	require.NoError(t, err)
	variables := map[string]string{
		"NAMESPACE": s.Namespace, "RELEASE": "image-refresh", "KIND": "deployment", "NAME": "jobs", "TARGET": "ingestor", "IMAGE": s.image, "HOST": s.host,
		"PLATFORM": "linux/amd64", "SECRET": "regcred", "VERB": "patch", "RESOURCE": "deployments.apps",
	}
	var printed strings.Builder
	for _, script := range page[cause] {
		if script.Confirms == confirms {
			printed.WriteString(s.Shell(script.Text, map[string]string{"crane": tool}, variables))
		}
	}
	return printed.String()
}

// What the runbook says of a digest that was rejected has it tried again.
func TestTheRunbookHasARejectedDigestTriedAgain(t *testing.T) {
	t.Parallel()
	s := readings["rollout-failed"].make(t)
	requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
	s.Behave(func(*corev1.Pod) fakenode.Behaviour { return fakenode.Ready() })
	s.Setenv("ROLLOUT_TIMEOUT", "30s")
	requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
	assert.Contains(t, pasted(t, s, "rollout-failed", false), "annotated")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
}

// crane is the pinned crane, built once for this user.
var crane = sync.OnceValues(func() (string, error) { return tool("crane") })

// causesOfTheContract are all that a result may name.
var causesOfTheContract = []string{
	"not-found", "unauthorized", "forbidden", "credential-missing", "rate-limited", "dns", "connection-refused", "timeout", "tls", "proxy",
	"server-error", "bad-response", "platform-missing", "stale", "rollout-failed", "not-settled", "contested", "workload-missing", "slot-invalid",
	"slot-mismatch", "api",
}

// ended runs a tick as a kubelet would, until it fails, and returns its termination message.
func ended(t *testing.T, s *harness.Scenario) string {
	t.Helper()
	file := filepath.Join(s.Dir, "termination-message")
	result := s.StartAs("unshare", "--map-root-user", "--mount", "sh", "-c",
		"mount -t tmpfs none /dev && : > /dev/termination-log && "+s.Binary+"; code=$?; cat /dev/termination-log > "+file+"; exit $code").Finish()
	harness.RequireExit(t, 1, result)
	message, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(message)
}

// described returns what kubectl describe prints of the pod of a tick that ended with the message, and of the Deployment.
func described(s *harness.Scenario, message string) (pod, workload string) {
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
		return strings.HasSuffix(s.Kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}"), "Failed")
	})
	return steady(s, s.Kubectl("describe", "pod", name)), steady(s, s.Kubectl("describe", "deployment", "jobs"))
}

// What differs from run to run, and what it stands for.
var unsteady = []struct {
	pattern *regexp.Regexp
	stands  string
}{
	{regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`"20\d\d-[0-9T:.-]*\.\.\.`), `"TIME...`}, // cut off by kubectl
	{regexp.MustCompile(`\w{3}, \d\d \w{3} 20\d\d \d\d:\d\d:\d\d [+-]\d{4}`), "TIME"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`\bjobs-[0-9a-f]{6,10}-\w{5}\b`), "jobs-HASH-POD"},
	{regexp.MustCompile(`\b(jobs-[0-9a-f]{6,10})\b`), "jobs-HASH"},
	{regexp.MustCompile(`kube-api-access-\w+`), "kube-api-access-X"},
	{regexp.MustCompile(`node-[ab]`), "NODE"},
	{regexp.MustCompile(`(?m)^(  (?:Normal|Warning) +\w+ +)\S+(?: \(x\d+ over \w+\))? +`), "${1}AGE   "},
	{regexp.MustCompile(`(?m)^(  (?:Type|----) +(?:Reason|------) +(?:Age|----)) +`), "${1}  "},
	{regexp.MustCompile(`[0-9.]+µ?m?s\b`), "DURATION"},
}

// beside is what no tick has a part in, from one heading to the next: the rest of a pod and of a pod template, and
// Events of controllers, which come when they come.
var (
	beside = regexp.MustCompile(`(?s)\n    (?:Environment|Mounts):.*?\n(Events:)|\nSelector:.*?\n(Events:)`)
	others = regexp.MustCompile(`(?m)^  (?:Normal|Warning) +(?:ScalingReplicaSet|Scheduled).*\n`)
	events = regexp.MustCompile(`^  (Normal|Warning) `)
)

// steady replaces what differs from run to run, leaves out what is beside the point, and lists Events of one second in
// one order.
func steady(s *harness.Scenario, text string) string {
	text = strings.ReplaceAll(text, s.Namespace, "NAMESPACE")
	for _, one := range unsteady {
		text = one.pattern.ReplaceAllString(text, one.stands)
	}
	digests := map[string]string{}
	text = regexp.MustCompile(`\b[0-9a-f]{12,64}\b`).ReplaceAllStringFunc(text, func(hex string) string {
		if digests[hex[:12]] == "" {
			digests[hex[:12]] = fmt.Sprintf("DIGEST%d", len(digests)+1)
		}
		return digests[hex[:12]]
	})
	text = beside.ReplaceAllString(others.ReplaceAllString(text, ""), "\n$1$2")
	lines, first := strings.Split(text, "\n"), 0
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
		if !events.MatchString(lines[i]) {
			first = i + 1
		}
		slices.Sort(lines[first : i+1])
	}
	return strings.Join(lines, "\n")
}
