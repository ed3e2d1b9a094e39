package scenario_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// install creates a CronJob as the chart's, whose last tick has ended so long ago. It starts no Job: that would be half an hour
// from now.
func install(t *testing.T, s *harness.Scenario, lastRun, lastSuccess time.Duration, suspended bool) {
	t.Helper()
	job := workloads.CronJob("image-refresh", workloads.Label("app.kubernetes.io/component", "image-refresh"))
	job.Spec.Schedule, job.Spec.Suspend = fmt.Sprintf("%d * * * *", time.Now().Add(30*time.Minute).Minute()), &suspended
	job.Spec.StartingDeadlineSeconds = new(int64(10))
	s.Create(job)
	if lastRun == 0 {
		return
	}
	ago := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: time.Now().Add(-d)} }
	created := s.CronJob("image-refresh")
	created.Status = batchv1.CronJobStatus{LastScheduleTime: ago(lastRun), LastSuccessfulTime: ago(lastSuccess)}
	_, err := s.Client.BatchV1().CronJobs(s.Namespace).UpdateStatus(t.Context(), created, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// What ticks have found is shown from labels and annotations alone: one list a kind, no registry, no file, not one write; as a
// plugin of kubectl too.
func TestStatusShowsWhatTicksHaveFound(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	digest, proxy := s.Push(ingestor, image("first")), s.Push(jobsManager, image("proxy"))
	s.Deploy(jobs(digest), workloads.StatefulSet("requests-proxy", workloads.Container("proxy", jobsManager+"@"+proxy)))
	s.Configure(ingestorConfig + targetOf("jobs-manager", jobsManager, entry("StatefulSet", "requests-proxy", "")))
	s.Setenv("RESOLVE_FAILURE_THRESHOLD", "1")
	harness.RequireExit(t, 0, s.Tick())
	install(t, s, time.Hour, time.Hour, false)
	rows := func(code int) (all []string) {
		t.Helper()
		got := s.Run("status")
		harness.RequireExit(t, code, got)
		for _, w := range got.Report.Workloads {
			all = append(all, strings.Join([]string{w.Target, w.Kind, w.Name, w.Live, w.State, w.Cause}, " "))
		}
		return all
	}
	assert.Equal(t, []string{"ingestor Deployment jobs " + digest + " ok ", "jobs-manager StatefulSet requests-proxy " + proxy + " ok "}, rows(0))

	s.Site.Proxy.Refuse("ghcr.io", 403)
	s.Kubectl("label", "statefulset", "requests-proxy", "tracebloc.io/refresh-hold=true")
	harness.RequireExit(t, 1, s.Tick())
	s.Forget()
	require.NoError(t, os.Remove(s.ConfigFile))
	connects := len(s.Site.Proxy.Connects(""))
	assert.Equal(t, []string{"ingestor Deployment jobs " + digest + " failing proxy", "jobs-manager StatefulSet requests-proxy " + proxy + " held "}, rows(1))
	var asked []string
	for _, r := range s.API.Requests(nil) {
		asked = append(asked, r.Verb+" "+r.Resource+" "+r.Query.Get("labelSelector"))
	}
	const selector = " tracebloc.io/refresh"
	assert.ElementsMatch(t, []string{"list deployments" + selector, "list statefulsets" + selector, "list daemonsets" + selector, "list cronjobs" + selector,
		"list cronjobs app.kubernetes.io/component=image-refresh"}, asked)
	assert.Len(t, s.Site.Proxy.Connects(""), connects)

	since := s.Deployment("jobs").Annotations["tracebloc.io/ingestor-refresh-failing-since"]
	require.NotEmpty(t, since)
	shown := s.Shell("kubectl image_refresh status -n "+s.Namespace+" -o table", map[string]string{"kubectl-image_refresh": s.Binary}, nil)
	assert.Regexp(t, `^exit 1: 1 of 2 need you \(1 proxy\); 0 fine, 1 held

CRONJOB +STATE +SCHEDULE +LAST RUN +LAST SUCCESS
`+s.Namespace+`/image-refresh +ok +\d+ \* \* \* \* +1h ago +1h ago

TARGET +WORKLOAD +LIVE +STATE +SINCE +WHY
ingestor +Deployment jobs +`+digest[7:19]+` +failing +0m +proxy
jobs-manager +StatefulSet requests-proxy +`+proxy[7:19]+` +held +- +-

ingestor: failing \(proxy\) since `+since+`: .+ refused with 403 .+
  have ghcr.io:443 allowed there.* \(see .+#proxy\)
jobs-manager on StatefulSet `+s.Namespace+`/requests-proxy: held: a person holds it
  to release it: kubectl label -n `+s.Namespace+` statefulset requests-proxy tracebloc.io/refresh-hold-
$`, shown)
	help := s.Shell("kubectl image_refresh status -h; kubectl image_refresh sttus", map[string]string{"kubectl-image_refresh": s.Binary}, nil)
	assert.Contains(t, help, "Usage: kubectl image_refresh status [flags]\n\nExamples:\n  kubectl image_refresh status -n shop\n")
	assert.Contains(t, help, "kubectl image_refresh: there is no command \"sttus\", did you mean status?: see kubectl image_refresh -h\n")
}

// I76: whoever looks is told first whether ticks run at all.
func TestI76StatusSaysFirstWhetherTicksRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lastRun, lastSuccess time.Duration
		suspended            bool
		code                 int
		state                string
	}{
		"awake":                 {time.Hour, time.Hour, false, 0, "ok"},
		"new":                   {0, 0, false, 0, "ok"},
		"suspended an hour ago": {time.Hour, time.Hour, true, 0, "suspended"},
		"suspended for weeks":   {500 * time.Hour, 500 * time.Hour, true, 1, "suspended"},
		"never begun":           {0, 0, true, 1, "suspended"},
		"ticks fail":            {time.Hour, 500 * time.Hour, false, 1, "failing"},
		"no tick":               {500 * time.Hour, 500 * time.Hour, false, 1, "late"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			s.Create(jobs(digestOf("x"), workloads.Label(mark, label(digestOf("x"))), workloads.Label("tracebloc.io/refresh", "ok")))
			install(t, s, c.lastRun, c.lastSuccess, c.suspended)
			got := s.Run("status")
			harness.RequireExit(t, c.code, got)
			require.Len(t, got.Report.CronJobs, 1)
			assert.Equal(t, c.state, got.Report.CronJobs[0].State)
			assert.Equal(t, "ok", got.Report.Workloads[0].State)
			if c.state != "ok" {
				assert.Contains(t, s.Run("status", "-o", "table").Stdout, fmt.Sprintf("exit %d: %s/image-refresh is %s; ", c.code, s.Namespace, c.state))
			}
		})
	}
}

