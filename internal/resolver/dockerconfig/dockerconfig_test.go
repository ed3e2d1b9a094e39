package dockerconfig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/credential"
)

func written(t *testing.T, content string) *File {
	t.Helper()
	directory := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(directory, "config.json"), []byte(content), 0o600))
	return Read(directory)
}

func TestEntries(t *testing.T) {
	t.Parallel()
	const own = `":{"username":"me","password":"hunter2"}}}`
	for _, c := range []struct {
		content, host string
		found         bool
	}{
		{`{"auths":{"ghcr.io` + own, "ghcr.io", true}, {`{"auths":{"ghcr.io":{"auth":"bWU6aHVudGVyMg=="}}}`, "ghcr.io", true},
		{`{"auths":{"https://ghcr.io/v2/` + own, "ghcr.io", true}, {`{"auths":{"ghcr.io/t/i` + own, "ghcr.io", true},
		{`{"auths":{"h.io:5000` + own, "h.io:5000", true}, {`{"auths":{"h.io:5000` + own, "h.io", false},
		{`{"auths":{"https://index.docker.io/v1/` + own, "docker.io", true}, {`{"auths":{"docker.io` + own, "docker.io", true},
		{`{"auths":{"quay.io` + own, "ghcr.io", false}, {`{"auths":{"ghcr.io":{}}}`, "ghcr.io", false}, {`{}`, "ghcr.io", false},
	} {
		found, unusable := written(t, c.content).For(t.Context(), c.host, "t/i")
		assert.Nil(t, unusable, c.content)
		assert.Equal(t, c.found, !found.Anonymous(), c.content)
		if c.found {
			assert.Equal(t, "Basic bWU6aHVudGVyMg==", found.Authorization(), c.content)
			assert.Equal(t, credential.Name{}, found.Source, c.content)
		}
	}
	found, _ := written(t, `{"auths":{"a.azurecr.io":{"identitytoken":"hunter2"}}}`).For(t.Context(), "a.azurecr.io", "t/i")
	assert.Equal(t, "hunter2", found.IdentityToken())
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", found, found, found), "hunter2")
}

func TestFilesThatAreOfNoUse(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(directory, "config.json"), 0o700))
	for file, want := range map[*File]credential.State{
		written(t, "{"): credential.Malformed, written(t, `[]`): credential.Malformed,
		written(t, `{"auths":{"a.io":{"auth":"%"}}}`): credential.Malformed, written(t, `{"auths":{"a.io":{"password":5}}}`): credential.Malformed,
		Read(directory): credential.Unreadable, Read(""): 0, Read(t.TempDir()): 0, // no file is no mistake
	} {
		found, unusable := file.For(t.Context(), "a.io", "t/i")
		assert.True(t, found.Anonymous())
		assert.Equal(t, want != 0, unusable != nil)
		assert.True(t, want == 0 || *unusable == credential.Unusable{State: want})
	}
}

// A helper is run without a shell, gets the registry on its standard input, and has bounds in time and output.
func TestHelpers(t *testing.T) { //nolint:paralleltest // it sets PATH
	directory := t.TempDir()
	t.Setenv("PATH", directory+":"+os.Getenv("PATH"))
	t.Chdir(directory)
	require.NoError(t, os.Mkdir("docker-credential-a", 0o700))
	for name, script := range map[string]string{
		"good":    `read server; echo "{\"Username\":\"me at $server by $1\",\"Secret\":\"hunter2\"}"`,
		"token":   `cat >/dev/null; echo '{"Username":"<token>","Secret":"hunter2"}'`,
		"none":    `cat >/dev/null; echo "credentials not found in native keychain"; exit 1`,
		"broken":  `echo "hunter2"; exit 1`,
		"odd":     `echo "<html>"`,
		"endless": `yes hunter2`,
		"a/path":  `echo '{"Username":"me","Secret":"hunter2"}'`,
	} {
		require.NoError(t, os.WriteFile("docker-credential-"+name, []byte("#!/bin/sh\n"+script), 0o700))
	}
	const good = "me at ghcr.io by get"
	for content, want := range map[string]credential.Credential{
		`{"credHelpers":{"ghcr.io":"good"}}`:                                            credential.Docker("ghcr.io", good, "hunter2", ""),
		`{"credsStore":"broken","credHelpers":{"ghcr.io":"good"}}`:                      credential.Docker("ghcr.io", good, "hunter2", ""),
		`{"credHelpers":{"quay.io":"broken"}}`:                                          {},
		`{"credsStore":"token"}`:                                                        credential.Docker("ghcr.io", "", "", "hunter2"),
		`{"credsStore":"none"}`:                                                         {},
		`{"credsStore":"none","auths":{"ghcr.io":{"username":"filed","password":"x"}}}`: credential.Docker("ghcr.io", "filed", "x", ""),
	} {
		found, unusable := written(t, content).For(t.Context(), "ghcr.io", "t/i")
		assert.Nil(t, unusable, content)
		assert.Equal(t, want, found, content)
	}
	for _, helper := range []string{"broken", "odd", "endless", "absent", "a/path", "good; rm -rf x"} {
		started := time.Now()
		_, unusable := written(t, `{"credsStore":"`+helper+`"}`).For(t.Context(), "ghcr.io", "t/i")
		assert.Less(t, time.Since(started), 5*time.Second)
		assert.Equal(t, &credential.Unusable{State: credential.HelperFailed, Helper: "docker-credential-" + helper}, unusable)
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"auths":{"ghcr.io":{"auth":"dTpw"}}}`), "ghcr.io")
	f.Add([]byte(`{"auths":{"https://index.docker.io/v1/":{"username":"u","password":"p"}}}`), "docker.io")
	f.Fuzz(func(t *testing.T, content []byte, host string) {
		file := Read("")
		if file.config.LoadFromReader(bytes.NewReader(content)) != nil {
			return
		}
		file.config.CredentialsStore, file.config.CredentialHelpers = "", nil // nothing is run here
		found, unusable := file.For(t.Context(), host, "t/i")
		if unusable != nil || found.Source != (credential.Name{}) {
			t.Fatalf("%v, %v", found, unusable)
		}
	})
}
