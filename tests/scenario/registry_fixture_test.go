package scenario_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// The hosts of docker.io, one to which registries redirect, as to where their blobs are, and a registry with tokens.
const (
	hubHost   = "registry-1.docker.io"
	hubTokens = "auth.docker.io"
	cdnHost   = "cdn.example.com"

	someHost    = "registry.example.com"
	someTokens  = "auth." + someHost
	somePrivate = someHost + "/team/private:1"
	somePublic  = someHost + "/team/public:1"
)

var (
	goodLogin = login{"good", "password-of-good"}
	deadLogin = login{"dead", "password-of-dead"}
)

// onTag makes a scenario in which a Deployment, scaled to zero, holds the digest that a tag means, was adopted, and is followed;
// further lines are the target's.
func onTag(t *testing.T, reference string, lines ...string) (s *harness.Scenario, digest string) {
	t.Helper()
	s = environment.Scenario(t)
	digest = s.Push(reference, image("first"))
	s.Deploy(adoptedJobs(digest, workloads.Replicas(0)))
	followTag(s, reference, lines...)
	s.Forget()
	return s, digest
}

// behindTag makes a scenario whose Deployment runs one image while its tag has moved to another.
func behindTag(t *testing.T, reference string, live, latest registries.Content, lines ...string) (*harness.Scenario, string, string) {
	t.Helper()
	s := environment.Scenario(t)
	before, after := s.Push(reference, live), s.Push(reference, latest)
	s.Deploy(adoptedJobs(before))
	followTag(s, reference, lines...)
	s.Forget()
	return s, before, after
}

func adoptedJobs(digest string, options ...workloads.Option) workloads.Object {
	return jobs(digest, append(options, workloads.Label(mark, label(digest)), workloads.Annotation(recorded, digest))...)
}

// followTag has the Deployment "jobs" follow a reference.
func followTag(s *harness.Scenario, reference string, lines ...string) {
	s.Configure("targets:\n" + targetOf("ingestor", reference, entry("Deployment", "jobs", "api", "env: "+slot), lines...))
}

// inject answers some requests otherwise, until it is removed.
func inject(s *harness.Scenario, match registries.Matcher, do faultinject.Action) (remove func()) {
	return s.Site.Front.Inject(registries.Fault{Match: match, Do: do})
}

// ofManifests are the requests for manifests.
func ofManifests(host string) registries.Matcher {
	return registries.At(host, registries.Head, registries.Get)
}

// ofDigest are the requests for a manifest by a digest.
func ofDigest(digest string) registries.Matcher {
	return func(c registries.Call) bool { return c.Reference == digest }
}

// asked counts the requests at one host: all of them, or those at one stage.
func asked(s *harness.Scenario, host string, stages ...registries.Stage) int {
	return len(s.Site.Front.Calls(registries.At(host, stages...)))
}

// redirect sends a client elsewhere, with its path.
func redirect(to string) faultinject.Action {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, to+r.URL.RequestURI(), http.StatusTemporaryRedirect)
	}
}

var loginPage = faultinject.Reply(http.StatusOK, "<html>please log in</html>", "Content-Type", "text/html")

// login is an account as a pull secret holds it.
type login struct{ user, password string }

// auth is the account as one value, as docker login writes it.
func (l login) auth() string {
	return base64.StdEncoding.EncodeToString([]byte(l.user + ":" + l.password))
}

// entries are what a pull secret holds, by registry.
type entries map[string]login

// config is a docker configuration of them.
func (e entries) config() string {
	auths := map[string]any{}
	for registry, l := range e {
		auths[registry] = map[string]string{"username": l.user, "password": l.password}
	}
	text, _ := json.Marshal(map[string]any{"auths": auths}) // of strings
	return string(text)
}

// mount puts a pull secret of the scenario's namespace where the chart would.
func mount(t *testing.T, s *harness.Scenario, name string, e entries) {
	t.Helper()
	mountFile(t, s, s.Namespace+"/"+name+"/.dockerconfigjson", e.config())
}

