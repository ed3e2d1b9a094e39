package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
)

// After a change of a variable, or of the chart's version: go test ./cmd/image-refresh -update-readme
var update = flag.Bool("update-readme", false, "write the table of variables, and the chart's version, into the README")

const (
	root       = "../.."
	readmeFile = root + "/README.md"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

// after is what follows a marker in the README, up to an empty line or, in a code block, up to its end.
func after(t *testing.T, readme, marker string) string {
	t.Helper()
	_, text, found := strings.Cut(readme, "<!-- "+marker+" -->\n")
	require.True(t, found, "the README has no %s", marker)
	if code, is := strings.CutPrefix(text, "```yaml\n"); is {
		text, _, found = strings.Cut(code, "```\n")
	} else {
		text, _, found = strings.Cut(text, "\n\n")
	}
	require.True(t, found, "%s has no end in the README", marker)
	return text
}

func TestTheReadmeListsEveryVariableWithItsDefault(t *testing.T) {
	t.Parallel()
	table := "| variable | default | |\n|---|---|---|"
	for _, variable := range config.Variables() {
		preset := ""
		if variable.Default != "" {
			preset = "`" + variable.Default + "`"
		}
		table += fmt.Sprintf("\n| `%s` | %s | %s |", variable.Name, preset, variable.Help)
	}
	requireShown(t, after(t, read(t, readmeFile), "environment"), table)
}

// requireShown asserts that what the README shows is what it should, or writes it there.
func requireShown(t *testing.T, shown, wanted string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(readmeFile, []byte(strings.Replace(read(t, readmeFile), shown, wanted, 1)), 0o600))
		return
	}
	assert.Equal(t, wanted, shown, "go test ./cmd/image-refresh -update-readme")
}

// What will install a release names the version that the chart has. It is not run beside the test above: both may write.
func TestTheReadmesReleaseIsTheCharts(t *testing.T) {
	version := regexp.MustCompile(`(?m)^version: (\S+)$`).FindStringSubmatch(read(t, root+"/chart/Chart.yaml"))
	require.NotNil(t, version)
	_, text, found := strings.Cut(read(t, readmeFile), "<!-- after a release: the version is the chart's -->\n")
	require.True(t, found)
	shown, _, found := strings.Cut(text, "\n```\n\n")
	require.True(t, found)
	requireShown(t, shown, regexp.MustCompile(`\d+\.\d+\.\d+`).ReplaceAllString(shown, version[1]))
}

func TestTheReadmeAndTheHelpTellTheSameExitCodes(t *testing.T) {
	t.Parallel()
	readme := read(t, readmeFile)
	codes := regexp.MustCompile(`(?m)^  (\d)   (.+)$`).FindAllStringSubmatch(exitCodes, -1)
	require.Len(t, codes, 3)
	for _, code := range codes {
		assert.Contains(t, strings.ReplaceAll(readme, "`plan`", "plan"), fmt.Sprintf("| `%s` | %s |", code[1], code[2]))
	}
}

func TestTheReadmeNamesEveryKey(t *testing.T) {
	t.Parallel()
	readme := read(t, readmeFile)
	var prefix string
	for _, variable := range config.Variables() {
		if variable.Name == "ANNOTATION_PREFIX" {
			prefix = variable.Default
		}
	}
	keys := annotate.NewKeys(prefix)
	for _, key := range []string{
		keys.Mark("jobs-manager") + "` (label)", keys.Hold() + "` (label)", keys.Approve() + "` (label)", keys.Skip() + "` (label)",
		keys.Recorded("jobs-manager") + "`", keys.Failures("jobs-manager") + "`",
		keys.LastError("jobs-manager") + "`", keys.State("jobs-manager") + "`", keys.SkipStreak() + "`",
	} {
		assert.Contains(t, readme, "| `"+key+" |")
	}
}

// Commands that need a cluster are run by tests/docs; this is about their spelling.
func TestTheReadmesCommandsExist(t *testing.T) {
	t.Parallel()
	readme, makefile := read(t, readmeFile), read(t, root+"/Makefile")
	targets := regexp.MustCompile("(?m)(?:^|`)make ([a-z-]+)").FindAllStringSubmatch(readme, -1)
	require.NotEmpty(t, targets)
	for _, target := range targets {
		assert.Contains(t, makefile, "\n"+target[1]+":", "make %s", target[1])
	}
	commands := regexp.MustCompile(`(?m)bin/image-refresh ([^>\n]+)`).FindAllStringSubmatch(readme, -1)
	require.NotEmpty(t, commands)
	for _, command := range commands {
		_, err := parse(command[1])
		require.NoError(t, err, command[0])
	}
}
