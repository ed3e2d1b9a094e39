package harness

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

// start is how many bytes of a secret pick it out; shorter ones could not be
// told from any other text.
const start = 8

// long is from how many characters on a secret is looked for by its ends too,
// because what is printed of foreign text is cut.
const long = 64

// finder looks for many secrets at once.
type finder map[string][]string // what is looked for, by its first bytes

func newFinder(secrets []string) finder {
	f := finder{}
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if len(form) >= start {
				f[form[:start]] = append(f[form[:start]], form)
			}
		}
	}
	return f
}

// forms are the ways in which a secret could stand in a text.
func forms(secret string) []string {
	quoted, err := json.Marshal(secret)
	if err != nil {
		panic(err) // a string encodes
	}
	all := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(quoted), `"`)}
	if len(secret) <= long {
		return append(all, strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="))
	}
	return append(all, secret[:long/2], secret[len(secret)-long/2:])
}

// in tells whether a text holds any of them.
func (f finder) in(text string) bool {
	for i := 0; i+start <= len(text); i++ {
		for _, form := range f[text[i:i+start]] {
			if strings.HasPrefix(text[i:], form) {
				return true
			}
		}
	}
	return false
}

// credentials is what looks like one, whoever's it is: the value of an
// Authorization header, a signed token, a password in a URL.
var credentials = regexp.MustCompile(
	`(?i:\b(?:basic|bearer) +[a-z0-9+/=._~-]{16,})|\beyJ[A-Za-z0-9_-]{8,}\.|[a-z]://[^/\s"@]+:[^/\s"@]+@`)

// Leaks looks through everything that was printed so far, for the secrets of
// every scenario and for what looks like one, and says which runs printed some.
func (e *Environment) Leaks() []string {
	e.mu.Lock()
	find := newFinder(e.secrets)
	e.mu.Unlock()
	var leaks []string
	for _, run := range e.Captured() {
		if text := run.Stdout + run.Stderr; find.in(text) || credentials.MatchString(text) {
			leaks = append(leaks, run.Test+": a run printed a secret: "+strings.Join(run.Args, " "))
		}
	}
	return leaks
}

// keepSecrets has Leaks look for secrets in what other scenarios print, too.
func (e *Environment) keepSecrets(secrets []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.secrets = append(e.secrets, secrets...)
}

// Apart returns an environment with the same cluster and nothing captured yet,
// for tests of the harness itself that leak on purpose.
func (e *Environment) Apart() *Environment {
	return &Environment{Cluster: e.Cluster, Kubelet: e.Kubelet, Binary: e.Binary, Race: e.Race, dir: e.dir}
}
