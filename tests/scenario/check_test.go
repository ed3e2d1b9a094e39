package scenario_test

import (
	"net/http"
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

// requireCheck returns the one line of that check with that status whose subject contains a text.
func requireCheck(t *testing.T, report *product.Report, check, status, subject string) product.Check {
	t.Helper()
	var found []product.Check
	for _, line := range report.Checks {
		if line.Check == check && line.Status == status && strings.Contains(line.Subject, subject) {
			found = append(found, line)
		}
	}
	require.Len(t, found, 1, "%s %s %s in %+v", check, status, subject, report.Checks)
	return found[0]
}

func statuses(report *product.Report) map[string]int {
	count := map[string]int{}
	for _, line := range report.Checks {
		count[line.Status]++
	}
	return count
}

func TestCheckWhereAllIsWell(t *testing.T) {
	t.Parallel()
	s, digest := adopted(t)
	report := check(t, s, 0)
	assert.Zero(t, statuses(report)["failed"])
	for _, line := range []struct{ check, subject string }{
		{"configuration", ""}, {"api-server", ""}, {"permission", "Deployment " + s.Namespace + "/jobs"}, {"permission", "Events"},
		{"registry", "ghcr.io"}, {"image", ingestor}, {"workload", "ingestor on Deployment " + s.Namespace + "/jobs api/INGESTOR_IMAGE_DIGEST"},
	} {
		assert.NotEmpty(t, requireCheck(t, report, line.check, "ok", line.subject).Message)
	}
	assert.Contains(t, requireCheck(t, report, "image", "ok", "").Message, digest[:19])
	assert.Contains(t, requireCheck(t, report, "workload", "ok", "").Message, "unchanged")
	requireCheck(t, report, "nodes", "unchecked", "")
	requireCheck(t, report, "schedule", "warning", "") // nothing runs a tick here

	table := s.Run("check", "-o", "table")
	harness.RequireExit(t, 0, table)
	lines := strings.Split(strings.TrimSpace(table.Stdout), "\n")
	require.Len(t, lines, len(report.Checks)+2, "a line each, and the sum")
	assert.True(t, strings.HasPrefix(lines[0], "✓ configuration: "), lines[0])
}

// The most basic cause is the one that is said; what rests on it could not be checked, and points there.
func TestCheckNamesTheMostBasicCause(t *testing.T) {
	t.Parallel()
	t.Run("proxy", func(t *testing.T) {
		t.Parallel()
		s, _ := adopted(t)
		s.Site.Proxy.Refuse("ghcr.io", http.StatusForbidden)
		report := check(t, s, 1)
		line := requireCheck(t, report, "registry", "failed", "ghcr.io")
		assert.Equal(t, "proxy", line.Cause)
		assert.Contains(t, line.Message, "403")
		assert.Contains(t, line.Message, "docs/runbook.md#proxy")
		assert.Equal(t, 1, statuses(report)["failed"], "one cause, one line: %+v", report.Checks)
		requireCheck(t, report, "image", "unchecked", ingestor)
		requireCheck(t, report, "workload", "unchecked", "jobs")
		table := s.Run("check", "-o", "table")
		assert.Contains(t, table.Stdout, "\n✗ registry ghcr.io (proxy): ")
	})
	t.Run("token endpoint", func(t *testing.T) {
		t.Parallel()
		s, _ := adopted(t)
		s.Setenv("RESOLVE_TIMEOUT", "3s")
		s.Site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", registries.Token), Do: faultinject.Reply(503, "")})
		report := check(t, s, 1)
		assert.Equal(t, "server-error", requireCheck(t, report, "registry", "failed", "ghcr.io").Cause)
		requireCheck(t, report, "image", "unchecked", ingestor)
	})
	t.Run("image", func(t *testing.T) {
		t.Parallel()
		s, _ := adopted(t)
		require.NoError(t, s.Site.Delete(ingestor))
		report := check(t, s, 1)
		requireCheck(t, report, "registry", "ok", "ghcr.io")
		assert.Equal(t, "not-found", requireCheck(t, report, "image", "failed", ingestor).Cause)
		requireCheck(t, report, "workload", "unchecked", "jobs")
	})
	t.Run("API server", func(t *testing.T) {
		t.Parallel()
		s, _ := adopted(t)
		s.API.Inject(apiproxy.Fault{Do: faultinject.Reset()})
		report := check(t, s, 1)
		assert.Equal(t, "api", requireCheck(t, report, "api-server", "failed", "").Cause)
		assert.Equal(t, 1, statuses(report)["failed"], "%+v", report.Checks)
		requireCheck(t, report, "permission", "unchecked", "")
		requireCheck(t, report, "registry", "ok", "ghcr.io") // asked all the same
		requireCheck(t, report, "image", "ok", ingestor)
		requireCheck(t, report, "workload", "unchecked", "jobs")
	})
	t.Run("workload", func(t *testing.T) {
		t.Parallel()
		s, _ := adopted(t)
		s.Configure(strings.ReplaceAll(ingestorConfig, "container: api", "container: apl"))
		report := check(t, s, 1)
		assert.Equal(t, "workload-missing", requireCheck(t, report, "workload", "failed", "jobs").Cause)
		requireCheck(t, report, "image", "ok", ingestor)
	})
}

// Every verb that a tick uses is asked for, and each that is missing is named.
func TestCheckNamesEachPermissionThatIsMissing(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	for _, missing := range []struct{ verb, resource, group string }{
		{"get", "deployments", "apps"},
		{"list", "deployments", "apps"},
		{"watch", "deployments", "apps"},
		{"patch", "deployments", "apps"},
		{"create", "events", "events.k8s.io"},
	} {
		var rules []rbacv1.PolicyRule
		for _, rule := range harness.Rules() {
			if slices.Contains(rule.Resources, missing.resource) {
				rule.Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(verb string) bool { return verb == missing.verb })
			}
			rules = append(rules, rule)
		}
		s.Grant(s.Namespace, rules...)
		report := check(t, s, 1)
		assert.Equal(t, 1, statuses(report)["failed"], "%s %s: %+v", missing.verb, missing.resource, report.Checks)
		line := requireCheck(t, report, "permission", "failed", "")
		assert.Contains(t, line.Message, missing.verb+" "+missing.resource)
		assert.Contains(t, line.Message, s.Namespace)
		if missing.verb == "get" {
			requireCheck(t, report, "workload", "unchecked", "jobs")
		}
	}
	// Pods need not be listed, and the line says what goes without.
	s.Grant(s.Namespace, slices.DeleteFunc(harness.Rules(), func(rule rbacv1.PolicyRule) bool { return slices.Contains(rule.Resources, "pods") })...)
	without := requireCheck(t, check(t, s, 0), "permission", "ok", "Pods").Message
	assert.Contains(t, without, "need not")
	assert.Contains(t, without, "counts against its digest")
}

