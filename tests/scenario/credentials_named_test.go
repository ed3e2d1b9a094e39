package scenario_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

const (
	someHost    = "registry.example.com"
	somePrivate = someHost + "/team/private:1"
	somePublic  = someHost + "/team/public:1"
)

var (
	goodLogin = login{"good", "password-of-good"}
	deadLogin = login{"dead", "password-of-dead"}
)

// someRegistry puts up a real registry with a private and a public image, of the same content, and an account for the
// private one.
func someRegistry(t *testing.T, s *harness.Scenario) (registry *registries.Registry, digest string) {
	t.Helper()
	registry = tokenRegistry(t, s, someHost)
	digest = s.Push(somePrivate, registries.Image("first", "linux/amd64"))
	s.Push(somePublic, registries.Image("first", "linux/amd64"))
	registry.SetPrivate("team/private", true)
	registry.AddAccount(goodLogin.user, goodLogin.password, "team/private")
	return registry, digest
}

// What a tick proves is what the pods will use: the secrets that the workload names, or the target's in their place,
// and no others, though they be mounted.
func TestOnlyNamedSecretsCount(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	mount(t, s, "good", entries{someHost: goodLogin})
	mount(t, s, "dead", entries{someHost: deadLogin})
	mountFile(t, s, "elsewhere/foreign/.dockerconfigjson", map[string]any{"auths": entries{someHost: goodLogin}.auths()})
	rows := map[string]struct {
		pull
		cause, says string
	}{
		"named":            {pull{image: somePrivate, secrets: []string{"good"}}, "", ""},
		"not-named":        {pull{image: somePrivate}, "unauthorized", "name a pull secret for it"},
		"elsewhere":        {pull{image: somePrivate, secrets: []string{"foreign"}}, "credential-missing", "/foreign is not mounted"},
		"targets-own":      {pull{image: somePrivate, secrets: []string{"dead"}, own: []string{"good"}}, "", ""},
		"targets-dead":     {pull{image: somePrivate, secrets: []string{"good"}, own: []string{"dead"}}, "unauthorized", "/dead (account dead, entry registry.example.com) was rejected"},
		"env":              {pull{image: somePrivate, secrets: []string{"good"}, env: true}, "unauthorized", "name a pull secret for it"},
		"env-targets-own":  {pull{image: somePrivate, own: []string{"good"}, env: true}, "", ""},
		"missing":          {pull{image: somePrivate, secrets: []string{"absent"}}, "credential-missing", "/absent is not mounted"},
		"missing-and-good": {pull{image: somePrivate, secrets: []string{"absent", "good"}}, "", ""},
		"missing-public":   {pull{image: somePublic, secrets: []string{"absent"}}, "", ""},
	}
	pulls := map[string]pull{}
	for name, row := range rows {
		pulls[name] = row.pull
	}
	watch(s, pulls)
	for tick := range 2 { // said in each tick, not only in the first
		s.Forget()
		result := s.Tick()
		harness.RequireExit(t, 0, result)
		for name, row := range rows {
			t.Run(name, func(t *testing.T) {
				if row.cause == "" {
					requireResolved(t, result, name, digest)
					assert.Zero(t, result.Report.Target(name).Failures)
					return
				}
				target := result.Report.Target(name)
				assert.Equal(t, row.cause, target.Cause)
				assert.Contains(t, target.Message, row.says)
				assert.Equal(t, tick+1, target.Failures)
			})
		}
		missing := map[string]int{}
		for _, said := range warnings(t, result) {
			if strings.HasPrefix(said.Msg, "the registry no longer has") { // the variables' digests are made up
				continue
			}
			assert.Equal(t, "credential-missing", said.Cause, said.Msg)
			image, _, _ := strings.Cut(said.Msg, " ")
			missing[image]++
			assert.Regexp(t, `pull secret `+s.Namespace+`/(absent|foreign) is not mounted; create it where it is missing, and mount it here`, said.Msg)
		}
		assert.Equal(t, map[string]int{somePrivate: 3, somePublic: 1}, missing)
		assert.Equal(t, 2, logins(s, "auth."+someHost, deadLogin), "one proof, and one token, which both failed")
		assert.Equal(t, 2, logins(s, "auth."+someHost, goodLogin), "one proof, and one token")
	}
	missing := requireCheck(t, check(t, s, 1), "credential", "failed", somePublic)
	assert.Equal(t, "credential-missing", missing.Cause)
}

