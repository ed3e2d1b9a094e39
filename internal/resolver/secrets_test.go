package resolver_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// secrets mounts pull secrets, NAMESPACE/NAME to content.
func (w *world) secrets(files map[string]string) func(*resolver.Options) {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, content := range files {
		require.NoError(w.t, os.MkdirAll(filepath.Join(dir, name), 0o750))
		require.NoError(w.t, os.WriteFile(filepath.Join(dir, name, ".dockerconfigjson"), []byte(content), 0o600))
	}
	return func(o *resolver.Options) { o.PullSecretsDir = dir }
}

// How registries answer to an account, each in its way: a valid one never looks dead, a dead one always does where
// the registry tells.
func TestProofs_I25(t *testing.T) {
	t.Parallel()
	const host = "registry.example.com"
	for name, c := range map[string]struct {
		serve func(w *world, g *registry) // under host
		valid resolver.ProofState
		dead  resolver.ProofState
		cause fault.Cause // of a private image with a dead account
	}{
		"docker hub: 401":      {tokenServer((*registry).tokens), resolver.Proven, resolver.Rejected, fault.Unauthorized},
		"ghcr, gitlab: 403":    {tokenServer((*registry).ghcrTokens), resolver.Proven, resolver.Rejected, fault.Unauthorized},
		"htpasswd: basic":      {func(w *world, g *registry) { g.basic = true; w.serve(host, g.ServeHTTP) }, resolver.Proven, resolver.Rejected, fault.Unauthorized},
		"no challenge":         {func(w *world, g *registry) { g.realm = ""; w.serve(host, g.ServeHTTP) }, resolver.Unproven, resolver.Unproven, fault.None},
		"scopeless 400":        {scopeless(400), resolver.Unproven, resolver.Unproven, fault.Unauthorized},
		"scopeless 404":        {scopeless(404), resolver.Unproven, resolver.Unproven, fault.Unauthorized},
		"scopeless 429":        {scopeless(429), resolver.Unproven, resolver.Unproven, fault.Unauthorized},
		"scopeless 500":        {scopeless(500), resolver.Unproven, resolver.Unproven, fault.Unauthorized},
		"scopeless hangs up":   {scopeless(-1), resolver.Unproven, resolver.Unproven, fault.Unauthorized},
		"basic, ping says 403": {pingForbids, resolver.Unproven, resolver.Unproven, fault.Forbidden},
	} {
		for _, dead := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", dead", false: ", valid"}[dead], func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				g := newRegistry("https://" + host + "/token")
				g.accounts["me"] = "password-good"
				g.public = func(string) bool { return false }
				digest := g.index("t/i", "1", "a", "linux/amd64")
				c.serve(w, g)
				password, want := "password-good", c.valid
				if dead {
					password, want = "password-dead", c.dead
				}
				r := w.resolver(w.secrets(map[string]string{"ns/pull": secret(host, "me", password)}))
				answer := r.Resolve(t.Context(), []resolver.Query{query(t, host+"/t/i:1", "ns/pull")})[0]
				report := r.Report()
				require.Len(t, report, 1)
				assert.Nil(t, report[0].Failure)
				require.Len(t, report[0].Proofs, 1)
				assert.Equal(t, want, report[0].Proofs[0].State)
				assert.Equal(t, want == resolver.Rejected, report[0].Proofs[0].Failure != nil)
				if dead && c.cause != fault.None {
					require.NotNil(t, answer.Failure)
					assert.Equal(t, c.cause, answer.Failure.Cause, answer.Failure.Message)
					assert.Contains(t, answer.Failure.Message, "ns/pull (account me, entry registry.example.com)")
				} else if name != "basic, ping says 403" {
					require.Nil(t, answer.Failure)
					assert.Equal(t, digest, answer.Digest)
				}
				if want == resolver.Rejected {
					assert.Equal(t, 1, w.logins("me", password), "not asked with again after the rejection")
				}
				w.assertSecret(t, answer, password)
			})
		}
	}
}

