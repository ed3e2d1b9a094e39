package scenario_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// login is an account as a pull secret holds it.
type login struct{ user, password string }

// auth is the account as one value, as docker login writes it.
func (l login) auth() string {
	return base64.StdEncoding.EncodeToString([]byte(l.user + ":" + l.password))
}

// entries are what a pull secret holds, by registry.
type entries map[string]login

func (e entries) auths() map[string]any {
	auths := map[string]any{}
	for registry, l := range e {
		auths[registry] = map[string]string{"username": l.user, "password": l.password}
	}
	return auths
}

// mount puts a pull secret of the scenario's namespace where the chart would.
func mount(t *testing.T, s *harness.Scenario, name string, e entries) {
	t.Helper()
	mountFile(t, s, s.Namespace+"/"+name+"/.dockerconfigjson", map[string]any{"auths": e.auths()})
}

// mountFile puts any content there, and has the program look for it.
func mountFile(t *testing.T, s *harness.Scenario, name string, content any) {
	t.Helper()
	text, err := json.Marshal(content)
	require.NoError(t, err)
	secrets := filepath.Join(s.Dir, "pull-secrets")
	file := filepath.Join(secrets, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, text, 0o600))
	s.Setenv("PULL_SECRETS_DIR", secrets)
}

// pull is an image that a CronJob of its own runs: a workload that has no pods
// to wait for.
type pull struct {
	image   string
	secrets []string // that the CronJob names
	own     []string // that the target names
	env     bool     // the CronJob has the digest in a variable, and another image
}

// watch deploys CronJobs and follows their images, each by a target with the
// CronJob's name. Everything that is asked is logged.
func watch(s *harness.Scenario, pulls map[string]pull) {
	var config strings.Builder
	config.WriteString("targets:\n")
	for name, p := range pulls {
		options := []workloads.Option{workloads.Container("app", p.image)}
		entry := fmt.Sprintf("{kind: CronJob, name: %s, container: app}", name)
		fmt.Fprintf(&config, "  - name: %s\n", name)
		if p.env {
			options = []workloads.Option{workloads.Container("app", "registry.invalid/app:1"), workloads.Env("app", slot, "sha256:"+strings.Repeat("a", 64))}
			entry = fmt.Sprintf("{kind: CronJob, name: %s, container: app, env: %s}", name, slot)
		}
		fmt.Fprintf(&config, "    image: %s\n", p.image)
		for _, secret := range p.secrets {
			options = append(options, workloads.PullSecret(secret))
		}
		if len(p.own) > 0 {
			fmt.Fprintf(&config, "    pullSecrets: [%s]\n", strings.Join(p.own, ", "))
		}
		fmt.Fprintf(&config, "    workloads: [%s]\n", entry)
		s.Create(workloads.CronJob(name, options...))
	}
	s.Configure(config.String())
	s.Setenv("LOG_LEVEL", "debug")
	s.Setenv("CONCURRENCY", "32")
}

// tokenRegistry puts up a real registry with real tokens, and its token
// endpoint at auth.HOST.
func tokenRegistry(t *testing.T, s *harness.Scenario, host string) *registries.Registry {
	t.Helper()
	name, port, _ := strings.Cut(host, ":")
	if port != "" {
		port = ":" + port
	}
	registry, err := registries.NewTokenRegistry(t.Context(), s.Dir, "https://auth."+name+port+"/token")
	require.NoError(t, err)
	s.Site.Add(host, registry.Store, registry, host, "auth."+name+port)
	return registry
}

// askers are the accounts whose tokens a repository was asked with, in order, each once; empty for nobody.
func askers(t *testing.T, s *harness.Scenario, repository string) []string {
	t.Helper()
	var users []string
	for _, call := range s.Site.Front.Calls(registries.Of(repository, registries.At("", registries.Head))) {
		_, token, _ := strings.Cut(call.Header.Get("Authorization"), " ")
		parts := strings.Split(token, ".")
		require.Len(t, parts, 3, "a signed token")
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		require.NoError(t, err)
		var claims struct{ Sub string }
		require.NoError(t, json.Unmarshal(payload, &claims))
		if !slices.Contains(users, claims.Sub) {
			users = append(users, claims.Sub)
		}
	}
	return users
}

// logins counts the requests that carried an account's password to a host.
func logins(s *harness.Scenario, host string, l login) int {
	return len(s.Site.Front.Calls(func(c registries.Call) bool {
		return c.Host == host && c.Header.Get("Authorization") == "Basic "+l.auth()
	}))
}

// requireResolved asserts that a target resolves to a digest.
func requireResolved(t *testing.T, result *product.Result, name, digest string) {
	t.Helper()
	target := result.Report.Target(name)
	assert.Empty(t, target.Cause, target.Message)
	assert.Equal(t, digest, target.Digest)
}

// warning is a line of the log that an operator should see.
type warning struct {
	Level, Msg, Cause string
}

// warnings are the lines of a run with level WARN that a cause belongs to and no target: those are counted, these are
// said.
func warnings(t *testing.T, result *product.Result) []warning {
	t.Helper()
	var found []warning
	for line := range strings.Lines(result.Stderr) {
		var read struct {
			warning
			Target string
		}
		require.NoError(t, json.Unmarshal([]byte(line), &read), line)
		if read.Level == "WARN" && read.Cause != "" && read.Target == "" {
			found = append(found, read.warning)
		}
	}
	return found
}

// containers are the images of one CronJob.
type containers []string

// watch deploys the CronJob, with a pull secret, and follows each image by a target of its own.
func (list containers) watch(s *harness.Scenario, secret string) {
	options := []workloads.Option{workloads.PullSecret(secret)}
	var config strings.Builder
	config.WriteString("targets:\n")
	for i, image := range list {
		options = append(options, workloads.Container("c"+number(i), image))
		fmt.Fprintf(&config, "  - {name: t%s, workloads: [{kind: CronJob, name: many, container: c%[1]s}]}\n", number(i))
	}
	s.Create(workloads.CronJob("many", options...))
	s.Configure(config.String())
}

func number(i int) string { return strconv.Itoa(i) }
