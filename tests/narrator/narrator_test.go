package narrator_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/narrator"
)

func TestColours(t *testing.T) {
	print := func(n *narrator.Narrator) {
		n.Heading("One")
		n.Say("Once.")
		n.Command("x")
		n.Exit(1)
	}
	var bare, painted strings.Builder
	print(&narrator.Narrator{Out: &bare})
	print(&narrator.Narrator{Out: &painted, Colours: true})
	assert.NotContains(t, bare.String(), "\x1b")
	assert.Contains(t, painted.String(), "\x1b[31m[exit code 1]\x1b[0m")
	assert.Equal(t, bare.String(), regexp.MustCompile(`\x1b\[\d+m`).ReplaceAllString(painted.String(), ""))
}
