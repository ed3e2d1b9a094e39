package scenario_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// dialect is a way in which a registry answers to accounts.
type dialect struct {
	host   string
	prover string // the host that accounts are proved at
	make   func(store *registries.Store) *registries.Registry
	answers
}

// answers are what becomes of a private image with a dead account and with one without rights, and of a public one with a dead
// account. Without a cause there is no such image, or every account may pull it.
type answers struct {
	dead, rightless, hidden refusal
	logins                  int // that a dead account costs: the proof, and what pods ask for: for two images together, and for one
}

// refusal is a cause, and what its message says.
type refusal struct{ cause, says string }

var (
	rejected = refusal{"unauthorized", "was rejected by the "}
	refused  = refusal{"unauthorized", "was refused to pull secret "}
	usual    = answers{rejected, refused, rejected, 3}
)

// dialects are the ways of answering, as documented or measured.
func dialects() map[string]dialect {
	const azure, amazon, amazonHub = "tracebloc.azurecr.io", "123456789012.dkr.ecr.eu-central-1.amazonaws.com", "public.ecr.aws"
	type made = func(store *registries.Store) *registries.Registry
	gitlab := func(badLogin int) made {
		return func(store *registries.Store) *registries.Registry { return registries.NewGitLab(store, badLogin) }
	}
	public := func(badLogin int) made {
		return func(store *registries.Store) *registries.Registry { return registries.NewECRPublic(store, badLogin) }
	}
	tokens := func(store *registries.Store) *registries.Registry {
		return registries.NewTokenRegistry(store, "https://"+someTokens+"/token")
	}
	acr := func(store *registries.Store) *registries.Registry { return registries.NewACR(store, azure) }
	ecr := func(store *registries.Store) *registries.Registry { return registries.NewECR(store, amazon) }
	expired := refusal{"forbidden", "if it has expired"}
	noRights := refusal{"forbidden", "give the account the right to pull from that project"}
	noToken := refusal{"bad-response", "400 (DENIED) to pull secret "} // which proves nothing
	return map[string]dialect{
		"docker.io":     {"docker.io", hubTokens, nil, usual},
		"ghcr.io":       {"ghcr.io", "ghcr.io", nil, usual},
		"distribution":  {someHost, someTokens, tokens, usual},
		"Basic":         {someHost, someHost, registries.NewBasic, answers{dead: rejected, logins: 2}},
		"GitLab":        {"registry.gitlab.com", "gitlab.com", gitlab(http.StatusUnauthorized), usual},
		"GitLab, older": {"registry.gitlab.com", "gitlab.com", gitlab(http.StatusForbidden), usual},
		"Azure":         {azure, azure, acr, usual},
		// 403 for everything: what is wrong with the account cannot be told.
		"Amazon": {amazon, amazon, ecr, answers{dead: expired, rightless: noRights, logins: 2}},
		// There are no private images.
		"Amazon, public":      {amazonHub, amazonHub, public(http.StatusForbidden), answers{hidden: rejected, logins: 2}},
		"Amazon, public, 400": {amazonHub, amazonHub, public(http.StatusBadRequest), answers{hidden: noToken, logins: 2}},
	}
}

// I25, I59: a valid credential never looks dead, and a dead one always does, also before a public image, which pods could
// not pull with it either, in each registry's way of answering. After a rejection it is not asked with again.
func TestI25I59ValidAndDeadCredentialsByRegistry(t *testing.T) {
	t.Parallel()
	for name, d := range dialects() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			registry := map[string]*registries.Registry{"docker.io": s.Site.DockerHub, "ghcr.io": s.Site.GHCR}[d.host]
			if registry == nil {
				registry = d.make(registries.NewStore(t.Context()))
				s.Site.Add(d.host, registry.Store, registry, d.host, d.prover)
			}
			for _, name := range []string{"valid", "dead", "rightless"} {
				mount(t, s, name, entries{d.host: {name + "-puller", "password-of-" + name}})
			}
			registry.SetPrivate("team/private", true)
			registry.AddAccount("valid-puller", "password-of-valid", "team/private")
			registry.AddAccount("rightless-puller", "password-of-rightless")
			digest := s.Push(d.host+"/team/private:1", image("one"))
			s.Push(d.host+"/team/public:1", image("one"))
			rows := map[string]struct {
				repository, secret string
				refusal
				there bool
			}{
				"valid":     {"private", "valid", refusal{}, true},
				"dead":      {"private", "dead", d.dead, d.dead != refusal{}},
				"rightless": {"private", "rightless", d.rightless, d.rightless != refusal{}},
				"public":    {"public", "valid", refusal{}, d.hidden != refusal{}},
				"hidden":    {"public", "dead", d.hidden, d.hidden != refusal{}},
			}
			pulls := map[string]pull{}
			for target, row := range rows {
				if row.there {
					pulls[target] = pull{image: d.host + "/team/" + row.repository + ":1", secrets: []string{row.secret}}
				}
			}
			watch(s, pulls)
			s.Forget()
			result := s.Tick()
			harness.RequireExit(t, 0, result)
			for target := range pulls {
				row := rows[target]
				requireTarget(t, result, target, digest, row.cause, row.says,
					s.Namespace+"/"+row.secret+" (account "+row.secret+"-puller, entry "+d.host+")")
				found := result.Report.Target(target)
				assert.Equal(t, row.refusal == rejected, strings.Contains(found.Message, rejected.says), found.Message)
				assert.True(t, row.secret != "dead" || strings.Contains(found.Message, d.prover), found.Message)
				assert.Equal(t, row.cause != "", found.Failures == 1)
			}
			assert.Empty(t, warnings(t, result), "nobody else looks dead, and what is counted is not said twice")
			assert.Equal(t, d.logins, logins(s, d.prover, login{"dead-puller", "password-of-dead"}))
		})
	}
}

