package registries

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"sync"
)

// secrets are what a program may send and must never print: passwords, as they
// are and as a Basic header holds them, and tokens. The zero value is ready.
type secrets struct {
	mu     sync.Mutex
	values map[string]bool
}

// keep takes values in. They stay, whatever becomes of the account.
func (s *secrets) keep(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = map[string]bool{}
	}
	for _, value := range values {
		if value != "" {
			s.values[value] = true
		}
	}
}

// keepAccount takes in what an account is recognised by.
func (s *secrets) keepAccount(user, password string) {
	s.keep(password, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// keepHeader takes in what an Authorization or Proxy-Authorization header
// holds.
func (s *secrets) keepHeader(value string) {
	scheme, secret, _ := strings.Cut(value, " ")
	s.keep(secret)
	if pair, err := base64.StdEncoding.DecodeString(secret); err == nil && strings.EqualFold(scheme, "Basic") {
		_, password, _ := strings.Cut(string(pair), ":")
		s.keep(password)
	}
}

// Secrets returns all that was sent or issued here, and what accounts have or
// had, in no order.
func (s *secrets) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.values))
}
