package picture_test

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/picture"
)

func TestAPictureShowsWhatTheTerminalDoes(t *testing.T) {
	t.Parallel()
	svg := picture.Draw("a <tick>", "\x1b[36m$ x\x1b[0m\r\n\r\n<a>  b   \r\n1  \x1b[31mfailed\x1b[0m & \x1b[32mfine\x1b[m\r\n")
	var drawn struct {
		Width int    `xml:"width,attr"`
		Title string `xml:"title"`
		Lines []struct {
			Y     int    `xml:"y,attr"`
			Inner string `xml:",innerxml"`
		} `xml:"g>text"`
	}
	require.NoError(t, xml.Unmarshal([]byte(svg), &drawn))
	assert.Equal(t, "a <tick>", drawn.Title)
	require.Len(t, drawn.Lines, 3, "an empty line is a gap")
	assert.Equal(t, `<tspan fill="#6cb6ff">$ x</tspan>`, drawn.Lines[0].Inner)
	assert.Equal(t, `&lt;a&gt;  b`, drawn.Lines[1].Inner)
	assert.Equal(t, `1  <tspan fill="#ff938a">failed</tspan> &amp; <tspan fill="#6bc46d">fine</tspan>`, drawn.Lines[2].Inner)
	assert.Equal(t, 2*(drawn.Lines[2].Y-drawn.Lines[1].Y), drawn.Lines[1].Y-drawn.Lines[0].Y)
	assert.Less(t, drawn.Width, 200)
	assert.NotContains(t, svg, "\x1b")
	assert.Equal(t, 1, strings.Count(svg, "</svg>"))
}
