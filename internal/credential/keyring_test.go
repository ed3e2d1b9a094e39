package credential_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/credential"
)

// mount writes pull secrets as a kubelet mounts them, and returns the directory.
func mount(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	return dir
}

// auths is a docker configuration with one account, named after its key, for each key.
func auths(keys ...string) string {
	entries := map[string]map[string]string{}
	for _, key := range keys {
		entries[key] = map[string]string{"username": key, "password": "secret of " + key}
	}
	text, _ := json.Marshal(map[string]any{"auths": entries})
	return string(text)
}

func accounts(found []credential.Credential) []string {
	var all []string
	for _, c := range found {
		all = append(all, c.Account())
	}
	return all
}

// Each row is a rule of the kubelet's credentialprovider package.
func TestLookupMatchesAsTheKubelet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keys  []string
		image string
		want  []string
	}{
		"host":                           {[]string{"ghcr.io"}, "ghcr.io/t/i", []string{"ghcr.io"}},
		"another host":                   {[]string{"ghcr.io"}, "quay.io/t/i", nil},
		"scheme and version go":          {[]string{"https://ghcr.io/v1/", "http://quay.io/v2/"}, "ghcr.io/t/i", []string{"https://ghcr.io/v1/"}},
		"version before a path":          {[]string{"https://ghcr.io/v2/t"}, "ghcr.io/t/i", []string{"https://ghcr.io/v2/t"}},
		"path":                           {[]string{"ghcr.io/t"}, "ghcr.io/t/i", []string{"ghcr.io/t"}},
		"path is a prefix to the letter": {[]string{"ghcr.io/tra"}, "ghcr.io/tracebloc/i", []string{"ghcr.io/tra"}},
		"another path":                   {[]string{"ghcr.io/u"}, "ghcr.io/t/i", nil},
		"longest first, every match":     {[]string{"ghcr.io", "ghcr.io/t", "ghcr.io/t/i"}, "ghcr.io/t/i", []string{"ghcr.io/t/i", "ghcr.io/t", "ghcr.io"}},
		"port":                           {[]string{"h.example.com:5000"}, "h.example.com:5000/i", []string{"h.example.com:5000"}},
		"port missing in the key":        {[]string{"h.example.com"}, "h.example.com:5000/i", nil},
		"port missing in the image":      {[]string{"h.example.com:443"}, "h.example.com/i", nil},
		"glob":                           {[]string{"*.example.com"}, "h.example.com/i", []string{"*.example.com"}},
		"glob in a label":                {[]string{"h*.[a-f]xample.com", "h*.exam*.com"}, "harbor.example.com/i", []string{"h*.exam*.com"}},
		"a question mark ends the host":  {[]string{"h.ex?mple.com"}, "h.example.com/i", nil},
		"glob is one label":              {[]string{"*.example.com", "*.com", "*.*"}, "a.b.example.com/i", nil},
		"no glob in a port":              {[]string{"h.example.com:*"}, "h.example.com:5000/i", nil},
		"no glob in a path":              {[]string{"h.example.com/*"}, "h.example.com/t/i", nil},
		"name before glob":               {[]string{"*.example.com", "h.example.com"}, "h.example.com/i", []string{"h.example.com", "*.example.com"}},
		"docker.io as docker login":      {[]string{"https://index.docker.io/v1/"}, "docker.io/library/nginx", []string{"https://index.docker.io/v1/"}},
		"docker.io by its name":          {[]string{"docker.io"}, "docker.io/t/i", []string{"docker.io"}},
		"docker.io with a path":          {[]string{"docker.io/t"}, "docker.io/t/i", []string{"docker.io/t"}},
		"index.docker.io":                {[]string{"index.docker.io"}, "docker.io/t/i", []string{"index.docker.io"}},
		"index.docker.io only if alone":  {[]string{"index.docker.io", "docker.io"}, "docker.io/t/i", []string{"docker.io"}},
		"index.docker.io for others":     {[]string{"index.docker.io"}, "ghcr.io/t/i", nil},
		"unreadable key":                 {[]string{"[a-z].io", "ghcr.io"}, "ghcr.io/t/i", []string{"ghcr.io"}},
		"bad glob":                       {[]string{"gh\\.io", "ghcr.io"}, "ghcr.io/t/i", []string{"ghcr.io"}},
		"localhost":                      {[]string{"localhost:5000"}, "localhost:5000/i", []string{"localhost:5000"}},
	} {
		dir := mount(t, map[string]string{"ns/pull/.dockerconfigjson": auths(c.keys...)})
		keyring := credential.Mounted(dir, []credential.Name{{Namespace: "ns", Name: "pull"}})
		assert.Empty(t, keyring.Unusable, name)
		assert.Equal(t, c.want, accounts(keyring.Lookup(c.image)), name)
	}
}

func TestSecretsAreTriedInTheirOrderAndAnAccountOnce(t *testing.T) {
	t.Parallel()
	same := `{"auths":{"ghcr.io":{"username":"same","password":"one"}}}`
	dir := mount(t, map[string]string{
		"ns/a/.dockerconfigjson": `{"auths":{"ghcr.io":{"username":"a","password":"one"}}}`,
		"ns/b/.dockercfg":        `{"ghcr.io":{"username":"b","password":"two"}}`,
		"ns/c/.dockerconfigjson": same, "other/c/.dockerconfigjson": same,
	})
	name := func(namespace, name string) credential.Name { return credential.Name{Namespace: namespace, Name: name} }
	keyring := credential.Mounted(dir, []credential.Name{name("ns", "b"), name("ns", "a"), name("other", "c"), name("ns", "c")})
	assert.Empty(t, keyring.Unusable)
	found := keyring.Lookup("ghcr.io/t/i")
	assert.Equal(t, []string{"b", "a", "same"}, accounts(found))
	assert.Equal(t, name("other", "c"), found[2].Source)
	assert.Equal(t, "Basic "+base64.StdEncoding.EncodeToString([]byte("b:two")), found[0].Authorization())
}

