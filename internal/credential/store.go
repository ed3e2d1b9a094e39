package credential

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/tracebloc/image-refresh/internal/file"
)

// MaxFile bounds what is read of one file: a Secret holds 1 MiB at most.
const MaxFile = 1 << 20

// State says why a named secret gives nothing.
type State int

// The states of a secret that cannot be used.
const (
	NotMounted   State = iota + 1 // neither file is there
	Unreadable                    // it is there and cannot be read
	Malformed                     // what is there is no docker configuration
	HelperFailed                  // the helper program that the DOCKER_CONFIG file names is missing, or fails
	Absent                        // the API server has no such Secret
	Denied                        // the API server does not let it be read
)

// Unusable is a named secret that gives nothing, and why. The zero Source is the DOCKER_CONFIG file.
type Unusable struct {
	Source Name
	State  State
	Helper string // of HelperFailed
}

// kubernetesName is what a namespace or a Secret may be called; nothing that leads out of a directory is.
var kubernetesName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

// Source is where pull secrets are read. It returns what one holds, in the older of the two formats that Kubernetes knows or in
// the newer one, or why it cannot be read.
type Source func(ctx context.Context, name Name) (data []byte, older bool, state State)

// Mounted reads secrets from the directory that they are mounted in: NAMESPACE/NAME/.dockerconfigjson or .dockercfg.
func Mounted(pullSecretsDir string) Source {
	return func(_ context.Context, name Name) (data []byte, older bool, state State) {
		directory := filepath.Join(pullSecretsDir, name.Namespace, name.Name)
		data, err := file.Read(filepath.Join(directory, ".dockerconfigjson"), MaxFile)
		if errors.Is(err, fs.ErrNotExist) {
			older = true
			data, err = file.Read(filepath.Join(directory, ".dockercfg"), MaxFile)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, false, NotMounted
		case err != nil:
			return nil, false, Unreadable
		}
		return data, older, 0
	}
}

// Read reads the secrets named, side by side; what they hold stands in their order.
func Read(ctx context.Context, from Source, names []Name) Keyring {
	type one struct {
		found   []Credential
		helpers bool
		state   State
	}
	read := make([]one, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { read[i].found, read[i].helpers, read[i].state = secret(ctx, from, name) })
	}
	all.Wait()
	var credentials []Credential
	var unusable []Unusable
	helped := false
	for i, one := range read {
		if one.state != 0 {
			unusable = append(unusable, Unusable{Source: names[i], State: one.state})
		}
		credentials = append(credentials, one.found...)
		helped = helped || one.helpers
	}
	keyring := NewKeyring(credentials)
	keyring.Helpers, keyring.Unusable = helped, unusable
	return keyring
}

// secret reads one secret.
func secret(ctx context.Context, from Source, name Name) (found []Credential, helpers bool, state State) {
	if !kubernetesName.MatchString(name.Namespace) || !kubernetesName.MatchString(name.Name) {
		return nil, false, NotMounted
	}
	data, older, state := from(ctx, name)
	if state != 0 {
		return nil, false, state
	}
	var err error
	if older {
		found, err = parseLegacy(data, name)
	} else {
		found, helpers, err = parseConfig(data, name)
	}
	if err != nil {
		state = Malformed
	}
	return found, helpers, state
}
