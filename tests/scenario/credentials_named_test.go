package scenario_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// What a tick proves is what the pods will use: the secrets that the workload names, or the target's in their place, and no others,
// though they be mounted. I60: one of two pull secrets did not parse: the updater went on with the other, the kubelet pulled nothing.
func TestI60OnlyNamedSecretsCount(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	mountFile(t, s, "elsewhere/foreign/.dockerconfigjson", entries{someHost: goodLogin}.config())
	s.Secret("password-in-clear", "the-identity-token")
	entry := `{"` + someHost + `":{"auth":"` + goodLogin.auth() + `"}}`
	malformed := map[string]string{
		"no-base64": `{"auths":{"quay.io":{"auth":"%password-in-clear%"}}}`, "a-bom": "\ufeff" + `{"auths":{}}`,
		"a-number": `{"auths":{"quay.io":{"username":"me","password":12345}}}`, "not-json": `password-in-clear`,
	}
	for file, content := range map[string]string{
		"good/.dockerconfigjson":     entries{someHost: goodLogin}.config(),
		"dead/.dockerconfigjson":     entries{someHost: deadLogin}.config(),
		"legacy/.dockercfg":          entry,
		"misplaced/.dockercfg":       `{"auths":` + entry + `}`,
		"identity/.dockerconfigjson": `{"auths":{"` + someHost + `":{"identitytoken":"the-identity-token"}}}`,
		"helper/.dockerconfigjson":   `{"auths":{"` + someHost + `":{}},"credHelpers":{"` + someHost + `":"x"}}`,
	} {
		mountFile(t, s, s.Namespace+"/"+file, content)
	}
	type row struct {
		pull
		cause, says string
	}
	named := func(names ...string) pull { return pull{image: somePrivate, secrets: names} }
	owned := func(name string) pull {
		return pull{image: somePrivate, secrets: []string{"good"}, own: []string{name}}
	}
	rows := map[string]row{
		"named":            {named("good"), "", ""},
		"not-named":        {named(), "unauthorized", "name a pull secret for it"},
		"elsewhere":        {named("foreign"), "credential-missing", "/foreign is not mounted"},
		"targets-own":      {pull{image: somePrivate, secrets: []string{"dead"}, own: []string{"good"}}, "", ""},
		"targets-dead":     {owned("dead"), "unauthorized", "/dead (account dead, entry registry.example.com) was rejected"},
		"env":              {pull{image: somePrivate, secrets: []string{"good"}, env: true}, "unauthorized", "name a pull secret for it"},
		"env-targets-own":  {pull{env: true, image: somePrivate, own: []string{"good"}}, "", ""},
		"missing":          {named("absent"), "credential-missing", "/absent is not mounted"},
		"missing-and-good": {named("absent", "good"), "", ""},
		"missing-public":   {pull{image: somePublic, secrets: []string{"absent"}}, "", ""},
		"legacy":           {named("legacy"), "", ""},
		"misplaced":        {named("misplaced"), "unauthorized", "none of the pull secrets named"},
		"identity":         {named("identity"), "unauthorized", "an identity token"},
		"helper":           {named("helper"), "unauthorized", "a helper program"},
	}
	for name, content := range malformed {
		mountFile(t, s, s.Namespace+"/"+name+"/.dockerconfigjson", content)
		says := "pull secret " + s.Namespace + "/" + name + " is no docker configuration, so nodes pull nothing for these pods"
		rows[name] = row{named("good", name), "credential-missing", says}
		rows["own-"+name] = row{pull{image: somePrivate, own: []string{name, "good"}, env: true}, "credential-missing", says}
	}
	pulls, causes := map[string]pull{}, map[string]int{}
	for name, row := range rows {
		pulls[name] = row.pull
		causes[row.cause]++
	}
	watch(s, pulls)
	for tick := range 2 { // said in each tick, not only in the first
		s.Forget()
		result := s.Tick()
		harness.RequireExit(t, 0, result)
		for name, row := range rows {
			requireTarget(t, result, name, digest, row.cause, row.says)
			assert.Equal(t, row.cause != "", result.Report.Target(name).Failures == tick+1, name)
		}
		said := strings.Join(warnings(t, result), "\n")
		assert.Equal(t, 3, strings.Count(said, "credential-missing: "+somePrivate+" "), said)
		assert.Equal(t, 1, strings.Count(said, "credential-missing: "+somePublic+" "), said)
		assert.Equal(t, 4, strings.Count(said, " is not mounted; create it where it is missing, and mount it here"), said)
		assert.Equal(t, 2, logins(s, someTokens, deadLogin), "one proof, and one token, which both failed")
		assert.Equal(t, 2, logins(s, someTokens, goodLogin), "one proof, and one token")
	}
	report := check(t, s, 1)
	assert.Equal(t, "credential-missing", requireCheck(t, report, "credential", "failed", somePublic).Cause)
	for _, line := range report.Checks {
		if line.Check == "image" && line.Status == "failed" {
			causes[line.Cause]--
		}
	}
	delete(causes, "")
	assert.Equal(t, map[string]int{"credential-missing": 0, "unauthorized": 0}, causes, "a check fails for what a tick fails for")
}

