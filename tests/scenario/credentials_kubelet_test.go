package scenario_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// Pull secrets are matched by the kubelet's rules: which accounts a registry is asked with, and in which order.
func TestPullSecretsMatchAsTheKubeletMatchesThem(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	const host, port = "registry.example.com", "registry.example.com:8443"
	known := map[string]*registries.Registry{
		host: tokenRegistry(t, s, host), port: tokenRegistry(t, s, port), "docker.io": s.Site.DockerHub,
	}
	right, wrong, other := login{"right", "password-of-right"}, login{"wrong", "password-of-wrong"}, login{"other", "password-of-other"}
	const nobody = ""
	rows := map[string]struct {
		at      string // registry.example.com where empty
		secrets []entries
		asked   []string
		refused bool
	}{
		"host":         {secrets: []entries{{host: right}}, asked: []string{"right"}},
		"scheme":       {secrets: []entries{{"https://" + host: right}}, asked: []string{"right"}},
		"api-v1":       {secrets: []entries{{"https://" + host + "/v1/": right}}, asked: []string{"right"}},
		"api-v2":       {secrets: []entries{{"https://" + host + "/v2/": right}}, asked: []string{"right"}},
		"path":         {secrets: []entries{{host + "/team": right}}, asked: []string{"right"}},
		"path-letters": {secrets: []entries{{host + "/te": right}}, asked: []string{"right"}},
		"path-other":   {secrets: []entries{{host + "/other": right}}, asked: []string{nobody}, refused: true},

		"port":         {at: port, secrets: []entries{{port: right}}, asked: []string{"right"}},
		"port-missing": {at: port, secrets: []entries{{host: right}}, asked: []string{nobody}, refused: true},
		"port-added":   {secrets: []entries{{host + ":443": right}}, asked: []string{nobody}, refused: true},

		"glob":       {secrets: []entries{{"*.example.com": right}}, asked: []string{"right"}},
		"glob-part":  {secrets: []entries{{"reg*.example.com": right}}, asked: []string{"right"}},
		"glob-port":  {at: port, secrets: []entries{{"*.example.com:8443": right}}, asked: []string{"right"}},
		"glob-short": {secrets: []entries{{"*.com": right}}, asked: []string{nobody}, refused: true},

		"longest-first": {
			secrets: []entries{{"*.example.com": other, host: right, host + "/team": wrong}}, asked: []string{"wrong", "right"},
		},
		"every-match":    {secrets: []entries{{host: wrong}, {host: other}, {host: right}}, asked: []string{"wrong", "other", "right"}},
		"first-match":    {secrets: []entries{{host: right}, {host: wrong}}, asked: []string{"right"}},
		"never-nobody":   {secrets: []entries{{host: wrong}, {host: other}}, asked: []string{"wrong", "other"}, refused: true},
		"another-host":   {secrets: []entries{{"ghcr.io": right}}, asked: []string{nobody}, refused: true},
		"one-of-several": {secrets: []entries{{"ghcr.io": wrong}, {host: right}}, asked: []string{"right"}},

		"hub-login":    {at: "docker.io", secrets: []entries{{"https://index.docker.io/v1/": right}}, asked: []string{"right"}},
		"hub-index":    {at: "docker.io", secrets: []entries{{"index.docker.io": right}}, asked: []string{"right"}},
		"hub-short":    {at: "docker.io", secrets: []entries{{"docker.io": right}}, asked: []string{"right"}},
		"hub-path":     {at: "docker.io", secrets: []entries{{"docker.io/team": right}}, asked: []string{"right"}},
		"hub-fallback": {at: "docker.io", secrets: []entries{{"docker.io": wrong, "index.docker.io": right}}, asked: []string{"wrong"}, refused: true},
		"hub-api":      {at: "docker.io", secrets: []entries{{"registry-1.docker.io": right}}, asked: []string{nobody}, refused: true},
	}
	digests, pulls := map[string]string{}, map[string]pull{}
	for name, row := range rows {
		at := row.at
		if at == "" {
			at = host
		}
		image := at + "/team/" + name + ":1"
		digests[name] = s.Push(image, registries.Image(name, "linux/amd64"))
		known[at].SetPrivate("team/"+name, true)
		p := pull{image: image}
		for i, e := range row.secrets {
			secret := name + "-" + string(rune('a'+i))
			mount(t, s, secret, e)
			p.secrets = append(p.secrets, secret)
		}
		pulls[name] = p
	}
	repositories := []string{}
	for name := range rows {
		repositories = append(repositories, "team/"+name)
	}
	for _, registry := range known {
		registry.AddAccount(right.user, right.password, repositories...)
		registry.AddAccount(wrong.user, wrong.password)
		registry.AddAccount(other.user, other.password)
	}
	watch(s, pulls)
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, row.asked, askers(t, s, "team/"+name))
			if !row.refused {
				requireResolved(t, result, name, digests[name])
				return
			}
			target := result.Report.Target(name)
			assert.Equal(t, "unauthorized", target.Cause)
			assert.Empty(t, target.Digest)
			if row.asked[0] == nobody {
				assert.Contains(t, target.Message, "none of the pull secrets named ("+s.Namespace+"/"+name+"-a")
				return
			}
			assert.Contains(t, target.Message, "was refused to pull secret "+s.Namespace+"/"+name+"-a (account wrong, entry ")
		})
	}
}

