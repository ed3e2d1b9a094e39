package credential

import (
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"

	"github.com/tracebloc/image-refresh/internal/file"
)

// MaxFile bounds what is read of one file: a Secret holds 1 MiB at most.
const MaxFile = 1 << 20

// State says why a named secret gives nothing.
type State int

// The states of a secret that cannot be used.
const (
	NotMounted   State = iota + 1 // neither file is there
	Unreadable                    // a file is there and cannot be read
	Malformed                     // what is there is no docker configuration
	HelperFailed                  // the helper program that the DOCKER_CONFIG file names is missing, or fails
)

// Unusable is a named secret that gives nothing, and why. The zero Source is the DOCKER_CONFIG file.
type Unusable struct {
	Source Name
	State  State
	Helper string // of HelperFailed
}

// kubernetesName is what a namespace or a Secret may be called; nothing that leads out of a directory is.
var kubernetesName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

// Mounted reads the secrets named, in that order, from the directory that they are mounted in:
// NAMESPACE/NAME/.dockerconfigjson or .dockercfg.
func Mounted(pullSecretsDir string, names []Name) Keyring {
	var credentials []Credential
	var unusable []Unusable
	helped := false
	for _, name := range names {
		found, helpers, state := secret(pullSecretsDir, name)
		if state != 0 {
			unusable = append(unusable, Unusable{Source: name, State: state})
		}
		credentials = append(credentials, found...)
		helped = helped || helpers
	}
	keyring := NewKeyring(credentials)
	keyring.Helpers, keyring.Unusable = helped, unusable
	return keyring
}

// secret reads one mounted secret, in either of the two formats that Kubernetes knows.
func secret(pullSecretsDir string, name Name) (found []Credential, helpers bool, state State) {
	if !kubernetesName.MatchString(name.Namespace) || !kubernetesName.MatchString(name.Name) {
		return nil, false, NotMounted
	}
	directory := filepath.Join(pullSecretsDir, name.Namespace, name.Name)
	data, err := file.Read(filepath.Join(directory, ".dockerconfigjson"), MaxFile)
	if err == nil {
		found, helpers, err = parseConfig(data, name)
		return found, helpers, malformed(err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if data, err = file.Read(filepath.Join(directory, ".dockercfg"), MaxFile); err == nil {
			found, err = parseLegacy(data, name)
			return found, false, malformed(err)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, NotMounted
	}
	return nil, false, Unreadable
}

func malformed(err error) State {
	if err != nil {
		return Malformed
	}
	return 0
}