// A service account's secrets count where the pods name none, and only where the account may be read.
func TestAServiceAccountThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	inCore := func(rule rbacv1.PolicyRule) bool { return rule.APIGroups[0] == "" }
	s := environment.Scenario(t, slices.DeleteFunc(harness.Rules(), inCore)...)
	_, digest := someRegistry(t, s)
	mount(t, s, "good", entries{someHost: goodLogin})
	s.Kubectl("patch", "serviceaccount", "default", "--patch", `{"imagePullSecrets": [{"name": "good"}]}`)
	watch(s, map[string]pull{"private": {image: somePrivate}, "public": {image: somePublic}})
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	requireTarget(t, result, "public", digest, "")
	assert.Equal(t, "unauthorized", result.Report.Target("private").Cause, "anonymously, and no failure of the API server")
	assert.NotContains(t, result.Stderr, "service account", "nothing to warn of: the chart grants it only where told to")
	s.Grant(s.Namespace, harness.Rules()...)
	s.Eventually("the account may be read", func() bool { return s.Run("plan").Report.Target("private").Digest == digest })

	// Pods that name a secret themselves do not get the account's.
	s.Kubectl("patch", "serviceaccount", "default", "--patch", `{"imagePullSecrets": [{"name": "dead"}]}`)
	mount(t, s, "dead", entries{someHost: deadLogin})
	watch(s, map[string]pull{"named": {image: somePrivate, secrets: []string{"good"}}})
	s.Forget()
	requireTarget(t, s.Tick(), "named", digest, "")
	assert.Zero(t, logins(s, someTokens, deadLogin))
}

