// Package docs holds the documentation to what is true. Results that the program prints are compared with the JSON Schema in
// docs/schema, log lines with the tables in docs/logs.md: the harness asks about every run of every scenario, so a field or a
// key that nobody documented fails a test. The commands of the README and of the other documents are run as they are written,
// in a copy of the tree, on a real control plane; none is left out without a reason. Those of the runbook are read here, and
// run where their trouble is real.
package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tracebloc/image-refresh/tests/components"
)

// path is where a file of the repository is.
func path(name string) (string, error) {
	tests, err := components.Root()
	return filepath.Join(filepath.Dir(tests), filepath.FromSlash(name)), err
}

func read(name string) (string, error) {
	file, err := path(name)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(file) //nolint:gosec // a file of the repository
	return string(text), err
}

// Snippet is the code block of a page that follows a marker, an HTML comment.
func Snippet(page, marker string) (string, error) {
	text, err := read(page)
	if err != nil {
		return "", err
	}
	_, text, marked := strings.Cut(text, "<!-- "+marker+" -->\n```")
	_, text, opened := strings.Cut(text, "\n")
	text, _, closed := strings.Cut(text, "```\n")
	if !marked || !opened || !closed {
		return "", fmt.Errorf("%s has no block after <!-- %s -->", page, marker)
	}
	return text, nil
}
