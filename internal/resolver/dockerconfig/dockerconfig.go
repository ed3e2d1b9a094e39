// Package dockerconfig reads a docker configuration file as docker does: what it holds for a registry, what a helper
// program holds, and identity tokens.
package dockerconfig

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/credentials"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/file"
)

// hub is the name under which docker keeps Docker Hub's credentials.
const hub = "https://index.docker.io/v1/"

// File is a docker configuration, which may be empty.
type File struct {
	config *configfile.ConfigFile
	state  credential.State

	mu    sync.Mutex
	asked map[string]func() (credential.Credential, error) // helpers, by registry
}

// Read reads config.json in a directory; an empty name, and a file that is not there, are an empty configuration.
func Read(directory string) *File {
	f := &File{config: configfile.New(""), asked: map[string]func() (credential.Credential, error){}}
	if directory == "" {
		return f
	}
	text, err := file.Read(filepath.Join(directory, "config.json"), credential.MaxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		f.state = credential.Unreadable
	case f.config.LoadFromReader(bytes.NewReader(text)) != nil:
		f.config, f.state = configfile.New(""), credential.Malformed
	}
	return f
}

// For returns what the file has for a repository, or else for its host: the zero Credential where that is nothing. Where
// the file, or a helper that it names, is of no use, it says why.
func (f *File) For(ctx context.Context, host, repository string) (credential.Credential, *credential.Unusable) {
	if f.state != 0 {
		return credential.Credential{}, &credential.Unusable{State: f.state}
	}
	if helper := f.helper(host); helper != "" {
		found, err := f.ask(ctx, helper, server(host))()
		if err != nil {
			return credential.Credential{}, &credential.Unusable{State: credential.HelperFailed, Helper: prefix + helper}
		}
		if !found.Anonymous() {
			return found, nil
		}
	}
	file := credentials.NewFileStore(f.config)
	for _, key := range []string{host + "/" + repository, server(host), host} {
		entry, err := file.Get(key)
		if err != nil {
			continue
		}
		if found := credential.Docker(key, entry.Username, entry.Password, entry.IdentityToken); !found.Anonymous() {
			return found, nil
		}
	}
	return credential.Credential{}, nil
}

// ask has a helper asked for a registry once, however many images are there.
func (f *File) ask(ctx context.Context, helper, server string) func() (credential.Credential, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked[server] == nil {
		f.asked[server] = sync.OnceValues(func() (credential.Credential, error) { return ask(ctx, helper, server) })
	}
	return f.asked[server]
}

// Helped says that programs hold credentials in the file's place.
func (f *File) Helped() bool {
	return f.config.CredentialsStore != "" || len(f.config.CredentialHelpers) > 0
}

func (f *File) helper(host string) string {
	for _, key := range []string{server(host), host} {
		if helper := f.config.CredentialHelpers[key]; helper != "" {
			return helper
		}
	}
	return f.config.CredentialsStore
}

// server is what docker calls a registry.
func server(host string) string {
	if host == "docker.io" {
		return hub
	}
	return host
}
