package registries

import (
	"encoding/base64"
	"strings"
	"sync"
)

// Secrets is what a program may send and must never print: passwords, as they
// are and as a Basic header holds them, and tokens. The zero value is ready.
type Secrets struct {
	mu     sync.Mutex
	values map[string]bool
}

// Add takes values in. They stay, whatever becomes of the account.
func (s *Secrets) Add(values ...string) {
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

// AddAccount takes in what an account is recognised by.
func (s *Secrets) AddAccount(user, password string) {
	s.Add(password, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// AddHeader takes in what an Authorization or Proxy-Authorization header
// holds.
func (s *Secrets) AddHeader(value string) {
	scheme, secret, ok := strings.Cut(value, " ")
	if !ok {
		return
	}
	s.Add(secret)
	if !strings.EqualFold(scheme, "Basic") {
		return
	}
	if pair, err := base64.StdEncoding.DecodeString(secret); err == nil {
		_, password, _ := strings.Cut(string(pair), ":")
		s.Add(password)
	}
}

// Values returns all of them, in no order.
func (s *Secrets) Values() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := make([]string, 0, len(s.values))
	for value := range s.values {
		values = append(values, value)
	}
	return values
}
