package result

import (
	"slices"
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

// outcome paints what became of a slot.
func (s Style) outcome(o decide.Outcome, text string) string {
	return s.Mark(text, o.NeedsAttention(), fine(o))
}

// Mark paints a word: red what needs a person, green what is fine, yellow what is on its way.
func (s Style) Mark(text string, needs, fine bool) string {
	switch {
	case needs:
		return s.paint(red, text)
	case fine:
		return s.paint(green, text)
	default:
		return s.paint(yellow, text)
	}
}

// leastColumn is how narrow a column is ever cut.
const leastColumn = 8

// Fit cuts cells below these heads, in the widest column first, so that rows are as wide as the terminal at most, if that can be.
func (s Style) Fit(rows [][]string, heads ...string) [][]string {
	widths := widths(rows)
	var columns []int
	for column, head := range rows[0] {
		if slices.Contains(heads, head) {
			columns = append(columns, column)
		}
	}
	total := 2 * (len(widths) - 1)
	for _, width := range widths {
		total += width
	}
	for ; s.Width > 0 && total > s.Width; total-- {
		widest := slices.MaxFunc(columns, func(a, b int) int { return widths[a] - widths[b] })
		if widths[widest] <= leastColumn {
			break
		}
		widths[widest]--
	}
	for _, row := range rows {
		for _, column := range columns {
			if cell := []rune(row[column]); len(cell) > widths[column] {
				row[column] = string(cell[:widths[column]-1]) + "…"
			}
		}
	}
	return rows
}

// widths are those of the columns.
func widths(rows [][]string) []int {
	var widths []int
	for _, row := range rows {
		for column, cell := range row {
			if column == len(widths) {
				widths = append(widths, 0)
			}
			widths[column] = max(widths[column], width(cell))
		}
	}
	return widths
}

// Columns lays cells out in columns, a line a row.
func Columns(rows [][]string) string {
	widths := widths(rows)
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

// Wrap breaks lines between words where they are wider than the terminal; what follows is indented.
func (s Style) Wrap(text string) string {
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
