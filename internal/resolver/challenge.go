package resolver

import (
	"net/url"
	"strings"
)

// method is how a registry wants to be asked.
type method int

const (
	open   method = iota // without anything
	basic                // with the account itself (RFC 7617)
	bearer               // with a token from a token endpoint (distribution specification, "Token authentication")
)

// challenge is what a registry's 401 asks for.
type challenge struct {
	method  method
	realm   *url.URL // of a bearer challenge: its token endpoint
	service string
	foreign bool // it came from another host than the one asked: no credential is for it
}

// offer is one challenge as it stands in a WWW-Authenticate header.
type offer struct {
	scheme string // in lower case
	params map[string]string
}

// parseChallenges reads WWW-Authenticate headers (RFC 9110, section 11.6.1): challenges separated by commas,
// as are the parameters of each. What cannot be read ends the reading; what was read until then counts.
func parseChallenges(values []string) []offer {
	var offers []offer
	for _, value := range values {
		rest := skip(value, " \t,")
		for rest != "" {
			var word string
			word, rest = token68(rest)
			if word == "" {
				break
			}
			after := skip(rest, " \t")
			if !strings.HasPrefix(after, "=") || len(offers) == 0 {
				offers = append(offers, offer{scheme: strings.ToLower(word), params: map[string]string{}})
				rest = skip(rest, " \t,")
				continue
			}
			var text string
			var ok bool
			if text, rest, ok = parameter(skip(after[1:], " \t")); !ok {
				return offers
			}
			last := offers[len(offers)-1].params
			if name := strings.ToLower(word); last[name] == "" {
				last[name] = text
			}
			rest = skip(rest, " \t,")
		}
	}
	return offers
}

// parameter reads a token or a quoted string.
func parameter(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		value, rest = token68(text)
		return value, rest, value != ""
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:], true
		case text[i] == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(text[i])
		}
	}
	return "", "", false
}

// token68 cuts a word off the beginning of text.
func token68(text string) (word, rest string) {
	end := strings.IndexAny(text, " \t,=\"")
	if end < 0 {
		return text, ""
	}
	return text[:end], text[end:]
}

func skip(text, characters string) string { return strings.TrimLeft(text, characters) }

// choose picks the challenge to answer: Bearer before Basic. False where there is none that we know, or a
// token endpoint that credentials may not be sent to: one without TLS, unless the registry has none either.
func choose(offers []offer, plainHTTP bool) (challenge, detail) {
	for _, o := range offers {
		if o.scheme != "bearer" {
			continue
		}
		realm, err := url.Parse(o.params["realm"])
		if err != nil || realm.Host == "" || realm.User != nil || realm.Scheme != "https" && (realm.Scheme != "http" || !plainHTTP) {
			return challenge{}, badRealm
		}
		realm.Fragment = ""
		return challenge{method: bearer, realm: realm, service: o.params["service"]}, plain
	}
	for _, o := range offers {
		if o.scheme == "basic" {
			return challenge{method: basic}, plain
		}
	}
	return challenge{}, noChallenge
}

// harborBasic recognises the challenge with which Harbor refuses a manifest to an account (FACTS.md, Harbor).
func harborBasic(offers []offer) bool {
	for _, o := range offers {
		if o.scheme == "basic" && o.params["realm"] == "harbor" {
			return true
		}
	}
	return false
}
