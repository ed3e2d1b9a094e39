package result

import (
	"strings"
	"unicode/utf8"

	"github.com/tracebloc/image-refresh/internal/decide"
)

// Style is how a table looks. The zero value is plain text, of any width.
type Style struct {
	Width  int // of the terminal, in columns; 0: lines are not wrapped
	Colour bool
}

// The colours, as terminals know them (ECMA-48, "select graphic rendition").
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

func (s Style) paint(colour, text string) string {
	if !s.Colour || colour == "" {
		return text
	}
	return colour + text + reset
}

// outcome paints what became of a slot: what needs a person red, what is on its way yellow.
func (s Style) outcome(o decide.Outcome, text string) string {
	switch {
	case o.NeedsAttention():
		return s.paint(red, text)
	case fine(o):
		return s.paint(green, text)
	default:
		return s.paint(yellow, text)
	}
}

// Columns lays cells out in columns, a line a row.
func Columns(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for column, cell := range row {
			if column == len(widths) {
				widths = append(widths, 0)
			}
			widths[column] = max(widths[column], width(cell))
		}
	}
	var text strings.Builder
	for _, row := range rows {
		line := ""
		for column, cell := range row {
			line += cell + strings.Repeat(" ", widths[column]-width(cell)+2)
		}
		text.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return text.String()
}

// status paints the mark that begins a line of a preflight.
func (s Style) status(status Status, line string) string {
	colour := map[Status]string{OK: green, Warning: yellow, Wrong: red}[status]
	mark := status.mark()
	return s.paint(colour, mark) + strings.TrimPrefix(line, mark)
}

// wrap breaks lines between words where they are wider than the terminal; what follows is indented.
func (s Style) wrap(text string) string {
	if s.Width == 0 {
		return text
	}
	const indent = "  "
	var wrapped []string
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Split(line, " ")
		if rest, is := strings.CutPrefix(line, indent); is {
			words = strings.Split(rest, " ")
			words[0] = indent + words[0]
		}
		current := ""
		for _, word := range words {
			switch {
			case current == "":
				current = word
			case width(current)+1+width(word) > s.Width:
				wrapped = append(wrapped, current)
				current = indent + word
			default:
				current += " " + word
			}
		}
		wrapped = append(wrapped, current)
	}
	return strings.Join(wrapped, "\n")
}

// width is how many columns a text takes; our own marks and letters take one each, colours none.
func width(text string) int {
	for _, colour := range []string{red, green, yellow, reset} {
		text = strings.ReplaceAll(text, colour, "")
	}
	return utf8.RuneCountInString(text)
}
