package scenario_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	oracle "github.com/google/go-containerregistry/pkg/crane"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// registryAnswer is what a registry says in its own way, and what becomes of it.
type registryAnswer struct {
	image   string // docker.io's jobs-manager where empty
	account bool   // asked for with an account of docker.io
	prepare func(t *testing.T, s *harness.Scenario)
	// cause and says are what is made of it; without a cause it resolves.
	cause, says string
	// craneResolves says why crane resolves what this program refuses.
	craneResolves string
}

// onHub answers at a stage of docker.io's flow.
func onHub(stage registries.Stage, do faultinject.Action) func(*testing.T, *harness.Scenario) {
	return func(_ *testing.T, s *harness.Scenario) {
		s.Site.Front.Inject(registries.Fault{Match: hubStage(stage), Do: do})
	}
}

func hubStage(stage registries.Stage) registries.Matcher {
	if stage == registries.Token {
		return registries.At(hubTokens, stage)
	}
	return registries.At(hubHost, stage)
}

// realm has docker.io name another token endpoint.
func realm(text string) func(*testing.T, *harness.Scenario) {
	return onHub(registries.Ping, faultinject.Reply(401, "", "WWW-Authenticate", `Bearer realm="`+text+`",service="registry.docker.io"`))
}

// withheld answers HEAD, which has no body, and GET with a status and an error of the registry's own.
func withheld(status int, code string) func(*testing.T, *harness.Scenario) {
	return func(_ *testing.T, s *harness.Scenario) {
		s.Site.Front.Inject(registries.Fault{
			Match: registries.At(hubHost, registries.Head, registries.Get), Do: faultinject.Reply(status, `{"errors":[{"code":"`+code+`","message":"no"}]}`),
		})
	}
}

// vanity is a name in front of docker.io's images under another path, as a path-rewriting proxy has it: the manifest's 401
// wants the scope of the repository behind it.
func vanity(_ *testing.T, s *harness.Scenario) {
	s.Site.Front.Handle("images.example.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.Replace(r.URL.Path, "/v2/app/", "/v2/tracebloc/jobs-manager/", 1)
		s.Site.DockerHub.ServeHTTP(w, r)
	}))
}

// elsewhere is a registry that asks nobody, and sends everybody to one that does.
func elsewhere(_ *testing.T, s *harness.Scenario) {
	s.Site.Front.Inject(registries.Fault{Match: registries.At(hubHost, registries.Head, registries.Get), Do: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, "https://"+cdnHost+r.URL.Path, http.StatusTemporaryRedirect)
	}})
	s.Site.Front.Handle(cdnHost, s.Site.DockerHub)
}

// inside is a registry that sends to an address inside, as those of a company do that have their storage there.
func inside(_ *testing.T, s *harness.Scenario) {
	address := s.Site.Front.TLSAddr()
	s.Site.Front.Handle(address, s.Site.DockerHub.Store)
	s.Site.Front.Inject(registries.Fault{Match: registries.At(hubHost, registries.Head, registries.Get), Do: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, "https://"+address+r.URL.Path, http.StatusTemporaryRedirect)
	}})
}

const page = "<html>not for you</html>"