// An invalid configuration is exit code 2, a line for each problem, and nothing else is looked at.
func TestCheckOfAnInvalidConfiguration(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Configure("targets: []\nnonsense: true\n")
	s.Forget()
	result := s.Run("check")
	harness.RequireExit(t, 2, result)
	assert.Empty(t, s.API.Requests(nil))
	require.NotEmpty(t, result.Report.Checks)
	for _, line := range result.Report.Checks {
		assert.Equal(t, "configuration", line.Check)
		assert.Equal(t, "failed", line.Status)
	}
	table := s.Run("check", "-o", "table")
	assert.Equal(t, len(result.Report.Checks), strings.Count(table.Stdout, "✗ configuration: "))
}

// A deployer that applied the slot and has lost it to a hand: the next upgrade conflicts, which is said beforehand.
func TestCheckSaysThatTheNextUpgradeWouldConflict(t *testing.T) {
	t.Parallel()
	s, _ := appliedBy(t, harness.Helm)
	for _, line := range check(t, s, 0).Checks {
		assert.NotEqual(t, "ownership", line.Check)
	}
	s.Kubectl("set", "env", "deployment/jobs", "INGESTOR_IMAGE_DIGEST="+s.Push("ghcr.io/tracebloc/ingestor:hotfix", image("hotfix")))
	s.Settle(workloads.Deployment("jobs"))
	line := requireCheck(t, check(t, s, 0), "ownership", "warning", "jobs")
	assert.Contains(t, line.Message, "helm")
	assert.Contains(t, line.Message, "kubectl-set")
}

// The Job's deadline must leave a tick its time. Only who may list CronJobs can tell.
func TestCheckReadsTheSchedule(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Grant(s.Namespace, slices.DeleteFunc(harness.Rules(), func(rule rbacv1.PolicyRule) bool { return slices.Contains(rule.Resources, "cronjobs") })...)
	requireCheck(t, check(t, s, 0), "schedule", "unchecked", "") // as the chart's service account sees it
	s.Grant(s.Namespace, harness.Rules()...)
	schedule := func(deadline, suspend string) {
		kubectlApply(t, s, "person", `
apiVersion: batch/v1
kind: CronJob
metadata: {name: refresh, labels: {app.kubernetes.io/name: image-refresh}}
spec:
  schedule: "*/15 * * * *"
  suspend: `+suspend+`
  jobTemplate:
    spec:
      activeDeadlineSeconds: `+deadline+`
      template:
        spec:
          restartPolicy: Never
          containers: [{name: image-refresh, image: none, env: [{name: ROLLOUT_TIMEOUT, value: 2m}]}]
`)
	}
	schedule("539", "false")
	line := requireCheck(t, check(t, s, 1), "schedule", "failed", "refresh")
	assert.Contains(t, line.Message, "9m0s")
	schedule("540", "false")
	requireCheck(t, check(t, s, 0), "schedule", "ok", "refresh")
	schedule("540", "true")
	assert.Contains(t, requireCheck(t, check(t, s, 0), "schedule", "warning", "refresh").Message, "suspended")
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
	s := environment.Scenario(t)
	s.Push(ingestor, image("first"))
	s.Deploy(workloads.Deployment("jobs", workloads.Container("api", ingestor)))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "")))
	s.Eventually("the account names a secret", func() bool {
		return strings.Contains(s.Kubectl("patch", "serviceaccount", "default", "--patch", `{"imagePullSecrets":[{"name":"absent"}]}`), "default")
	})
	line := requireCheck(t, check(t, s, 1), "credential", "failed", ingestor)
	assert.Equal(t, "credential-missing", line.Cause)
	assert.Contains(t, line.Message, s.Namespace+"/absent is not mounted")
}
