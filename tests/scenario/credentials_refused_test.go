package scenario_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// I59: the token of a pull secret had been revoked, the image was public: the updater resolved it as nobody, rolled it
// out, and no pod could pull. A refused login counts before anything is rolled.
func TestI59ARefusedLoginStopsTheRolloutOfAPublicImage(t *testing.T) {
	t.Parallel()
	s, digest := runsTag(t, jobsManager)
	s.Configure("targets:\n" + targetOf("ingestor", jobsManager, entry("Deployment", "jobs", "api", "env: "+slot), "pullSecrets: [puller]"))
	hubAccount(t, s, "puller")
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	s.Site.DockerHub.RemoveAccount("puller")
	moved := s.Push(jobsManager, image("second"))
	for _, exit := range []int{0, 0, 1} {
		s.Forget()
		outcome := "skipped"
		if exit == 1 {
			outcome = "failed"
		}
		failed := requireOutcome(t, s.Tick(), exit, outcome, "unauthorized")
		assert.Contains(t, failed.Message, "pull secret "+s.Namespace+"/puller (account puller, entry docker.io) was rejected by the token endpoint "+hubTokens)
		assert.Equal(t, digest, live(s))
		assert.Empty(t, slotWrites(s, "deployments", "jobs"))
	}
	requireCheck(t, check(t, s, 1), "credential", "failed", s.Namespace+"/puller")
	hubAccount(t, s, "puller") // created anew
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, moved, live(s))
}

// A login that one question refuses, and the other does not, is not refused.
func TestALoginThatIsRefusedOnceIsNot(t *testing.T) {
	t.Parallel()
	refusal := `{"errors":[{"code":"DENIED"}]}`
	for name, c := range map[string]struct {
		scoped bool // what pods ask for is refused; otherwise the question about the account alone
		do     faultinject.Action
		cause  string
		warns  bool
	}{
		"what pods ask for":        {scoped: true, do: faultinject.Reply(401, ""), cause: "unauthorized"},
		"the account alone":        {do: faultinject.Reply(401, ""), warns: true},
		"the account alone, 403":   {do: faultinject.Reply(403, refusal), warns: true},
		"a firewall's word on it":  {do: faultinject.Reply(403, "<html>")},
		"a bill that is due":       {do: faultinject.Reply(402, refusal)},
		"trouble of the registry":  {do: faultinject.Reply(503, "")},
		"a 404 for what pods want": {scoped: true, do: faultinject.Reply(404, ""), cause: "not-found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			digest := s.Push(jobsManager, image("one"))
			hubAccount(t, s, "puller")
			watch(s, map[string]pull{"ingestor": {image: jobsManager, secrets: []string{"puller"}}})
			s.Site.Front.Inject(registries.Fault{Match: func(call registries.Call) bool {
				return call.Stage == registries.Token && call.User != "" && (len(call.Scopes) > 0) == c.scoped
			}, Do: c.do})
			result := s.Run("plan")
			if c.cause == "" {
				requireResolved(t, result, "ingestor", digest)
			} else {
				assert.Equal(t, c.cause, result.Report.Target("ingestor").Cause)
			}
			assert.Len(t, warnings(t, result), map[bool]int{true: 1}[c.warns])
		})
	}
}

// I60: one of two pull secrets did not parse: the updater went on with the other, the kubelet pulled nothing.
func TestI60ASecretThatDoesNotParseCounts(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	mount(t, s, "good", entries{someHost: goodLogin})
	s.Secret("password-in-clear")
	spoilt := map[string]string{
		"no-base64":  `{"auths":{"quay.io":{"auth":"%password-in-clear%"}}}`,
		"a-bom":      "\ufeff" + `{"auths":{}}`,
		"a-number":   `{"auths":{"quay.io":{"username":"me","password":12345}}}`,
		"not-json":   `password-in-clear`,
		"no-objects": `{"auths":["password-in-clear"]}`,
	}
	pulls := map[string]pull{"fine": {image: somePrivate, secrets: []string{"good"}}, "absent": {image: somePrivate, secrets: []string{"absent", "good"}}}
	for name, content := range spoilt {
		mountText(t, s, name, content)
		pulls[name] = pull{image: somePrivate, secrets: []string{"good", name}}
		pulls["own-"+name] = pull{image: somePrivate, own: []string{name, "good"}, env: true}
	}
	watch(s, pulls)
	for tick := range 2 {
		result := s.Tick()
		harness.RequireExit(t, 0, result)
		requireResolved(t, result, "fine", digest)
		requireResolved(t, result, "absent", digest) // which is a warning: the kubelet goes on
		for name := range spoilt {
			for _, target := range []string{name, "own-" + name} {
				found := result.Report.Target(target)
				assert.Equal(t, "credential-missing", found.Cause, target)
				assert.Equal(t, tick+1, found.Failures, target)
				assert.Contains(t, found.Message, "pull secret "+s.Namespace+"/"+name+" is no docker configuration, so nodes pull nothing for these pods")
			}
		}
	}
	failed := 0
	for _, line := range check(t, s, 1).Checks {
		if line.Check == "image" && line.Status == "failed" {
			assert.Equal(t, "credential-missing", line.Cause)
			failed++
		}
	}
	assert.Equal(t, 2*len(spoilt), failed)
}

