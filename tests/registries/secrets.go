package registries

import (
	"encoding/base64"
	"strings"
	"sync"
)

// secrets are what a program may send and must never print: passwords, as they
// are and as a Basic header holds them, and tokens. They stay, whatever becomes
// of the account. The zero value is ready.
type secrets struct{ kept sync.Map }

func (s *secrets) keep(value string) {
	if value != "" {
		s.kept.Store(value, true)
	}
}

// keepAccount takes in what an account is recognised by.
func (s *secrets) keepAccount(user, password string) {
	s.keep(password)
	s.keep(base64.StdEncoding.EncodeToString([]byte(user + ":" + password)))
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
func (s *secrets) Secrets() (all []string) {
	s.kept.Range(func(value, _ any) bool {
		all = append(all, value.(string))
		return true
	})
	return all
}
