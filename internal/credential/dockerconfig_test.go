package credential

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{
		`{"auths":{"ghcr.io":{"auth":"dTpw"}}}`, `{"auths":{"https://index.docker.io/v1/":{"username":"u","password":"p"}}}`,
		`{"auths":{"[::1]:5000/x":{"auth":"dTpw"},"*.a.b":{"auth":"dTpw"}},"credsStore":"x"}`, `{"ghcr.io":{"auth":"dTpw"}}`, `[]`, ``,
	} {
		f.Add([]byte(seed), "ghcr.io/t/i")
	}
	f.Fuzz(func(t *testing.T, data []byte, image string) {
		found, _, err := parseConfig(data, Name{"ns", "pull"})
		legacy, legacyErr := parseLegacy(data, Name{"ns", "pull"})
		require.False(t, err != nil && len(found) > 0 || legacyErr != nil && len(legacy) > 0, "credentials came with an error")
		for _, c := range NewKeyring(append(found, legacy...)).Lookup(image) {
			require.True(t, !c.Anonymous() && c.Source.Name == "pull" && strings.HasPrefix(c.Authorization(), "Basic "), c)
		}
	})
}
