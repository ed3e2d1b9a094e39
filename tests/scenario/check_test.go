package scenario_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// check runs the preflight, which writes nothing whatever it finds.
func check(t *testing.T, s *harness.Scenario, exit int) *product.Report {
	t.Helper()
	s.Forget()
	result := s.Run("check")
	harness.RequireExit(t, exit, result)
	require.NoError(t, result.ReportErr)
	assert.Equal(t, "check", result.Report.Command)
	assert.Empty(t, s.API.Writes(), "a check asks and writes nothing")
	return result.Report
}

// linesOf are the lines of a check with a status, empty for any, the subject of which contains a text.
func linesOf(report *product.Report, check, status, subject string) []product.Check {
	return slices.DeleteFunc(slices.Clone(report.Checks), func(line product.Check) bool {
		return check != "" && line.Check != check || status != "" && line.Status != status || !strings.Contains(line.Subject, subject)
	})
}

// requireCheck returns the one line of that check with that status whose subject contains a text.
func requireCheck(t *testing.T, report *product.Report, check, status, subject string) product.Check {
	t.Helper()
	found := linesOf(report, check, status, subject)
	require.Len(t, found, 1, "%s %s %s in %+v", check, status, subject, report.Checks)
	return found[0]
}

// rulesWithout is what the program may do, without a verb on a resource; an empty verb is all.
func rulesWithout(verb, resource string) []rbacv1.PolicyRule {
	rules := harness.Rules()
	for i, rule := range rules {
		if slices.Contains(rule.Resources, resource) {
			rules[i].Verbs = slices.DeleteFunc(rule.Verbs, func(one string) bool { return verb == "" || one == verb })
		}
	}
	return slices.DeleteFunc(rules, func(rule rbacv1.PolicyRule) bool { return len(rule.Verbs) == 0 })
}

func TestCheckWhereAllIsWell(t *testing.T) {
	t.Parallel()
	s, digest := adopted(t)
	report := check(t, s, 0)
	assert.Empty(t, linesOf(report, "", "failed", ""))
	for _, line := range []struct{ check, status, subject, says string }{
		{"configuration", "ok", "", ""},
		{"api-server", "ok", "", ""},
		{"permission", "ok", "Deployment " + s.Namespace + "/jobs", ""},
		{"permission", "ok", "Events", ""},
		{"registry", "ok", "ghcr.io", ""},
		{"image", "ok", ingestor, digest[:19]},
		{"workload", "ok", "ingestor on Deployment " + s.Namespace + "/jobs api/INGESTOR_IMAGE_DIGEST", "unchanged"},
		{"nodes", "unchecked", "", ""},
		{"schedule", "warning", "", ""}, // nothing runs a tick here
	} {
		assert.Regexp(t, ".+"+line.says, requireCheck(t, report, line.check, line.status, line.subject).Message)
	}
	table := s.Run("check", "-o", "table")
	harness.RequireExit(t, 0, table)
	lines := strings.Split(strings.TrimSpace(table.Stdout), "\n")
	require.Len(t, lines, len(report.Checks)+2, "a line each, and the sum")
	assert.True(t, strings.HasPrefix(lines[0], "✓ configuration: "), lines[0])
}

// The most basic cause is the one that is said; what rests on it could not be checked, and points there.
func TestCheckNamesTheMostBasicCause(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trouble func(s *harness.Scenario)
		failed  string // check, subject, cause
		says    string
		others  []string
	}{
		"proxy": {func(s *harness.Scenario) { s.Site.Proxy.Refuse("ghcr.io", http.StatusForbidden) },
			"registry ghcr.io proxy", "403.*docs/runbook.md#proxy", []string{"image unchecked", "workload unchecked"}},
		"token endpoint": {func(s *harness.Scenario) {
			s.Setenv("RESOLVE_TIMEOUT", "3s")
			s.Site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", registries.Token), Do: faultinject.Reply(503, "")})
		}, "registry ghcr.io server-error", "503", []string{"image unchecked"}},
		"image": {func(s *harness.Scenario) { _ = s.Site.Delete(ingestor) },
			"image " + ingestor + " not-found", "", []string{"registry ok", "workload unchecked"}},
		"API server": {func(s *harness.Scenario) { s.API.Inject(apiproxy.Fault{Do: faultinject.Reset()}) },
			"api-server  api", "", []string{"permission unchecked", "registry ok", "image ok", "workload unchecked"}},
		"workload": {func(s *harness.Scenario) {
			s.Configure(strings.ReplaceAll(ingestorConfig, "container: api", "container: apl"))
		},
			"workload ingestor on Deployment NAMESPACE/jobs apl/INGESTOR_IMAGE_DIGEST workload-missing", "apl", []string{"image ok"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := adopted(t)
			c.trouble(s)
			report := check(t, s, 1)
			failed := linesOf(report, "", "failed", "")
			require.Len(t, failed, 1, "one cause, one line: %+v", report.Checks)
			line := fmt.Sprint(failed[0].Check, " ", failed[0].Subject, " ", failed[0].Cause)
			assert.Equal(t, c.failed, strings.ReplaceAll(line, s.Namespace, "NAMESPACE"))
			assert.Regexp(t, c.says, failed[0].Message)
			for _, other := range c.others {
				check, status, _ := strings.Cut(other, " ")
				assert.NotEmpty(t, linesOf(report, check, status, ""), "%s in %+v", other, report.Checks)
			}
			assert.Contains(t, s.Run("check", "-o", "table").Stdout, "✗ "+failed[0].Check)
		})
	}
}

