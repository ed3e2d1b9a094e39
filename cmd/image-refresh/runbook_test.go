package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/version"
)

// Every message carries the address of a section of docs/runbook.md. Each address leads somewhere, and each section
// about a cause is about one that exists and says the same five things.
func TestTheRunbookHasASectionForEveryCause(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/runbook.md")
	require.NoError(t, err)
	_, causes, found := strings.Cut(string(text), "\n## Causes\n")
	require.True(t, found)
	causes, _, _ = strings.Cut(causes, "\n## ")
	sections := map[string]string{}
	for _, section := range strings.Split(causes, "\n### ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		sections[name] = body
	}
	known := map[string]bool{}
	for _, cause := range failure.Causes() {
		known[string(cause)] = true
		assert.Equal(t, "https://github.com/tracebloc/image-refresh/blob/main/docs/runbook.md#"+string(cause), failure.Runbook(version.Runbook()).Of(cause))
		body, exists := sections[string(cause)]
		assert.True(t, exists, "%s has no section in docs/runbook.md", cause)
		for _, part := range []string{"**Symptom.**", "**Means.**", "**Confirm.**", "**Fix.**", "**Owner.**"} {
			assert.Equal(t, 1, strings.Count(body, part), "%s: %s", cause, part)
		}
		assert.Regexp(t, "(?m)^[*]{2}Confirm[.][*]{2} .*:\n\n```sh\n", body, "%s: a command, which tests/scenario runs", cause)
	}
	for name := range sections {
		assert.True(t, known[name], "no message leads to the section %s", name)
	}
	assert.Empty(t, failure.Runbook(version.Runbook()).Of(failure.None))
}
