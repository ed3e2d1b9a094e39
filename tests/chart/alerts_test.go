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

// promtool is the pinned one, built where it is not.
func promtool(t *testing.T) string {
	t.Helper()
	install := exec.CommandContext(t.Context(), "../tools/install", "promtool")
	install.Stderr = os.Stderr
	path, err := install.Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(path))
}

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

// renderAlerts reads the rules that the chart installs; what Prometheus does not know of is an error.
func renderAlerts(t *testing.T, h helm, flags ...string) alerts {
	t.Helper()
	flags = append(flags, "--set", "prometheusRule.enabled=true", "--show-only", "templates/prometheusrule.yaml")
	var rule struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       alerts         `json:"spec"`
	}
	rendered := h.mustTemplate(t, chartDir, flags...)
	require.NoError(t, yaml.UnmarshalStrict([]byte(rendered), &rule))
	require.Equal(t, "PrometheusRule", rule.Kind)
	require.Len(t, rule.Spec.Groups, 1)
	require.Len(t, rule.Spec.Groups[0].Rules, 4)
	return rule.Spec
}

// Each alert fires when it should and not when it should not, as promtool tells from the rules that the chart renders.
func TestPrometheusAlertsFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	tool := promtool(t)
	suites, err := filepath.Glob("alerts/*.yaml")
	require.NoError(t, err)
	forEachHelm(t, func(t *testing.T, h helm) {
		rules := renderAlerts(t, h, "--values", filepath.Join(chartDir, "ci", "default-values.yaml"))
		dir := write(t, rules)
		require.NoError(t, os.CopyFS(dir, os.DirFS("alerts")))
		run := func(arguments ...string) {
			command := exec.CommandContext(t.Context(), tool, arguments...)
			command.Dir = dir
			output, err := command.CombinedOutput()
			assert.NoError(t, err, "promtool %s\n%s", strings.Join(arguments, " "), output)
		}
		run("check", "rules", "--lint-fatal", "rules.yaml")
		for _, suite := range suites {
			run("test", "rules", filepath.Base(suite))
		}
	})
	tested := map[string]bool{}
	for _, suite := range suites {
		content, err := os.ReadFile(suite)
		require.NoError(t, err)
		for _, name := range regexp.MustCompile(`alertname: (\w+)`).FindAllStringSubmatch(string(content), -1) {
			tested[name[1]] = true
		}
	}
	for _, rule := range renderAlerts(t, helms[0], "--values", filepath.Join(chartDir, "ci", "default-values.yaml")).Groups[0].Rules {
		assert.True(t, tested[rule.Alert], "%s has no test", rule.Alert)
	}
}

// Whoever is paged finds a section of the runbook that is about this alert.
func TestRunbookLinksLead(t *testing.T) {
	t.Parallel()
	const page = "https://github.com/tracebloc/image-refresh/blob/main/"
	for _, rule := range renderAlerts(t, helms[0], "--values", filepath.Join(chartDir, "ci", "default-values.yaml")).Groups[0].Rules {
		path, found := strings.CutPrefix(rule.Annotations["runbook_url"], page)
		require.True(t, found, "%s: %s", rule.Alert, rule.Annotations["runbook_url"])
		path, anchor, found := strings.Cut(path, "#")
		require.True(t, found, rule.Alert)
		text, err := os.ReadFile(filepath.Join("../..", path))
		require.NoError(t, err, rule.Alert)
		assert.Contains(t, anchors(string(text)), anchor, rule.Alert)
	}
}

// anchors are those that GitHub gives a page's headings.
func anchors(markdown string) []string {
	var found []string
	dropped := regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	for _, heading := range regexp.MustCompile(`(?m)^#+ +(.*?) *$`).FindAllStringSubmatch(markdown, -1) {
		found = append(found, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(heading[1]), ""), " ", "-"))
	}
	return found
}

// stable are the series of kube-state-metrics that its documentation calls STABLE, as far as they are of use here.
var stable = []string{
	"kube_cronjob_created", "kube_cronjob_info", "kube_cronjob_next_schedule_time", "kube_cronjob_spec_suspend", "kube_cronjob_status_active",
	"kube_cronjob_status_last_schedule_time", "kube_cronjob_status_last_successful_time",
	"kube_job_complete", "kube_job_created", "kube_job_failed", "kube_job_info", "kube_job_owner",
	"kube_job_status_completion_time", "kube_job_status_failed", "kube_job_status_start_time", "kube_job_status_succeeded",
}

