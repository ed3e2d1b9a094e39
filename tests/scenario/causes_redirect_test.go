package scenario_test

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/pki"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// A registry may send its clients to another host, as those do whose blobs are elsewhere. It is followed, and no
// credential and no token goes along.
func TestNoCredentialFollowsARedirectToAnotherHost(t *testing.T) {
	t.Parallel()
	for name, match := range map[string]registries.Matcher{
		"ping":     registries.At(hubHost, registries.Ping),
		"token":    registries.At(hubTokens, registries.Token),
		"manifest": registries.At(hubHost, registries.Head),
		"index":    registries.At(hubHost, registries.Get),
		"config":   registries.At(hubHost, registries.Blob),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := runsTag(t, jobsManager)
			second := s.Push(jobsManager, registries.Image("second", "linux/amd64"))
			s.Configure("targets:\n" + targetOf("ingestor", jobsManager, entry("Deployment", "jobs", "api", "env: "+slot), "pullSecrets: [puller]"))
			hubAccount(t, s, "puller")
			s.Site.Front.Inject(registries.Fault{Match: match, Do: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
				http.Redirect(w, r, "https://"+cdnHost+r.URL.RequestURI(), http.StatusTemporaryRedirect)
			}})
			s.Site.Front.Handle(cdnHost, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if name == "ping" || name == "token" {
					s.Site.DockerHub.ServeHTTP(w, r)
					return
				}
				s.Site.DockerHub.Store.ServeHTTP(w, r) // whoever knows the address is served
			}))
			s.Forget()
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			assert.Equal(t, second, live(s))
			there := s.Site.Front.Calls(registries.At(cdnHost))
			assert.NotEmpty(t, there)
			for _, call := range there {
				assert.Empty(t, call.Scheme, "%s %s", call.Method, call.Path)
			}
			logins := s.Site.Front.Calls(func(c registries.Call) bool { return c.User == "puller" })
			if name == "ping" {
				assert.Empty(t, logins, "the token endpoint is another host's word")
				return
			}
			for _, call := range logins {
				assert.Equal(t, hubTokens, call.Host)
			}
			assert.NotEmpty(t, logins)
		})
	}
}

// A proxy that reads TLS is a matter of its authority: in SSL_CERT_FILE for everything, in caFile for one registry, its
// token endpoint included.
func TestAProxyThatReadsTLSAndIsTrusted(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"SSL_CERT_FILE", "caFile"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			s, _ := runsTag(t, jobsManager)
			authority, err := pki.NewAuthority("the company's proxy")
			require.NoError(t, err)
			file := filepath.Join(s.Dir, "company.crt")
			require.NoError(t, authority.WriteFile(file))
			second := s.Push(jobsManager, image("second"))
			config := "targets:\n" + targetOf("ingestor", jobsManager, entry("Deployment", "jobs", "api", "env: "+slot))
			if where == "caFile" {
				config = "registries: [{host: docker.io, caFile: " + file + "}]\n" + config
			} else {
				s.Setenv("SSL_CERT_FILE", file)
			}
			s.Configure(config)
			s.Site.Proxy.InterceptAs(authority)
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			assert.Equal(t, second, live(s))
		})
	}
}

// Nothing in the body of /v2/ is needed: a tick is none the worse for a page, half of one, or one without an end.
func TestWhatTheBodyOfV2SaysDoesNotMatter(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]faultinject.Action{
		"a login page":  faultinject.Reply(http.StatusOK, "<html>please log in</html>", "Content-Type", "text/html"),
		"half a body":   faultinject.Short(20),
		"a reset in it": faultinject.Truncate(20),
		"a gigabyte":    faultinject.Huge(1 << 30),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := onTag(t, jobsManager)
			s.Configure("targets:\n" + targetOf("ingestor", jobsManager, entry("Deployment", "jobs", "api", "env: "+slot)))
			s.Site.Front.Inject(registries.Fault{Match: registries.At(hubHost, registries.Ping), Do: do})
			requireOutcome(t, s.Tick(), 0, "unchanged", "")
		})
	}
}