// Pull secrets are matched by the kubelet's rules: which accounts a registry is asked with, and in which order. Whoever may edit
// the workload would choose where the account of an entry with a glob is sent, where the target names no image.
func TestPullSecretsMatchAsTheKubeletMatchesThem(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	known := map[string]*registries.Registry{someHost: tokenRegistry(t, s, someHost), "docker.io": s.Site.DockerHub}
	right, wrong, other := login{"right", "password-of-right"}, login{"wrong", "password-of-wrong"}, login{"other", "password-of-other"}
	const host, hub, refusedTo, none, glob = someHost, "docker.io", "was refused to pull secret SECRET (account wrong, entry ",
		"none of the pull secrets named (SECRET", "pull secret SECRET (account right, entry *.example.com) stands for any host of that form"
	rows := map[string]struct {
		at      string
		secrets []entries
		asked   []string // empty for nobody
		refused string
		bare    bool // the target names no image
	}{
		"host":      {host, []entries{{host: right}}, []string{"right"}, "", false},
		"path":      {host, []entries{{host + "/other": right}}, []string{""}, none, false},
		"glob":      {host, []entries{{"*.example.com": right}}, []string{"right"}, "", false},
		"longest":   {host, []entries{{"*.example.com": other, host: right, host + "/team": wrong}}, []string{"wrong", "right"}, "", false},
		"every":     {host, []entries{{host: wrong}, {host: other}, {host: right}}, []string{"wrong", "other", "right"}, "", false},
		"first":     {host, []entries{{host: right}, {host: wrong}}, []string{"right"}, "", false},
		"no-nobody": {host, []entries{{host: wrong}, {host: other}}, []string{"wrong", "other"}, refusedTo, false},
		"elsewhere": {host, []entries{{"ghcr.io": right}}, []string{""}, none, false},
		"second":    {host, []entries{{"ghcr.io": wrong}, {host: right}}, []string{"right"}, "", false},
		"hub-login": {hub, []entries{{"https://index.docker.io/v1/": right}}, []string{"right"}, "", false},
		"hub-both":  {hub, []entries{{"docker.io": wrong, "index.docker.io": right}}, []string{"wrong"}, refusedTo, false},
		"hub-api":   {hub, []entries{{"registry-1.docker.io": right}}, []string{""}, none, false},
		"bare-host": {host, []entries{{host: right}}, []string{"right"}, "", true},
		"bare-glob": {host, []entries{{"*.example.com": right}}, []string{""}, glob, true},
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
		cause := ""
		if row.refused != "" {
			cause = "unauthorized"
		}
		requireTarget(t, result, name, digests[name], cause, strings.Replace(row.refused, "SECRET", s.Namespace+"/"+name+"-0", 1))
	}
	assert.Contains(t, result.Stderr, "/team/bare-glob:1 is resolved without one of its credentials: pull secret ")
}

// DOCKER_CONFIG as everywhere, where no secret is named: entries, helpers and identity tokens; then anonymously.
func TestDockerConfig(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	s.Secret("the-identity-token", "another-identity-token")
	mount(t, s, "elsewhere", entries{"ghcr.io": goodLogin})
	folder, programs := filepath.Join(s.Dir, "docker"), filepath.Join(s.Dir, "programs")
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.Mkdir(programs, 0o700))
	for name, script := range map[string]string{
		"good": `read server; echo "$server $1" >> "` + programs + `/asked"; ` +
			`echo '{"Username":"` + goodLogin.user + `","Secret":"` + goodLogin.password + `"}'`,
		"none":   `echo "credentials not found in native keychain"; exit 1`,
		"broken": `echo "` + goodLogin.password + `"; echo "` + goodLogin.password + `" >&2; exit 1`,
		"hung":   `exec sleep 60`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(programs, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o700))
	}
	s.Setenv("PATH", programs+":"+os.Getenv("PATH"))
	inject(s, func(c registries.Call) bool { return c.Stage == registries.Token && c.Method == http.MethodPost }, exchange)
	watch(s, map[string]pull{
		"private": {image: somePrivate}, "public": {image: somePublic},
		"missing": {image: somePrivate, secrets: []string{"absent"}}, "elsewhere": {image: somePrivate, secrets: []string{"elsewhere"}},
	})
	identity := func(token string) string { return `{"auths":{"` + someHost + `":{"identitytoken":"` + token + `"}}}` }
	const entry, rejectedThere = "DOCKER_CONFIG's entry (account ", someHost + ") was rejected by the token endpoint " + someTokens
	for name, row := range map[string]struct{ config, cause, says string }{
		"an entry":               {entries{someHost: goodLogin}.config(), "", ""},
		"a dead one":             {entries{someHost: deadLogin}.config(), "unauthorized", entry + "dead, entry " + rejectedThere},
		"an identity token":      {identity("the-identity-token"), "", ""},
		"another of them":        {identity("another-identity-token"), "unauthorized", entry + "of an identity token, entry " + rejectedThere},
		"a helper for the host":  {`{"credHelpers":{"` + someHost + `":"good"}}`, "", ""},
		"a helper for all hosts": {`{"credsStore":"good"}`, "", ""},
		"one that has nothing":   {`{"credsStore":"none"}`, "unauthorized", "without a credential"},
		"one that fails":         {`{"credsStore":"broken"}`, "credential-missing", "docker-credential-broken, which DOCKER_CONFIG names"},
		"one that hangs":         {`{"credsStore":"hung"}`, "credential-missing", "docker-credential-hung"},
		"no folder":              {"", "unauthorized", "name a pull secret for it"},
	} {
		t.Run(name, func(t *testing.T) {
			s.Setenv("DOCKER_CONFIG", folder)
			require.NoError(t, os.WriteFile(filepath.Join(folder, "config.json"), []byte(row.config), 0o600))
			if row.config == "" {
				s.Unsetenv("DOCKER_CONFIG")
			}
			s.Forget()
			result := s.Run("plan")
			harness.RequireExit(t, 0, result)
			requireTarget(t, result, "public", digest, "")
			requireTarget(t, result, "missing", "", "credential-missing")
			requireTarget(t, result, "elsewhere", "", "unauthorized", "none of the pull secrets named")
			requireTarget(t, result, "private", digest, row.cause, row.says)
			logins := s.Site.Front.Calls(func(c registries.Call) bool { return c.User != "" })
			assert.True(t, len(logins) == 0 || row.cause == "" || strings.Contains(row.says, entry))
		})
	}
	helped, err := os.ReadFile(filepath.Join(programs, "asked"))
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat(someHost+" get\n", 2), string(helped), "once a tick, however many images")
}

