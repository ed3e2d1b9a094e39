package scenario_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

const harborHost = "harbor.example.com"

// startHarbor puts up a Harbor with three projects, one of them public, each with an image app:1 of the same content.
func startHarbor(t *testing.T, s *harness.Scenario) (h *registries.Harbor, digest string) {
	t.Helper()
	h = registries.NewHarbor(registries.NewStore(t.Context()), harborHost)
	s.Site.Add(harborHost, h.Store, h, harborHost)
	for project, public := range map[string]bool{"private": false, "public": true, "other": false} {
		h.AddProject(project, public)
		digest = s.Push(harborHost+"/"+project+"/app:1", image("one"))
	}
	return h, digest
}

// robot makes a robot account of a project in some state, and mounts it as a pull secret of that name.
func robot(t *testing.T, s *harness.Scenario, h *registries.Harbor, project, name string, state registries.Robot) login {
	t.Helper()
	l := login{password: "secret-of-robot-" + name}
	l.user = h.AddRobot(project, name, l.password)
	h.SetRobot(l.user, state)
	mount(t, s, name, entries{harborHost: l})
	return l
}

// What a real Harbor was measured to answer, account by account and question by question. I25: a dead robot is found, be the
// image private or, where Harbor serves the dead all the same, public: then nothing is counted, and each tick says it. No valid
// one looks dead.
func TestI25HarborsTable(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	h, digest := startHarbor(t, s)
	robots := map[string]login{
		"valid":    robot(t, s, h, "private", "valid", registries.RobotValid),
		"disabled": robot(t, s, h, "private", "disabled", registries.RobotDisabled),
		"expired":  robot(t, s, h, "private", "expired", registries.RobotExpired),
		"deleted":  robot(t, s, h, "private", "deleted", registries.RobotDeleted),
		"foreign":  robot(t, s, h, "other", "foreign", registries.RobotValid),
		"wrong":    {robot(t, s, h, "private", "wrong", registries.RobotValid).user, "not-the-robots-secret"},
	}
	mount(t, s, "wrong", entries{harborHost: robots["wrong"]})
	dead := []string{"disabled", "expired", "deleted", "wrong"}

	type row struct{ image, robot, cause, says string }
	rows := map[string]row{
		"nobody-private": {"private/app:1", "", "unauthorized", "without a credential: it is private or does not exist"},
		"nobody-public":  {"public/app:1", "", "", ""},
		"valid-private":  {"private/app:1", "valid", "", ""},
		"valid-public":   {"public/app:1", "valid", "", ""},
		"foreign-public": {"public/app:1", "foreign", "", ""},

		"no-right":          {"private/app:1", "foreign", "forbidden", "give the account the right to pull from that project"},
		"no-project":        {"absent/app:1", "valid", "not-found", "has no project absent"},
		"no-project-nobody": {"absent/app:1", "", "not-found", "has no project absent"},
		"no-repository":     {"private/absent:1", "valid", "not-found", "answered 404"},
		"no-tag":            {"private/app:2", "valid", "not-found", harborHost + "/private/app:2"},
		"dead-no-tag":       {"public/app:2", "deleted", "unauthorized", "was rejected by"},
	}
	for _, name := range dead {
		rows[name+"-private"] = row{"private/app:1", name, "unauthorized", "was rejected by the token endpoint harbor.example.com with 401 (UNAUTHORIZED); " +
			"it may be expired, disabled, deleted or have a wrong password, which a registry does not tell"}
		rows[name+"-public"] = row{"public/app:1", name, "", ""}
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
	named := func(robot string) string {
		return "pull secret " + s.Namespace + "/" + robot + " (account " + robots[robot].user + ", entry " + harborHost + ")"
	}
	for tick := range 2 {
		s.Forget()
		result := s.Tick()
		harness.RequireExit(t, 0, result)
		for name, row := range rows {
			requireTarget(t, result, name, digest, row.cause, row.says)
			assert.Equal(t, row.cause != "", result.Report.Target(name).Failures == tick+1, name)
			if row.robot != "" && row.cause != "" && row.cause != "not-found" {
				requireSays(t, result.Report.Target(name).Message, named(row.robot))
			}
		}
		said := warnings(t, result)
		assert.Len(t, said, len(dead), "one for each dead robot of a public image")
		for _, name := range dead {
			assert.LessOrEqual(t, logins(s, harborHost, robots[name]), 2, "a proof and what pods ask for; a failed login costs Harbor 1.5 s: %s", name)
			assert.Equal(t, 1, strings.Count(strings.Join(said, "\n"), named(name)))
		}
	}
	report := check(t, s, 1)
	for name, one := range robots {
		status := "ok"
		if slices.Contains(dead, name) {
			status = "failed"
		}
		requireCheck(t, report, "credential", status, "account "+one.user+", ")
	}

	// While Harbor is in trouble of its own, that is the cause everywhere, and no robot is called dead, in whatever state it is.
	breaks := func(match registries.Matcher, do faultinject.Action) func() func() {
		return func() func() { return inject(s, match, do) }
	}
	for name, trouble := range map[string]struct {
		begin       func() (end func())
		cause, says string
	}{
		"database down": {func() func() { h.SetDatabase(false); return func() { h.SetDatabase(true) } }, "server-error", "refuses even valid accounts"},
		"core down":     {breaks(registries.At(harborHost), faultinject.Reply(502, "<html>")), "server-error", "answered 502"},
		"registry down": {breaks(ofManifests(harborHost), faultinject.Reply(502, "")), "server-error", "answered 502"},
		"database hung": {breaks(registries.At(harborHost), faultinject.Hang()), "timeout", "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			if trouble.cause == "timeout" {
				s.Setenv("RESOLVE_TIMEOUT", "2s")
				defer s.Unsetenv("RESOLVE_TIMEOUT")
			}
			defer trouble.begin()()
			result := s.Run("plan")
			for target := range pulls {
				requireTarget(t, result, target, "", trouble.cause, harborHost)
			}
			requireSays(t, result.Report.Target("valid-private").Message, trouble.says)
			assert.Empty(t, warnings(t, result))
		})
	}
}
