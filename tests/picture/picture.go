package picture

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
)

// The size of a cell in pixels, for a font whose characters are 0.6 em wide.
const (
	fontSize   = 13
	cellWidth  = 7.8
	lineHeight = 18
	margin     = 16
)

// The colours, which tell good from bad on light and dark pages alike.
const (
	background = "#1c2128"
	ordinary   = "#cdd9e5"
	command    = "#6cb6ff"
	good       = "#6bc46d"
	pending    = "#daaa3f"
	bad        = "#ff938a"
)

// rules say what is coloured: the first group of the first that matches.
var rules = []struct {
	pattern *regexp.Regexp
	colour  string
}{
	{regexp.MustCompile(`^(\$ .*)$`), command},
	{regexp.MustCompile(`^(\[exit code 0\])$`), good},
	{regexp.MustCompile(`^(\[exit code \d+\])$`), bad},
	{regexp.MustCompile(`^ *(✓)`), good},
	{regexp.MustCompile(`^ *(✗)`), bad},
	{regexp.MustCompile(`^ *([!?])  ?\S`), pending},
	{regexp.MustCompile(`  ((?:unchanged|adopted|refreshed|reapplied)(?: \([a-z-]+\))?)\s*$`), good},
	{regexp.MustCompile(`  ((?:failed|rejected|rolled-back)(?: \([a-z-]+\))?)\s*$`), bad},
	{regexp.MustCompile(`  ((?:pending|held|deferred|skipped|waiting)(?: \([a-z-]+\))?)\s*$`), pending},
}

// Draw draws text, with lines wrapped at so many columns.
func Draw(title, text string, columns int) string {
	lines := wrap(text, columns)
	width, height := float64(columns)*cellWidth+2*margin, len(lines)*lineHeight+2*margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" width="%.0f" height="%d" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n", escape(title))
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", background)
	fmt.Fprintf(&b, `<g fill="%s" font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="%d" xml:space="preserve">`+"\n", ordinary, fontSize)
	for i, line := range lines {
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`+"\n", margin, margin+(i+1)*lineHeight-5, coloured(line))
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

// Text is what a picture shows, a line each, as Draw wrapped it.
func Text(svg string) (string, error) {
	var picture struct {
		Lines []struct {
			Inner string `xml:",innerxml"`
		} `xml:"g>text"`
	}
	if err := xml.Unmarshal([]byte(svg), &picture); err != nil {
		return "", fmt.Errorf("read a picture: %w", err)
	}
	var lines []string
	for _, line := range picture.Lines {
		plain := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(line.Inner, "")
		lines = append(lines, unescape.Replace(plain))
	}
	return strings.Join(lines, "\n"), nil
}

var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&#34;", `"`, "&#39;", "'", "&amp;", "&", "&#x9;", "\t")

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}

// coloured is a line with what the rules say in its colour.
func coloured(line string) string {
	for _, rule := range rules {
		at := rule.pattern.FindStringSubmatchIndex(line)
		if at == nil {
			continue
		}
		return escape(line[:at[2]]) + fmt.Sprintf(`<tspan fill="%s">%s</tspan>`, rule.colour, escape(line[at[2]:at[3]])) + escape(line[at[3]:])
	}
	return escape(line)
}

// wrap breaks long lines at spaces; what goes on below is indented.
func wrap(text string, columns int) []string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		runes := []rune(strings.TrimRight(line, " "))
		for len(runes) > columns {
			end := columns
			for end > columns/2 && runes[end] != ' ' {
				end--
			}
			if end == columns/2 {
				end = columns
			}
			lines = append(lines, strings.TrimRight(string(runes[:end]), " "))
			runes = []rune("    " + strings.TrimLeft(string(runes[end:]), " "))
		}
		lines = append(lines, string(runes))
	}
	return lines
}
