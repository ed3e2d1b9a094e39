package scenario_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// registryKind is a way in which a registry answers to accounts.
type registryKind struct {
	host string
	// start puts the registry up with images team/private and team/public, a
	// valid account for the first and another one without rights.
	start func(t *testing.T, s *harness.Scenario, valid, rightless login)
	// prover is the host that accounts are proved at.
	prover string
	// dead is what a dead account makes of a private image, and what it says of
	// it beside the names; rightless the same of one without rights: empty where
	// every account may pull everything.
	dead, deadSays           string
	rightless, rightlessSays string
	// hidden is what a dead account makes of a public image, where it is not
	// unauthorized as for a private one; noPublic means that there are none.
	hidden   string
	noPublic bool
	logins   int // that a dead account costs: the proof, what pods ask for and, where that was for two images, one of them
}

// privately wires a Registry, as most of them are.
func privately(host string, make func(store *registries.Store) *registries.Registry, hosts ...string) func(*testing.T, *harness.Scenario, login, login) {
	return func(t *testing.T, s *harness.Scenario, valid, rightless login) {
		t.Helper()
		registry := make(registries.NewStore(t.Context()))
		s.Site.Add(host, registry.Store, registry, hosts...)
		accounts(registry, valid, rightless)
	}
}

func accounts(registry *registries.Registry, valid, rightless login) {
	registry.SetPrivate("team/private", true)
	registry.AddAccount(valid.user, valid.password, "team/private")
	registry.AddAccount(rightless.user, rightless.password)
}

const (
	gitlab    = "registry.gitlab.com"
	azure     = "tracebloc.azurecr.io"
	amazon    = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
	amazonHub = "public.ecr.aws"

	saysRejected = "was rejected by the "
	saysRefused  = "was refused to pull secret "
)

// registryKinds are the ways of answering, as documented or measured.
func registryKinds() map[string]registryKind {
	return map[string]registryKind{
		"distribution, tokens": {
			host: someHost, prover: "auth." + someHost, dead: "unauthorized", deadSays: saysRejected,
			rightless: "unauthorized", rightlessSays: saysRefused, logins: 3,
			start: func(t *testing.T, s *harness.Scenario, valid, rightless login) {
				accounts(tokenRegistry(t, s, someHost), valid, rightless)
			},
		},
		"distribution, htpasswd": {
			host: someHost, prover: someHost, dead: "unauthorized", deadSays: saysRejected, noPublic: true, logins: 2,
			start: func(t *testing.T, s *harness.Scenario, valid, _ login) {
				registry, err := registries.NewHtpasswd(t.Context(), s.Dir)
				require.NoError(t, err)
				require.NoError(t, registry.AddAccount(valid.user, valid.password))
				s.Site.Add(someHost, registry.Store, registry, someHost)
			},
		},
		"docker.io": {
			host: "docker.io", prover: "auth.docker.io", dead: "unauthorized", deadSays: saysRejected,
			rightless: "unauthorized", rightlessSays: saysRefused, logins: 3,
			start: func(_ *testing.T, s *harness.Scenario, valid, rightless login) {
				accounts(s.Site.DockerHub, valid, rightless)
			},
		},
		"ghcr.io": {
			host: "ghcr.io", prover: "ghcr.io", dead: "unauthorized", deadSays: saysRejected,
			rightless: "unauthorized", rightlessSays: saysRefused, logins: 3,
			start: func(_ *testing.T, s *harness.Scenario, valid, rightless login) {
				accounts(s.Site.GHCR, valid, rightless)
			},
		},
		"GitLab":        gitlabKind(http.StatusUnauthorized),
		"GitLab, older": gitlabKind(http.StatusForbidden),
		"Azure": {
			host: azure, prover: azure, dead: "unauthorized", deadSays: saysRejected,
			rightless: "unauthorized", rightlessSays: saysRefused, logins: 3,
			start: privately(azure, func(store *registries.Store) *registries.Registry { return registries.NewACR(store, azure) }, azure),
		},
		"Amazon": { // 403 for everything: what is wrong with the account cannot be told
			host: amazon, prover: amazon, dead: "forbidden", deadSays: "if it has expired", noPublic: true,
			rightless: "forbidden", rightlessSays: "give the account the right to pull from that project", logins: 2,
			start: privately(amazon, func(store *registries.Store) *registries.Registry { return registries.NewECR(store, amazon) }, amazon),
		},
		"Amazon, public": { // there are no private images: nobody is needed, and the account is used all the same
			host: amazonHub, prover: amazonHub,
			start: privately(amazonHub, func(store *registries.Store) *registries.Registry {
				return registries.NewECRPublic(store, http.StatusForbidden)
			}, amazonHub), logins: 2,
		},
		"Amazon, public, 400": { // which proves nothing, and gives no token either
			host: amazonHub, prover: amazonHub, hidden: "bad-response",
			start: privately(amazonHub, func(store *registries.Store) *registries.Registry {
				return registries.NewECRPublic(store, http.StatusBadRequest)
			}, amazonHub), logins: 2,
		},
	}
}

func gitlabKind(badLogin int) registryKind {
	return registryKind{
		host: gitlab, prover: "gitlab.com", dead: "unauthorized", deadSays: saysRejected,
		rightless: "unauthorized", rightlessSays: saysRefused, logins: 3,
		start: privately(gitlab, func(store *registries.Store) *registries.Registry {
			return registries.NewGitLab(store, badLogin)
		}, gitlab, "gitlab.com"),
	}
}