// A service account's secrets count where the pods name none, and only where the account may be read.
func TestAServiceAccountThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	var rules []rbacv1.PolicyRule
	for _, rule := range harness.Rules() {
		if rule.APIGroups[0] != "" {
			rules = append(rules, rule)
		}
	}
	s := environment.Scenario(t, rules...)
	_, digest := someRegistry(t, s)
	mount(t, s, "good", entries{someHost: goodLogin})
	s.Kubectl("patch", "serviceaccount", "default", "--patch", `{"imagePullSecrets": [{"name": "good"}]}`)
	watch(s, map[string]pull{"private": {image: somePrivate}, "public": {image: somePublic}})
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	requireResolved(t, result, "public", digest)
	assert.Equal(t, "unauthorized", result.Report.Target("private").Cause, "as nobody, and no failure of the API server")
	assert.NotContains(t, result.Stderr, "service account", "which is nothing to warn of: the chart grants it only where it is told to")
	s.Grant(s.Namespace, harness.Rules()...)
	s.Eventually("the account may be read", func() bool { return s.Run("plan").Report.Target("private").Digest == digest })

	// Pods that name a secret themselves do not get the account's.
	s.Kubectl("patch", "serviceaccount", "default", "--patch", `{"imagePullSecrets": [{"name": "dead"}]}`)
	mount(t, s, "dead", entries{someHost: deadLogin})
	watch(s, map[string]pull{"named": {image: somePrivate, secrets: []string{"good"}}})
	s.Forget()
	result = s.Tick()
	requireResolved(t, result, "named", digest)
	assert.Zero(t, logins(s, "auth."+someHost, deadLogin))
}

// DOCKER_CONFIG is looked into where no secret is named; then nobody asks.
func TestDockerConfigThenNobody(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	mount(t, s, "another", entries{"ghcr.io": goodLogin})
	folder := filepath.Join(s.Dir, "docker")
	require.NoError(t, os.Mkdir(folder, 0o700))
	write := func(content any) {
		text, err := json.Marshal(content)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, "config.json"), text, 0o600))
	}
	watch(s, map[string]pull{
		"private": {image: somePrivate}, "public": {image: somePublic},
		"missing": {image: somePrivate, secrets: []string{"absent"}}, "another": {image: somePrivate, secrets: []string{"another"}},
	})
	named := func() map[string]string { // what became of the private image, by target
		s.Forget()
		result := s.Run("plan")
		harness.RequireExit(t, 0, result)
		requireResolved(t, result, "public", digest)
		assert.Equal(t, "credential-missing", result.Report.Target("missing").Cause)
		assert.Contains(t, result.Report.Target("another").Message, "none of the pull secrets named")
		target := result.Report.Target("private")
		return map[string]string{"digest": target.Digest, "cause": target.Cause, "message": target.Message}
	}

	s.Setenv("DOCKER_CONFIG", folder)
	write(map[string]any{"auths": entries{someHost: goodLogin}.auths()})
	assert.Equal(t, digest, named()["digest"])
	write(map[string]any{"auths": entries{someHost: deadLogin}.auths()})
	dead := named()
	assert.Equal(t, "unauthorized", dead["cause"])
	assert.Contains(t, dead["message"], "DOCKER_CONFIG's entry (account dead, entry registry.example.com) was rejected by the token endpoint auth.registry.example.com")
	write(map[string]any{"auths": map[string]any{}, "credsStore": "desktop"})
	helped := named()
	assert.Equal(t, "credential-missing", helped["cause"])
	assert.Contains(t, helped["message"], "the credential helper docker-credential-desktop, which DOCKER_CONFIG names, is missing or failed")
	write([]string{"not a configuration"})
	assert.Equal(t, "credential-missing", named()["cause"])
	require.NoError(t, os.Remove(filepath.Join(folder, "config.json")))
	assert.Equal(t, "unauthorized", named()["cause"])
	s.Unsetenv("DOCKER_CONFIG")
	assert.Contains(t, named()["message"], "name a pull secret for it")
	assert.Empty(t, s.Site.Front.Calls(func(c registries.Call) bool { return c.User != "" }))
}

// What neither the kubelet nor image-refresh can use is said to be so.
func TestIdentityTokensAndHelpersAreNotUsed(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	s.Secret("the-identity-token")
	mountFile(t, s, s.Namespace+"/identity/.dockerconfigjson", map[string]any{"auths": map[string]any{someHost: map[string]string{
		"auth": login{"00000000-0000-0000-0000-000000000000", ""}.auth(), "identitytoken": "the-identity-token",
	}}})
	mountFile(t, s, s.Namespace+"/helper/.dockerconfigjson", map[string]any{
		"auths": map[string]any{someHost: map[string]any{}}, "credHelpers": map[string]string{someHost: "ecr-login"},
	})
	watch(s, map[string]pull{
		"identity": {image: somePrivate, secrets: []string{"identity"}}, "helper": {image: somePrivate, secrets: []string{"helper"}},
		"public": {image: somePublic, secrets: []string{"helper"}},
	})
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	requireResolved(t, result, "public", digest)
	for name, says := range map[string]string{
		"identity": "an identity token", "helper": "a helper program",
	} {
		target := result.Report.Target(name)
		assert.Equal(t, "unauthorized", target.Cause)
		assert.Contains(t, target.Message, says)
		assert.Contains(t, target.Message, s.Namespace+"/"+name)
	}
	assert.Empty(t, s.Site.Front.Calls(func(c registries.Call) bool { return c.User != "" }), "an account without a password is not tried")
}
