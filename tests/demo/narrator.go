package main

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

// narrator prints the story.
type narrator struct {
	out     io.Writer
	colours bool
	chapter int
}

func (n *narrator) paint(colour, text string) string {
	if !n.colours {
		return text
	}
	return colour + text + plain
}

// print writes a line. A reader that has gone away is noticed by a signal.
func (n *narrator) print(line string) { _, _ = fmt.Fprintln(n.out, line) }

// heading begins a chapter.
func (n *narrator) heading(text string) {
	n.chapter++
	n.print("")
	n.print(n.paint(bold, fmt.Sprintf("%d. %s", n.chapter, text)))
}

// say narrates.
func (n *narrator) say(text string) { n.print(n.paint(dim, text)) }

// command shows what is typed.
func (n *narrator) command(text string) {
	n.print("")
	n.print(n.paint(cyan, "$ "+text))
}

// output shows what a command printed.
func (n *narrator) output(text string) {
	if text = strings.TrimRight(text, "\n"); text != "" {
		n.print(text)
	}
}

// exit shows an exit code.
func (n *narrator) exit(code int) {
	colour := green
	if code != 0 {
		colour = red
	}
	n.print(n.paint(colour, fmt.Sprintf("[exit code %d]", code)))
}