// What a secret's file may look like.
func TestFormsOfPullSecrets(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	const host = "registry.example.com"
	registry := tokenRegistry(t, s, host)
	right := login{"right", "password-of-right"}
	entry := func(fields ...string) map[string]any {
		held := map[string]string{}
		for i := 0; i < len(fields); i += 2 {
			held[fields[i]] = fields[i+1]
		}
		return map[string]any{host: held}
	}
	unpadded := strings.TrimRight(right.auth(), "=")
	rows := map[string]struct {
		file    string
		content any
		cause   string
	}{
		"fields":    {".dockerconfigjson", map[string]any{"auths": entry("username", right.user, "password", right.password)}, ""},
		"auth":      {".dockerconfigjson", map[string]any{"auths": entry("auth", right.auth())}, ""},
		"unpadded":  {".dockerconfigjson", map[string]any{"auths": entry("auth", unpadded)}, ""},
		"auth-wins": {".dockerconfigjson", map[string]any{"auths": entry("auth", right.auth(), "username", "x", "password", "not-the-password")}, ""},
		"legacy":    {".dockercfg", entry("auth", right.auth(), "email", "a@example.com"), ""},
		"no-base64": {".dockerconfigjson", map[string]any{"auths": entry("auth", "%password-in-clear%")}, "credential-missing"},
		"no-colon":  {".dockerconfigjson", map[string]any{"auths": entry("auth", base64.StdEncoding.EncodeToString([]byte("password-alone")))}, "credential-missing"},
		"a-list":    {".dockerconfigjson", []string{"password-in-a-list"}, "credential-missing"},
		"misplaced": {".dockercfg", map[string]any{"auths": entry("auth", right.auth())}, "unauthorized"},
	}
	s.Secret("password-in-clear", "password-alone", "password-in-a-list", "not-the-password")
	pulls := map[string]pull{}
	digest := s.Push(host+"/team/private:1", registries.Image("private", "linux/amd64"))
	registry.SetPrivate("team/private", true)
	registry.AddAccount(right.user, right.password, "team/private")
	for name, row := range rows {
		mountFile(t, s, s.Namespace+"/"+name+"/"+row.file, row.content)
		pulls[name] = pull{image: host + "/team/private:1", secrets: []string{name}}
	}
	watch(s, pulls)
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			if row.cause == "" {
				requireResolved(t, result, name, digest)
				return
			}
			assert.Equal(t, row.cause, result.Report.Target(name).Cause)
			assert.Contains(t, result.Report.Target(name).Message, s.Namespace+"/"+name)
		})
	}
}

// An entry with a glob in its host is not for an image that the workload names: whoever may edit the workload would choose
// where the account is sent. It is as though it did not match, and is said.
func TestAGlobIsNotForAnImageThatTheWorkloadNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ entry, asked string }{
		"a glob": {"*.example.com", ""}, "the host": {"registry.example.com", "right"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			const host = "registry.example.com"
			registry := tokenRegistry(t, s, host)
			right := login{"right", "password-of-right"}
			registry.AddAccount(right.user, right.password, "team/app")
			digest := s.Push(host+"/team/app:1", registries.Image("app", "linux/amd64"))
			registry.SetPrivate("team/app", true)
			mount(t, s, "puller", entries{c.entry: right})
			s.Deploy(workloads.Deployment("app", workloads.Container("main", host+"/team/app:1@"+digest), workloads.PullSecret("puller")))
			s.Configure("targets: [{name: app, workloads: [{kind: Deployment, name: app}]}]")
			result := s.Tick()
			harness.RequireExit(t, 0, result)
			assert.Equal(t, []string{c.asked}, askers(t, s, "team/app"))
			if c.asked == "" {
				assert.Equal(t, "unauthorized", result.Report.Target("app").Cause)
				assert.Contains(t, result.Stderr, "*.example.com")
			}
		})
	}
}