const tokenPath = "/token"

func tokenServer(tokens func(*registry, http.ResponseWriter, *http.Request)) func(*world, *registry) {
	return func(w *world, g *registry) {
		w.serve("registry.example.com", func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == tokenPath {
				tokens(g, rw, r)
				return
			}
			g.ServeHTTP(rw, r)
		})
	}
}

// scopeless is a token endpoint that cannot be asked without a scope.
func scopeless(status int) func(*world, *registry) {
	return tokenServer(func(g *registry, rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Has("scope"):
			g.tokens(rw, r)
		case status < 0:
			panic(http.ErrAbortHandler)
		default:
			refuse(rw, status, "NO", "no scope")
		}
	})
}

// pingForbids is a Basic registry that answers an account on /v2/ with 403.
func pingForbids(w *world, g *registry) {
	g.basic = true
	w.serve("registry.example.com", func(rw http.ResponseWriter, r *http.Request) {
		if _, _, given := r.BasicAuth(); given {
			refuse(rw, 403, "DENIED", "no")
			return
		}
		g.ServeHTTP(rw, r)
	})
}

// Every match is tried, in the kubelet's order, and each is proved, once (I42).
func TestEveryMatchIsTried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.harbor()
	h.robot("robot$other", "good", "other")
	h.robot("robot$private", "good", "private")
	digest := h.index("private/app", "1", "a", "linux/amd64")
	files := map[string]string{
		"ns/dead": secret(harborHost, "robot$dead", "bad"), "ns/other": secret(harborHost, "robot$other", "good"),
		"ns/private": secret(harborHost, "robot$private", "good"), "ns/last": secret(harborHost, "robot$last", "bad"),
	}
	q := query(t, harborHost+"/private/app:1", "ns/dead", "ns/other", "ns/private", "ns/last")
	answer := w.resolver(w.secrets(files)).Resolve(t.Context(), []resolver.Query{q})[0]
	require.Nil(t, answer.Failure)
	assert.Equal(t, digest, answer.Digest)
	require.Len(t, answer.Warnings, 2, "the dead one before, and the dead one behind that was not needed")
	assert.Contains(t, answer.Warnings[0].Message, "ns/dead")
	assert.Contains(t, answer.Warnings[1].Message, "ns/last")
	for _, robot := range []string{"robot$dead", "robot$last"} {
		assert.Equal(t, 1, w.logins(robot, "bad"))
	}
}

// A credential that is accepted and has no right is never given up for nobody.
func TestNeverAnonymousAfterAMatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newRegistry("")
	g.basic, g.accounts["me"] = true, "good"
	g.index("t/i", "1", "a", "linux/amd64")
	var nobody atomic.Int32
	w.serve("registry.example.com", func(rw http.ResponseWriter, r *http.Request) {
		_, _, given := r.BasicAuth()
		switch {
		case r.URL.Path == "/v2/":
			g.ServeHTTP(rw, r)
		case given:
			refuse(rw, 403, "DENIED", "no")
		default:
			nobody.Add(1)
			g.ServeHTTP(rw, r)
		}
	})
	r := w.resolver(w.secrets(map[string]string{"ns/pull": secret("registry.example.com", "me", "good")}))
	answer := r.Resolve(t.Context(), []resolver.Query{query(t, "registry.example.com/t/i:1", "ns/pull")})[0]
	assert.Equal(t, fault.Forbidden, answer.Failure.Cause)
	assert.Zero(t, nobody.Load())
}