// mountFile puts any content there, and has the program look for it.
func mountFile(t *testing.T, s *harness.Scenario, name, content string) {
	t.Helper()
	secrets := filepath.Join(s.Dir, "pull-secrets")
	file := filepath.Join(secrets, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	s.Setenv("PULL_SECRETS_DIR", secrets)
}

// pull is an image that a CronJob of its own runs: a workload that has no pods to wait for.
type pull struct {
	image   string
	secrets []string // that the CronJob names
	own     []string // that the target names
	env     bool     // the CronJob has the digest in a variable, and another image
	bare    bool     // the target names no image: the CronJob's is followed
}

// watch deploys CronJobs and follows their images, each by a target with the CronJob's name; first are the configuration's first
// lines. Everything that is asked is logged.
func watch(s *harness.Scenario, pulls map[string]pull, first ...string) {
	config := strings.Join(append(first, "targets:\n"), "\n")
	for name, p := range pulls {
		options := []workloads.Option{workloads.Container("app", p.image)}
		slots := entry("CronJob", name, "app")
		if p.env {
			options = []workloads.Option{workloads.Container("app", "registry.invalid/app:1"), workloads.Env("app", slot, digestOf(name))}
			slots = entry("CronJob", name, "app", "env: "+slot)
		}
		for _, secret := range p.secrets {
			options = append(options, workloads.PullSecret(secret))
		}
		var lines []string
		if len(p.own) > 0 {
			lines = append(lines, fmt.Sprintf("pullSecrets: [%s]", strings.Join(p.own, ", ")))
		}
		followed := p.image
		if p.bare {
			followed = ""
		}
		config += targetOf(name, followed, slots, lines...)
		s.Create(workloads.CronJob(name, options...))
	}
	s.Configure(config)
	s.Setenv("LOG_LEVEL", "debug")
	s.Setenv("CONCURRENCY", "32")
}

// tokenRegistry puts up a registry with tokens, and its token endpoint at auth.HOST.
func tokenRegistry(t *testing.T, s *harness.Scenario, host string) *registries.Registry {
	t.Helper()
	registry := registries.NewTokenRegistry(registries.NewStore(t.Context()), "https://auth."+host+"/token")
	s.Site.Add(host, registry.Store, registry, host, "auth."+host)
	return registry
}

// someRegistry puts up a real registry with a private and a public image, of the same content, and an account for the private one.
func someRegistry(t *testing.T, s *harness.Scenario) (registry *registries.Registry, digest string) {
	t.Helper()
	registry = tokenRegistry(t, s, someHost)
	s.Push(somePrivate, image("first"))
	registry.SetPrivate("team/private", true)
	registry.AddAccount(goodLogin.user, goodLogin.password, "team/private")
	return registry, s.Push(somePublic, image("first"))
}

// hubAccount makes an account of docker.io, which may pull all that is public, and mounts the pull secret of its name.
func hubAccount(t *testing.T, s *harness.Scenario, user string) {
	t.Helper()
	password := "hunter2-of-" + user
	s.Site.DockerHub.AddAccount(user, password)
	mount(t, s, user, entries{"docker.io": {user, password}})
}

// requireTarget asserts that a target resolves to a digest or, where there is a cause, that it does not, and what its message says.
func requireTarget(t *testing.T, result *product.Result, name, digest, cause string, says ...string) {
	t.Helper()
	target := result.Report.Target(name)
	assert.Equal(t, cause, target.Cause, "%s: %s", name, target.Message)
	if cause == "" {
		assert.Equal(t, digest, target.Digest, name)
		assert.Zero(t, target.Failures, name)
		return
	}
	assert.Empty(t, target.Digest, name)
	requireSays(t, target.Message, says...)
}

// requireFailing asserts that a tick fails for a cause, below its threshold with exit code 0 and at it with 1.
func requireFailing(t *testing.T, result *product.Result, exit int, cause string, says ...string) {
	t.Helper()
	requireSays(t, requireOutcome(t, result, exit, []string{"skipped", "failed"}[exit], cause).Message, says...)
}

func requireSays(t *testing.T, message string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		assert.Contains(t, message, text)
	}
}

// requireUntouched asserts that the slot of the Deployment "jobs" was not written.
func requireUntouched(t *testing.T, s *harness.Scenario, digest string) {
	t.Helper()
	assert.Equal(t, digest, live(s), "the slot is untouched")
	assert.Empty(t, slotWrites(s, "deployments", "jobs"))
}

// logins counts the requests that carried an account's password to a host.
func logins(s *harness.Scenario, host string, l login) int {
	return len(s.Site.Front.Calls(func(c registries.Call) bool {
		return c.Host == host && c.Header.Get("Authorization") == "Basic "+l.auth()
	}))
}

// askers are the accounts whose tokens a repository was asked with, in order, each once; empty for nobody.
func askers(t *testing.T, s *harness.Scenario, repository string) []string {
	t.Helper()
	var users []string
	for _, call := range s.Site.Front.Calls(registries.Of(repository, registries.At("", registries.Head))) {
		parts := strings.Split(call.Header.Get("Authorization"), ".")
		require.Len(t, parts, 3, "a signed token")
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		require.NoError(t, err)
		var claims struct{ Sub string }
		require.NoError(t, json.Unmarshal(payload, &claims))
		users = append(users, claims.Sub)
	}
	return slices.Compact(users)
}

// warnings are the messages of a run with level WARN that a cause belongs to and no target, as CAUSE: MESSAGE. Those of a target
// are counted, these are said.
func warnings(t *testing.T, result *product.Result) []string {
	t.Helper()
	var found []string
	for line := range strings.Lines(result.Stderr) {
		var read struct{ Level, Msg, Cause, Target string }
		require.NoError(t, json.Unmarshal([]byte(line), &read), line)
		if read.Level == "WARN" && read.Cause != "" && read.Target == "" {
			found = append(found, read.Cause+": "+read.Msg)
		}
	}
	return found
}
