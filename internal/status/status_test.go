package status

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/workload"
)

var (
	keys  = annotate.NewKeys("tracebloc.io")
	one   = "sha256:" + strings.Repeat("1", 64)
	two   = "sha256:" + strings.Repeat("2", 64)
	since = now.Add(-72 * time.Hour)
)

func digest(text string) image.Digest { return image.Digest(text) }

// carrier is a Deployment that carries these, a key and a value in turn; a key without a slash is a mark's target.
func carrier(namespace, name, condition string, more ...string) workload.Labelled {
	w := workload.Labelled{
		Ref:    workload.Ref{Kind: config.Deployment, Namespace: namespace, Name: name},
		Labels: map[string]string{keys.Condition(): condition}, Annotations: map[string]string{},
	}
	for i := 0; i < len(more); i += 2 {
		key, value := more[i], more[i+1]
		switch {
		case !strings.Contains(key, "/"):
			w.Labels[keys.Mark(key)] = annotate.Mark(digest(value)) + ".00000000"
			w.Annotations[keys.Recorded(key)] = value
		case key == keys.Hold():
			w.Labels[key] = value
		default:
			w.Annotations[key] = value
		}
	}
	return w
}

func of(workloads ...workload.Labelled) Report {
	return Of(result.New("dev", "status", now), Facts{
		Keys: keys, Runbook: "https://example.com/runbook", Now: now, Namespace: "shop", Workloads: workloads,
		Schedules: []workload.Schedule{{Namespace: "shop", Name: "image-refresh", Schedule: "*/15 * * * *", LastRun: now, LastSuccess: now}},
	})
}

// What is said of one target comes from its own annotations, and from those of its home.
func TestWhyATargetIsAsTheLabelSays(t *testing.T) {
	t.Parallel()
	built := image.Build{Version: "1.4.2"}
	state := func(s annotate.State) []string { return []string{keys.State("a"), s.String()} }
	rejected := func(by annotate.Rejecter) []string {
		before := annotate.Rejection{Digest: annotate.Content(one), By: by, Why: "before", At: since}
		return state(annotate.State{Left: annotate.Content(two), LeftBuild: built, Rejected: []annotate.Rejection{before, {Digest: annotate.Content(two), By: by, Why: "kubectl-set", At: since}}})
	}
	at := since
	for name, c := range map[string]struct {
		condition string
		more      []string
		state     string
		cause     failure.Cause
		says      string
	}{
		"fine":              {"ok", nil, "ok", "", ""},
		"below a threshold": {"ok", []string{keys.Failures("a"), "2"}, "ok", "", "has not been resolved for 2 ticks"},
		"unresolved":        {"failing", []string{keys.Failures("a"), "3", keys.LastError("a"), "dns: no such host x; check DNS (see https://old.example.com/runbook#dns)"}, "failing", failure.DNS, "no such host x; check DNS (see https://example.com/runbook#dns)"},
		"a forged error":    {"failing", []string{keys.LastError("a"), "magic: \x1b[31m" + strings.Repeat("x", 300)}, "failing", "", "magic: xxx"},
		"a forged fix":      {"failing", []string{keys.LastError("a"), "dns: a\x1b[31m; b\x1b[31m" + strings.Repeat("x", 300)}, "failing", failure.DNS, "a; bxxx"},
		"contested":         {"failing", state(annotate.State{Contested: true}), "failing", failure.Contested, "somebody else"},
		"a failed rollout":  {"failing", state(annotate.State{Attempt: &annotate.Attempt{Digest: digest(one), Failed: 2}}), "failing", failure.RolloutFailed, "2 rollouts of sha256:111111111111 failed"},
		"of which build":    {"failing", state(annotate.State{Attempt: &annotate.Attempt{Digest: digest(one), Failed: 1, Build: built}}), "failing", failure.RolloutFailed, "1 rollout of sha256:111111111111, 1.4.2, failed"},
		"unsettled":         {"failing", []string{keys.SkipStreak(), "8"}, "failing", failure.NotSettled, "not been settled for 8 ticks"},
		"unexplained":       {"failing", nil, "failing", "", ""},
		"rejected":          {"rejected", rejected(annotate.ByFailure), "rejected", failure.RolloutFailed, "sha256:222222222222, 1.4.2, is rejected: kubectl-set; to have it tried again: kubectl annotate -n shop deployment d tracebloc.io/a-refresh-state-"},
		"held by a label":   {"held", []string{keys.Hold(), "true"}, "held", "", "to release it: kubectl label -n shop deployment d tracebloc.io/refresh-hold-"},
		"held by a hand":    {"held", rejected(annotate.ByPerson), "held", "", "sha256:222222222222, 1.4.2, was rejected by a person (kubectl-set)"},
		"its turn":          {"waiting", state(annotate.State{TurnSince: &at}), "waiting", "", "waits for its turn"},
		"under way":         {"waiting", state(annotate.State{Attempt: &annotate.Attempt{Digest: digest(one)}}), "waiting", "", "is being rolled out"},
		"too young":         {"waiting", state(annotate.State{Seen: &annotate.Seen{Digest: digest(two), Since: since, Deferred: since}}), "waiting", "", "old enough"},
		"for a person":      {"waiting", state(annotate.State{Passed: digest(two)}), "waiting", "", "waits for a person; to have it rolled out: kubectl label --overwrite -n shop deployment d tracebloc.io/refresh-approve=2222222222222222222222222222222222222222"},
		"approved":          {"waiting", state(annotate.State{Passed: digest(two), PassedBuild: built, Approved: digest(two)}), "waiting", "", two[:19] + ", 1.4.2, is approved by a person"},
		"of a build":        {"waiting", state(annotate.State{Passed: digest(two), PassedBuild: built}), "waiting", "", two[:19] + ", 1.4.2, waits for a person"},
		"not settled yet":   {"waiting", []string{keys.SkipStreak(), "1"}, "waiting", "", "not been settled for 1 tick"},
		"an unknown label":  {"worse", nil, "worse", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := of(carrier("shop", "d", c.condition, append([]string{"a", one, keys.FailingSince("a"), annotate.FormatTime(since)}, c.more...)...))
			require.Len(t, r.Workloads, 1)
			got := r.Workloads[0]
			assert.Equal(t, c.state, got.State)
			assert.Equal(t, c.cause, got.Cause)
			assert.Contains(t, got.Message.String(), c.says)
			assert.Equal(t, c.says == "", got.Message.Text == "")
			assert.LessOrEqual(t, len(got.Message.Text), failure.MaxForeign+2)
			assert.LessOrEqual(t, len(got.Message.Fix), failure.MaxForeign+2)
			assert.NotContains(t, got.Message.String(), "\x1b")
			assert.LessOrEqual(t, strings.Count(got.Message.String(), "(see "), 1)
			fails := c.state != "ok" && c.state != "held" && c.state != "waiting"
			assert.Equal(t, fails, r.ExitCode == result.ExitOperator)
			if fails {
				assert.Equal(t, "2026-03-25T12:12:00Z", got.Since)
			}
		})
	}
}

