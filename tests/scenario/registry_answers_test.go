package scenario_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// answered is what a registry says in its own way, though it has the tag: at a stage, to an account or to nobody.
type answered struct {
	match   registries.Matcher
	do      faultinject.Action
	account bool
}

// registryAnswers are answers of real registries, and of what stands before them.
func registryAnswers(s *harness.Scenario) map[string]answered {
	const page, hub = "<html>not for you</html>", `Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`
	ping, token := registries.At(hubHost, registries.Ping), registries.At(hubTokens, registries.Token)
	head, get, manifest := registries.At(hubHost, registries.Head), registries.At(hubHost, registries.Get), ofManifests(hubHost)
	reply, header, elsewhere := faultinject.Reply, faultinject.Header, redirect("https://"+cdnHost)
	const ask = "WWW-Authenticate"
	return map[string]answered{
		"as ever":                         {manifest, faultinject.Delay(0), false},
		"HEAD is not allowed":             {head, reply(405, ""), false},
		"HEAD is not implemented":         {head, reply(501, ""), false},
		"HEAD without a type":             {head, header("Content-Type"), false},
		"HEAD without a length":           {head, header("Content-Length"), false},
		"HEAD without a digest":           {head, header("Docker-Content-Digest"), false},
		"HEAD with a digest that is none": {head, header("Docker-Content-Digest", "sha256:zz"), false},
		"no digest at all":                {manifest, header("Docker-Content-Digest"), false},
		"an OCI index as a docker list":   {manifest, header("Content-Type", string(types.DockerManifestList)), false},
		"a gzip that nobody asked for":    {get, zipped, false},
		"another scope":                   {manifest, behind(s), false},
		"a challenge after a redirect":    {manifest, redirect("https://other.example.com"), false},
		"storage inside":                  {manifest, redirect("https://" + s.Site.Front.TLSAddr()), true},
		"a token that is not valid yet":   {head, faultinject.Before(sync.OnceFunc(s.Site.DockerHub.RevokeTokens)), false},
		"/v2/ says 401 and not how":       {ping, reply(401, ""), false},
		"/v2/ says 404":                   {ping, reply(404, page), false},
		"/v2/ is a login page":            {ping, loginPage, false},
		"/v2/ is half a body":             {ping, faultinject.Short(20), false},
		"/v2/ is cut off":                 {ping, faultinject.Truncate(20), false},
		"/v2/ is a gigabyte":              {ping, faultinject.Huge(1 << 30), false},
		"half a challenge more":           {ping, reply(401, "", ask, hub+`, Basic realm="unterminated`), false},
		"several ways to ask":             {ping, reply(401, "", ask, "Negotiate", ask, `Basic realm="x"`, ask, hub), true},
		"/v2/ says 403, to an account":    {ping, reply(403, page), true},
		"/v2/ is elsewhere":               {ping, redirect("https://other.example.com"), true},
		"tokens are elsewhere":            {token, redirect("https://other.example.com"), true},
		"the tag is elsewhere":            {head, elsewhere, true},
		"manifests are elsewhere":         {get, elsewhere, true},
		"configurations are elsewhere":    {registries.At(hubHost, registries.Blob), elsewhere, true},
	}
}

// behind is a path-rewriting proxy before the registry: the manifest's 401 wants the scope of the repository behind it.
func behind(s *harness.Scenario) faultinject.Action {
	s.Push("docker.io/behind/jobs-manager:prod", image("second"))
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.URL.Path = strings.Replace(r.URL.Path, "/v2/tracebloc/", "/v2/behind/", 1)
		next.ServeHTTP(w, r)
	}
}

// zipped answers as ever, in a gzip.
func zipped(w http.ResponseWriter, r *http.Request, next http.Handler) {
	w.Header().Set("Content-Encoding", "gzip")
	faultinject.Edit(func(body []byte) []byte {
		var folded bytes.Buffer
		into := gzip.NewWriter(&folded)
		_, _ = into.Write(body) // into memory
		_ = into.Close()
		return folded.Bytes()
	})(w, r, next)
}

