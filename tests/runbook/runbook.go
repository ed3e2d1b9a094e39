// Package runbook reads the commands of docs/runbook.md, for tests that run each of them where its trouble is real.
package runbook

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/tracebloc/image-refresh/tests/components"
)

// Start is the title under which the commands stand that come before all sections.
const Start = "Runbook"

// Page is the runbook.
type Page struct {
	scripts map[string][]Script
	// variables are those that the page tells its reader to set.
	variables []string
}

// Script is one block of commands.
type Script struct {
	// Confirms says that the commands confirm a trouble; others mend it.
	Confirms bool
	Text     string
}

var (
	heading  = regexp.MustCompile(`^#+ (.*)$`)
	part     = regexp.MustCompile(`^\*\*(\w+)\.\*\*`)
	exported = regexp.MustCompile(`\b([A-Z]+)=`)
	used     = regexp.MustCompile(`\$\{?([A-Z_]+)\b`)
)

// Read reads the page. Commands that use a variable which the page doesn't tell its reader to set are an error.
func Read() (Page, error) {
	tests, err := components.Root()
	if err != nil {
		return Page{}, err
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(tests), "docs", "runbook.md"))
	if err != nil {
		return Page{}, err
	}
	return parse(string(text))
}

func parse(text string) (Page, error) {
	page := Page{scripts: map[string][]Script{}}
	var title, now string
	var block *strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case block != nil && line == "```":
			page.add(title, Script{Confirms: now == "Confirm", Text: block.String()})
			block = nil
		case block != nil:
			block.WriteString(line + "\n")
		case line == "```sh":
			block = &strings.Builder{}
		case heading.MatchString(line):
			title, now = heading.FindStringSubmatch(line)[1], ""
		case part.MatchString(line):
			now = part.FindStringSubmatch(line)[1]
		}
	}
	if block != nil {
		return Page{}, errors.New("the runbook ends within a block of commands")
	}
	return page, page.check()
}

// add keeps a block, or the variables that it sets: the first of the page does nothing else.
func (p *Page) add(title string, script Script) {
	if strings.HasPrefix(script.Text, "export ") && len(p.scripts) == 0 {
		for _, match := range exported.FindAllStringSubmatch(script.Text, -1) {
			p.variables = append(p.variables, match[1])
		}
		return
	}
	p.scripts[title] = append(p.scripts[title], script)
}

func (p *Page) check() error {
	var problems []error
	if len(p.variables) == 0 {
		problems = append(problems, errors.New("the runbook sets no variables"))
	}
	for title := range p.scripts {
		for _, name := range p.Uses(title) {
			if !slices.Contains(p.variables, name) {
				problems = append(problems, fmt.Errorf("the runbook's section %s uses $%s, which its reader is not told to set", title, name))
			}
		}
	}
	return errors.Join(problems...)
}

// Titles are those of the sections that have commands, in alphabetical order.
func (p Page) Titles() []string {
	var titles []string
	for title := range p.scripts {
		titles = append(titles, title)
	}
	slices.Sort(titles)
	return titles
}

// Scripts are the blocks of commands of a section.
func (p Page) Scripts(title string) []Script { return p.scripts[title] }

// Uses are the variables that the commands of a section take from their reader.
func (p Page) Uses(title string) []string {
	var names []string
	for _, script := range p.scripts[title] {
		for _, match := range used.FindAllStringSubmatch(script.Text, -1) {
			if name := match[1]; !slices.Contains(names, name) && !strings.Contains(script.Text, "export "+name+"=") {
				names = append(names, name)
			}
		}
	}
	return names
}