// The label says how the worst target of a workload is: one that says nothing beside one that does is fine. A target that stands in
// several namespaces is one of each, unless only one of them remembers anything.
func TestWhichTargetAndWhichHome(t *testing.T) {
	t.Parallel()
	failing := []string{"a", one, keys.Failures("a"), "3", keys.LastError("a"), "dns: gone", keys.FailingSince("a"), annotate.FormatTime(since)}
	states := func(workloads ...workload.Labelled) (all []string) {
		for _, w := range of(workloads...).Workloads {
			all = append(all, fmt.Sprintf("%s %s/%s %s %s", w.Target, w.Namespace, w.Name, w.State, w.Cause))
		}
		return all
	}
	assert.Equal(t, []string{"a shop/d failing dns", "b shop/d ok "}, states(carrier("shop", "d", "failing", append(failing, "b", two)...)))
	home := carrier("shop", "d", "failing", failing...)
	assert.Equal(t, []string{"a other/e failing dns", "a shop/d failing dns"}, states(carrier("other", "e", "failing", "a", one), home), "one home for both")
	own := carrier("other", "f", "ok", "a", one, keys.Failures("a"), "1")
	elsewhere := carrier("third", "g", "failing", "a", one)
	assert.Equal(t, []string{"a other/e failing ", "a shop/d failing dns", "a third/g failing ", "a other/f ok "},
		states(carrier("other", "e", "failing", "a", one), home, own, elsewhere), "a home in each of two namespaces")
	assert.Equal(t, []string{" shop/d failing "}, states(carrier("shop", "d", "failing")), "without a mark")
}

// I36: the script that came before has the same label, and is left suspended beside the chart's CronJob.
func TestTheScriptsCronJobIsNotTheChartsWhereBothAreThere(t *testing.T) {
	t.Parallel()
	script := workload.Schedule{Name: "script", Schedule: "@hourly", Suspended: true}
	chart := workload.Schedule{Name: "chart", Schedule: "@hourly", Charts: true, LastRun: now, LastSuccess: now}
	for want, schedules := range map[string][]workload.Schedule{"chart": {script, chart}, "script": {script}} {
		r := Of(result.New("dev", "status", now), Facts{Keys: keys, Now: now, Schedules: schedules})
		require.Len(t, r.CronJobs, 1)
		assert.Equal(t, want, r.CronJobs[0].Name)
	}
}

