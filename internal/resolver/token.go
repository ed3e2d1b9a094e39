package resolver

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"net/url"
	"strings"
	"time"
)

// Bounds on what a token endpoint may say of a token's life. One that says nothing means 60 seconds
// (distribution specification, "Token authentication").
const (
	defaultLife = time.Minute
	longestLife = time.Hour
)

// token is what a token endpoint gave.
type token struct {
	value   string // secret
	life    time.Duration
	subject string // whom Harbor's tokens name; empty for nobody, and where the token is no JWT
}

// parseToken reads a token endpoint's answer. Registries use either field; Harbor sends access_token empty,
// some clouds send it alone.
func parseToken(body []byte) (token, bool) {
	var answer struct {
		Token       string  `json:"token"`
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return token{}, false
	}
	value := answer.Token
	if value == "" {
		value = answer.AccessToken
	}
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return token{}, false
	}
	life := defaultLife
	if answer.ExpiresIn > 0 {
		life = time.Duration(math.Min(answer.ExpiresIn, longestLife.Seconds()) * float64(time.Second))
	}
	return token{value: value, life: life, subject: jwtSubject(value)}, true
}

// jwtSubject reads whom a JWT is for. It is not verified: it only helps to say what went wrong.
func jwtSubject(jwt string) string {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return ""
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Subject
}

// Bounds on one token request: several scopes are worth one request, up to what Harbor's nginx still accepts in one
// line of 8 KiB (FACTS.md, Harbor). The line that grows fastest is not the request for the token but the header with
// the token, which names every repository again, in JSON and base64.
const (
	maxScopes     = 50
	maxScopeBytes = 6000
	claimBytes    = len(`{"type":"repository","name":"","actions":["pull"]},`)
)

// tokenURL is the token endpoint asked for pull rights on repositories; on none, it asks for proof of the
// account alone.
func tokenURL(ch challenge, repositories []string) *url.URL {
	u := *ch.realm
	query := u.Query()
	if ch.service != "" {
		query.Set("service", ch.service)
	}
	for _, repository := range repositories {
		query.Add("scope", "repository:"+repository+":pull")
	}
	u.RawQuery = query.Encode()
	return &u
}

// batches splits repositories into groups that one token request may ask for.
func batches(repositories []string) [][]string {
	var all [][]string
	var current []string
	size := 0
	for _, repository := range repositories {
		cost := base64.RawURLEncoding.EncodedLen(claimBytes + len(repository))
		if len(current) == maxScopes || len(current) > 0 && size+cost > maxScopeBytes {
			all, current, size = append(all, current), nil, 0
		}
		current, size = append(current, repository), size+cost
	}
	if len(current) > 0 {
		all = append(all, current)
	}
	return all
}