// A secret that is named and not there is said each tick, resolves or not; it is the cause where the image is
// refused without it.
func TestMissingSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.ghcr()
	g.public = func(repository string) bool { return repository == "t/public" }
	g.index("t/public", "1", "a", "linux/amd64")
	g.index("t/private", "1", "a", "linux/amd64")
	r := w.resolver(w.secrets(map[string]string{"ns/quay": secret("quay.io", "me", "x")}))
	answers := r.Resolve(t.Context(), []resolver.Query{
		query(t, "ghcr.io/t/public:1", "ns/absent"), query(t, "ghcr.io/t/private:1", "ns/absent"), query(t, "ghcr.io/t/private:1", "ns/quay"), query(t, "ghcr.io/t/private:1"),
	})
	for _, answer := range answers[:2] {
		require.Len(t, answer.Warnings, 1)
		assert.Equal(t, fault.CredentialMissing, answer.Warnings[0].Cause)
		assert.Contains(t, answer.Warnings[0].Message, "pull secret ns/absent is not mounted; create it where it is missing, and mount it here")
	}
	assert.Nil(t, answers[0].Failure)
	assert.Equal(t, fault.CredentialMissing, answers[1].Failure.Cause)
	assert.Contains(t, answers[1].Failure.Message, "pull secret ns/absent is not mounted")
	assert.Equal(t, fault.Unauthorized, answers[2].Failure.Cause)
	assert.Contains(t, answers[2].Failure.Message, "none of the pull secrets named (ns/quay) has an entry for ghcr.io/t/private")
	assert.Equal(t, fault.Unauthorized, answers[3].Failure.Cause)
	assert.Contains(t, answers[3].Failure.Message, "name a pull secret for it")
}

func TestDockerConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.ghcr()
	g.accounts["me"] = "good"
	g.public = func(string) bool { return false }
	digest := g.index("t/private", "1", "a", "linux/amd64")
	dir := t.TempDir()
	write := func(config map[string]any) func(*resolver.Options) {
		text, err := json.Marshal(config)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600))
		return func(o *resolver.Options) { o.DockerConfig = dir }
	}
	auths := map[string]any{"ghcr.io": map[string]string{"auth": "bWU6Z29vZA=="}}
	assert.Equal(t, digest, w.one("ghcr.io/t/private:1", write(map[string]any{"auths": auths})).Digest)
	answer := w.one("ghcr.io/t/private:1", write(map[string]any{"credsStore": "desktop"}))
	assert.Contains(t, answer.Failure.Message, "helper program")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte("hunter2"), 0o600))
	answer = w.one("ghcr.io/t/private:1", func(o *resolver.Options) { o.DockerConfig = dir })
	assert.Equal(t, fault.CredentialMissing, answer.Failure.Cause)
	assert.Contains(t, answer.Failure.Message, "the DOCKER_CONFIG file is no docker configuration")
	auths["ghcr.io"] = map[string]string{"username": "me", "password": "wrong-password"}
	answer = w.one("ghcr.io/t/private:1", write(map[string]any{"auths": auths}))
	assert.Contains(t, answer.Failure.Message, "DOCKER_CONFIG's entry (account me, entry ghcr.io) was rejected")
	w.assertSecret(t, answer, "wrong-password")
}

// A registry that grants one scope of several, or refuses several at all, is asked for one each.
func TestOneTokenEachWhereARegistryGrantsLess(t *testing.T) {
	t.Parallel()
	for name, tokens := range map[string]func(g *registry, rw http.ResponseWriter, r *http.Request){
		"only the first": (*registry).tokens,
		"400":            several(400), "401": several(401), "403": several(403), "414": several(414),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			g := newRegistry("https://registry.example.com/token")
			g.accounts["me"] = "good"
			g.public = func(string) bool { return false }
			g.oneScope = name == "only the first"
			tokenServer(tokens)(w, g)
			var queries []resolver.Query
			for _, repository := range []string{"t/a", "t/b", "t/c"} {
				g.index(repository, "1", repository, "linux/amd64")
				queries = append(queries, query(t, "registry.example.com/"+repository+":1", "ns/pull"))
			}
			r := w.resolver(w.secrets(map[string]string{"ns/pull": secret("registry.example.com", "me", "good")}))
			for _, answer := range r.Resolve(t.Context(), queries) {
				assert.Nil(t, answer.Failure)
				assert.Empty(t, answer.Warnings, "a valid credential never looks dead")
			}
			each := 3
			if name == "only the first" {
				each = 2
			}
			assert.Equal(t, 1+1+each, w.count(tokenPath), "a proof, one for all, one each")
		})
	}
}

