package scenario_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// What a tick proves is what the pods will use: the secrets that the workload names, or the target's in their place,
// and no others, though they be mounted.
func TestOnlyNamedSecretsCount(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	mount(t, s, "good", entries{someHost: goodLogin})
	mount(t, s, "dead", entries{someHost: deadLogin})
	mountFile(t, s, "elsewhere/foreign/.dockerconfigjson", entries{someHost: goodLogin}.config())
	good, dead, absent := []string{"good"}, []string{"dead"}, []string{"absent"}
	rows := map[string]struct {
		pull
		cause, says string
	}{
		"named":            {pull{image: somePrivate, secrets: good}, "", ""},
		"not-named":        {pull{image: somePrivate}, "unauthorized", "name a pull secret for it"},
		"elsewhere":        {pull{image: somePrivate, secrets: []string{"foreign"}}, "credential-missing", "/foreign is not mounted"},
		"targets-own":      {pull{image: somePrivate, secrets: dead, own: good}, "", ""},
		"targets-dead":     {pull{image: somePrivate, secrets: good, own: dead}, "unauthorized", "/dead (account dead, entry " + someHost + ") was rejected"},
		"env":              {pull{image: somePrivate, secrets: good, env: true}, "unauthorized", "name a pull secret for it"},
		"env-targets-own":  {pull{image: somePrivate, own: good, env: true}, "", ""},
		"missing":          {pull{image: somePrivate, secrets: absent}, "credential-missing", "/absent is not mounted"},
		"missing-and-good": {pull{image: somePrivate, secrets: []string{"absent", "good"}}, "", ""},
		"missing-public":   {pull{image: somePublic, secrets: absent}, "", ""},
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
			if row.cause == "" {
				requireResolved(t, result, name, digest)
				continue
			}
			requireFailed(t, result, name, row.cause, row.says)
			assert.Equal(t, tick+1, result.Report.Target(name).Failures)
		}
		missing := map[string]int{}
		for _, said := range warnings(t, result) {
			if strings.Contains(said, "the registry no longer has") { // the variables' digests are made up
				continue
			}
			missing[strings.Fields(said)[1]]++
			assert.Regexp(t, `^credential-missing: .* pull secret `+s.Namespace+
				`/(absent|foreign) is not mounted; create it where it is missing, and mount it here`, said)
		}
		assert.Equal(t, map[string]int{somePrivate: 3, somePublic: 1}, missing)
		assert.Equal(t, 2, logins(s, someTokens, deadLogin), "one proof, and one token, which both failed")
		assert.Equal(t, 2, logins(s, someTokens, goodLogin), "one proof, and one token")
	}
	missing := requireCheck(t, check(t, s, 1), "credential", "failed", somePublic)
	assert.Equal(t, "credential-missing", missing.Cause)
}

// A service account's secrets count where the pods name none, and only where the account may be read.
func TestAServiceAccountThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t, slices.DeleteFunc(harness.Rules(), func(rule rbacv1.PolicyRule) bool { return rule.APIGroups[0] == "" })...)
	_, digest := someRegistry(t, s)
	mount(t, s, "good", entries{someHost: goodLogin})
	s.Kubectl("patch", "serviceaccount", "default", "--patch", `{"imagePullSecrets": [{"name": "good"}]}`)
	watch(s, map[string]pull{"private": {image: somePrivate}, "public": {image: somePublic}})
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	requireResolved(t, result, "public", digest)
	assert.Equal(t, "unauthorized", result.Report.Target("private").Cause, "anonymously, and no failure of the API server")
	assert.NotContains(t, result.Stderr, "service account", "which is nothing to warn of: the chart grants it only where it is told to")
	s.Grant(s.Namespace, harness.Rules()...)
	s.Eventually("the account may be read", func() bool { return s.Run("plan").Report.Target("private").Digest == digest })

	// Pods that name a secret themselves do not get the account's.
	s.Kubectl("patch", "serviceaccount", "default", "--patch", `{"imagePullSecrets": [{"name": "dead"}]}`)
	mount(t, s, "dead", entries{someHost: deadLogin})
	watch(s, map[string]pull{"named": {image: somePrivate, secrets: []string{"good"}}})
	s.Forget()
	requireResolved(t, s.Tick(), "named", digest)
	assert.Zero(t, logins(s, someTokens, deadLogin))
}