// Every verb that a tick uses is asked for, and each that is missing is named.
func TestCheckNamesEachPermissionThatIsMissing(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	for _, missing := range []string{"get deployments", "list deployments", "watch deployments", "patch deployments", "create events"} {
		verb, resource, _ := strings.Cut(missing, " ")
		s.Grant(s.Namespace, rulesWithout(verb, resource)...)
		report := check(t, s, 1)
		failed := linesOf(report, "", "failed", "")
		require.Len(t, failed, 1, "%s: %+v", missing, report.Checks)
		assert.Equal(t, "permission", failed[0].Check)
		assert.Contains(t, failed[0].Message, missing)
		assert.Contains(t, failed[0].Message, s.Namespace)
		if verb == "get" {
			requireCheck(t, report, "workload", "unchecked", "jobs")
		}
	}
	// Pods need not be listed, and the line says what goes without.
	s.Grant(s.Namespace, rulesWithout("", "pods")...)
	without := requireCheck(t, check(t, s, 0), "permission", "ok", "Pods").Message
	assert.Regexp(t, "need not.*counts against its digest", without)
}

// An invalid configuration is exit code 2, a line for each problem, and nothing else is looked at.
func TestCheckOfAnInvalidConfiguration(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Configure("targets: []\nnonsense: true\n")
	report := check(t, s, 2)
	assert.Empty(t, s.API.Requests(nil))
	require.NotEmpty(t, report.Checks)
	assert.Len(t, linesOf(report, "configuration", "failed", ""), len(report.Checks))
	assert.Equal(t, len(report.Checks), strings.Count(s.Run("check", "-o", "table").Stdout, "✗ configuration: "))
}

// Who else changes the workload is named before a tick fights with it: an operator, which puts back what it has rendered, and a
// deployer that applied the slot and has lost it to a person, whose next upgrade conflicts.
func TestCheckNamesWhoElseOwnsTheWorkload(t *testing.T) {
	t.Parallel()
	s, _ := appliedBy(t, harness.Helm)
	owner, err := s.Client.CoreV1().ConfigMaps(s.Namespace).Create(t.Context(),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "store"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	refer := func(controller bool) {
		s.Patch(harness.Argo, s.Deployment("jobs"), fmt.Sprintf(`{"metadata":{"ownerReferences":[
			{"apiVersion":"v1","kind":"ConfigMap","name":"store","uid":"%s","controller":%t}]}}`, owner.UID, controller))
	}
	refer(false)
	assert.Empty(t, linesOf(check(t, s, 0), "ownership", "", ""))
	refer(true)
	assert.Contains(t, requireCheck(t, check(t, s, 0), "ownership", "warning", "jobs").Message, "ConfigMap store (v1)")
	refer(false)
	s.Kubectl("set", "env", "deployment/jobs", slot+"="+s.Push("ghcr.io/tracebloc/ingestor:hotfix", image("hotfix")))
	s.Settle(workloads.Deployment("jobs"))
	assert.Regexp(t, "helm.*kubectl-set|kubectl-set.*helm", requireCheck(t, check(t, s, 0), "ownership", "warning", "jobs").Message)
}

// The Job's deadline must leave a tick its time. Only who may list CronJobs can tell.
func TestCheckReadsTheSchedule(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Grant(s.Namespace, rulesWithout("", "cronjobs")...)
	requireCheck(t, check(t, s, 0), "schedule", "unchecked", "") // as the chart's service account sees it
	s.Grant(s.Namespace, harness.Rules()...)
	schedule := workloads.CronJob("refresh", workloads.Label("app.kubernetes.io/name", "image-refresh"),
		workloads.Container("image-refresh", "none"), workloads.Env("image-refresh", "ROLLOUT_TIMEOUT", "2m"))
	for _, c := range []struct {
		deadline     int64
		suspended    bool
		exit         int
		status, says string
	}{
		{539, false, 1, "failed", "9m0s"},
		{540, false, 0, "ok", ""},
		{540, true, 0, "warning", "suspended"},
	} {
		schedule.Spec.JobTemplate.Spec.ActiveDeadlineSeconds, schedule.Spec.Suspend = &c.deadline, &c.suspended
		require.NoError(t, s.Apply("person", schedule))
		assert.Contains(t, requireCheck(t, check(t, s, c.exit), "schedule", c.status, "refresh").Message, c.says)
	}
}

// The target's own pull secret resolves a private image, and the pods that pull it name none: it is said before a pod is
// moved to a node that does not have the image.
func TestCheckFindsPodsThatCouldNotPull(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	mount(t, s, "regcred", entries{someHost: goodLogin})
	s.Create(workloads.CronJob("jobs", workloads.Container("api", somePrivate+"@"+digest)))
	s.Configure("targets: [{name: ingestor, pullSecrets: [regcred], workloads: [{kind: CronJob, name: jobs, container: api}]}]")
	line := requireCheck(t, check(t, s, 1), "image", "failed", somePrivate)
	assert.Equal(t, "unauthorized", line.Cause)
	assert.Contains(t, line.Message, "CronJob "+s.Namespace+"/jobs")
	s.Patch(harness.Helm, s.CronJob("jobs"), `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"imagePullSecrets":[{"name":"regcred"}]}}}}}}`)
	requireCheck(t, check(t, s, 0), "image", "ok", somePrivate)
}

// The pods' service account names a pull secret that nobody has mounted: a tick would ask anonymously.
func TestCheckNamesAnAccountsSecretThatIsNotMounted(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Configure("targets:\n" + targetOf("ingestor", jobsManager, entry("Deployment", "jobs", "api")))
	s.Push(jobsManager, image("first"))
	s.Kubectl("patch", "serviceaccount", "default", "--patch", `{"imagePullSecrets":[{"name":"absent"}]}`)
	line := requireCheck(t, check(t, s, 1), "credential", "failed", jobsManager)
	assert.Equal(t, "credential-missing", line.Cause)
	assert.Contains(t, line.Message, s.Namespace+"/absent is not mounted")
}