// exchange gives tokens for an identity token, as docker login writes it for some clouds, in a form of its own.
func exchange(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if r.FormValue("grant_type") != "refresh_token" || r.FormValue("refresh_token") != "the-identity-token" {
		faultinject.Reply(401, `{"errors":[{"code":"UNAUTHORIZED"}]}`)(w, r, next)
		return
	}
	as := r.Clone(r.Context()) // which that token stands for
	as.Method = http.MethodGet
	as.URL.RawQuery = url.Values{"service": r.PostForm["service"], "scope": strings.Fields(r.PostForm.Get("scope"))}.Encode()
	as.SetBasicAuth(goodLogin.user, goodLogin.password)
	next.ServeHTTP(w, as)
}

// A person without mounted secrets: plan, check and skip read those that the workloads name, and their service accounts', from the API
// server, with the person's own rights. A tick never does, and neither does a plan in a pod.
func TestAPersonsPlanReadsPullSecretsFromTheAPIServer(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	watch(s, map[string]pull{"named": {image: somePrivate, secrets: []string{"pull"}}})
	state := func(command string) (cause, says string) {
		result := s.Run(command)
		target := result.Report.Target("named")
		if target.Cause == "" {
			assert.Equal(t, digest, target.Digest)
		}
		return target.Cause, target.Message
	}
	cause, says := state("plan")
	assert.Equal(t, "credential-missing", cause)
	assert.Contains(t, says, "may not be read")
	assert.Contains(t, says, "; ask for the right to read it")
	s.Grant(s.Namespace, append(harness.Rules(), rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}})...)
	cause, says = state("plan")
	assert.Equal(t, "credential-missing", cause)
	assert.Contains(t, says, "does not exist")
	assert.Contains(t, says, "; create it")
	config := filepath.Join(s.Dir, "config.json")
	require.NoError(t, os.WriteFile(config, []byte(entries{someHost: goodLogin}.config()), 0o600))
	s.Kubectl("create", "secret", "generic", "pull", "--type=kubernetes.io/dockerconfigjson", "--from-file=.dockerconfigjson="+config)
	cause, _ = state("plan")
	assert.Empty(t, cause)
	assert.Equal(t, digest, s.Run("skip", "named").Report.Changes[0].Digest)
	for _, command := range []string{"run", "plan"} {
		s.Forget()
		cause, says = state(command)
		assert.Equal(t, "credential-missing", cause)
		assert.Contains(t, says, "is not mounted")
		assert.Empty(t, s.API.Requests(apiproxy.Verb("get", "secrets")))
		s.Setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1") // as in a pod
	}
}
