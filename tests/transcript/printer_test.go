package transcript

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestColoursArePaintOnly(t *testing.T) {
	print := func(p *Printer) {
		p.Heading("One")
		p.Say("Once.")
		p.Command("x")
		p.Exit(1)
	}
	var bare, painted strings.Builder
	print(&Printer{Out: &bare})
	print(&Printer{Out: &painted, Colours: true})
	assert.NotContains(t, bare.String(), "\x1b")
	assert.Contains(t, painted.String(), "\x1b[31m[exit code 1]\x1b[0m")
	assert.Equal(t, bare.String(), regexp.MustCompile(`\x1b\[\d+m`).ReplaceAllString(painted.String(), ""))
}
