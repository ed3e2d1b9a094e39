//go:build linux

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheResultIsFoundInTheLog(t *testing.T) {
	t.Parallel()
	const printed = "{\n  \"exitCode\": 1,\n  \"targets\": [{\"name\": \"web\"}]\n}\n"
	for name, log := range map[string]string{
		"after log lines":  "{\"level\":\"INFO\"}\n{\"level\":\"WARN\"}\n" + printed,
		"before log lines": printed + "{\"level\":\"WARN\"}\n",
		"alone":            printed,
	} {
		report := result(log)
		require.NotNil(t, report, name)
		assert.Equal(t, 1, report.ExitCode, name)
		assert.Equal(t, "web", report.Target("web").Name, name)
	}
	assert.Nil(t, result("{\"level\":\"INFO\"}\n"))
	assert.Nil(t, result("{\n  half"))
}
