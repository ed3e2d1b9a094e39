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
	const own = `{"username":"me","password":"hunter2"}`
	for name, c := range map[string]struct {
		content, host, want string
	}{
		"the host":             {`{"auths":{"ghcr.io":` + own + `}}`, "ghcr.io", "Basic bWU6aHVudGVyMg=="},
		"in one field":         {`{"auths":{"ghcr.io":{"auth":"bWU6aHVudGVyMg=="}}}`, "ghcr.io", "Basic bWU6aHVudGVyMg=="},
		"with a scheme":        {`{"auths":{"https://ghcr.io/v2/":` + own + `}}`, "ghcr.io", "Basic bWU6aHVudGVyMg=="},
		"with a port":          {`{"auths":{"h.io:5000":` + own + `}}`, "h.io:5000", "Basic bWU6aHVudGVyMg=="},
		"another port":         {`{"auths":{"h.io:5000":` + own + `}}`, "h.io", ""},
		"the repository":       {`{"auths":{"ghcr.io/t/i":` + own + `}}`, "ghcr.io", "Basic bWU6aHVudGVyMg=="},
		"docker.io, by login":  {`{"auths":{"https://index.docker.io/v1/":` + own + `}}`, "docker.io", "Basic bWU6aHVudGVyMg=="},
		"docker.io, by hand":   {`{"auths":{"docker.io":` + own + `}}`, "docker.io", "Basic bWU6aHVudGVyMg=="},
		"another host":         {`{"auths":{"quay.io":` + own + `}}`, "ghcr.io", ""},
		"an entry of nobody's": {`{"auths":{"ghcr.io":{}}}`, "ghcr.io", ""},
		"nothing":              {`{}`, "ghcr.io", ""},
	} {
		found, unusable := written(t, c.content).For(t.Context(), c.host, "t/i")
		assert.Nil(t, unusable, name)
		assert.Equal(t, c.want == "", found.Anonymous(), name)
		if c.want != "" {
			assert.Equal(t, c.want, found.Authorization(), name)
			assert.Equal(t, credential.Name{}, found.Source, name)
		}
	}
	found, _ := written(t, `{"auths":{"a.azurecr.io":{"identitytoken":"hunter2"}}}`).For(t.Context(), "a.azurecr.io", "t/i")
	assert.Equal(t, "hunter2", found.IdentityToken())
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", found, found, found), "hunter2")
}

func TestFilesThatAreOfNoUse(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]credential.State{
		"{": credential.Malformed, `[]`: credential.Malformed, `{"auths":{"a.io":{"auth":"%"}}}`: credential.Malformed, `{"auths":{"a.io":{"password":5}}}`: credential.Malformed,
	} {
		_, unusable := written(t, content).For(t.Context(), "a.io", "t/i")
		require.NotNil(t, unusable, content)
		assert.Equal(t, credential.Unusable{State: want}, *unusable, content)
	}
	for _, empty := range []*File{Read(""), Read(t.TempDir())} {
		found, unusable := empty.For(t.Context(), "a.io", "t/i")
		assert.Nil(t, unusable, "no file is no mistake")
		assert.True(t, found.Anonymous())
	}
	directory := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(directory, "config.json"), 0o700))
	_, unusable := Read(directory).For(t.Context(), "a.io", "t/i")
	assert.Equal(t, credential.Unreadable, unusable.State)
}

// A helper is run without a shell, gets the registry on its standard input, and has bounds in time and output.
func TestHelpers(t *testing.T) { //nolint:paralleltest // it sets PATH
	directory := t.TempDir()
	t.Setenv("PATH", directory+":"+os.Getenv("PATH"))
	helper := func(name, script string) {
		require.NoError(t, os.WriteFile(filepath.Join(directory, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o700))
	}
	helper("good", `read server; echo "{\"Username\":\"me at $server by $1\",\"Secret\":\"hunter2\"}"`)
	helper("token", `cat >/dev/null; echo '{"Username":"<token>","Secret":"hunter2"}'`)
	helper("none", `cat >/dev/null; echo "credentials not found in native keychain"; exit 1`)
	helper("broken", `echo "hunter2"; exit 1`)
	helper("odd", `echo "<html>"`)
	helper("endless", `yes hunter2`)
	for name, c := range map[string]struct {
		content, account, identity, failed string
	}{
		"for the host":     {content: `{"credHelpers":{"ghcr.io":"good"}}`, account: "me at ghcr.io by get"},
		"for everything":   {content: `{"credsStore":"good"}`, account: "me at ghcr.io by get"},
		"the host's first": {content: `{"credsStore":"broken","credHelpers":{"ghcr.io":"good"}}`, account: "me at ghcr.io by get"},
		"another host's":   {content: `{"credHelpers":{"quay.io":"broken"}}`},
		"a token":          {content: `{"credsStore":"token"}`, account: "of an identity token", identity: "hunter2"},
		"has nothing":      {content: `{"credsStore":"none"}`},
		"then the file":    {content: `{"credsStore":"none","auths":{"ghcr.io":{"username":"filed","password":"x"}}}`, account: "filed"},
		"fails":            {content: `{"credsStore":"broken"}`, failed: "docker-credential-broken"},
		"says nonsense":    {content: `{"credsStore":"odd"}`, failed: "docker-credential-odd"},
		"without an end":   {content: `{"credsStore":"endless"}`, failed: "docker-credential-endless"},
		"is not there":     {content: `{"credsStore":"absent"}`, failed: "docker-credential-absent"},
		"is a path":        {content: `{"credsStore":"../../bin/sh"}`, failed: "docker-credential-../../bin/sh"},
		"is a command":     {content: `{"credsStore":"good; rm -rf x"}`, failed: "docker-credential-good; rm -rf x"},
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			found, unusable := written(t, c.content).For(t.Context(), "ghcr.io", "t/i")
			assert.Less(t, time.Since(started), 5*time.Second)
			if c.failed != "" {
				require.NotNil(t, unusable)
				assert.Equal(t, credential.Unusable{State: credential.HelperFailed, Helper: c.failed}, *unusable)
				return
			}
			assert.Nil(t, unusable)
			assert.Equal(t, c.account == "", found.Anonymous())
			assert.Equal(t, c.identity, found.IdentityToken())
			if c.account != "" {
				assert.Equal(t, c.account, found.Account())
			}
		})
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