// mountText puts the text of a pull secret where the chart would.
func mountText(t *testing.T, s *harness.Scenario, name, text string) {
	t.Helper()
	mountFile(t, s, s.Namespace+"/"+name+"/.dockerconfigjson", nil)
	file := filepath.Join(s.Dir, "pull-secrets", s.Namespace, name, ".dockerconfigjson")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

// DOCKER_CONFIG as everywhere: what a helper says, and identity tokens, as far as docker itself uses them.
func TestDockerConfigWithHelpersAndIdentityTokens(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	folder, programs := filepath.Join(s.Dir, "docker"), filepath.Join(s.Dir, "programs")
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.Mkdir(programs, 0o700))
	helper := func(name, script string) {
		require.NoError(t, os.WriteFile(filepath.Join(programs, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o700))
	}
	helper("good", `read server; echo "$server $1" >> "`+programs+`/asked"; echo '{"Username":"`+goodLogin.user+`","Secret":"`+goodLogin.password+`"}'`)
	helper("none", `echo "credentials not found in native keychain"; exit 1`)
	helper("broken", `echo "`+goodLogin.password+`"; echo "`+goodLogin.password+`" >&2; exit 1`)
	helper("hung", `exec sleep 60`)
	s.Setenv("DOCKER_CONFIG", folder)
	s.Setenv("PATH", programs+":"+os.Getenv("PATH"))
	watch(s, map[string]pull{"private": {image: somePrivate}, "public": {image: somePublic}})
	for name, row := range map[string]struct {
		config      map[string]any
		cause, says string
	}{
		"for the host":       {map[string]any{"credHelpers": map[string]string{someHost: "good"}}, "", ""},
		"for all hosts":      {map[string]any{"credsStore": "good"}, "", ""},
		"that has nothing":   {map[string]any{"credsStore": "none"}, "unauthorized", "without a credential"},
		"then the file":      {map[string]any{"credsStore": "none", "auths": entries{someHost: goodLogin}.auths()}, "", ""},
		"that fails":         {map[string]any{"credsStore": "broken"}, "credential-missing", "the credential helper docker-credential-broken, which DOCKER_CONFIG names, is missing or failed"},
		"that is not there":  {map[string]any{"credsStore": "absent"}, "credential-missing", "docker-credential-absent"},
		"that hangs":         {map[string]any{"credsStore": "hung"}, "credential-missing", "docker-credential-hung"},
		"that is no program": {map[string]any{"credsStore": "../../../bin/sh"}, "credential-missing", "is missing or failed"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(row.config)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(folder, "config.json"), text, 0o600))
			result := s.Run("plan")
			harness.RequireExit(t, 0, result)
			requireResolved(t, result, "public", digest)
			if row.cause == "" {
				requireResolved(t, result, "private", digest)
				return
			}
			assert.Equal(t, row.cause, result.Report.Target("private").Cause)
			assert.Contains(t, result.Report.Target("private").Message, row.says)
		})
	}
	asked, err := os.ReadFile(filepath.Join(programs, "asked"))
	require.NoError(t, err)
	assert.Equal(t, someHost+" get\n"+someHost+" get\n", string(asked), "once a tick, however many images")
}

// An identity token, as docker login writes it for some clouds, is exchanged for tokens in a form of its own.
func TestAnIdentityTokenInDockerConfig(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	_, digest := someRegistry(t, s)
	folder := filepath.Join(s.Dir, "docker")
	require.NoError(t, os.Mkdir(folder, 0o700))
	s.Setenv("DOCKER_CONFIG", folder)
	s.Site.Front.Inject(registries.Fault{
		Match: func(c registries.Call) bool { return c.Stage == registries.Token && c.Method == http.MethodPost },
		Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.ParseForm() != nil || r.PostForm.Get("grant_type") != "refresh_token" || r.PostForm.Get("refresh_token") != "the-identity-token" {
				faultinject.Reply(401, `{"errors":[{"code":"UNAUTHORIZED"}]}`)(w, r, next)
				return
			}
			as := r.Clone(r.Context()) // which that token stands for
			as.Method, as.URL.RawQuery = http.MethodGet, url.Values{"service": r.PostForm["service"], "scope": strings.Fields(r.PostForm.Get("scope"))}.Encode()
			as.SetBasicAuth(goodLogin.user, goodLogin.password)
			next.ServeHTTP(w, as)
		},
	})
	watch(s, map[string]pull{"private": {image: somePrivate}})
	for _, row := range []struct{ token, cause string }{{"the-identity-token", ""}, {"another-identity-token", "unauthorized"}} {
		s.Secret(row.token)
		text, err := json.Marshal(map[string]any{"auths": map[string]any{someHost: map[string]string{"identitytoken": row.token}}})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, "config.json"), text, 0o600))
		result := s.Run("plan")
		if row.cause == "" {
			requireResolved(t, result, "private", digest)
			continue
		}
		assert.Equal(t, row.cause, result.Report.Target("private").Cause)
		assert.Contains(t, result.Report.Target("private").Message, "DOCKER_CONFIG's entry (account of an identity token, entry "+someHost+") was rejected by the token endpoint")
	}
}
