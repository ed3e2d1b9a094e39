package chart

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// alerts are the rules of a PrometheusRule, as Prometheus reads them from a file.
type alerts struct {
	Groups []group `json:"groups"`
}

type group struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

type rule struct {
	Alert       string            `json:"alert,omitempty"`
	Record      string            `json:"record,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// promtool returns a function that runs the pinned promtool, built where it is not, beside these rules in a file rules.yaml.
func promtool(t *testing.T, rules alerts) (dir string, run func(arguments ...string)) {
	t.Helper()
	tool, err := pinned(t.Context(), "promtool")
	require.NoError(t, err)
	text, err := yaml.Marshal(rules)
	require.NoError(t, err)
	dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yaml"), text, 0o600))
	return dir, func(arguments ...string) {
		command := exec.CommandContext(t.Context(), tool, arguments...)
		command.Dir = dir
		output, err := command.CombinedOutput()
		assert.NoError(t, err, "promtool %s\n%s", strings.Join(arguments, " "), output)
	}
}

// runbook is the page that alerts and dashboard link to here; the chart's own is another with each release.
const runbook = "runbookURL=https://wiki.example.com/refresh"

// renderAlerts reads the rules that the chart installs; what Prometheus does not know of is an error.
func renderAlerts(t *testing.T, h helm) alerts {
	t.Helper()
	var rule struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       alerts         `json:"spec"`
	}
	flags := append(example("default"), "--set", "prometheusRule.enabled=true,"+runbook, "--show-only", "templates/prometheusrule.yaml")
	require.NoError(t, yaml.UnmarshalStrict([]byte(h.mustTemplate(t, chartDir, flags...)), &rule))
	require.Len(t, rule.Spec.Groups, 1)
	require.Len(t, rule.Spec.Groups[0].Rules, 4)
	return rule.Spec
}

// Each alert fires when it should and not when it should not, as promtool tells from the rules that the chart renders, and has
// the address of its section of the runbook, which tests/e2e looks up.
func TestPrometheusAlertsFireWhenTheyShould(t *testing.T) {
	var tested string
	suites := matching(t, "alerts", "*.yaml")
	for _, suite := range suites {
		text, err := os.ReadFile(suite)
		require.NoError(t, err)
		tested += string(text)
	}
	forEachHelm(t, func(t *testing.T, h helm) {
		rendered := renderAlerts(t, h)
		for _, rule := range rendered.Groups[0].Rules {
			assert.Contains(t, tested, "alertname: "+rule.Alert+"\n", "the alert has no test")
		}
		dir, run := promtool(t, rendered)
		require.NoError(t, os.CopyFS(dir, os.DirFS("alerts")))
		run("check", "rules", "--lint-fatal", "rules.yaml")
		for _, suite := range suites {
			run("test", "rules", filepath.Base(suite))
		}
	})
}

// stable are the series of kube-state-metrics that its documentation calls STABLE, as far as they are of use here.
var stable = []string{
	"kube_cronjob_created", "kube_cronjob_info", "kube_cronjob_labels", "kube_cronjob_next_schedule_time", "kube_cronjob_spec_suspend",
	"kube_cronjob_status_active", "kube_cronjob_status_last_schedule_time", "kube_cronjob_status_last_successful_time",
	"kube_daemonset_labels", "kube_deployment_labels", "kube_statefulset_labels",
	"kube_job_complete", "kube_job_created", "kube_job_failed", "kube_job_info", "kube_job_owner",
	"kube_job_status_completion_time", "kube_job_status_failed", "kube_job_status_start_time", "kube_job_status_succeeded",
}

// An experimental series may be renamed by any release of kube-state-metrics, and an alert on it would be silent from then on.
func TestAlertsAndDashboardAskStableSeriesOnly(t *testing.T) {
	t.Parallel()
	rules := renderAlerts(t, helms[0]).Groups[0].Rules
	board := renderDashboard(t, helms[0])
	for _, variable := range board.Templating.List[1:] { // but for the data source
		rules = append(rules, rule{Expr: variable.Definition})
	}
	for _, query := range append(rules, queries(board)...) {
		series := regexp.MustCompile(`\b[a-zA-Z_:][\w:]*\{`).FindAllString(query.Expr, -1)
		require.NotEmpty(t, series, query)
		for _, name := range series {
			assert.True(t, slices.Contains(stable, strings.TrimSuffix(name, "{")), "%s in %s", name, query.Expr)
		}
	}
}

// dashboard is as much of Grafana's model as there is to get wrong.
type dashboard struct {
	UID        string
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Panels []struct {
		ID         int
		Title      string
		Links      []struct{ URL string }
		Datasource struct{ UID string }
		GridPos    struct{ X, Y, W, H int }
		Targets    []struct{ RefID, Expr string }
	}
}

func renderDashboard(t *testing.T, h helm, flags ...string) (read dashboard) {
	t.Helper()
	configs := of[*corev1.ConfigMap](decode(t, h.mustTemplate(t, chartDir, append(append(example("monitoring"), "--set", runbook), flags...)...)))
	i := slices.IndexFunc(configs, func(config *corev1.ConfigMap) bool { return config.Labels["grafana_dashboard"] == "1" })
	require.GreaterOrEqual(t, i, 0)
	require.Len(t, configs[i].Data, 1)
	for file, text := range configs[i].Data {
		require.Equal(t, ".json", filepath.Ext(file))
		require.NoError(t, json.Unmarshal([]byte(text), &read))
	}
	return read
}

// queries are those of a dashboard, with all releases chosen, as rules that record them.
func queries(read dashboard) (rules []rule) {
	all := strings.NewReplacer("$namespace", ".*", "$cronjob", ".*image-refresh.*")
	for _, panel := range read.Panels {
		for _, target := range panel.Targets {
			rules = append(rules, rule{Record: fmt.Sprintf("panel_%d_%s", panel.ID, target.RefID), Expr: all.Replace(target.Expr)})
		}
	}
	return rules
}

func TestPrometheusDashboardIsWhole(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		read := renderDashboard(t, h)
		require.NotEmpty(t, read.Panels)
		assert.LessOrEqual(t, len(read.UID), 40, "Grafana's limit")
		assert.NotEqual(t, read.UID, renderDashboard(t, h, "--namespace", "other").UID, "Grafana keeps no two with one uid")
		named := renderDashboard(t, h, "--set", "fullnameOverride=the.images").Templating.List
		assert.Contains(t, named[len(named)-1].Definition, `cronjob=~".*image-refresh.*|the\\.images"`, "it finds its own release, whatever its name is")
		ids, taken, linked := map[int]bool{}, map[[2]int]bool{}, []string(nil)
		for _, panel := range read.Panels {
			assert.False(t, ids[panel.ID], "%s: id %d twice", panel.Title, panel.ID)
			ids[panel.ID] = true
			assert.Equal(t, "${"+read.Templating.List[0].Name+"}", panel.Datasource.UID, panel.Title)
			assert.LessOrEqual(t, panel.GridPos.X+panel.GridPos.W, 24, panel.Title)
			for _, link := range panel.Links {
				linked = append(linked, link.URL)
			}
			for x := range panel.GridPos.W {
				for y := range panel.GridPos.H {
					cell := [2]int{panel.GridPos.X + x, panel.GridPos.Y + y}
					assert.False(t, taken[cell], "%s lies upon another panel", panel.Title)
					taken[cell] = true
				}
			}
			require.NotEmpty(t, panel.Targets, panel.Title)
		}
		for _, rule := range renderAlerts(t, h).Groups[0].Rules {
			if rule.Alert != "ImageRefreshNeverSucceeded" { // is ImageRefreshStale's panel
				assert.Contains(t, linked, rule.Annotations["runbook_url"], rule.Alert)
			}
		}
		dir, run := promtool(t, alerts{[]group{{Name: "dashboard", Rules: queries(read)}}})
		run("check", "rules", "--lint-fatal", "rules.yaml")
		suite, err := os.ReadFile("testdata/dashboard.yaml")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "dashboard.yaml"), suite, 0o600))
		run("test", "rules", "dashboard.yaml")
	})
}
