package scenario_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// logged are the lines of a log with this message, in their order.
func logged(t *testing.T, result *product.Result, message string) (found []map[string]any) {
	t.Helper()
	for text := range strings.Lines(result.Stderr) {
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &line), text)
		if line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

// A line a decision, with the values of the result, and one summary as the last line. That no line has a key which
// docs/logs.md does not know is checked by the harness, for every run of every scenario.
func TestTheLogTellsEachDecisionAndEndsWithASummary(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	other := s.Push("docker.io/tracebloc/other:1", image("one"))
	s.Deploy(workloads.Deployment("fresh", workloads.Container("api", "docker.io/tracebloc/other:1@"+other)))
	s.Configure(ingestorConfig + targetOf("other", "", entry("Deployment", "fresh", "")+entry("Deployment", "absent", "")))
	requireLogged(t, s.Tick(), map[string]any{"unchanged": 1.0, "adopted": 1.0, "failed": 1.0})
	s.Site.Proxy.Refuse("ghcr.io", 403)
	result := s.Tick()
	requireLogged(t, result, map[string]any{"skipped": 1.0, "unchanged": 1.0, "failed": 1.0})
	failing := logged(t, result, "target failing")
	require.Len(t, failing, 1)
	assert.Subset(t, failing[0], map[string]any{
		"level": "WARN", "target": "ingestor", "cause": "proxy", "failures": 1.0, "threshold": 3.0, "count": "1/3",
	})
	assert.Contains(t, failing[0]["message"], "ghcr.io")
}

// requireLogged asserts that the log of a tick says what its report says, and counts these outcomes.
func requireLogged(t *testing.T, result *product.Result, outcomes map[string]any) {
	t.Helper()
	harness.RequireExit(t, 1, result)
	decisions := logged(t, result, "decision")
	for _, target := range result.Report.Targets {
		for _, workload := range target.Workloads {
			require.NotEmpty(t, decisions)
			level := map[bool]string{true: "ERROR", false: "INFO"}[workload.Outcome == "failed"]
			assert.Subset(t, decisions[0], map[string]any{
				"level": level, "target": target.Name, "kind": workload.Kind, "namespace": workload.Namespace, "name": workload.Name,
				"container": workload.Container, "env": workload.Env, "outcome": workload.Outcome, "live": workload.Live,
				"latest": target.Digest, "recorded": workload.Recorded, "cause": workload.Cause, "message": workload.Message,
			})
			decisions = decisions[1:]
		}
	}
	assert.Empty(t, decisions)
	summaries := logged(t, result, "tick done")
	require.Len(t, summaries, 1)
	assert.Subset(t, summaries[0], map[string]any{"exitCode": 1.0, "outcomes": outcomes})
	assert.Regexp(t, `\n[^\n]*"msg":"tick done"[^\n]*\n$`, result.Stderr, "the last line")
}

// At level debug every request is there, to registries and to the API server, and nothing that opens a door.
func TestTheDebugLogHasEveryRequestAndNoSecret(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	s.Forget()
	result := s.Tick()
	harness.RequireExit(t, 0, result)
	assert.Empty(t, s.API.Requests(apiproxy.Read("serviceaccounts", "")), "not asked where the pods name a secret themselves")

	sent, asked := map[string][]string{}, "registry request"
	for _, call := range s.Site.Front.Calls(nil) {
		sent[asked] = append(sent[asked], fmt.Sprint(call.Method, " ", call.Host, call.Path, " ", call.Status))
		for _, value := range call.Header.Values("Authorization") {
			_, secret, _ := strings.Cut(value, " ")
			s.Secret(secret)
		}
	}
	asked = "API request"
	for _, request := range s.API.Requests(nil) {
		sent[asked] = append(sent[asked], fmt.Sprint(request.Method, " ", request.Path, " ", request.Status))
	}
	for message, requests := range sent {
		var seen []string
		for _, line := range logged(t, result, message) {
			path := fmt.Sprint(line["path"])
			if message == "registry request" {
				path = fmt.Sprint(line["host"], path)
			}
			seen = append(seen, fmt.Sprint(line["method"], " ", path, " ", line["status"]))
			assert.NotEmpty(t, line["duration"])
		}
		assert.ElementsMatch(t, requests, seen)
	}
	assert.Len(t, sent, 2)
	assert.NotContains(t, result.Stderr, "?", "no query")
}
