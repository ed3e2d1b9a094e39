package scenario_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// check runs the preflight, which writes nothing whatever it finds: what could be a write is a dry run.
func check(t *testing.T, s *harness.Scenario, exit int) *product.Report {
	t.Helper()
	s.Forget()
	result := s.Run("check")
	harness.RequireExit(t, exit, result)
	require.NoError(t, result.ReportErr)
	assert.Equal(t, "check", result.Report.Command)
	for _, write := range s.API.Writes() {
		assert.Equal(t, []string{"All"}, write.Query["dryRun"], "a check asks and writes nothing: %s %s", write.Method, write.Path)
	}
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
	table := s.Run("check", "-o", "table").Stdout
	assert.Equal(t, len(report.Checks), strings.Count(table, "✗ configuration: "), "a line each")
}

// An operator puts back what it has rendered: it is named before a tick fights with it.
func TestCheckNamesTheOperator(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Kubectl("create", "configmap", "store")
	uid := s.Kubectl("get", "configmap", "store", "-o", "jsonpath={.metadata.uid}")
	for _, controller := range []string{"false", "true"} {
		s.Patch(harness.Helm, s.Deployment("jobs"), `{"metadata":{"ownerReferences":[
			{"apiVersion":"v1","kind":"ConfigMap","name":"store","uid":"`+uid+`","controller":`+controller+`}]}}`)
		found := linesOf(check(t, s, 0), "ownership", "warning", "jobs")
		require.Equal(t, controller == "true", len(found) == 1)
		for _, line := range found {
			assert.Contains(t, line.Message, "ConfigMap store (v1)")
		}
	}
}

// Without the API server registries are asked all the same, and one line says why the rest could not be.
func TestCheckWithoutTheAPIServer(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.API.Inject(apiproxy.Fault{Do: faultinject.Reset()})
	report := check(t, s, 1)
	assert.Equal(t, "api", requireCheck(t, report, "api-server", "failed", "").Cause)
	assert.Len(t, linesOf(report, "", "failed", ""), 1, "one cause, one line: %+v", report.Checks)
	requireCheck(t, report, "permission", "unchecked", "")
	requireCheck(t, report, "image", "ok", ingestor)
	requireCheck(t, report, "workload", "unchecked", "jobs")
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
	named := `{"template":{"spec":{"imagePullSecrets":[{"name":"regcred"}]}}}`
	s.Patch(harness.Helm, s.CronJob("jobs"), `{"spec":{"jobTemplate":{"spec":`+named+`}}}`)
	requireCheck(t, check(t, s, 0), "image", "ok", somePrivate)
}