// Where the token endpoint cannot be reached at all, it is not asked once for each image.
func TestATokenEndpointThatIsBlockedIsAskedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dockerHub()
	w.refuse[authHost] = 403
	r := w.resolver()
	for _, answer := range r.Resolve(t.Context(), []resolver.Query{query(t, "t/a:1"), query(t, "t/b:1"), query(t, "t/c:1")}) {
		assert.Equal(t, fault.Proxy, answer.Failure.Cause)
	}
	assert.Equal(t, 1, w.opened[authHost])
}

// A token endpoint that accepts an account and refuses it the image says that the account lacks something.
func TestATokenRefusedToAProvenAccount(t *testing.T) {
	t.Parallel()
	for _, code := range []int{401, 403} {
		w := newWorld(t)
		g := newRegistry("https://registry.example.com/token")
		g.accounts["me"] = "good"
		tokenServer(func(g *registry, rw http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("scope") {
				refuse(rw, code, "DENIED", "no")
				return
			}
			g.tokens(rw, r)
		})(w, g)
		r := w.resolver(w.secrets(map[string]string{"ns/pull": secret("registry.example.com", "me", "good")}))
		answer := r.Resolve(t.Context(), []resolver.Query{query(t, "registry.example.com/t/i:1", "ns/pull")})[0]
		assert.Equal(t, fault.Unauthorized, answer.Failure.Cause)
		assert.Equal(t, fault.StageToken, answer.Failure.Stage)
		assert.Contains(t, answer.Failure.Message, "was refused to pull secret ns/pull (account me, entry registry.example.com) by the token endpoint registry.example.com with")
		assert.Empty(t, answer.Warnings)
		assert.Equal(t, resolver.Proven, r.Report()[0].Proofs[0].State)
	}
}

func several(status int) func(g *registry, rw http.ResponseWriter, r *http.Request) {
	return func(g *registry, rw http.ResponseWriter, r *http.Request) {
		if len(r.URL.Query()["scope"]) > 1 {
			refuse(rw, status, "NO", "one at a time")
			return
		}
		g.tokens(rw, r)
	}
}

// One account in two secrets is one account: proved once, asked once.
func TestOneAccountInTwoSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.harbor()
	h.robot("robot$private", "good", "private")
	h.index("private/app", "1", "a", "linux/amd64")
	same := secret(harborHost, "robot$private", "good")
	r := w.resolver(w.secrets(map[string]string{"one/pull": same, "two/pull": same}))
	answers := r.Resolve(t.Context(), []resolver.Query{
		query(t, harborHost+"/private/app:1", "one/pull"), query(t, harborHost+"/private/app:1", "two/pull"),
	})
	assert.Equal(t, answers[0], answers[1])
	assert.Equal(t, []string{"GET harbor.example.com/service/token", "GET harbor.example.com/service/token", "GET harbor.example.com/v2/", "HEAD harbor.example.com/v2/private/app/manifests/1"}, sorted(w.asked()))
	report := r.Report()
	require.Len(t, report, 1)
	assert.Equal(t, "bearer", report[0].Challenge)
	assert.Equal(t, harborHost, report[0].TokenHost)
	require.Len(t, report[0].Proofs, 2)
	assert.Equal(t, credential.Name{Namespace: "one", Name: "pull"}, report[0].Proofs[0].Source)
}