// A table is no wider than the terminal, says first whether ticks run, and then the worst first; wide, it cuts nothing.
func TestTheTableOfAFleet(t *testing.T) {
	t.Parallel()
	long := "a-deployment-with-a-name-that-is-longer-than-its-column"
	r := of(carrier("shop", "web", "ok", "web", one), carrier("shop", long, "failing", "proxy", two, keys.LastError("proxy"), "dns: no such host; check DNS", keys.FailingSince("proxy"), annotate.FormatTime(since)))
	print := func(r Report, format result.Format, style result.Style) string {
		var out bytes.Buffer
		require.NoError(t, r.Print(&out, format, style))
		return out.String()
	}
	assert.Equal(t, `exit 1: 1 of 2 need you (1 dns); 1 fine

CRONJOB             STATE  SCHEDULE      LAST RUN  LAST SUCCESS
shop/image-refresh  ok     */15 * * * *  0m ago    0m ago

TARGET  WORKLOAD                               LIVE          STATE    SINCE  WHY
proxy   Deployment a-deployment-with-a-name-…  222222222222  failing  3d     dns
web     Deployment web                         111111111111  ok       -      -

proxy: failing (dns) since 2026-03-25T12:12:00Z: no such host
  check DNS (see https://example.com/runbook#dns)
`, print(r, result.Table, result.Style{Width: 80}))
	built := func(cause string) Report {
		return of(carrier("shop", "web", "ok", "web", one, keys.Build("web"), `{"version":"1.4.2-with-a-suffix","revision":"9f3c2ab01234"}`),
			carrier("shop", long, "failing", "proxy", two, keys.LastError("proxy"), cause+": x"))
	}
	assert.Contains(t, print(built("dns"), result.Table, result.Style{Width: 80}), `
TARGET  WORKLOAD                     LIVE          BUILD     STATE    SINCE  WHY
proxy   Deployment a-deployment-wi…  222222222222  -         failing  -      dns
web     Deployment web               111111111111  1.4.2-w…  ok       -      -
`)
	assert.NotContains(t, print(built("connection-refused"), result.Table, result.Style{Width: 80}), "BUILD", "there is no room")
	assert.Contains(t, print(built("dns"), result.Wide, result.Style{Width: 80}), "111111111111  1.4.2-with-a-suffix (9f3c2ab)  ok")
	assert.Contains(t, print(r, result.Wide, result.Style{Width: 80}), "Deployment "+long+"  222222222222  failing  2026-03-25T12:12:00Z  dns  222222222222\n")
	assert.Contains(t, print(r, result.Table, result.Style{Colour: true}), "  \x1b[31mfailing\x1b[0m  ")
	wide := of(carrier("shop", "web", "ok", "web", one), carrier("other", "web", "ok", "web", one))
	assert.Contains(t, print(wide, result.Table, result.Style{}), " Deployment other/web ")
}

// Whether ticks run is not always known, and without any CronJob nobody keeps the workloads fresh.
func TestWhatIsKnownOfCronJobs(t *testing.T) {
	t.Parallel()
	forbidden := &failure.Error{Message: "forbidden to list"}
	orphaned := []string{
		"kubectl annotate -n shop deployments -l 'tracebloc.io/refresh,team=a' tracebloc.io/last-refreshed-a-digest- tracebloc.io/refresh-skip-streak-",
		"kubectl label -n shop deployments -l 'tracebloc.io/refresh,team=a' tracebloc.io/a-digest- tracebloc.io/refresh- tracebloc.io/refresh-hold-",
	}
	for name, c := range map[string]struct {
		facts  Facts
		state  string
		remove []string
		says   string
	}{
		"none":              {Facts{}, Orphaned, orphaned, "no CronJob of image-refresh in any namespace"},
		"none here":         {Facts{Elsewhere: forbidden}, Orphaned, orphaned, "no CronJob of image-refresh in namespace shop, and others could not be looked into: forbidden"},
		"not known":         {Facts{NoSchedules: forbidden}, "held", []string{}, "whether ticks run is not known: forbidden"},
		"of another prefix": {Facts{Schedules: []workload.Schedule{{Namespace: "x", Name: "y", Prefix: "example.com"}}}, Orphaned, orphaned, "x/y remembers under example.com: set ANNOTATION_PREFIX=example.com"},
	} {
		c.facts.Keys, c.facts.Now, c.facts.Namespace, c.facts.Selector = keys, now, "shop", "team=a"
		c.facts.Workloads = []workload.Labelled{carrier("shop", "d", "held", "a", one, keys.Hold(), "true", keys.SkipStreak(), "1", "example.com/own", "x")}
		r := Of(result.New("dev", "status", now), c.facts)
		assert.Equal(t, c.state, r.Workloads[0].State, name)
		assert.Equal(t, c.remove, r.Remove, name)
		assert.Equal(t, result.ExitFine, r.ExitCode, name)
		assert.Contains(t, strings.Join(r.said(), "\n"), c.says, name)
	}
}
