package registries

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd" // the authentication that the configuration names
	"golang.org/x/crypto/bcrypt"
)

// Htpasswd is a real registry with Basic authentication by a password file,
// which lets nobody in without an account, and every account everywhere.
type Htpasswd struct {
	*Store
	secrets Secrets

	mu       sync.Mutex
	file     string
	accounts map[string][]byte // to hashes
	written  int
}

// NewHtpasswd returns such a registry, whose password file is in dir.
func NewHtpasswd(ctx context.Context, dir string) (*Htpasswd, error) {
	file, err := os.CreateTemp(dir, "htpasswd-*")
	if err != nil {
		return nil, fmt.Errorf("make a password file: %w", err)
	}
	h := &Htpasswd{file: file.Name(), accounts: map[string][]byte{}}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("make a password file: %w", err)
	}
	const user = "the test"
	password := rand.Text()
	if err := h.AddAccount(user, password); err != nil {
		return nil, err
	}
	h.Store = newStore(ctx, configuration.Auth{"htpasswd": configuration.Parameters{"realm": "registry", "path": h.file}},
		func(request *http.Request) { request.SetBasicAuth(user, password) })
	return h, nil
}

// AddAccount lets an account in, or changes its password.
func (h *Htpasswd) AddAccount(user, password string) error {
	h.secrets.AddAccount(user, password)
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return fmt.Errorf("hash the password of %s: %w", user, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.accounts[user] = hash
	return h.write()
}

// RemoveAccount locks an account out.
func (h *Htpasswd) RemoveAccount(user string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.accounts, user)
	return h.write()
}

// Secrets returns the passwords that accounts have or had.
func (h *Htpasswd) Secrets() []string { return h.secrets.Values() }

// write is called with the lock held. The registry reads the file again when
// its time has changed, so each version has another one.
func (h *Htpasswd) write() error {
	var lines strings.Builder
	for user, hash := range h.accounts {
		fmt.Fprintf(&lines, "%s:%s\n", user, hash)
	}
	if err := os.WriteFile(h.file, []byte(lines.String()), 0o600); err != nil {
		return fmt.Errorf("write the password file: %w", err)
	}
	h.written++
	at := time.Unix(int64(h.written), 0)
	return os.Chtimes(h.file, at, at)
}
