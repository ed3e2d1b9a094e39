package docs

import (
	"regexp"
	"strings"
)

// RunbookStart is the title under which the commands of the runbook stand that come before all sections.
const RunbookStart = "Runbook"

// Script is one block of commands of the runbook. One that Confirms only looks; others change something.
type Script struct {
	Confirms bool
	Text     string
}

// runbookPart is a heading, the beginning of a part of a section, or a block of commands.
var runbookPart = regexp.MustCompile("(?ms)^(?:#+ ([^\n]*)|\\*\\*(\\w+)\\.\\*\\*|```sh\n(.*?)^```$)")

// Runbook reads the commands of docs/runbook.md, by the titles of their sections; without the block that sets the variables
// which all others use.
func Runbook() (scripts map[string][]Script, err error) {
	text, err := read("docs/runbook.md")
	scripts = map[string][]Script{}
	var title, part string
	for _, match := range runbookPart.FindAllStringSubmatch(text, -1) {
		switch {
		case match[1] != "":
			title, part = match[1], ""
		case match[2] != "":
			part = match[2]
		case !strings.HasPrefix(match[3], "export "):
			scripts[title] = append(scripts[title], Script{Confirms: part == "Confirm", Text: match[3]})
		}
	}
	return scripts, err
}