// An experimental series may be renamed by any release of kube-state-metrics, and an alert on it would be silent from then on.
func TestAlertsAndDashboardAskStableSeriesOnly(t *testing.T) {
	t.Parallel()
	var queries []string
	for _, rule := range renderAlerts(t, helms[0], "--values", filepath.Join(chartDir, "ci", "default-values.yaml")).Groups[0].Rules {
		queries = append(queries, rule.Expr)
	}
	for _, panel := range renderDashboard(t, helms[0]).Panels {
		for _, target := range panel.Targets {
			queries = append(queries, target.Expr)
		}
	}
	for _, query := range queries {
		series := regexp.MustCompile(`\b[a-zA-Z_:][\w:]*\{`).FindAllString(query, -1)
		require.NotEmpty(t, series, query)
		for _, name := range series {
			assert.True(t, slices.Contains(stable, strings.TrimSuffix(name, "{")), "%s in %s", name, query)
		}
	}
}

// dashboard is as much of Grafana's model as there is to get wrong.
type dashboard struct {
	UID        string
	Title      string
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		ID          int
		Type, Title string
		Datasource  struct{ Type, UID string }
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ RefID, Expr string }
	}
}

func renderDashboard(t *testing.T, h helm, flags ...string) dashboard {
	t.Helper()
	flags = append(flags, "--values", filepath.Join(chartDir, "ci", "monitoring-values.yaml"))
	found := decode(t, h.mustTemplate(t, chartDir, flags...))
	i := slices.IndexFunc(found.configs, func(config *corev1.ConfigMap) bool { return config.Labels["grafana_dashboard"] == "1" })
	require.GreaterOrEqual(t, i, 0)
	require.Len(t, found.configs[i].Data, 1)
	var read dashboard
	for file, text := range found.configs[i].Data {
		require.Equal(t, ".json", filepath.Ext(file))
		require.NoError(t, json.Unmarshal([]byte(text), &read))
	}
	return read
}

func TestPrometheusDashboardIsWhole(t *testing.T) {
	t.Parallel()
	tool := promtool(t)
	forEachHelm(t, func(t *testing.T, h helm) {
		read := renderDashboard(t, h)
		require.NotEmpty(t, read.Panels)
		assert.LessOrEqual(t, len(read.UID), 40, "Grafana's limit")
		assert.NotEqual(t, read.UID, renderDashboard(t, h, "--namespace", "other").UID, "two releases have two dashboards")
		ids := map[int]bool{}
		taken := map[[2]int]string{}
		queries := group{Name: "dashboard"}
		for _, panel := range read.Panels {
			assert.False(t, ids[panel.ID], "%s: id %d twice", panel.Title, panel.ID)
			ids[panel.ID] = true
			assert.Equal(t, "${"+read.Templating.List[0].Name+"}", panel.Datasource.UID, panel.Title)
			for x := panel.GridPos.X; x < panel.GridPos.X+panel.GridPos.W; x++ {
				for y := panel.GridPos.Y; y < panel.GridPos.Y+panel.GridPos.H; y++ {
					assert.Empty(t, taken[[2]int{x, y}], "%s lies upon another panel", panel.Title)
					taken[[2]int{x, y}] = panel.Title
				}
			}
			assert.LessOrEqual(t, panel.GridPos.X+panel.GridPos.W, 24, panel.Title)
			require.NotEmpty(t, panel.Targets, panel.Title)
			for _, target := range panel.Targets {
				queries.Rules = append(queries.Rules, rule{Record: fmt.Sprintf("panel_%d_%s", panel.ID, target.RefID), Expr: target.Expr})
			}
		}
		command := exec.CommandContext(t.Context(), tool, "check", "rules", "--lint-fatal", filepath.Join(write(t, alerts{[]group{queries}}), "rules.yaml"))
		output, err := command.CombinedOutput()
		assert.NoError(t, err, "%s", output)
	})
}

// write puts rules into a file rules.yaml of a folder of its own.
func write(t *testing.T, rules alerts) (dir string) {
	t.Helper()
	dir = t.TempDir()
	text, err := yaml.Marshal(rules)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yaml"), text, 0o600))
	return dir
}