// Pull secrets are matched by the kubelet's rules: which accounts a registry is asked with, and in which order.
func TestPullSecretsMatchAsTheKubeletMatchesThem(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	known := map[string]*registries.Registry{someHost: tokenRegistry(t, s, someHost), "docker.io": s.Site.DockerHub}
	right, wrong, other := login{"right", "password-of-right"}, login{"wrong", "password-of-wrong"}, login{"other", "password-of-other"}
	const host, nobody = someHost, ""
	rows := map[string]struct {
		at      string
		secrets []entries
		asked   []string
		refused bool
		bare    bool // the reference is the workload's, not the target's
	}{
		"host":       {at: host, secrets: []entries{{host: right}}, asked: []string{"right"}},
		"path":       {at: host, secrets: []entries{{host + "/team": right}}, asked: []string{"right"}},
		"path-other": {at: host, secrets: []entries{{host + "/other": right}}, asked: []string{nobody}, refused: true},
		"glob":       {at: host, secrets: []entries{{"*.example.com": right}}, asked: []string{"right"}},
		"longest":    {at: host, secrets: []entries{{"*.example.com": other, host: right, host + "/team": wrong}}, asked: []string{"wrong", "right"}},
		"every":      {at: host, secrets: []entries{{host: wrong}, {host: other}, {host: right}}, asked: []string{"wrong", "other", "right"}},
		"first":      {at: host, secrets: []entries{{host: right}, {host: wrong}}, asked: []string{"right"}},
		"no-nobody":  {at: host, secrets: []entries{{host: wrong}, {host: other}}, asked: []string{"wrong", "other"}, refused: true},
		"elsewhere":  {at: host, secrets: []entries{{"ghcr.io": right}}, asked: []string{nobody}, refused: true},
		"second":     {at: host, secrets: []entries{{"ghcr.io": wrong}, {host: right}}, asked: []string{"right"}},

		"hub-login":    {at: "docker.io", secrets: []entries{{"https://index.docker.io/v1/": right}}, asked: []string{"right"}},
		"hub-fallback": {at: "docker.io", secrets: []entries{{"docker.io": wrong, "index.docker.io": right}}, asked: []string{"wrong"}, refused: true},
		"hub-api":      {at: "docker.io", secrets: []entries{{"registry-1.docker.io": right}}, asked: []string{nobody}, refused: true},

		// Whoever may edit the workload would choose where the account of an entry with a glob is sent.
		"bare-host": {at: host, secrets: []entries{{host: right}}, asked: []string{"right"}, bare: true},
		"bare-glob": {at: host, secrets: []entries{{"*.example.com": right}}, asked: []string{nobody}, refused: true, bare: true},
	}
	digests, pulls, repositories := map[string]string{}, map[string]pull{}, []string{}
	for name, row := range rows {
		p := pull{image: row.at + "/team/" + name + ":1", bare: row.bare}
		digests[name] = s.Push(p.image, image(name))
		known[row.at].SetPrivate("team/"+name, true)
		repositories = append(repositories, "team/"+name)
		for i, e := range row.secrets {
			p.secrets = append(p.secrets, fmt.Sprint(name, "-", i))
			mount(t, s, p.secrets[i], e)
		}
		pulls[name] = p
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
		assert.Equal(t, row.asked, askers(t, s, "team/"+name), name)
		switch first := "pull secret " + s.Namespace + "/" + name + "-0"; {
		case !row.refused:
			requireResolved(t, result, name, digests[name])
		case row.bare:
			requireFailed(t, result, name, "unauthorized", first+" (account right, entry *.example.com) stands for any host of that form")
			assert.Contains(t, result.Stderr, "/team/bare-glob:1 is resolved without one of its credentials: "+first)
		case row.asked[0] == nobody:
			requireFailed(t, result, name, "unauthorized", "none of the pull secrets named ("+strings.TrimPrefix(first, "pull secret "))
		default:
			requireFailed(t, result, name, "unauthorized", "was refused to "+first+" (account wrong, entry ")
		}
	}
}

