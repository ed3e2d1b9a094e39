package scenario_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// several answers a token request for several repositories, and lets those for one pass.
func several(do faultinject.Action) faultinject.Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if len(r.URL.Query()["scope"]) > 1 {
			do(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// notOne refuses a token request without a scope, or for several.
func notOne(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if len(r.URL.Query()["scope"]) != 1 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	next.ServeHTTP(w, r)
}

// firstScope grants the first of several scopes alone, as some registries do.
func firstScope(w http.ResponseWriter, r *http.Request, next http.Handler) {
	query := r.URL.Query()
	query["scope"] = query["scope"][:1]
	r.URL.RawQuery = query.Encode()
	next.ServeHTTP(w, r)
}

// insteadOf401 answers with another status where the server says 401.
func insteadOf401(status int) faultinject.Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		if answer.Code == http.StatusUnauthorized {
			w.WriteHeader(status)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// A registry that does not give one token for several images is asked for one each: nothing is said of an image before it was
// asked for with a token of its own.
func TestOneTokenEachWhereARegistryWantsIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		account       string // the pull secret, if there is one
		images        int
		token, head   faultinject.Action
		tokens, heads int
	}{
		"400 to several":      {"", 3, several(faultinject.Reply(400, "")), nil, 1 + 3, 3},
		"401 to several":      {"", 3, several(faultinject.Reply(401, "")), nil, 1 + 3, 3},
		"403 to several":      {"", 3, several(faultinject.Reply(403, "")), nil, 1 + 3, 3},
		"404 to several":      {"", 3, several(faultinject.Reply(404, "")), nil, 1 + 3, 3},
		"500 to several":      {"", 3, several(faultinject.Reply(500, "")), nil, 3 + 3, 3},
		"the first one alone": {"", 3, firstScope, nil, 1 + 2, 3 + 2},
		// An account that is refused by itself is none that is dead.
		"401 to none or several": {"puller", 3, notOne, nil, 1 + 1 + 3, 3},
		// Some answer so for what a token was not granted for.
		"the first one, or 403": {"", 3, firstScope, insteadOf401(403), 1 + 2, 3 + 2},
		"the first one, or 404": {"", 3, firstScope, insteadOf401(404), 1 + 2, 3 + 2},

		"a 429 is not split":               {"", 3, several(faultinject.Reply(429, "")), nil, 1, 0},
		"no token for several":             {"", 3, several(faultinject.Reply(200, "{}")), nil, 1, 0},
		"trouble is asked about once more": {"", 30, faultinject.Reply(503, ""), nil, 3 + 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fleet(t, c.images, []counted{hub}, "pullSecrets: ["+c.account+"]")
			hubAccount(t, s, "puller")
			inject(s, registries.At(hubTokens, registries.Token), c.token)
			if c.head != nil {
				inject(s, registries.At(hubHost, registries.Head), c.head)
			}
			outcome := "unchanged"
			if c.heads == 0 {
				outcome = "skipped"
			}
			requireOutcomes(t, s.Tick(), 0, outcome)
			assert.Equal(t, 1, asked(s, hubHost, registries.Ping))
			assert.Equal(t, c.tokens, asked(s, hubTokens, registries.Token))
			assert.Equal(t, c.heads, asked(s, hubHost, registries.Head))
		})
	}
}

// ghcr.io gives no token at all where one of the images is not there: the others are not the worse for it.
func TestOneImageThatIsNotThereCostsTheOthersATokenEach(t *testing.T) {
	t.Parallel()
	s := fleet(t, 3, []counted{ghcr})
	s.Site.GHCR.SetPrivate("tracebloc/image-001", true)
	result := s.Tick()
	outcomeOf(t, result, "image-000", "jobs", "unchanged", "")
	outcomeOf(t, result, "image-001", "jobs", "skipped", "unauthorized")
	outcomeOf(t, result, "image-002", "jobs", "unchanged", "")
	assert.Equal(t, 1, asked(s, "ghcr.io", registries.Ping))
	assert.Equal(t, 1+3, asked(s, "ghcr.io", registries.Token))
	assert.Equal(t, 2, asked(s, "ghcr.io", registries.Head))
}