// I25, I59: a valid credential never looks dead, and a dead one always does, also before a public image, which pods could
// not pull with it either, in each registry's way of answering. After a rejection it is not asked with again.
func TestI25ValidAndDeadCredentialsByRegistry(t *testing.T) {
	t.Parallel()
	for name, kind := range registryKinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			valid, rightless := login{"valid-puller", "password-of-valid"}, login{"rightless-puller", "password-of-rightless"}
			kind.start(t, s, valid, rightless)
			private, public := kind.host+"/team/private:1", kind.host+"/team/public:1"
			digest := s.Push(private, registries.Image("one", "linux/amd64"))
			mount(t, s, "valid", entries{kind.host: valid})
			mount(t, s, "dead", entries{kind.host: {"dead-puller", "password-of-dead"}})
			mount(t, s, "rightless", entries{kind.host: rightless})
			pulls := map[string]pull{"valid": {image: private, secrets: []string{"valid"}}}
			if kind.dead != "" {
				pulls["dead"] = pull{image: private, secrets: []string{"dead"}}
			}
			if kind.rightless != "" {
				pulls["rightless"] = pull{image: private, secrets: []string{"rightless"}}
			}
			if !kind.noPublic {
				s.Push(public, registries.Image("one", "linux/amd64"))
				pulls["public"] = pull{image: public, secrets: []string{"valid"}}
				pulls["hidden"] = pull{image: public, secrets: []string{"dead"}}
			}
			watch(s, pulls)
			s.Forget()
			result := s.Tick()
			harness.RequireExit(t, 0, result)

			requireResolved(t, result, "valid", digest)
			counted := func(target, cause, says string) {
				found := result.Report.Target(target)
				assert.Equal(t, cause, found.Cause)
				assert.Equal(t, 1, found.Failures)
				for _, text := range []string{says, s.Namespace + "/", "(account ", "-puller, entry " + kind.host + ")"} {
					assert.Contains(t, found.Message, text)
				}
			}
			if kind.dead != "" {
				counted("dead", kind.dead, kind.deadSays)
				assert.Contains(t, result.Report.Target("dead").Message, kind.prover)
			}
			if kind.rightless != "" {
				counted("rightless", kind.rightless, kind.rightlessSays)
				assert.NotContains(t, result.Report.Target("rightless").Message, saysRejected)
			}
			switch {
			case kind.noPublic:
			case kind.hidden != "":
				requireResolved(t, result, "public", digest)
				counted("hidden", kind.hidden, "400 (DENIED) to pull secret ")
			default:
				requireResolved(t, result, "public", digest)
				counted("hidden", "unauthorized", "pull secret "+s.Namespace+"/dead (account dead-puller, entry "+kind.host+") "+saysRejected)
				assert.Contains(t, result.Report.Target("hidden").Message, kind.prover)
			}
			assert.Empty(t, warnings(t, result), "nobody else looks dead, and what is counted is not said twice")
			assert.Equal(t, kind.logins, logins(s, kind.prover, login{"dead-puller", "password-of-dead"}))

			// While the registry is in trouble of its own, nobody looks dead at all.
			remove := s.Site.Front.Inject(registries.Fault{
				Match: func(c registries.Call) bool {
					return c.Host == kind.prover && c.User != "" || c.Stage == registries.Head
				},
				Do: faultinject.Reply(http.StatusServiceUnavailable, "down"),
			})
			result = s.Run("plan")
			for target := range pulls {
				assert.Equal(t, "server-error", result.Report.Target(target).Cause, target)
			}
			assert.Empty(t, warnings(t, result))
			remove()
		})
	}
}

// What is no verdict on an account counts for none: one that is proved badly may be a good one.
func TestAProofThatProvesNothing(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	mount(t, s, "good", entries{someHost: goodLogin})
	watch(s, map[string]pull{"private": {image: somePrivate, secrets: []string{"good"}}})
	for name, do := range map[string]faultinject.Action{
		"400": faultinject.Reply(400, `{"errors":[{"code":"UNSUPPORTED"}]}`), "404": faultinject.Reply(404, ""), "429": faultinject.Reply(429, ""),
		"500": faultinject.Reply(500, ""), "503": faultinject.Reply(503, "<html>"), "reset": faultinject.Reset(), "cut": faultinject.Truncate(10),
		"elsewhere": faultinject.Reply(302, "", "Location", "https://ghcr.io/token"),
	} {
		t.Run(name, func(t *testing.T) {
			remove := s.Site.Front.Inject(registries.Fault{
				Match: func(c registries.Call) bool { return c.Stage == registries.Token && len(c.Scopes) == 0 && c.User != "" }, Do: do,
			})
			defer remove()
			s.Forget()
			result := s.Run("plan")
			requireResolved(t, result, "private", digest)
			assert.Empty(t, warnings(t, result))
			assert.Equal(t, 2, logins(s, "auth."+someHost, goodLogin), "a proof, once, and a token")
			for _, call := range s.Site.Front.Calls(registries.At("ghcr.io")) {
				assert.Empty(t, call.Header.Get("Authorization"))
			}
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
			s.Push(somePrivate, registries.Image("one", "linux/amd64"))
			digest := s.Push(somePublic, registries.Image("one", "linux/amd64"))
			mount(t, s, "dead", entries{someHost: deadLogin})
			watch(s, map[string]pull{"private": {image: somePrivate, secrets: []string{"dead"}}, "public": {image: somePublic, secrets: []string{"dead"}}})
			s.Setenv("CONCURRENCY", atOnce)
			result := s.Tick()
			harness.RequireExit(t, 0, result)
			assert.Equal(t, "unauthorized", result.Report.Target("private").Cause)
			requireResolved(t, result, "public", digest)
			second := s.Push(somePublic, registries.Image("two", "linux/amd64")) // and what it holds is asked when all is known of the other
			result = s.Run("plan")
			requireResolved(t, result, "public", second)
			outcomeOf(t, result, "public", "public", "pending", "")
		})
	}
}
