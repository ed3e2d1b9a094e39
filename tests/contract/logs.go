package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// logsFile documents the log, from the repository's root.
const logsFile = "docs/logs.md"

// other is the row of the documented table that stands for every line whose
// message is a sentence.
const other = "a sentence"

// line is what is documented of one kind of line.
type line struct {
	levels []string
	keys   []string
}

var documented = sync.OnceValues(func() (map[string]line, error) {
	text, err := document(logsFile)
	if err != nil {
		return nil, err
	}
	return table(string(text))
})

var quoted = regexp.MustCompile("`([^`]+)`")

// table reads the table of lines: what msg says, at which levels, with which keys.
func table(text string) (map[string]line, error) {
	_, text, _ = strings.Cut(text, "<!-- lines -->\n")
	text, _, _ = strings.Cut(text, "\n\n")
	words := func(cell string) (found []string) {
		for _, match := range quoted.FindAllStringSubmatch(cell, -1) {
			found = append(found, match[1])
		}
		return found
	}
	lines := map[string]line{}
	for row := range strings.SplitSeq(text, "\n") {
		cells := strings.Split(strings.Trim(row, "| "), "|")
		if len(cells) < 3 || strings.HasPrefix(cells[0], "-") || strings.HasPrefix(cells[0], "`msg`") {
			continue
		}
		name := strings.Trim(strings.TrimSpace(cells[0]), "`")
		lines[name] = line{levels: words(cells[1]), keys: words(cells[2])}
	}
	if len(lines[other].keys) == 0 {
		return nil, fmt.Errorf("%s has no table of lines", logsFile)
	}
	return lines, nil
}

// Log says whether everything that a run logged as JSON is documented: each
// line an object, each with a level and keys that its message is known for.
func Log(stderr string) error {
	lines, err := documented()
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

func check(text string, lines map[string]line) error {
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		return fmt.Errorf("a line on standard error is no JSON object: %w", err)
	}
	message, _ := fields["msg"].(string)
	known, found := lines[message]
	if !found {
		known = lines[other]
	}
	if level, _ := fields["level"].(string); !slices.Contains(known.levels, level) {
		return fmt.Errorf("%s does not say that %q is logged at level %q", logsFile, message, level)
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if key != "time" && key != "level" && key != "msg" && !slices.Contains(known.keys, key) {
			return fmt.Errorf("%s does not say that %q has the key %q", logsFile, message, key)
		}
	}
	return nil
}