func TestUnusableSecretsAreNamed(t *testing.T) {
	t.Parallel()
	dir := mount(t, map[string]string{
		"ns/nojson/.dockerconfigjson":  "hunter2",
		"ns/badauth/.dockerconfigjson": `{"auths":{"a.io":{"auth":"hunter2!"}}}`,
		"ns/nocolon/.dockerconfigjson": `{"auths":{"a.io":{"auth":"aHVudGVyMg=="}}}`,
		"ns/legacy/.dockercfg":         `[]`,
		"ns/huge/.dockerconfigjson":    strings.Repeat(" ", 2<<20),
		"ns/other/tls.crt":             "x",
		"ns/empty/.dockerconfigjson":   `{}`,
		"ns/dir/.dockerconfigjson/x":   ``,
		"ns/ok/.dockerconfigjson":      auths("ghcr.io"),
	})
	var names []credential.Name
	for _, name := range []string{"nojson", "badauth", "nocolon", "legacy", "huge", "other", "absent", "empty", "dir", "ok", "..", "a/b", ""} {
		names = append(names, credential.Name{Namespace: "ns", Name: name})
	}
	keyring := credential.Mounted(dir, names)
	states := map[string]credential.State{}
	for _, one := range keyring.Unusable {
		states[one.Source.Name] = one.State
	}
	assert.Equal(t, map[string]credential.State{
		"nojson": credential.Malformed, "badauth": credential.Malformed, "nocolon": credential.Malformed, "legacy": credential.Malformed,
		"huge": credential.Unreadable, "dir": credential.Unreadable,
		"other": credential.NotMounted, "absent": credential.NotMounted, "..": credential.NotMounted, "a/b": credential.NotMounted, "": credential.NotMounted,
	}, states)
	assert.Len(t, keyring.Lookup("ghcr.io/t/i"), 1, "the others' trouble is not this one's")
	assert.NotContains(t, fmt.Sprintf("%+v", keyring.Unusable), "hunter2")
}

func TestWhatNodesDoNotUseIsKnown(t *testing.T) {
	t.Parallel()
	dir := mount(t, map[string]string{"ns/pull/.dockerconfigjson": `{"auths":{"ghcr.io":{"auth":"dTpwdw"},"empty.io":{},"a.io":{"identitytoken":"x"}},"credsStore":"desktop"}`})
	keyring := credential.Mounted(dir, []credential.Name{{Namespace: "ns", Name: "pull"}})
	assert.Empty(t, keyring.Unusable)
	assert.True(t, keyring.Helpers)
	assert.Equal(t, []string{"u"}, accounts(keyring.Lookup("ghcr.io/t/i")), "auth without padding")
	assert.Empty(t, keyring.Lookup("empty.io/i"), "an entry with neither account nor password is nobody")
	assert.True(t, keyring.IdentityToken("a.io/i"))
	keyring = credential.Mounted(dir, nil)
	assert.Empty(t, keyring.Unusable)
	assert.Empty(t, keyring.Lookup("ghcr.io/t/i"))
}

func TestEntriesForManyHosts(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]bool{"*.example.com": true, "h?.example.com": true, "h[ab].io": true, "h.example.com": false, "h.example.com/t*": false} {
		assert.Equal(t, want, credential.Docker(entry, "u", "p", "").ManyHosts(), entry)
	}
}

func TestNoPrintShowsAPassword(t *testing.T) {
	t.Parallel()
	dir := mount(t, map[string]string{"ns/pull/.dockerconfigjson": `{"auths":{"ghcr.io":{"username":"robot$team+puller","password":"hunter2"}}}`})
	keyring := credential.Mounted(dir, []credential.Name{{Namespace: "ns", Name: "pull"}})
	c := keyring.Lookup("ghcr.io/t/i")[0]
	assert.Equal(t, "robot$team+puller", c.Account())
	assert.Equal(t, "pull secret ns/pull (account robot$team+puller, entry ghcr.io)", c.String())
	marshalled, err := json.Marshal(c)
	require.NoError(t, err)
	for _, text := range []string{
		fmt.Sprint(c), fmt.Sprintf("%v %+v %#v %s %q", c, c, c, c, c), fmt.Sprint(c.Identity()), fmt.Sprintf("%#v", c.Identity()),
		string(marshalled), c.LogValue().String(), fmt.Sprint(map[credential.Identity]int{c.Identity(): 1}),
	} {
		assert.NotContains(t, text, "hunter2")
		assert.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte("hunter2")))
	}
}

func TestAccountsThatAreTokensAreNotPrinted(t *testing.T) {
	t.Parallel()
	for username, want := range map[string]string{
		"me": "me", "robot$p+n": "robot$p+n", "AWS": "AWS", "_json_key": "_json_key", "a\x1b[31m\nb": "a b",
		"ghp_abc": "redacted", "github_pat_abc": "redacted", "glpat-abc": "redacted", "x": "redacted", strings.Repeat("y", 200): "redacted",
	} {
		text, err := json.Marshal(map[string]any{"auths": map[string]any{"ghcr.io": map[string]string{"username": username, "password": "x"}}})
		require.NoError(t, err)
		keyring := credential.Mounted(mount(t, map[string]string{"ns/p/.dockerconfigjson": string(text)}), []credential.Name{{Namespace: "ns", Name: "p"}})
		assert.Equal(t, want, keyring.Lookup("ghcr.io/i")[0].Account())
	}
}
