package scenario_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/fault"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/kubelet"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// After a change of a message: go test ./scenario -run TestReading -update-readings, and read each file as a stranger.
var updateReadings = flag.Bool("update-readings", false, "write what kubectl describe prints into testdata/readings")

// reading is one cause as somebody meets it who has nothing but kubectl describe.
type reading struct {
	make func(t *testing.T) *harness.Scenario
	says []string // host, stage, workload, credential, and what to do
}

// atCell is the first field of the fault table with the trouble and at the stage.
func atCell(trouble, stage string) func(t *testing.T) *harness.Scenario {
	return func(t *testing.T) *harness.Scenario {
		t.Helper()
		c, _ := struck(t, cellOf{trouble: trouble, stage: stage})
		return c.Scenario
	}
}

// onJobs is the Deployment "jobs", adopted, with something done to it.
func onJobs(do func(s *harness.Scenario)) func(t *testing.T) *harness.Scenario {
	return func(t *testing.T) *harness.Scenario {
		t.Helper()
		s, _ := adopted(t)
		do(s)
		return s
	}
}

var readings = map[string]reading{
	"dns":                {atCell("a name that does not resolve", "name"), []string{"nowhere.invalid", "resolving the name", "check its spelling"}},
	"connection-refused": {atCell("a closed port", "connect"), []string{"connecting", "allow egress to 127.0.0.1"}},
	"timeout":            {atCell("no answer", "ping"), []string{"registry-1.docker.io:443", "/v2/", "allow egress to"}},
	"tls":                {atCell("an expired certificate", "TLS"), []string{"registry-1.docker.io", "TLS", "renewed"}},
	"proxy":              {atCell("a proxy that answers 403", "proxy"), []string{"registry-1.docker.io:443", "the proxy", "403", "allowed there"}},
	"server-error":       {atCell("a 503", "token"), []string{"auth.docker.io", "token endpoint", "503", "nothing to do here"}},
	"bad-response":       {atCell("a login page with status 200", "manifest"), []string{"registry-1.docker.io", "the manifest", "captive portal"}},
	"not-found":          {atCell("a 404", "manifest"), []string{"registry-1.docker.io", "the manifest", "build and push"}},
	"rate-limited":       {atCell("a 429", "manifest"), []string{"registry-1.docker.io", "429", "authenticate with a pull secret"}},
	"forbidden":          {atCell("a 403", "ping"), []string{"registry-1.docker.io", "/v2/", "403"}},
	"credential-missing": {atCell("a 401, and a named secret is not there", "token"), []string{"auth.docker.io", "absent", "not mounted"}},
	"platform-missing":   {atCell("an image without a platform that live offers", "index"), []string{"linux/amd64", "must publish"}},
	"unauthorized": {func(t *testing.T) *harness.Scenario {
		t.Helper()
		s := guarded(t)
		s.Site.Front.Inject(registries.Fault{Match: registries.At("auth."+someHost, registries.Token), Do: fault.Reply(401, "")})
		return s
	}, []string{"auth." + someHost, "token endpoint", "regcred", "account " + goodLogin.user, "extend or enable the account"}},
	"workload-missing": {onJobs(func(s *harness.Scenario) {
		s.Configure(strings.ReplaceAll(ingestorConfig, "container: api", "container: apl"))
	}), []string{"Deployment NAMESPACE/jobs", `no container "apl"`, "correct the target's container"}},
	"slot-invalid": {onJobs(func(s *harness.Scenario) {
		s.Patch(harness.Argo, s.Deployment("jobs"), `{"spec":{"template":{"spec":{"containers":[{"name":"api","env":[`+
			`{"name":"`+slot+`","value":null,"valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]}]}}}}`)
	}), []string{"Deployment NAMESPACE/jobs", slot, "valueFrom", "plain value"}},
	"slot-mismatch": {onJobs(func(s *harness.Scenario) {
		s.Configure("targets: [{name: ingestor, image: 'ghcr.io/tracebloc/other:1', workloads: [{kind: Deployment, name: jobs, container: api}]}]\n")
	}), []string{"Deployment NAMESPACE/jobs", "docker.io/tracebloc/jobs-manager", "ghcr.io/tracebloc/other:1", "align the two"}},
	"api": {onJobs(func(s *harness.Scenario) {
		var rules []rbacv1.PolicyRule
		for _, rule := range harness.Rules() {
			rule.Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(verb string) bool { return verb == "patch" })
			rules = append(rules, rule)
		}
		s.Grant(s.Namespace, rules...)
		s.Push(ingestor, image("second"))
	}), []string{"forbids patch on deployments jobs", "grant the verb in its Role"}},
	"rollout-failed": {onJobs(func(s *harness.Scenario) {
		behave(s, s.Push(ingestor, image("second")), crash())
		s.Setenv("ROLLOUT_TIMEOUT", "2s")
		s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	}), []string{"Deployment NAMESPACE/jobs", "CrashLoopBackOff", "is restored", "publish a working image"}},
	"not-settled": {onJobs(func(s *harness.Scenario) {
		s.Behave(func(*corev1.Pod) kubelet.Behaviour { return kubelet.Stuck() })
		s.Kubectl("rollout", "restart", "deployment", "jobs")
		s.Setenv("UNSETTLED_THRESHOLD", "1")
	}), []string{"Deployment NAMESPACE/jobs", "freezes ingestor", "kubectl describe"}},
	"contested": {func(t *testing.T) *harness.Scenario {
		t.Helper()
		s, first := adopted(t)
		s.Setenv("CONTESTED_THRESHOLD", "1")
		s.Push(ingestor, image("second"))
		requireOutcome(t, s.Tick(), 0, "refreshed", "")
		for _, outcome := range []string{"reapplied", ""} {
			s.Patch(harness.Argo, s.Deployment("jobs"), set(first))
			s.Settle(workloads.Deployment("jobs"))
			if outcome != "" {
				requireOutcome(t, s.Tick(), 0, outcome, "")
			}
		}
		return s
	}, []string{"Deployment NAMESPACE/jobs", harness.Argo, "stop one of the two writers"}},
}

