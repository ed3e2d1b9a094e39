package picture_test

import (
	"encoding/xml"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/picture"
)

const shown = `$ image-refresh plan -o table
TARGET    LIVE  LATEST  OUTCOME
ingestor  <a>   "b"     failed (proxy)
manager   c     c       unchanged

ingestor: proxy (3/3): could not be asked for & so on: the proxy refused, have it allowed there, as other hosts may be
[exit code 1]
`

func TestAPictureShowsItsText(t *testing.T) {
	t.Parallel()
	svg := picture.Draw("a <tick>", shown, 60)
	require.NoError(t, xml.Unmarshal([]byte(svg), new(struct{})), "well-formed")
	text, err := picture.Text(svg)
	require.NoError(t, err)
	lines := strings.Split(text, "\n")
	for _, line := range lines {
		assert.LessOrEqual(t, utf8.RuneCountInString(line), 60)
	}
	assert.Equal(t, strings.Fields(shown), strings.Fields(text))
	assert.Equal(t, `ingestor  <a>   "b"     failed (proxy)`, lines[2])
	assert.Equal(t, "    proxy refused, have it allowed there, as other hosts may", lines[6])
	assert.Equal(t, 4, strings.Count(svg, "<tspan "), "the command, two outcomes, the exit code")
	assert.Equal(t, 2, strings.Count(svg, `<tspan fill="#ff938a">`))
}

func TestWhatHasNoSpaceIsCut(t *testing.T) {
	t.Parallel()
	text, err := picture.Text(picture.Draw("", strings.Repeat("x", 25), 10))
	require.NoError(t, err)
	assert.Equal(t, "xxxxxxxxxx\n    xxxxxx\n    xxxxxx\n    xxx", text)
	_, err = picture.Text("no picture")
	assert.Error(t, err)
}
