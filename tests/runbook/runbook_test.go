package runbook

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const page = "# Runbook\n```sh\nexport NAME=a\nexport HOST=b PORT=1\n```\nnow\n```sh\nlook\n```\n" +
		"### dns\n**Confirm.** It says so:\n\n```sh\n(\n  export DIR=$(mktemp -d)\n  ask \"$HOST\" \"$DIR\"\n)\n```\n**Mend.** So:\n```sh\nmend ${NAME}\n```\n"
	read, err := parse(page)
	require.NoError(t, err)
	assert.Equal(t, []string{Start, "dns"}, read.Titles())
	assert.Equal(t, []Script{{Text: "look\n"}}, read.Scripts(Start))
	assert.Equal(t, []Script{
		{Confirms: true, Text: "(\n  export DIR=$(mktemp -d)\n  ask \"$HOST\" \"$DIR\"\n)\n"}, {Text: "mend ${NAME}\n"},
	}, read.Scripts("dns"))
	assert.Equal(t, []string{"HOST", "NAME"}, read.Uses("dns"))
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"# Runbook\n```sh\nexport NAME=a\n```\n### dns\n```sh\nask $HOST\n```\n": "dns uses $HOST",
		"# Runbook\n```sh\nexport NAME=a\n```\n### dns\n```sh\nask\n":            "ends within a block",
		"# Runbook\n### dns\n```sh\nask\n```\n":                                  "sets no variables",
	} {
		_, err := parse(text)
		require.ErrorContains(t, err, says)
	}
}
