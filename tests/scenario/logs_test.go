package scenario_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// logged are the lines of a log with this message, in their order.
func logged(t *testing.T, result *product.Result, message string) []map[string]any {
	t.Helper()
	var found []map[string]any
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
	s.Deploy(workloads.Deployment("fresh", workloads.Container("api", "docker.io/tracebloc/other:1@"+s.Push("docker.io/tracebloc/other:1", registries.Image("one", "linux/amd64")))))
	s.Configure(ingestorConfig + "  - name: other\n    workloads: [{kind: Deployment, name: fresh}, {kind: Deployment, name: absent}]\n")
	requireLogged(t, s.Tick(), 1)
	s.Site.Proxy.Refuse("ghcr.io", 403)
	result := s.Tick()
	requireLogged(t, result, 1)
	failing := logged(t, result, "target failing")
	require.Len(t, failing, 1)
	assert.Equal(t, "WARN", failing[0]["level"])
	assert.Equal(t, "ingestor", failing[0]["target"])
	assert.Equal(t, "proxy", failing[0]["cause"])
	assert.EqualValues(t, 1, failing[0]["failures"])
	assert.EqualValues(t, 3, failing[0]["threshold"])
	assert.Equal(t, "1/3", failing[0]["count"])
	assert.Contains(t, failing[0]["message"], "ghcr.io")
}

// requireLogged asserts that the log of a tick says what its report says.
func requireLogged(t *testing.T, result *product.Result, exit int) {
	t.Helper()
	harness.RequireExit(t, exit, result)
	decisions := logged(t, result, "decision")
	outcomes := map[string]any{}
	at := 0
	for _, target := range result.Report.Targets {
		for _, workload := range target.Workloads {
			require.Greater(t, len(decisions), at)
			line := decisions[at]
			at++
			for key, want := range map[string]string{
				"target": target.Name, "kind": workload.Kind, "namespace": workload.Namespace, "name": workload.Name, "container": workload.Container,
				"env": workload.Env, "outcome": workload.Outcome, "live": workload.Live, "latest": target.Digest, "recorded": workload.Recorded,
				"cause": workload.Cause, "message": workload.Message,
			} {
				assert.Equal(t, want, line[key], key)
			}
			assert.Equal(t, workload.Outcome == "failed", line["level"] == "ERROR")
			count, _ := outcomes[workload.Outcome].(float64)
			outcomes[workload.Outcome] = count + 1
		}
	}
	assert.Len(t, decisions, at)
	summaries := logged(t, result, "tick done")
	require.Len(t, summaries, 1)
	assert.Contains(t, result.Stderr[strings.LastIndex(strings.TrimSpace(result.Stderr), "\n")+1:], `"msg":"tick done"`, "the last line")
	assert.EqualValues(t, exit, summaries[0]["exitCode"])
	assert.Equal(t, outcomes, summaries[0]["outcomes"])
}

// At level debug every request is there, to registries and to the API server, and nothing that opens a door.
func TestTheDebugLogHasEveryRequestAndNoSecret(t *testing.T) {
	t.Parallel()
	s := private(t, "puller", workloads.PullSecret("puller"))
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	s.Setenv("LOG_LEVEL", "debug")
	s.Forget()
	result := s.Tick()
	requireOutcome(t, result, 0, "refreshed", "")

	var sent, seen []string
	for _, call := range s.Site.Front.Calls(nil) {
		sent = append(sent, fmt.Sprint(call.Method, " ", call.Host, call.Path, " ", call.Status))
		for _, value := range call.Header.Values("Authorization") {
			_, secret, _ := strings.Cut(value, " ")
			s.Secret(secret)
		}
	}
	for _, line := range logged(t, result, "registry request") {
		seen = append(seen, fmt.Sprint(line["method"], " ", line["host"], line["path"], " ", line["status"]))
		assert.NotEmpty(t, line["duration"])
	}
	requireSame(t, sent, seen)
	s.Secret(base64.StdEncoding.EncodeToString([]byte("puller:hunter2-of-the-private-registry")))

	sent, seen = nil, nil
	for _, request := range s.API.Requests(nil) {
		sent = append(sent, fmt.Sprint(request.Method, " ", request.Path, " ", request.Status))
	}
	for _, line := range logged(t, result, "API request") {
		seen = append(seen, fmt.Sprint(line["method"], " ", line["path"], " ", line["status"]))
		assert.NotEmpty(t, line["duration"])
	}
	requireSame(t, sent, seen)
	assert.NotContains(t, result.Stderr, "?", "no query")
}

// requireSame asserts that the same requests were seen as sent, in whatever order.
func requireSame(t *testing.T, sent, seen []string) {
	t.Helper()
	require.NotEmpty(t, sent)
	slices.Sort(sent)
	slices.Sort(seen)
	assert.Equal(t, sent, seen)
}
