package scenario_test

import (
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
		"good":   `read server; echo "$server $1" >> "` + programs + `/asked"; echo '{"Username":"` + goodLogin.user + `","Secret":"` + goodLogin.password + `"}'`,
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
	const entry = "DOCKER_CONFIG's entry (account "
	for name, row := range map[string]struct{ config, cause, says string }{
		"an entry":                {entries{someHost: goodLogin}.config(), "", ""},
		"a dead one":              {entries{someHost: deadLogin}.config(), "unauthorized", entry + "dead, entry " + someHost + ") was rejected by the token endpoint " + someTokens},
		"an identity token":       {identity("the-identity-token"), "", ""},
		"another identity token":  {identity("another-identity-token"), "unauthorized", entry + "of an identity token, entry " + someHost + ") was rejected by"},
		"a helper for the host":   {`{"credHelpers":{"` + someHost + `":"good"}}`, "", ""},
		"a helper for all hosts":  {`{"credsStore":"good"}`, "", ""},
		"one that has nothing":    {`{"credsStore":"none"}`, "unauthorized", "without a credential"},
		"one that fails":          {`{"credsStore":"broken"}`, "credential-missing", "docker-credential-broken, which DOCKER_CONFIG names, is missing or failed"},
		"one that is not there":   {`{"credsStore":"desktop"}`, "credential-missing", "docker-credential-desktop"},
		"one that hangs":          {`{"credsStore":"hung"}`, "credential-missing", "docker-credential-hung"},
		"one that is no program":  {`{"credsStore":"../../../bin/sh"}`, "credential-missing", "is missing or failed"},
		"no docker configuration": {`["x"]`, "credential-missing", ""},
		"an empty one":            {`{}`, "unauthorized", "name a pull secret for it"},
		"no folder":               {"", "unauthorized", "name a pull secret for it"},
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
			requireResolved(t, result, "public", digest)
			requireFailed(t, result, "missing", "credential-missing")
			requireFailed(t, result, "elsewhere", "unauthorized", "none of the pull secrets named")
			if row.cause == "" {
				requireResolved(t, result, "private", digest)
				return
			}
			requireFailed(t, result, "private", row.cause, row.says)
			if !strings.Contains(row.says, entry) {
				assert.Empty(t, s.Site.Front.Calls(func(c registries.Call) bool { return c.User != "" }))
			}
		})
	}
	helped, err := os.ReadFile(filepath.Join(programs, "asked"))
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat(someHost+" get\n", 2), string(helped), "once a tick, however many images")
}

// exchange gives tokens for an identity token, as docker login writes it for some clouds, in a form of its own.
func exchange(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if r.ParseForm() != nil || r.PostForm.Get("grant_type") != "refresh_token" || r.PostForm.Get("refresh_token") != "the-identity-token" {
		faultinject.Reply(401, `{"errors":[{"code":"UNAUTHORIZED"}]}`)(w, r, next)
		return
	}
	as := r.Clone(r.Context()) // which that token stands for
	as.Method = http.MethodGet
	as.URL.RawQuery = url.Values{"service": r.PostForm["service"], "scope": strings.Fields(r.PostForm.Get("scope"))}.Encode()
	as.SetBasicAuth(goodLogin.user, goodLogin.password)
	next.ServeHTTP(w, as)
}