// For every cause the real fault is made. What kubectl describe prints of the tick's pod and of the workload says which
// host, stage, workload and credential it is about, and what to do. The whole of it is kept, to be read.
func TestReading(t *testing.T) {
	t.Parallel()
	for _, cause := range causesOfTheContract {
		t.Run(cause, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, readings, cause, "how is %s read?", cause)
			s := readings[cause].make(t)
			s.Setenv("RESOLVE_FAILURE_THRESHOLD", "1")
			pod, workload := described(t, s)
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

// causesOfTheContract are those of DESIGN.md, "Failure causes".
var causesOfTheContract = []string{
	"not-found", "unauthorized", "forbidden", "credential-missing", "rate-limited", "dns", "connection-refused", "timeout", "tls", "proxy",
	"server-error", "bad-response", "platform-missing", "rollout-failed", "not-settled", "contested", "workload-missing", "slot-invalid",
	"slot-mismatch", "api",
}

// described runs a tick as a kubelet would, and returns what kubectl describe prints of its pod and of the Deployment.
func described(t *testing.T, s *harness.Scenario) (pod, workload string) {
	t.Helper()
	file := filepath.Join(s.Dir, "termination-message")
	result := s.StartAs("unshare", "--map-root-user", "--mount", "sh", "-c",
		"mount -t tmpfs none /dev && : > /dev/termination-log && "+s.Binary+"; code=$?; cat /dev/termination-log > "+file+"; exit $code").Finish()
	harness.RequireExit(t, 1, result)
	message, err := os.ReadFile(file)
	require.NoError(t, err)

	const name = "image-refresh-now"
	s.Behave(func(pod *corev1.Pod) kubelet.Behaviour {
		if pod.Name == name {
			return kubelet.Completed(1).Saying(string(message))
		}
		return kubelet.Ready()
	})
	_, err = s.Client.CoreV1().Pods(s.Namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "image-refresh", Image: "image-refresh"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	s.Eventually("the pod of the tick has ended", func() bool {
		now, err := s.Client.CoreV1().Pods(s.Namespace).Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && now.Status.Phase == corev1.PodFailed
	})
	return steady(s, s.Kubectl("describe", "pod", name)), steady(s, s.Kubectl("describe", "deployment", "jobs"))
}

// What differs from run to run, and what it stands for.
var unsteady = []struct {
	pattern *regexp.Regexp
	stands  string
}{
	{regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\w{3}, \d\d \w{3} 20\d\d \d\d:\d\d:\d\d [+-]\d{4}`), "TIME"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`\b(jobs-[0-9a-f]{6,10})\b`), "jobs-HASH"},
	{regexp.MustCompile(`"by":"[A-Z2-7]+"`), `"by":"TICK"`},
	{regexp.MustCompile(`kube-api-access-\w+`), "kube-api-access-X"},
	{regexp.MustCompile(`node-[ab]`), "NODE"},
	{regexp.MustCompile(`(?m)^(  (?:Normal|Warning) +\w+ +)\S+( +)`), "${1}AGE${2}"},
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
