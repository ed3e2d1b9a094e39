package registries

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd" // the authentication that the configuration names
	"golang.org/x/crypto/bcrypt"
)

// Htpasswd is a real registry with Basic authentication by a password file,
// which lets nobody in without an account, and every account everywhere.
type Htpasswd struct {
	*Store
	secrets
	file string
}

// NewHtpasswd returns such a registry, whose password file is in dir.
func NewHtpasswd(ctx context.Context, dir string) (*Htpasswd, error) {
	h := &Htpasswd{file: filepath.Join(dir, "htpasswd-"+rand.Text())}
	const user = "the test"
	password := rand.Text()
	if err := h.AddAccount(user, password); err != nil {
		return nil, err
	}
	h.Store = newStore(ctx, configuration.Auth{"htpasswd": configuration.Parameters{"realm": "registry", "path": h.file}},
		func(request *http.Request) { request.SetBasicAuth(user, password) })
	return h, nil
}

// AddAccount lets an account in, before anybody asks: the registry reads the
// file when its time has changed.
func (h *Htpasswd) AddAccount(user, password string) error {
	h.keepAccount(user, password)
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return fmt.Errorf("hash the password of %s: %w", user, err)
	}
	file, err := os.OpenFile(h.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the password file: %w", err)
	}
	defer file.Close() //nolint:errcheck // a line that is not there locks its account out
	_, err = fmt.Fprintf(file, "%s:%s\n", user, hash)
	return err
}
