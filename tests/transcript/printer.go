// Package transcript prints what a program runs and what comes of it, while the program checks it.
package transcript

import (
	"fmt"
	"io"
	"strings"
)

// The colours, as a terminal takes them.
const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	cyan  = "\x1b[36m"
	reset = "\x1b[0m"
)

// Printer prints a transcript to Out, in colour where Colours is set.
type Printer struct {
	Out     io.Writer
	Colours bool

	headings int
}

func (p *Printer) paint(colour, text string) {
	if p.Colours {
		text = colour + text + reset
	}
	p.Print(text)
}

// Print writes a line. A reader that has gone away is noticed by a signal.
func (p *Printer) Print(line string) { _, _ = fmt.Fprintln(p.Out, line) }

// Title prints the title.
func (p *Printer) Title(text string) { p.paint(bold, text) }

// Heading begins a numbered part.
func (p *Printer) Heading(text string) {
	p.headings++
	p.Print("")
	p.paint(bold, fmt.Sprintf("%d. %s", p.headings, text))
}

// Say prints a remark.
func (p *Printer) Say(text string) { p.paint(dim, text) }

// Command shows what is typed.
func (p *Printer) Command(text string) {
	p.Print("")
	p.paint(cyan, "$ "+text)
}

// Output shows what a command printed.
func (p *Printer) Output(text string) {
	if text = strings.TrimRight(text, "\n"); text != "" {
		p.Print(text)
	}
}

// Exit shows an exit code.
func (p *Printer) Exit(code int) {
	colour := green
	if code != 0 {
		colour = red
	}
	p.paint(colour, fmt.Sprintf("[exit code %d]", code))
}