const harborHost = "harbor.example.com"

// What a real Harbor was measured to answer, account by account and question by question. I25: a dead robot is found, be the
// image private or, where Harbor serves the dead all the same, public: then nothing is counted, and each tick says it. No valid
// one looks dead.
func TestI25HarborsTable(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	h := registries.NewHarbor(registries.NewStore(t.Context()), harborHost)
	s.Site.Add(harborHost, h.Store, h, harborHost)
	digest := ""
	for project, public := range map[string]bool{"private": false, "public": true, "other": false} {
		h.AddProject(project, public)
		digest = s.Push(harborHost+"/"+project+"/app:1", image("one"))
	}
	robots := map[string]login{}
	for name, state := range map[string]registries.Robot{
		"valid": registries.RobotValid, "disabled": registries.RobotDisabled, "expired": registries.RobotExpired,
		"deleted": registries.RobotDeleted, "wrong": registries.RobotValid, "foreign": registries.RobotValid,
	} {
		project := map[bool]string{true: "other", false: "private"}[name == "foreign"]
		l := login{h.AddRobot(project, name, "secret-of-robot-"+name), "secret-of-robot-" + name}
		h.SetRobot(l.user, state)
		if name == "wrong" {
			l.password = "not-the-robots-secret"
		}
		mount(t, s, name, entries{harborHost: l})
		robots[name] = l
	}
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
		rows[name+"-private"] = row{"private/app:1", name, "unauthorized", "was rejected by the token endpoint " + harborHost +
			" with 401 (UNAUTHORIZED); it may be expired, disabled, deleted or have a wrong password, which a registry does not tell"}
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
			assert.LessOrEqual(t, logins(s, harborHost, robots[name]), 2, "a proof and what pods ask for: a failed login costs Harbor 1.5 s")
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
		"database down": {func() func() {
			h.SetDatabase(false)
			return func() { h.SetDatabase(true) }
		}, "server-error", "refuses even valid accounts"},
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

// Some registries ask nobody at /v2/, serve some repositories to anybody, and want an account for others: zot with an
// anonymous policy does. What one repository wants says nothing of another, whichever is asked first.
func TestWhatOneRepositoryWantsSaysNothingOfAnother(t *testing.T) {
	t.Parallel()
	for _, atOnce := range []string{"1", "8"} {
		t.Run(atOnce, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			store := registries.NewStore(t.Context())
			s.Site.Add(someHost, store, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _, account := r.BasicAuth() // a dead one
				if account || strings.HasPrefix(r.URL.Path, "/v2/team/private/") {
					w.Header().Set("Www-Authenticate", `Basic realm="zot"`)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				store.ServeHTTP(w, r)
			}), someHost)
			s.Push(somePrivate, image("one"))
			digest := s.Push(somePublic, image("one"))
			mount(t, s, "dead", entries{someHost: deadLogin})
			dead := []string{"dead"}
			watch(s, map[string]pull{"private": {image: somePrivate, secrets: dead}, "public": {image: somePublic, secrets: dead}})
			s.Setenv("CONCURRENCY", atOnce)
			result := s.Tick()
			harness.RequireExit(t, 0, result)
			requireTarget(t, result, "private", "", "unauthorized")
			requireTarget(t, result, "public", digest, "")
			second := s.Push(somePublic, image("two")) // and what it holds is asked when all is known of the other
			result = s.Run("plan")
			requireTarget(t, result, "public", second, "")
			outcomeOf(t, result, "public", "public", "pending", "")
		})
	}
}