// I60: one of two pull secrets did not parse: the updater went on with the other, the kubelet pulled nothing.
func TestI60FormsOfPullSecrets(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	mount(t, s, "good", entries{someHost: goodLogin})
	s.Secret("password-in-clear", "the-identity-token")
	entry := `{"` + someHost + `":{"auth":"` + goodLogin.auth() + `"}}`
	const malformed = "is no docker configuration, so nodes pull nothing for these pods"
	rows := map[string]struct{ file, content, cause, says string }{
		"auth":       {".dockerconfigjson", `{"auths":` + entry + `}`, "", ""},
		"legacy":     {".dockercfg", entry, "", ""},
		"misplaced":  {".dockercfg", `{"auths":` + entry + `}`, "unauthorized", "none of the pull secrets named"},
		"identity":   {".dockerconfigjson", `{"auths":{"` + someHost + `":{"identitytoken":"the-identity-token"}}}`, "unauthorized", "an identity token"},
		"helper":     {".dockerconfigjson", `{"auths":{"` + someHost + `":{}},"credHelpers":{"` + someHost + `":"x"}}`, "unauthorized", "a helper program"},
		"no-base64":  {".dockerconfigjson", `{"auths":{"quay.io":{"auth":"%password-in-clear%"}}}`, "credential-missing", malformed},
		"a-bom":      {".dockerconfigjson", "\ufeff" + `{"auths":{}}`, "credential-missing", malformed},
		"a-number":   {".dockerconfigjson", `{"auths":{"quay.io":{"username":"me","password":12345}}}`, "credential-missing", malformed},
		"not-json":   {".dockerconfigjson", `password-in-clear`, "credential-missing", malformed},
		"no-objects": {".dockerconfigjson", `{"auths":["password-in-clear"]}`, "credential-missing", malformed},
	}
	pulls := map[string]pull{"public": {image: somePublic, secrets: []string{"helper"}}}
	failing := map[string]string{} // the pull secret that is to blame, by target
	for name, row := range rows {
		mountFile(t, s, s.Namespace+"/"+name+"/"+row.file, row.content)
		pulls[name] = pull{image: somePrivate, secrets: []string{name}}
		if row.cause == "credential-missing" {
			pulls[name] = pull{image: somePrivate, secrets: []string{"good", name}}
			pulls["own-"+name] = pull{image: somePrivate, own: []string{name, "good"}, env: true}
			failing["own-"+name] = name
		}
		if row.cause != "" {
			failing[name] = name
		}
	}
	watch(s, pulls)
	for tick := range 2 {
		result := s.Tick()
		harness.RequireExit(t, 0, result)
		for target := range pulls {
			secret, fails := failing[target]
			if !fails {
				requireResolved(t, result, target, digest)
				continue
			}
			requireFailed(t, result, target, rows[secret].cause, rows[secret].says, s.Namespace+"/"+secret)
			assert.Equal(t, tick+1, result.Report.Target(target).Failures, target)
		}
	}
	failed := map[string]int{}
	for _, line := range check(t, s, 1).Checks {
		if line.Check == "image" && line.Status == "failed" {
			failed[line.Cause]++
		}
	}
	assert.Equal(t, map[string]int{"credential-missing": 10, "unauthorized": 3}, failed)
}
