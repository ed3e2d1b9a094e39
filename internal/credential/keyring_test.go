package credential

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mounted reads pull secrets of the namespace ns, written as a kubelet mounts them, in this order.
func mounted(t *testing.T, files map[string]string, names ...string) Keyring {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, "ns", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	var secrets []Name
	for _, name := range names {
		secrets = append(secrets, Name{"ns", name})
	}
	return Read(context.Background(), Mounted(dir), secrets)
}

// pull is the keyring of one secret.
func pull(t *testing.T, content string) Keyring {
	t.Helper()
	return mounted(t, map[string]string{"pull/.dockerconfigjson": content}, "pull")
}

func accounts(found []Credential) (all []string) {
	for _, c := range found {
		all = append(all, c.Account())
	}
	return all
}

// Each key is a rule of the kubelet's package credentialprovider, and holds an account of its own name.
func TestLookupMatchesAsTheKubelet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		image      string
		keys, want []string
	}{
		{
			"ghcr.io/tracebloc/i", // a path is a prefix to the letter; the longest comes first; what cannot be read is no key
			[]string{
				"ghcr.io", "ghcr.io/tra", "ghcr.io/tracebloc", "ghcr.io/tracebloc/i", "https://ghcr.io/v1/", "https://ghcr.io/v2/tracebloc",
				"ghcr.io/u", "quay.io", "http://quay.io/v2/", "index.docker.io", "[a-z].io", `gh\.io`,
			},
			[]string{"ghcr.io/tracebloc/i", "ghcr.io/tracebloc", "https://ghcr.io/v2/tracebloc", "ghcr.io/tra", "ghcr.io", "https://ghcr.io/v1/"},
		},
		{
			"harbor.example.com/t/i", // no glob in a path, and a question mark ends the host
			[]string{
				"harbor.example.com", "*.example.com", "h*.exam*.com", "h*.[a-f]xample.com", "h?rbor.example.com", "harbor.example.com:443",
				"harbor.example.com/*", "*.com", "*.*", "*.*.*.*",
			},
			[]string{"harbor.example.com", "h*.exam*.com", "*.example.com"},
		},
		{"a.b.example.com/i", []string{"*.example.com", "*.com", "*.*"}, nil}, // a glob is one label
		{"h.io:5000/i", []string{"h.io:5000", "h.io", "h.io:*", "*.io"}, []string{"h.io:5000"}},
		{"localhost:5000/i", []string{"localhost:5000"}, []string{"localhost:5000"}},
		{"docker.io/library/nginx", []string{"https://index.docker.io/v1/"}, []string{"https://index.docker.io/v1/"}}, // as docker login
		{"docker.io/t/i", []string{"index.docker.io"}, []string{"index.docker.io"}},
		{"docker.io/t/i", []string{"index.docker.io", "docker.io", "docker.io/t"}, []string{"docker.io/t", "docker.io"}}, // only if alone
	} {
		entries := map[string]map[string]string{}
		for _, key := range c.keys {
			entries[key] = map[string]string{"username": key, "password": "secret of " + key}
		}
		text, err := json.Marshal(map[string]any{"auths": entries})
		require.NoError(t, err)
		keyring := pull(t, string(text))
		assert.Empty(t, keyring.Unusable, c.image)
		assert.Equal(t, c.want, accounts(keyring.Lookup(c.image)), c.image)
	}
}

func TestSecretsAreTriedInTheirOrderAndAnAccountOnce(t *testing.T) {
	t.Parallel()
	same := `{"auths":{"ghcr.io":{"username":"same","password":"one"}}}`
	keyring := mounted(t, map[string]string{
		"a/.dockerconfigjson": `{"auths":{"ghcr.io":{"username":"a","password":"one"}}}`,
		"b/.dockercfg":        `{"ghcr.io":{"username":"b","password":"two"}}`,
		"c/.dockerconfigjson": same, "d/.dockerconfigjson": same,
	}, "b", "a", "d", "c")
	assert.Empty(t, keyring.Unusable)
	found := keyring.Lookup("ghcr.io/t/i")
	assert.Equal(t, []string{"b", "a", "same"}, accounts(found))
	assert.Equal(t, Name{"ns", "d"}, found[2].Source)
	assert.Equal(t, "Basic "+base64.StdEncoding.EncodeToString([]byte("b:two")), found[0].Authorization())
}

func TestUnusableSecretsAreNamed(t *testing.T) {
	t.Parallel()
	want := map[string]State{
		"nojson": Malformed, "badauth": Malformed, "nocolon": Malformed, "legacy": Malformed, "huge": Unreadable, "dir": Unreadable,
		"other": NotMounted, "absent": NotMounted, "..": NotMounted, "a/b": NotMounted, "": NotMounted,
	}
	names := []string{"empty", "ok"}
	for name := range want {
		names = append(names, name)
	}
	keyring := mounted(t, map[string]string{
		"nojson/.dockerconfigjson":  "hunter2",
		"badauth/.dockerconfigjson": `{"auths":{"a.io":{"auth":"hunter2!"}}}`,
		"nocolon/.dockerconfigjson": `{"auths":{"a.io":{"auth":"aHVudGVyMg=="}}}`,
		"legacy/.dockercfg":         `[]`,
		"huge/.dockerconfigjson":    strings.Repeat(" ", 2<<20),
		"other/tls.crt":             "x",
		"dir/.dockerconfigjson/x":   ``,
		"empty/.dockerconfigjson":   `{}`,
		"ok/.dockerconfigjson":      `{"auths":{"ghcr.io":{"username":"u","password":"p"}}}`,
	}, names...)
	states := map[string]State{}
	for _, one := range keyring.Unusable {
		states[one.Source.Name] = one.State
	}
	assert.Equal(t, want, states)
	assert.Len(t, keyring.Lookup("ghcr.io/t/i"), 1, "the others' trouble is not this one's")
	assert.NotContains(t, fmt.Sprintf("%+v", keyring.Unusable), "hunter2")
}

func TestWhatNodesDoNotUseIsKnown(t *testing.T) {
	t.Parallel()
	keyring := pull(t, `{"auths":{"ghcr.io":{"auth":"dTpwdw"},"empty.io":{},"a.io":{"identitytoken":"x"}},"credsStore":"desktop"}`)
	assert.Empty(t, keyring.Unusable)
	assert.True(t, keyring.Helpers)
	assert.Equal(t, []string{"u"}, accounts(keyring.Lookup("ghcr.io/t/i")), "auth without padding")
	assert.Empty(t, keyring.Lookup("empty.io/i"), "an entry with neither account nor password is nobody")
	assert.True(t, keyring.IdentityToken("a.io/i"))
	assert.Empty(t, mounted(t, nil).Lookup("ghcr.io/t/i"))
}

func FuzzMatches(f *testing.F) {
	f.Add("*.example.com/t", "h.example.com/t/i")
	f.Add("ghcr.io:5000", "ghcr.io:5000/i")
	f.Add("https://index.docker.io/v1/", "docker.io/library/nginx")
	f.Fuzz(func(t *testing.T, key, image string) {
		entry, ok := normalise(key)
		if !ok {
			return
		}
		again, ok := normalise(entry)
		if ok && !strings.Contains(entry, "/v1/") && !strings.Contains(entry, "/v2/") && !strings.Contains(entry, "//") {
			assert.Equal(t, entry, again)
		}
		NewKeyring([]Credential{{Entry: entry, username: "u", password: "p"}}).Lookup(image)
	})
}
