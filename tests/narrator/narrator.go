// Package narrator prints a story that a program tells while it checks it.
package narrator

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
	plain = "\x1b[0m"
)

// Narrator prints the story.
type Narrator struct {
	// Out is where it is printed.
	Out io.Writer
	// Colours paints it for a terminal.
	Colours bool

	chapter int
}

func (n *Narrator) paint(colour, text string) string {
	if !n.Colours {
		return text
	}
	return colour + text + plain
}

// Print writes a line. A reader that has gone away is noticed by a signal.
func (n *Narrator) Print(line string) { _, _ = fmt.Fprintln(n.Out, line) }

// Title prints the title.
func (n *Narrator) Title(text string) { n.Print(n.paint(bold, text)) }

// Heading begins a chapter.
func (n *Narrator) Heading(text string) {
	n.chapter++
	n.Print("")
	n.Print(n.paint(bold, fmt.Sprintf("%d. %s", n.chapter, text)))
}

// Say narrates.
func (n *Narrator) Say(text string) { n.Print(n.paint(dim, text)) }

// Command shows what is typed.
func (n *Narrator) Command(text string) {
	n.Print("")
	n.Print(n.paint(cyan, "$ "+text))
}

// Output shows what a command printed.
func (n *Narrator) Output(text string) {
	if text = strings.TrimRight(text, "\n"); text != "" {
		n.Print(text)
	}
}

// Exit shows an exit code.
func (n *Narrator) Exit(code int) {
	colour := green
	if code != 0 {
		colour = red
	}
	n.Print(n.paint(colour, fmt.Sprintf("[exit code %d]", code)))
}
