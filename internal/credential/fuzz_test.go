package credential

import (
	"strings"
	"testing"
)

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{
		`{"auths":{"ghcr.io":{"auth":"dTpw"}}}`, `{"auths":{"https://index.docker.io/v1/":{"username":"u","password":"p"}}}`,
		`{"auths":{"[::1]:5000/x":{"auth":"dTpw"},"*.a.b":{"auth":"dTpw"}},"credsStore":"x"}`, `{"ghcr.io":{"auth":"dTpw"}}`, `{"auths":null}`, `[]`, ``,
	} {
		f.Add([]byte(seed), "ghcr.io/t/i")
	}
	f.Fuzz(func(t *testing.T, data []byte, image string) {
		found, _, err := parseConfig(data, Name{"ns", "pull"})
		legacy, legacyErr := parseLegacy(data, Name{"ns", "pull"})
		if err != nil && len(found) > 0 || legacyErr != nil && len(legacy) > 0 {
			t.Fatal("credentials came with an error")
		}
		for _, c := range NewKeyring(append(found, legacy...)).Lookup(image) {
			if c.Anonymous() || c.Source.Name != "pull" || !strings.HasPrefix(c.Authorization(), "Basic ") {
				t.Fatalf("no credential: %v", c)
			}
		}
	})
}

func FuzzMatches(f *testing.F) {
	f.Add("*.example.com/t", "h.example.com/t/i")
	f.Add("ghcr.io:5000", "ghcr.io:5000/i")
	f.Add("https://index.docker.io/v1/", "docker.io/library/nginx")
	f.Fuzz(func(t *testing.T, key, image string) {
		entry, ok := normalise(key)
		if !ok {
			return
		}
		again, ok := normalise(entry)
		if ok && !strings.Contains(entry, "/v1/") && !strings.Contains(entry, "/v2/") && strings.Count(entry, "//") == 0 && again != entry {
			t.Fatalf("%q is normalised to %q and that to %q", key, entry, again)
		}
		NewKeyring([]Credential{{Entry: entry, username: "u", password: "p"}}).Lookup(image)
	})
}