// registryAnswers are answers of real registries, and of what stands before them.
func registryAnswers() map[string]registryAnswer {
	return map[string]registryAnswer{
		"as ever":                         {prepare: func(*testing.T, *harness.Scenario) {}},
		"as ever, to an account":          {account: true, prepare: func(*testing.T, *harness.Scenario) {}},
		"HEAD is not allowed":             {prepare: onHub(registries.Head, faultinject.Reply(405, ""))},
		"HEAD is not implemented":         {prepare: onHub(registries.Head, faultinject.Reply(501, ""))},
		"HEAD without a type":             {prepare: onHub(registries.Head, faultinject.Header("Content-Type"))},
		"HEAD without a length":           {prepare: onHub(registries.Head, faultinject.Header("Content-Length"))},
		"HEAD without a digest":           {prepare: onHub(registries.Head, faultinject.Header("Docker-Content-Digest"))},
		"HEAD with a digest that is none": {prepare: onHub(registries.Head, faultinject.Header("Docker-Content-Digest", "sha256:zz"))},
		"HEAD with another algorithm": {
			prepare:       onHub(registries.Head, faultinject.Header("Docker-Content-Digest", "sha512:"+strings.Repeat("a", 128))),
			craneResolves: "to what the header says, where this program computes the digest that it can write",
		},
		"/v2/ says 401 and not how":    {prepare: onHub(registries.Ping, faultinject.Reply(401, ""))},
		"/v2/ says 403":                {prepare: onHub(registries.Ping, faultinject.Reply(403, page))},
		"/v2/ says 404":                {prepare: onHub(registries.Ping, faultinject.Reply(404, page))},
		"/v2/ says 403, to an account": {account: true, prepare: onHub(registries.Ping, faultinject.Reply(403, page))},
		"another scope":                {image: "images.example.com/app:prod", prepare: vanity},
		"a challenge after a redirect": {prepare: elsewhere},
		"storage inside":               {prepare: inside},
		"several ways to ask": {account: true, prepare: onHub(registries.Ping, faultinject.Reply(401, "", "WWW-Authenticate", "Negotiate", "WWW-Authenticate", `Basic realm="x"`,
			"WWW-Authenticate", `Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`))},
		"half a challenge more": {prepare: onHub(registries.Ping, faultinject.Reply(401, "", "WWW-Authenticate",
			`Bearer realm="https://auth.docker.io/token",service="registry.docker.io", Basic realm="unterminated`))},
		"a token that is not valid yet": {prepare: func(_ *testing.T, s *harness.Scenario) {
			s.Site.Front.Inject(registries.Fault{Match: hubStage(registries.Head), Times: 1, Do: faultinject.Before(s.Site.DockerHub.RevokeTokens)})
		}},

		"a firewall's 403 for a token":    {account: true, prepare: onHub(registries.Token, faultinject.Reply(403, page, "Content-Type", "text/html")), cause: "forbidden", says: "and not as a registry does"},
		"a plain 403 for a token":         {account: true, prepare: onHub(registries.Token, faultinject.Reply(403, "blocked")), cause: "forbidden", says: "a geo block"},
		"402 for a token":                 {account: true, prepare: onHub(registries.Token, faultinject.Reply(402, "pay")), cause: "forbidden", says: "a bill that is due"},
		"a registry's 403 for a token":    {account: true, prepare: onHub(registries.Token, faultinject.Reply(403, `{"errors":[{"code":"DENIED"}]}`)), cause: "unauthorized", says: "was rejected by the token endpoint"},
		"401 for a manifest, and not how": {account: true, prepare: withheld(401, "UNAUTHORIZED"), cause: "unauthorized", says: "was refused to pull secret"},
		"a policy, 412":                   {prepare: withheld(412, "PROJECTPOLICYVIOLATION"), cause: "forbidden", says: "412 (PROJECTPOLICYVIOLATION), a policy of its own"},
		"a scan's 403":                    {prepare: withheld(403, "DENIED_BY_SCAN"), cause: "forbidden", says: "403 (DENIED_BY_SCAN)"},
		"gone":                            {prepare: withheld(410, "GONE"), cause: "not-found", says: "answered 410"},
		"locked":                          {prepare: withheld(423, "LOCKED"), cause: "forbidden", says: "423 (LOCKED)"},
		"for legal reasons":               {prepare: withheld(451, "LEGAL"), cause: "forbidden", says: "451 (LEGAL)"},
		"nothing there, to an account":    {account: true, prepare: withheld(404, "NAME_UNKNOWN"), cause: "not-found", says: "which some registries hide behind a 404"},

		"a realm in clear":           {account: true, prepare: realm("http://auth.docker.io/token"), cause: "bad-response", says: "X-Forwarded-Proto"},
		"a relative realm":           {account: true, prepare: realm("/token"), cause: "bad-response", says: "X-Forwarded-Proto"},
		"a realm without a scheme":   {account: true, prepare: realm("auth.docker.io/token"), cause: "bad-response", says: "X-Forwarded-Proto"},
		"a realm on this machine":    {account: true, prepare: realm("https://127.0.0.1/token"), cause: "bad-response", says: "on this machine"},
		"a realm beside the machine": {account: true, prepare: realm("https://169.254.169.254/latest"), cause: "bad-response", says: "named a token endpoint"},

		"a digest that no body has": {
			prepare: func(_ *testing.T, s *harness.Scenario) {
				s.Site.Front.Inject(registries.Fault{Match: registries.At(hubHost, registries.Head, registries.Get), Do: faultinject.Header("Docker-Content-Digest", "sha256:zz")})
			}, cause: "bad-response", says: "64 lowercase hex digits", craneResolves: "a digest that its registry spells otherwise is not believed",
		},
		"HEAD refused though GET is not": {
			prepare: onHub(registries.Head, faultinject.Reply(403, "")), cause: "forbidden", says: "403", craneResolves: "nodes ask by HEAD, and are refused",
		},
		"a login page": {
			prepare: func(_ *testing.T, s *harness.Scenario) {
				s.Site.Front.Inject(registries.Fault{Match: registries.At(hubHost, registries.Head, registries.Get), Do: faultinject.Reply(200, page, "Content-Type", "text/html")})
			}, cause: "bad-response", says: "no image manifest", craneResolves: "the digest of a page is no image's",
		},
	}
}

// Whatever crane resolves as the same account, the program resolves, or the row says why not; and what it does not
// resolve it says in its own terms. No account leaves for where it is not meant to go.
func TestAnswersOfRegistriesWithCraneBeside(t *testing.T) {
	t.Parallel()
	for name, row := range registryAnswers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			image := row.image
			if image == "" {
				image = jobsManager
			}
			digest := s.Push(jobsManager, registries.Index("one", "linux/amd64"))
			p, as := pull{image: image}, authn.Anonymous
			if row.account {
				hubAccount(t, s, "puller")
				p.secrets, as = []string{"puller"}, authn.FromConfig(authn.AuthConfig{Username: "puller", Password: "hunter2-of-puller"})
			}
			watch(s, map[string]pull{"ingestor": p})

			row.prepare(t, s)
			through, err := s.Site.Transport()
			require.NoError(t, err)
			api := strings.Replace(image, "docker.io/", hubHost+"/", 1) // which crane would call index.docker.io
			theirs, err := oracle.Digest(api, oracle.WithTransport(through), oracle.WithAuth(as), oracle.WithContext(t.Context()))
			if err == nil && row.craneResolves == "" {
				assert.Equal(t, digest, theirs)
				assert.Empty(t, row.cause, "crane resolves it")
			}
			assert.False(t, err != nil && row.craneResolves != "", "crane does not: %v", err)

			row.prepare(t, s)
			s.Forget()
			result := s.Run("plan")
			harness.RequireExit(t, 0, result)
			if row.cause == "" {
				requireResolved(t, result, "ingestor", digest)
			} else {
				target := result.Report.Target("ingestor")
				assert.Equal(t, row.cause, target.Cause, target.Message)
				assert.Contains(t, target.Message, row.says)
			}
			for _, call := range s.Site.Front.Calls(func(c registries.Call) bool { return c.User != "" }) {
				assert.True(t, call.TLS)
				assert.Equal(t, hubTokens, call.Host)
			}
		})
	}
}