// A registry that shows no challenge on /v2/ and one on the manifest is answered there.
func TestLateChallenge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newRegistry("https://registry.example.com/token")
	g.accounts["me"] = "good"
	g.public = func(string) bool { return false }
	digest := g.index("t/i", "1", "a", "linux/amd64")
	w.serve("registry.example.com", func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2/":
		case tokenPath:
			g.tokens(rw, r)
		default:
			g.ServeHTTP(rw, r)
		}
	})
	g.index("t/j", "1", "b", "linux/amd64")
	one := func(o *resolver.Options) { o.Concurrency = 1 }
	r := w.resolver(one, w.secrets(map[string]string{"ns/pull": secret("registry.example.com", "me", "good")}))
	answers := r.Resolve(t.Context(), []resolver.Query{query(t, "registry.example.com/t/i:1", "ns/pull"), query(t, "registry.example.com/t/j:1", "ns/pull")})
	require.Nil(t, answers[0].Failure)
	require.Nil(t, answers[1].Failure)
	assert.Equal(t, digest, answers[0].Digest)
	assert.Equal(t, 3, w.count("HEAD "), "only the first image is asked for in vain")
	assert.Equal(t, "bearer", r.Report()[0].Challenge)
}

// A token that has run out is asked for anew, once.
func TestTokensRunOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newRegistry("https://registry.example.com/token")
	tokenServer(func(_ *registry, rw http.ResponseWriter, r *http.Request) {
		rec := &capture{ResponseWriter: rw}
		g.tokens(rec, r)
		_, _ = rw.Write([]byte(strings.Replace(string(rec.body), `"expires_in":300`, `"expires_in":1e-9`, 1)))
	})(w, g)
	digest := g.index("t/i", "1", "a", "linux/amd64")
	r := w.resolver()
	q := query(t, "registry.example.com/t/i:1")
	answer := r.Resolve(t.Context(), []resolver.Query{q})[0]
	require.Nil(t, answer.Failure)
	_, err := r.Inspect(t.Context(), q, digest)
	require.NoError(t, err)
	assert.Equal(t, 2, w.count(tokenPath))
}

type capture struct {
	http.ResponseWriter
	body []byte
}

func (c *capture) Write(p []byte) (int, error) {
	c.body = append(c.body, p...)
	return len(p), nil
}

// A proof that another host answers proves nothing: the credential was not sent there.
func TestAProofThatIsRedirectedProvesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := newRegistry("https://registry.example.com/token")
	g.accounts["me"] = "good"
	w.serve("login.example.com", status(401))
	tokenServer(func(g *registry, rw http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("scope") {
			to("https://login.example.com/")(rw, r)
			return
		}
		g.tokens(rw, r)
	})(w, g)
	digest := g.index("t/i", "1", "a", "linux/amd64")
	r := w.resolver(w.secrets(map[string]string{"ns/pull": secret("registry.example.com", "me", "good")}))
	answer := r.Resolve(t.Context(), []resolver.Query{query(t, "registry.example.com/t/i:1", "ns/pull")})[0]
	require.Nil(t, answer.Failure)
	assert.Equal(t, digest, answer.Digest)
	assert.Empty(t, answer.Warnings)
	assert.Equal(t, resolver.Unproven, r.Report()[0].Proofs[0].State)
	for _, request := range w.seen() {
		if request.Host == "login.example.com" {
			assert.Empty(t, request.Authorization)
		}
	}
}

// A registry that answers nobody at all is not lacking a secret.
func TestAForbiddenNetworkIsNoMissingSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve("ghcr.io", status(403))
	answer := w.resolver().Resolve(t.Context(), []resolver.Query{query(t, "ghcr.io/t/i:1", "ns/absent")})[0]
	assert.Equal(t, fault.Forbidden, answer.Failure.Cause)
	assert.Equal(t, fault.StagePing, answer.Failure.Stage)
	require.Len(t, answer.Warnings, 1)
	assert.Equal(t, fault.CredentialMissing, answer.Warnings[0].Cause)
}
