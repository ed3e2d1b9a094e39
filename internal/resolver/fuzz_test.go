package resolver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tracebloc/image-refresh/internal/image"
)

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`, `Basic realm="x"`)
	f.Add(`Basic realm="a \"b\"", Bearer realm=x , service = "y"`, ``)
	f.Add(`Negotiate abc==, ,=,"`, `Bearer`)
	f.Fuzz(func(t *testing.T, first, second string) {
		offers := parseChallenges([]string{first, second})
		if len(offers) > len(first)+len(second) {
			t.Fatal("more challenges than letters")
		}
		ch, d := choose(offers, false)
		if d == plain && ch.method == bearer && (ch.realm.Scheme != "https" || ch.realm.Host == "" || ch.realm.User != nil) {
			t.Fatalf("a token endpoint that credentials must not go to: %v", ch.realm)
		}
		if d == plain && ch.method == open {
			t.Fatal("a 401 that asks for nothing")
		}
	})
}

func FuzzParseToken(f *testing.F) {
	f.Add([]byte(`{"token":"abc","expires_in":300}`))
	f.Add([]byte(`{"access_token":"h.eyJzdWIiOiJyb2JvdCRwK24ifQ.s","token":""}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := parseToken(body)
		if !ok {
			return
		}
		if got.value == "" || strings.ContainsAny(got.value, " \r\n\t") || got.life <= 0 || got.life > longestLife {
			t.Fatalf("accepted nonsense: %+v", got)
		}
		request := http.Request{Header: http.Header{}}
		request.Header.Set("Authorization", "Bearer "+got.value)
	})
}

func FuzzParseManifest(f *testing.F) {
	amd64 := `{"os":"linux","architecture":"amd64"}`
	f.Add([]byte(indexJSON(entryJSON(mediaManifest, amd64), entryJSON(mediaManifest, "null"))), mediaIndex)
	f.Add([]byte(imageJSON(mediaConfig)), mediaManifest)
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[]}`), "")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		c, d := parseManifest(body, contentType)
		if d != plain {
			if len(c.platforms)+len(c.unnamed) > 0 || c.config != "" {
				t.Fatal("contents came with a problem")
			}
			return
		}
		if (c.config == "") == (len(c.platforms)+len(c.unnamed) == 0) {
			t.Fatalf("neither an image nor an index of images: %+v", c)
		}
		for _, p := range c.platforms {
			if again, err := image.ParsePlatform(p.String()); err != nil || again != p || !p.Known() {
				t.Fatalf("no platform: %q", p)
			}
		}
		for _, digest := range append(c.unnamed, c.config) {
			if _, err := image.ParseDigest(string(digest)); err != nil && digest != "" {
				t.Fatalf("no digest: %q", digest)
			}
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", []byte(`{"errors":[{"message":"retry-after: 285.47µs, allowed: 44000/minute"}]}`))
	f.Add("Sat, 01 Aug 2026 12:00:30 GMT", []byte(`{}`))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		wait, _ := parseRetryAfter(header, time.Unix(1_700_000_000, 0))
		other, _ := retryAfterIn(body)
		if min(wait, other) < 0 || max(wait, other) > longestRetry {
			t.Fatalf("%s, %s", wait, other)
		}
		_ = parseQuota(http.Header{"Ratelimit-Remaining": {header}})
		if code := errorCode(body); strings.ContainsAny(code, "\r\n\x1b ") {
			t.Fatalf("a code that is no word: %q", code)
		}
	})
}

func FuzzFollow(f *testing.F) {
	f.Add("https://a.io/x", "//b.io/y")
	f.Add("http://a.io/x", "http://a.io:80/y?z#w")
	f.Fuzz(func(t *testing.T, from, location string) {
		base, err := url.Parse(from)
		if err != nil || base.Scheme != "https" {
			return
		}
		next, d := follow(base, location, func(string) bool { return true })
		if d == plain && (next.Scheme != "https" || next.Host == "" || next.User != nil) {
			t.Fatalf("%q led from TLS to %q", location, next)
		}
	})
}