// A registry that answers in its own way is understood. No account leaves for where it is not meant to go, and no token follows a
// redirect to another host.
func TestAnswersThatResolve(t *testing.T) {
	t.Parallel()
	for name := range registryAnswers(environment.Scenario(t)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := onTag(t, jobsManager)
			row := registryAnswers(s)[name]
			digest := s.Push(jobsManager, image("second"))
			if name == "configurations are elsewhere" {
				digest = s.Push(jobsManager, registries.Image("second", "linux/amd64"))
			}
			s.Site.Front.Handle("other.example.com", s.Site.DockerHub)
			s.Site.Front.Handle(s.Site.Front.TLSAddr(), s.Site.DockerHub.Store)
			s.Site.Front.Handle(cdnHost, s.Site.DockerHub.Store) // whoever knows the address is served
			if row.account {
				hubAccount(t, s, "puller")
				followTag(s, jobsManager, "pullSecrets: [puller]")
			}
			inject(s, row.match, row.do)
			s.Forget()
			requireTarget(t, s.Tick(), "ingestor", digest, "")
			assert.Equal(t, digest, live(s))
			elsewhere := s.Site.Front.Calls(func(c registries.Call) bool { return c.Host != hubHost && c.Host != hubTokens })
			assert.True(t, len(elsewhere) > 0 || !strings.HasSuffix(name, " elsewhere"))
			for _, call := range elsewhere {
				assert.True(t, call.Scheme == "" || !row.account, "%s %s%s", call.Method, call.Host, call.Path)
			}
			logins := s.Site.Front.Calls(func(c registries.Call) bool { return c.User != "" })
			assert.Equal(t, row.account && name != "/v2/ is elsewhere", len(logins) > 0, "none where another host names the token endpoint")
			for _, call := range logins {
				assert.True(t, call.TLS)
				assert.Equal(t, hubTokens, call.Host)
			}
		})
	}
}

// I21: a proxy dropped repeated Accept headers, and changed the case of header names.
func TestI21AProxyThatDropsAndRecasesHeaders(t *testing.T) {
	t.Parallel()
	s, _, moved := behindTag(t, ingestor, image("first"), registries.Index("second", "linux/amd64", "linux/arm64"))
	s.Site.Proxy.Intercept(true)
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", moved, 2)
	for _, call := range s.Site.Front.Calls(ofManifests("ghcr.io")) {
		assert.Len(t, call.Accept, 1, "one Accept value")
	}
}

// I47: a registry's error text with newlines and escape codes forged log lines and filled an annotation.
func TestI47ForeignTextIsCutAndCleaned(t *testing.T) {
	t.Parallel()
	s, _ := onTag(t, ingestor, "resolveFailureThreshold: 1")
	inject(s, registries.At("ghcr.io", registries.Head, registries.Get, registries.Token), faultinject.Reply(403,
		`{"errors":[{"code":"DENIED\n{\"level\":\"FORGED\"}\u001b[31m","message":"`+strings.Repeat("x", 5000)+`"}]}`))
	result := s.Tick()
	requireOutcome(t, result, 1, "failed", "forbidden")
	for line := range strings.Lines(result.Stderr) {
		assert.True(t, strings.HasPrefix(line, `{"time":`), "a forged line: %s", line)
	}
	text := s.Deployment("jobs").Annotations[lastError]
	assert.NotEmpty(t, text)
	assert.NotContains(t, text, "\n")
	assert.NotContains(t, text, "\x1b")
	assert.Less(t, len(text), 1500)
}

// A registry that goes away in the middle of a request (a rolling update of its own, a load balancer) is asked again.
func TestARegistryThatGoesAwayInMidRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path        string
		leaves      int
		cause, says string
	}{
		"once, at the ping":     {"/v2/", 1, "", ""},
		"once, at the manifest": {"/v2/tracebloc/ingestor/manifests/0.3", 1, "", ""},
		"each time":             {"/v2/tracebloc/ingestor/manifests/0.3", 1000, "connection-refused", "cut the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			store := registries.NewStore(t.Context())
			address, err := registries.NewLeaver(t.Context(), s.Site.Authority, store, c.path, c.leaves)
			require.NoError(t, err)
			s.Site.Add(address, store, store)
			digest := s.Push(address+"/tracebloc/ingestor:0.3", image("one"))
			watch(s, map[string]pull{"ingestor": {image: address + "/tracebloc/ingestor:0.3"}})
			requireTarget(t, s.Run("plan"), "ingestor", digest, c.cause, c.says)
		})
	}
}
