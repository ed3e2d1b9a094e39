package docs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const digest = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

// Valid results; each case makes one mistake in one of them.
const (
	aRun = `{"schemaVersion":1,"version":"1.2.3","command":"run","startedAt":"2026-01-02T03:04:05.6Z","durationSeconds":1.4,"exitCode":0,
"targets":[{"name":"ingestor","image":"ghcr.io/tracebloc/ingestor:0.3","digest":"` + digest + `","build":{"version":"1.4.2","revision":"","created":""},"cause":"","message":"","failures":0,
"failingSince":"","threshold":3,"workloads":[{"kind":"Deployment","namespace":"tracebloc","name":"jobs","container":"api","env":"X","live":"` + digest + `",
"recorded":"unpinned","outcome":"refreshed","cause":"","message":""}]}]}`
	aPlan = `{"schemaVersion":1,"version":"dev","command":"plan","startedAt":"2026-01-02T03:04:05Z","durationSeconds":0,"exitCode":2,
"targets":[],"rollouts":0,"ticks":0}`
	aCheck = `{"schemaVersion":1,"version":"dev","command":"check","startedAt":"2026-01-02T03:04:05Z","durationSeconds":0,"exitCode":1,
"targets":[],"checks":[{"check":"registry","subject":"ghcr.io","status":"failed","cause":"dns","message":"check its spelling"}]}`
	aSkip = `{"schemaVersion":1,"version":"dev","command":"skip","startedAt":"2026-01-02T03:04:05Z","durationSeconds":0,"exitCode":0,
"targets":[],"changes":[{"target":"ingestor","kind":"Deployment","namespace":"tracebloc","name":"jobs","digest":"` + digest + `","outcome":"changed",
"cause":"","message":"skipped","kubectl":"kubectl label deployment jobs a=b"}]}`
)

func TestResultsThatNobodyDocumentedAreFound(t *testing.T) {
	t.Parallel()
	for _, valid := range []string{aRun, aPlan, aCheck, aSkip} {
		require.NoError(t, Result(valid))
	}
	for name, c := range map[string]struct{ result, from, to string }{
		"another field":                {aRun, `"exitCode":0,`, `"exitCode":0,"note":"",`},
		"another field of a target":    {aRun, `"failures":0,`, `"failures":0,"note":"",`},
		"another field of a workload":  {aRun, `"env":"X",`, `"env":"X","note":"",`},
		"a field missing":              {aRun, `"env":"X",`, ``},
		"an unknown outcome":           {aRun, `"refreshed"`, `"renewed"`},
		"an unknown cause":             {aRun, `"outcome":"refreshed","cause":""`, `"outcome":"refreshed","cause":"gremlins"`},
		"an unknown exit code":         {aRun, `"exitCode":0`, `"exitCode":4`},
		"another version":              {aRun, `"schemaVersion":1`, `"schemaVersion":2`},
		"half a digest":                {aRun, `"digest":"sha256:bbbb`, `"digest":"sha256:`},
		"a tag where a digest is":      {aRun, `"live":"` + digest, `"live":"0.3`},
		"a local time":                 {aRun, `05.6Z`, `05.6+02:00`},
		"no time":                      {aRun, `2026-01-02T03:04:05.6Z`, `yesterdayZ`},
		"a failure without a cause":    {aRun, `"outcome":"refreshed"`, `"outcome":"failed"`},
		"a cause without a sentence":   {aRun, `"cause":"","message":"","failures":0`, `"cause":"dns","message":"","failures":1`},
		"since some day":               {aRun, `"failingSince":""`, `"failingSince":"Monday"`},
		"failures without a cause":     {aRun, `"failures":0`, `"failures":1`},
		"a target without workloads":   {aRun, aRun[strings.Index(aRun, `{"kind"`):strings.Index(aRun, `]}]}`)], ``},
		"no JSON":                      {aRun, `{"schemaVersion"`, `schemaVersion`},
		"a run that counts rollouts":   {aRun, `"exitCode":0`, `"exitCode":0,"rollouts":1,"ticks":1`},
		"a plan that counts none":      {aPlan, `,"rollouts":0,"ticks":0`, ``},
		"checks of a run":              {aCheck, `"command":"check"`, `"command":"run"`},
		"changes of a run":             {aSkip, `"command":"skip"`, `"command":"run"`},
		"a change that failed somehow": {aSkip, `"changed"`, `"failed"`},
		"an unknown status of a check": {aCheck, `"failed"`, `"gone"`},
	} {
		broken := strings.Replace(c.result, c.from, c.to, 1)
		require.NotEqual(t, c.result, broken, name)
		assert.Error(t, Result(broken), name)
	}
}

func TestLogLinesThatNobodyDocumentedAreFound(t *testing.T) {
	t.Parallel()
	require.NoError(t, Log(`{"time":"x","level":"INFO","msg":"tick done","command":"run","exitCode":0,"outcomes":{"unchanged":1}}
{"time":"x","level":"WARN","msg":"an Event is lost","workload":"Deployment a/b","error":"no"}
`))
	for name, line := range map[string]string{
		"another key":                   `{"time":"x","level":"INFO","msg":"tick done","command":"run","mood":"fine"}`,
		"another key of a sentence":     `{"time":"x","level":"WARN","msg":"an Event is lost","mood":"grim"}`,
		"a level that is not its own":   `{"time":"x","level":"DEBUG","msg":"tick done"}`,
		"a line of the program's own":   `{"time":"x","level":"INFO","msg":"unchanged","target":"ingestor"}`,
		"no level":                      `{"time":"x","msg":"tick done"}`,
		"a line that is none of slog's": `E0102 03:04:05 something happened`,
	} {
		assert.Error(t, Log(line+"\n"), name)
	}
}
