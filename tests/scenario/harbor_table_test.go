package scenario_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// What a real Harbor was measured to answer, account by account and question by question. I25: a dead robot is
// found, be the image private or public, and no valid one looks dead.
func TestI25HarborsTable(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	h, digest := startHarbor(t, s)
	robots := map[string]login{
		"valid":    robot(t, s, h, "private", "valid", registries.RobotValid),
		"disabled": robot(t, s, h, "private", "disabled", registries.RobotDisabled),
		"expired":  robot(t, s, h, "private", "expired", registries.RobotExpired),
		"deleted":  robot(t, s, h, "private", "deleted", registries.RobotDeleted),
		"wrong":    robot(t, s, h, "private", "wrong", registries.RobotValid),
		"foreign":  robot(t, s, h, "other", "foreign", registries.RobotValid),
	}
	wrong := login{robots["wrong"].user, "not-the-robots-secret"}
	robots["wrong"] = wrong
	mount(t, s, "wrong", entries{harborHost: wrong})

	const missing = harborHost + "/private/app:2"
	rows := map[string]struct {
		image, robot, cause, says string
	}{
		"nobody-private": {"private/app:1", "", "unauthorized", "without a credential: it is private or does not exist"},
		"nobody-public":  {"public/app:1", "", "", ""},
		"valid-private":  {"private/app:1", "valid", "", ""},
		"valid-public":   {"public/app:1", "valid", "", ""},
		"foreign-public": {"public/app:1", "foreign", "", ""},

		"no-right":          {"private/app:1", "foreign", "forbidden", "give the account the right to pull from that project"},
		"no-project":        {"absent/app:1", "valid", "not-found", "has no project absent"},
		"no-project-nobody": {"absent/app:1", "", "not-found", "has no project absent"},
		"no-repository":     {"private/absent:1", "valid", "not-found", "answered 404"},
		"no-tag":            {"private/app:2", "valid", "not-found", missing},
		"dead-no-tag":       {"public/app:2", "deleted", "unauthorized", "was rejected by"},
	}
	dead := []string{"disabled", "expired", "deleted", "wrong"}
	for _, name := range dead {
		rows[name+"-private"] = rows["nobody-private"]
		row := rows[name+"-private"]
		row.robot, row.says = name, "was rejected by the token endpoint harbor.example.com with 401 (UNAUTHORIZED); it may be expired, disabled, deleted or have a wrong password, which a registry does not tell"
		rows[name+"-private"] = row
		row.image, row.cause, row.says = "public/app:1", "", ""
		rows[name+"-public"] = row
	}
	pulls := map[string]pull{}
	for name, row := range rows {
		p := pull{image: harborHost + "/" + row.image}
		if row.robot != "" {
			p.secrets = []string{row.robot}
		}
		pulls[name] = p
	}
	watch(s, pulls)
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			if row.cause == "" {
				requireResolved(t, result, name, digest)
				return
			}
			target := result.Report.Target(name)
			assert.Equal(t, row.cause, target.Cause)
			assert.Equal(t, 1, target.Failures)
			assert.Contains(t, target.Message, row.says)
			if row.robot != "" && row.cause != "not-found" {
				assert.Contains(t, target.Message, "pull secret "+s.Namespace+"/"+row.robot+" (account "+robots[row.robot].user+", entry "+harborHost+")")
			}
		})
	}
	said := warnings(t, result)
	assert.Len(t, said, len(dead), "one for each dead robot of a public image")
	for _, name := range dead {
		assert.LessOrEqual(t, logins(s, harborHost, robots[name]), 2, "a proof and what pods ask for; a failed login costs Harbor 1.5 s: %s", name)
		hidden := 0
		for _, one := range said {
			if strings.Contains(one.Msg, "(account "+robots[name].user+", ") && one.Cause == "unauthorized" {
				hidden++
			}
		}
		assert.Equal(t, 1, hidden, name)
	}
	report := check(t, s, 1)
	for name, one := range robots {
		status := "ok"
		if slices.Contains(dead, name) {
			status = "failed"
		}
		requireCheck(t, report, "credential", status, "account "+one.user+", ")
	}
	requireOwnTrouble(t, s, h, pulls)
}

