package picture

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The size of a cell in pixels, for a font whose characters are 0.6 em wide.
const (
	fontSize   = 13
	cellWidth  = 7.8
	lineHeight = 18
	margin     = 16
)

// The colours of the page, and those that a terminal knows by number (ECMA-48,
// "select graphic rendition").
const (
	background = "#1c2128"
	ordinary   = "#cdd9e5"
)

var colours = map[string]string{"31": "#ff938a", "32": "#6bc46d", "33": "#daaa3f", "36": "#6cb6ff"}

var rendition = regexp.MustCompile("\x1b\\[(\\d*)m")

// Draw draws what a terminal shows, colours included.
func Draw(title, shown string) string {
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(shown, "\r\n", "\n"), "\n"), "\n")
	columns := 0
	for _, line := range lines {
		columns = max(columns, utf8.RuneCountInString(strings.TrimRight(rendition.ReplaceAllString(line, ""), " ")))
	}
	width, height := float64(columns)*cellWidth+2*margin, len(lines)*lineHeight+2*margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" width="%.0f" height="%d" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n", escape(title))
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", background)
	fmt.Fprintf(&b, `<g fill="%s" font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="%d" xml:space="preserve">`+"\n", ordinary, fontSize)
	for i, line := range lines {
		if line != "" {
			fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`+"\n", margin, margin+(i+1)*lineHeight-5, spans(strings.TrimRight(line, " ")))
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

// spans is a line with what the terminal was told to colour in its colour.
func spans(line string) string {
	var b strings.Builder
	colour := ""
	put := func(text string) {
		switch {
		case text == "":
		case colour == "":
			b.WriteString(escape(text))
		default:
			fmt.Fprintf(&b, `<tspan fill="%s">%s</tspan>`, colour, escape(text))
		}
	}
	for {
		at := rendition.FindStringSubmatchIndex(line)
		if at == nil {
			put(line)
			return b.String()
		}
		put(line[:at[0]])
		colour, line = colours[line[at[2]:at[3]]], line[at[1]:]
	}
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}
