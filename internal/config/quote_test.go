package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// What is quoted is on one line, of a length that can be read, and no secret.
func TestWhatIsRefusedIsQuoted(t *testing.T) {
	t.Parallel()
	const token = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
	hosts := func(host string) string { return instead(t, hostKey, "host: "+host) }
	for text, says := range map[string]string{
		hosts("GHCR.io"):                            `registries[0].host: is "GHCR.io", `,
		hosts(`"a\nb\e[31m"`):                       `is "a b", `,
		hosts(strings.Repeat("X", 1000)):            `is "` + strings.Repeat("X", 199) + `…", `,
		hosts("me:s3cret@ghcr.io"):                  `is "redacted@ghcr.io", `,
		hosts("https://me:s3/cret@ghcr.io/?s3cret"): `is "redacted@ghcr.io/?redacted", `,
		instead(t, "ghcr.io/example/api:1.2\n", "ghcr.io/X:1@sha256:ab\n"):                              `targets[0].image: is "ghcr.io/X:1@sha256:ab", `,
		instead(t, imageKey, imageKey+"    pullSecrets: [My_Secret]\n"):                                 `is "My_Secret", must be the name of a Secret`,
		instead(t, imageKey, imageKey+"    pullSecrets: ["+token+"]\n"):                                 "is a text of 40 characters, ",
		instead(t, hostKey, hostKey+"\n    caFile: |\n      -----BEGIN PRIVATE KEY-----\n      s3cret"): "registries[0].caFile: is PEM data, ",
		instead(t, hostKey, hostKey+"\n    password: s3cret"):                                           "registries[0].password: is not known here: the keys are host, ",
	} {
		_, problems := read(t, write(t, text), nil)
		if assert.Len(t, problems, 1, text) {
			assert.Contains(t, problems[0], says)
			assert.NotRegexp(t, "s3cret|s3/|"+token, problems[0])
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"INGESTOR_IMAGE_DIGEST", "INGESTOR_IMAGE", "LOG_LEVEL", "PATH"}
	for name, want := range map[string][]string{
		"INGESTOR_IMAGE_DIGST": {"INGESTOR_IMAGE_DIGEST", "INGESTOR_IMAGE"},
		"ingestor_image":       {"INGESTOR_IMAGE", "INGESTOR_IMAGE_DIGEST"},
		"LOGLEVEL":             {"LOG_LEVEL"},
		"SOMETHING":            {},
	} {
		assert.Equal(t, want, slices.Clip(Nearest(name, known)), name)
	}
}
