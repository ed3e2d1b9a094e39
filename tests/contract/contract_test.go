package contract_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/contract"
)

const digest = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

// result is a valid one; each test makes one mistake in it.
const result = `{"schemaVersion":1,"version":"1.2.3","command":"run","startedAt":"2026-01-02T03:04:05.6Z","durationSeconds":1.4,"exitCode":0,
"targets":[{"name":"ingestor","image":"ghcr.io/tracebloc/ingestor:0.3","digest":"` + digest + `","cause":"","message":"","failures":0,"threshold":3,
"workloads":[{"kind":"Deployment","namespace":"tracebloc","name":"jobs","container":"api","env":"X","live":"` + digest + `","recorded":"unpinned",
"outcome":"refreshed","cause":"","message":""}]}]}`

func TestAResultAsTheContractSays(t *testing.T) {
	t.Parallel()
	require.NoError(t, contract.Result(result))
	require.NoError(t, contract.Result(`{"schemaVersion":1,"version":"dev","command":"plan","startedAt":"2026-01-02T03:04:05Z","durationSeconds":0,"exitCode":2,"targets":[],"rollouts":0,"ticks":0}`))
	require.Error(t, contract.Result(strings.Replace(result, `"command":"run"`, `"command":"plan"`, 1)), "a plan counts its rollouts")
	require.Error(t, contract.Result(strings.Replace(result, `"exitCode":0`, `"exitCode":0,"rollouts":1,"ticks":1`, 1)), "a run does not")
	check := `{"schemaVersion":1,"version":"dev","command":"check","startedAt":"2026-01-02T03:04:05Z","durationSeconds":0,"exitCode":1,"targets":[],
"checks":[{"check":"registry","subject":"ghcr.io","status":"failed","cause":"dns","message":"check its spelling"}]}`
	require.NoError(t, contract.Result(check))
	require.Error(t, contract.Result(strings.Replace(check, `"command":"check"`, `"command":"run"`, 1)), "checks are of the command check")
	require.Error(t, contract.Result(strings.Replace(check, `"failed"`, `"gone"`, 1)))
}

func TestAResultThatNobodyDocumented(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, to string }{
		"another field":               {`"exitCode":0,`, `"exitCode":0,"note":"",`},
		"another field of a target":   {`"failures":0,`, `"failures":0,"note":"",`},
		"another field of a workload": {`"env":"X",`, `"env":"X","note":"",`},
		"a field missing":             {`"env":"X",`, ``},
		"an unknown outcome":          {`"refreshed"`, `"renewed"`},
		"an unknown cause":            {`"outcome":"refreshed","cause":""`, `"outcome":"refreshed","cause":"gremlins"`},
		"an unknown exit code":        {`"exitCode":0`, `"exitCode":3`},
		"another version":             {`"schemaVersion":1`, `"schemaVersion":2`},
		"half a digest":               {`"digest":"sha256:bbbb`, `"digest":"sha256:`},
		"a tag where a digest is":     {`"live":"` + digest, `"live":"0.3`},
		"a local time":                {`05.6Z`, `05.6+02:00`},
		"no time":                     {`2026-01-02T03:04:05.6Z`, `yesterdayZ`},
		"a failure without a cause":   {`"outcome":"refreshed"`, `"outcome":"failed"`},
		"a cause without a sentence":  {`"cause":"","message":"","failures":0`, `"cause":"dns","message":"","failures":1`},
		"failures without a cause":    {`"failures":0`, `"failures":1`},
		"a target without workloads":  {result[strings.Index(result, `{"kind"`):strings.Index(result, `]}]}`)], ``},
		"no JSON":                     {`{"schemaVersion"`, `schemaVersion`},
	} {
		broken := strings.Replace(result, c.from, c.to, 1)
		require.NotEqual(t, result, broken, name)
		assert.Error(t, contract.Result(broken), name)
	}
}

func TestLogLinesAsDocumented(t *testing.T) {
	t.Parallel()
	require.NoError(t, contract.Log(""))
	require.NoError(t, contract.Log(`{"time":"x","level":"INFO","msg":"tick done","command":"run","exitCode":0,"durationSeconds":1,"targets":1,"outcomes":{"unchanged":1}}
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
		assert.Error(t, contract.Log(line+"\n"), name)
	}
}