// requireOwnTrouble asserts that while Harbor is in trouble of its own, that is the cause everywhere, and no robot is
// called dead, in whatever state it is.
func requireOwnTrouble(t *testing.T, s *harness.Scenario, h *registries.Harbor, pulls map[string]pull) {
	t.Helper()
	manifests := registries.At(harborHost, registries.Head, registries.Get)
	for name, trouble := range map[string]struct {
		begin func() (end func())
		cause string
		says  string
	}{
		"database down": {func() func() { h.SetDatabase(false); return func() { h.SetDatabase(true) } }, "server-error", "refuses even valid accounts"},
		"core down":     {inject(s, registries.At(harborHost), faultinject.Reply(502, "<html>", "Content-Type", "text/html")), "server-error", "answered 502"},
		"registry down": {inject(s, manifests, faultinject.Reply(502, "")), "server-error", "answered 502"},
		"database hung": {inject(s, registries.At(harborHost), faultinject.Hang()), "timeout", "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			if trouble.cause == "timeout" {
				s.Setenv("RESOLVE_TIMEOUT", "2s")
				defer s.Unsetenv("RESOLVE_TIMEOUT")
			}
			defer trouble.begin()()
			result := s.Run("plan")
			for target := range pulls {
				found := result.Report.Target(target)
				assert.Equal(t, trouble.cause, found.Cause, found.Message)
				assert.Contains(t, found.Message, harborHost)
				if target == "valid-private" {
					assert.Contains(t, found.Message, trouble.says)
				}
			}
			assert.Empty(t, warnings(t, result))
		})
	}
}

func inject(s *harness.Scenario, match registries.Matcher, do faultinject.Action) func() func() {
	return func() func() { return s.Site.Front.Inject(registries.Fault{Match: match, Do: do}) }
}

// A proxy-cache project answers 404 while its upstream is down: counted, and no reason to drop a known digest.
func TestHarborsProxyCacheWithoutItsUpstream(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	h, digest := startHarbor(t, s)
	robot(t, s, h, "private", "valid", registries.RobotValid)
	watch(s, map[string]pull{"ingestor": {image: harborHost + "/private/app:1", secrets: []string{"valid"}}})
	harness.RequireExit(t, 0, s.Tick())
	harness.RequireExit(t, 0, s.Tick())
	pinned := harborHost + "/private/app:1@" + digest
	require.Equal(t, pinned, s.CronJob("ingestor").Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image)
	h.SetUpstream("private", false)
	for _, code := range []int{0, 0, 1} {
		result := s.Tick()
		harness.RequireExit(t, code, result)
		assert.Equal(t, "not-found", result.Report.Target("ingestor").Cause)
		assert.Equal(t, pinned, s.CronJob("ingestor").Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image)
	}
	h.SetUpstream("private", true)
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	assert.Equal(t, "unchanged", result.Report.Target("ingestor").Workload("ingestor").Outcome)
}

// Many images of one robot are asked for with one token, as long as Harbor's nginx takes it: names may be long.
func TestManyImagesOfOneHarbor(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	h, _ := startHarbor(t, s)
	valid := robot(t, s, h, "private", "valid", registries.RobotValid)
	expired := robot(t, s, h, "private", "expired", registries.RobotExpired)
	var list containers
	for i := range 60 {
		name := "short-" + number(i)
		if i%2 == 0 {
			name = strings.Repeat("a-rather-long-name/", 5) + number(i)
		}
		s.Push(harborHost+"/private/"+name+":1", registries.Image("one", "linux/amd64"))
		list = append(list, harborHost+"/private/"+name+":1")
	}
	list.watch(s, "valid")
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	require.Len(t, result.Report.Targets, len(list))
	for _, target := range result.Report.Targets {
		assert.Empty(t, target.Cause, target.Message)
	}
	tokens := s.Site.Front.Calls(registries.At(harborHost, registries.Token))
	assert.LessOrEqual(t, len(tokens), 4, "a proof, and few tokens")
	for _, token := range tokens {
		assert.LessOrEqual(t, len(token.Scopes), 50)
	}
	assert.Len(t, s.Site.Front.Calls(registries.At(harborHost, registries.Head)), len(list))
	assert.Len(t, s.Site.Front.Calls(registries.At(harborHost, registries.Ping)), 1)
	assert.Equal(t, len(tokens), logins(s, harborHost, valid))

	// Once it is dead, Harbor gives it tokens that grant nothing: it is proved once, and costs no login for each image.
	mount(t, s, "valid", entries{harborHost: expired})
	s.Forget()
	result = s.Tick()
	for _, target := range result.Report.Targets {
		assert.Equal(t, "unauthorized", target.Cause)
	}
	assert.LessOrEqual(t, logins(s, harborHost, expired), 4, "a proof, and few tokens")
	assert.Len(t, s.Site.Front.Calls(registries.At(harborHost, registries.Head)), len(list), "once each")
	assert.Empty(t, s.Site.Front.Calls(func(c registries.Call) bool { return c.Status == http.StatusBadRequest }))
}
