package scenario_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// severalScopes answers a token request for several repositories, and lets those for one pass.
func severalScopes(do faultinject.Action) faultinject.Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if len(r.URL.Query()["scope"]) > 1 {
			do(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// firstScope grants the first of several scopes alone, as some registries do.
func firstScope(w http.ResponseWriter, r *http.Request, next http.Handler) {
	query := r.URL.Query()
	query["scope"] = query["scope"][:1]
	r.URL.RawQuery = query.Encode()
	next.ServeHTTP(w, r)
}

// A registry that does not give one token for several images is asked for one each.
func TestOneTokenEachWhereARegistryWantsIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do            faultinject.Action
		tokens, heads int
	}{
		"400 to several":       {severalScopes(faultinject.Reply(400, "")), 1 + 3, 3},
		"401 to several":       {severalScopes(faultinject.Reply(401, "")), 1 + 3, 3},
		"403 to several":       {severalScopes(faultinject.Reply(403, "")), 1 + 3, 3},
		"404 to several":       {severalScopes(faultinject.Reply(404, "")), 1 + 3, 3},
		"500 to several":       {severalScopes(faultinject.Reply(500, "")), 3 + 3, 3},
		"502 to several":       {severalScopes(faultinject.Reply(502, "<html>")), 3 + 3, 3},
		"the first one alone":  {firstScope, 1 + 2, 3 + 2},
		"a 429 is not split":   {severalScopes(faultinject.Reply(429, "")), 1, 0},
		"no token for several": {severalScopes(faultinject.Reply(200, "{}")), 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fleet(t, 3, countedRegistries[:1])
			s.Site.Front.Inject(registries.Fault{Match: registries.At(hubTokens, registries.Token), Do: c.do})
			result := s.Tick()
			if c.heads > 0 {
				requireOutcomes(t, result, 0, "unchanged")
			} else {
				requireOutcomes(t, result, 0, "skipped")
			}
			assert.Equal(t, 1, asked(s, hubHost, registries.Ping))
			assert.Equal(t, c.tokens, asked(s, hubTokens, registries.Token))
			assert.Equal(t, c.heads, asked(s, hubHost, registries.Head))
		})
	}
}

// A token that was granted in part makes some registries answer 403 or 404 for the others' manifests: nothing is said of an
// image before it was asked for with a token of its own.
func TestWhatATokenForSeveralIsRefusedIsAskedForAlone(t *testing.T) {
	t.Parallel()
	for _, status := range []int{403, 404} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			s := fleet(t, 3, countedRegistries[:1])
			s.Site.Front.Inject(registries.Fault{Match: registries.At(hubTokens, registries.Token), Do: firstScope})
			s.Site.Front.Inject(registries.Fault{Match: registries.At(hubHost, registries.Head), Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				answer := httptest.NewRecorder()
				next.ServeHTTP(answer, r)
				if answer.Code == http.StatusUnauthorized {
					w.WriteHeader(status)
					return
				}
				next.ServeHTTP(w, r)
			}})
			requireOutcomes(t, s.Tick(), 0, "unchanged")
			assert.Equal(t, 1+2, asked(s, hubTokens, registries.Token))
			assert.Equal(t, 3+2, asked(s, hubHost, registries.Head))
		})
	}
}

// A token endpoint that is in trouble is not asked once for each image.
func TestATokenEndpointInTroubleIsAskedForOneMore(t *testing.T) {
	t.Parallel()
	s := fleet(t, 30, countedRegistries[:1])
	s.Site.Front.Inject(registries.Fault{Match: registries.At(hubTokens, registries.Token), Do: faultinject.Reply(503, "")})
	requireOutcomes(t, s.Tick(), 0, "skipped")
	assert.Equal(t, 3+3, asked(s, hubTokens, registries.Token), "each with its retries")
}

// Some registries give tokens for one image, and nothing without a scope or for several: an account that they refuse like
// that is none that is dead.
func TestARegistryThatTakesOneScopeAndNoOtherNumber(t *testing.T) {
	t.Parallel()
	s := fleet(t, 3, countedRegistries[:1], "pullSecrets: [puller]")
	hubAccount(t, s, "puller")
	s.Site.Front.Inject(registries.Fault{
		Match: func(c registries.Call) bool { return c.Stage == registries.Token && len(c.Scopes) != 1 }, Do: faultinject.Reply(401, ""),
	})
	requireOutcomes(t, s.Tick(), 0, "unchanged")
	assert.Equal(t, 3, asked(s, hubHost, registries.Head))
}

// ghcr.io gives no token at all where one of the images is not there: the others are not the worse for it.
func TestOneImageThatIsNotThereCostsTheOthersATokenEach(t *testing.T) {
	t.Parallel()
	s := fleet(t, 3, countedRegistries[1:2])
	s.Site.GHCR.SetPrivate("tracebloc/image-001", true)
	result := s.Tick()
	outcomeOf(t, result, "image-000", "jobs", "unchanged", "")
	outcomeOf(t, result, "image-001", "jobs", "skipped", "unauthorized")
	outcomeOf(t, result, "image-002", "jobs", "unchanged", "")
	assert.Equal(t, 1, asked(s, "ghcr.io", registries.Ping))
	assert.Equal(t, 1+3, asked(s, "ghcr.io", registries.Token))
	assert.Equal(t, 2, asked(s, "ghcr.io", registries.Head))
}

// A login that is refused, to what pods ask for as well as by itself, is used for nothing more, and nobody is asked in its
// place: pods could not pull.
func TestARejectedAccountIsNotAskedWithAgain(t *testing.T) {
	t.Parallel()
	s := fleet(t, 3, countedRegistries[:1], "pullSecrets: [puller]")
	hubAccount(t, s, "puller")
	s.Site.DockerHub.RemoveAccount("puller")
	for _, repository := range []string{"tracebloc/image-000", "tracebloc/image-001", "tracebloc/image-002"} {
		s.Site.DockerHub.SetPrivate(repository, true)
	}
	result := s.Tick()
	for _, target := range result.Report.Targets {
		assert.Equal(t, "unauthorized", target.Cause)
		assert.Contains(t, target.Message, "puller")
	}
	proofs, others := loginsOf(s, "puller")
	assert.Equal(t, 1, proofs)
	assert.Equal(t, 2, others, "the token that pods ask for, and one for a single image, which some registries want")
	assert.Equal(t, 1, asked(s, hubHost, registries.Ping))
	assert.Equal(t, 1+2, asked(s, hubTokens, registries.Token))
	assert.Zero(t, asked(s, hubHost, registries.Head))
}
