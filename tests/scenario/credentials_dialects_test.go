package scenario_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// dialect is a way in which a registry answers to accounts.
type dialect struct {
	host   string
	prover string // the host that accounts are proved at
	// start puts up the registry; accounts are added to what it returns, if anything.
	start func(t *testing.T, s *harness.Scenario, d dialect) *registries.Registry
	// What becomes of a private image with a dead account and with one without rights, and of a public one with a dead
	// account. Without a cause there is no such image, or every account may pull it.
	dead, rightless, hidden refusal
	logins                  int // that a dead account costs: the proof, and what pods ask for: for two images together, and for one
}

// refusal is a cause, and what its message says.
type refusal struct{ cause, says string }

var (
	rejected = refusal{"unauthorized", "was rejected by the "}
	refused  = refusal{"unauthorized", "was refused to pull secret "}

	puller          = login{"valid-puller", "password-of-valid"}
	deadPuller      = login{"dead-puller", "password-of-dead"}
	rightlessPuller = login{"rightless-puller", "password-of-rightless"}
)

// usual is a registry as most of them are.
func usual(host, prover string, make func(store *registries.Store) *registries.Registry) dialect {
	return dialect{host: host, prover: prover, dead: rejected, rightless: refused, hidden: rejected, logins: 3, start: func(
		t *testing.T, s *harness.Scenario, _ dialect,
	) *registries.Registry {
		t.Helper()
		registry := make(registries.NewStore(t.Context()))
		s.Site.Add(host, registry.Store, registry, host, prover)
		return registry
	}}
}

// dialects are the ways of answering, as documented or measured.
func dialects() map[string]dialect {
	const azure, amazonHub = "tracebloc.azurecr.io", "public.ecr.aws"
	const amazon = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
	gitlab := func(badLogin int) dialect {
		return usual("registry.gitlab.com", "gitlab.com", func(store *registries.Store) *registries.Registry { return registries.NewGitLab(store, badLogin) })
	}
	public := func(badLogin int, hidden refusal) dialect { // there are no private images
		d := usual(amazonHub, amazonHub, func(store *registries.Store) *registries.Registry { return registries.NewECRPublic(store, badLogin) })
		d.dead, d.rightless, d.hidden, d.logins = refusal{}, refusal{}, hidden, 2
		return d
	}
	ecr := usual(amazon, amazon, func(store *registries.Store) *registries.Registry { return registries.NewECR(store, amazon) })
	ecr.dead, ecr.rightless = refusal{"forbidden", "if it has expired"}, refusal{"forbidden", "give the account the right to pull from that project"}
	ecr.hidden, ecr.logins = refusal{}, 2 // 403 for everything: what is wrong with the account cannot be told
	tokens := dialect{host: someHost, prover: someTokens, dead: rejected, rightless: refused, hidden: rejected, logins: 3}
	tokens.start = func(t *testing.T, s *harness.Scenario, _ dialect) *registries.Registry {
		return tokenRegistry(t, s, someHost)
	}
	hub, ghcr := tokens, tokens
	hub.host, hub.prover = "docker.io", hubTokens
	hub.start = func(_ *testing.T, s *harness.Scenario, _ dialect) *registries.Registry { return s.Site.DockerHub }
	ghcr.host, ghcr.prover = "ghcr.io", "ghcr.io"
	ghcr.start = func(_ *testing.T, s *harness.Scenario, _ dialect) *registries.Registry { return s.Site.GHCR }
	return map[string]dialect{
		"distribution, tokens": tokens, "docker.io": hub, "ghcr.io": ghcr, "Amazon": ecr,
		"a password file": {host: someHost, prover: someHost, dead: rejected, logins: 2, start: startBasic},
		"GitLab":          gitlab(http.StatusUnauthorized), "GitLab, older": gitlab(http.StatusForbidden),
		"Azure": usual(azure, azure, func(store *registries.Store) *registries.Registry { return registries.NewACR(store, azure) }),
		// Where 403 refuses; and 400, which proves nothing, and gives no token either.
		"Amazon, public":      public(http.StatusForbidden, rejected),
		"Amazon, public, 400": public(http.StatusBadRequest, refusal{"bad-response", "400 (DENIED) to pull secret "}),
	}
}

// startBasic puts up a registry with Basic authentication, for the one account that it has.
func startBasic(t *testing.T, s *harness.Scenario, d dialect) *registries.Registry {
	t.Helper()
	registry := registries.NewBasic(registries.NewStore(t.Context()))
	registry.AddAccount(puller.user, puller.password)
	s.Site.Add(d.host, registry.Store, registry, d.host)
	return nil
}

// I25, I59: a valid credential never looks dead, and a dead one always does, also before a public image, which pods could
// not pull with it either, in each registry's way of answering. After a rejection it is not asked with again.
func TestI25ValidAndDeadCredentialsByRegistry(t *testing.T) {
	t.Parallel()
	for name, d := range dialects() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			if registry := d.start(t, s, d); registry != nil {
				registry.SetPrivate("team/private", true)
				registry.AddAccount(puller.user, puller.password, "team/private")
				registry.AddAccount(rightlessPuller.user, rightlessPuller.password)
			}
			for name, l := range map[string]login{"valid": puller, "dead": deadPuller, "rightless": rightlessPuller} {
				mount(t, s, name, entries{d.host: l})
			}
			private, public := d.host+"/team/private:1", d.host+"/team/public:1"
			digest := s.Push(private, image("one"))
			pulls, fails := map[string]pull{"valid": {image: private, secrets: []string{"valid"}}}, map[string]refusal{}
			if d.dead != (refusal{}) {
				pulls["dead"], fails["dead"] = pull{image: private, secrets: []string{"dead"}}, d.dead
			}
			if d.rightless != (refusal{}) {
				pulls["rightless"], fails["rightless"] = pull{image: private, secrets: []string{"rightless"}}, d.rightless
			}
			if d.hidden != (refusal{}) {
				s.Push(public, image("one"))
				pulls["public"] = pull{image: public, secrets: []string{"valid"}}
				pulls["hidden"], fails["hidden"] = pull{image: public, secrets: []string{"dead"}}, d.hidden
			}
			watch(s, pulls)
			s.Forget()
			result := s.Tick()
			harness.RequireExit(t, 0, result)
			for target, p := range pulls {
				why, failing := fails[target]
				if !failing {
					requireTarget(t, result, target, digest, "")
					continue
				}
				secret := p.secrets[0]
				requireTarget(t, result, target, "", why.cause, why.says, s.Namespace+"/"+secret+" (account "+secret+"-puller, entry "+d.host+")")
				message := result.Report.Target(target).Message
				if secret == "dead" {
					assert.Contains(t, message, d.prover)
				}
				assert.Equal(t, why == rejected, strings.Contains(message, rejected.says), message)
				assert.Equal(t, 1, result.Report.Target(target).Failures)
			}
			assert.Empty(t, warnings(t, result), "nobody else looks dead, and what is counted is not said twice")
			assert.Equal(t, d.logins, logins(s, d.prover, deadPuller))
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
