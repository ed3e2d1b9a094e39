package docs

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// logsFile documents the log.
const logsFile = "docs/logs.md"

// logLine is what is documented of one kind of line.
type logLine struct{ levels, keys []string }

var (
	tableOfLines = regexp.MustCompile("(?s)<!-- lines -->\n[^\n]*\n[^\n]*\n(.*?)\n\n")
	quoted       = regexp.MustCompile("`([^`]+)`")
)

// logLines reads the table of lines: what msg says, at which levels, with which keys.
var logLines = sync.OnceValues(func() (map[string]logLine, error) {
	text, err := read(logsFile)
	if err != nil {
		return nil, err
	}
	table := tableOfLines.FindStringSubmatch(text)
	if table == nil {
		return nil, fmt.Errorf("%s has no table of lines", logsFile)
	}
	words := func(cell string) (found []string) {
		for _, match := range quoted.FindAllStringSubmatch(cell, -1) {
			found = append(found, match[1])
		}
		return found
	}
	lines := map[string]logLine{}
	for row := range strings.Lines(table[1]) {
		cells := strings.Split(strings.Trim(row, "| \n"), "|")
		lines[strings.Trim(cells[0], "` ")] = logLine{levels: words(cells[1]), keys: words(cells[2])}
	}
	return lines, nil
})

// Log says whether everything that a run logged as JSON is documented: each line an object, each with a level and keys that
// its message is known for.
func Log(stderr string) error {
	lines, err := logLines()
	if err != nil {
		return err
	}
	var problems []error
	for text := range strings.Lines(stderr) {
		if problem := check(text, lines); problem != nil {
			problems = append(problems, fmt.Errorf("%w: %s", problem, strings.TrimSpace(text)))
		}
	}
	return errors.Join(problems...)
}

func check(text string, lines map[string]logLine) error {
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		return fmt.Errorf("a line on standard error is no JSON object: %w", err)
	}
	message, _ := fields["msg"].(string)
	known, found := lines[message]
	if !found {
		known = lines["a sentence"]
	}
	if level, _ := fields["level"].(string); !slices.Contains(known.levels, level) {
		return fmt.Errorf("%s does not say that %q is logged at level %q", logsFile, message, level)
	}
	for key := range fields {
		if key != "time" && key != "level" && key != "msg" && !slices.Contains(known.keys, key) {
			return fmt.Errorf("%s does not say that %q has the key %q", logsFile, message, key)
		}
	}
	return nil
}