// Where nothing runs the program any more, what it has left on each kind of workload goes with the commands that are shown.
func TestStatusRemovesWhatAnUninstallHasLeft(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	digest := s.Push(ingestor, image("first"))
	var entries string
	for _, kind := range kinds {
		s.Deploy(build(kind, "left", workloads.Container("api", ingestor+"@"+digest)))
		entries += entry(kind, "left", "")
	}
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entries))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	s.Site.Proxy.Refuse("ghcr.io", 403)
	harness.RequireExit(t, 0, s.Tick()) // leaves counters
	got := s.Run("status")
	harness.RequireExit(t, 0, got)
	require.Len(t, got.Report.Workloads, len(kinds))
	for _, w := range got.Report.Workloads {
		assert.Equal(t, product.Standing{Target: "ingestor", Kind: w.Kind, Name: "left", Live: digest, State: "orphaned", Since: w.Since, Message: w.Message}, w)
	}
	shown := s.Run("status", "-o", "table").Stdout
	for _, command := range got.Report.Remove {
		assert.Contains(t, shown, "\n  "+command+"\n")
	}
	t.Log(s.Shell("set -e\n"+strings.Join(got.Report.Remove, "\n"), nil, nil))
	for _, kind := range kinds {
		object := look(s, kind, "left")
		for key := range object.GetLabels() {
			assert.NotContains(t, key, "tracebloc.io/", kind)
		}
		for key := range object.GetAnnotations() {
			assert.NotContains(t, key, "tracebloc.io/", kind)
		}
	}
	none := s.Run("status", "-o", "table")
	harness.RequireExit(t, 0, none)
	assert.Equal(t, "exit 0: no workload in namespace "+s.Namespace+" carries the label tracebloc.io/refresh\n", none.Stdout)
}

// At a terminal of 80 columns nothing is wider but one word, and logs are warnings, as text.
func TestATerminalOf80Columns(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	name := "a-deployment-whose-name-is-longer-than-most"
	target := "a-target-whose-name-is-longer"
	digest := s.Push(ingestor, image("first"))
	s.Deploy(workloads.Deployment(name, workloads.Container("api", ingestor+"@"+digest)))
	s.Configure("targets:\n" + targetOf(target, ingestor, entry("Deployment", name, ""), "pullSecrets: [absent]"))
	s.Setenv("RESOLVE_FAILURE_THRESHOLD", "1")
	s.Setenv("HTTPS_PROXY", s.Site.Proxy.URL())
	s.Site.Proxy.Refuse("ghcr.io", 403)
	install(t, s, 500*time.Hour, 500*time.Hour, false)
	for _, c := range []struct {
		command string
		shows   []string
	}{
		{"run", []string{"exit 1: 1 of 1 need you (1 proxy)", "level=WARN", "…  adopted  "}},
		{"status", []string{"exit 1: ", "late", "failing", " proxy\n"}},
	} {
		seen, code := s.AtTerminal(80, c.command)
		assert.Equal(t, 1, code, seen)
		for _, text := range c.shows {
			assert.Contains(t, seen, text)
		}
		assert.NotContains(t, seen, "level=INFO")
		for line := range strings.Lines(seen) {
			if len([]rune(strings.TrimSpace(line))) > 80 && !strings.Contains(line, "level=") {
				assert.Len(t, strings.Fields(line), 1, line)
			}
		}
	}
}
