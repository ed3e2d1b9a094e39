package scenario_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// I21: a proxy dropped repeated Accept headers, and changed the case of header names.
func TestI21AProxyThatDropsAndRecasesHeaders(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	moved := s.Push(ingestor, registries.Index("second", "linux/amd64", "linux/arm64"))
	s.Site.Proxy.Intercept(true)
	s.Forget()
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", moved, 2)
	for _, call := range s.Site.Front.Calls(registries.At("ghcr.io", registries.Head, registries.Get)) {
		assert.Len(t, call.Accept, 1, "one Accept value")
	}
}

// I31: a registry answered 429; the updater fell back from HEAD to GET and drained the quota of the whole site.
func TestI31NeverAGetAfterA429(t *testing.T) {
	t.Parallel()
	s, digest := adopted(t)
	s.Setenv("RESOLVE_TIMEOUT", "5s")
	s.Site.Front.Inject(registries.Fault{
		Match: registries.At("ghcr.io", registries.Head), Do: faultinject.Reply(429, "", "Retry-After", "3600"),
	})
	s.Forget()
	requireOutcome(t, s.Tick(), 0, "skipped", "rate-limited")
	assert.Len(t, s.Site.Front.Calls(registries.At("ghcr.io", registries.Head)), 1, "not asked again before Retry-After")
	assert.Empty(t, s.Site.Front.Calls(registries.At("ghcr.io", registries.Get)))
	assert.Equal(t, digest, live(s))
}

func TestI31ARetryAfterWithinTheDeadlineIsWaitedFor(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Site.Front.Inject(registries.Fault{
		Match: registries.At("ghcr.io", registries.Head), Times: 1, Do: faultinject.Reply(429, "", "Retry-After", "1"),
	})
	s.Forget()
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	calls := s.Site.Front.Calls(registries.At("ghcr.io", registries.Head))
	require.Len(t, calls, 2)
	assert.GreaterOrEqual(t, calls[1].Time.Sub(calls[0].Time).Seconds(), 1.0)
}

// I32: a registry answered 200 with an HTML login page. I37: the digest header was garbage.
func TestI32I37NothingMalformedReachesAPatch(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("a", 64)
	for name, action := range map[string]faultinject.Action{
		"login page":        faultinject.Reply(200, "<html>please log in</html>", "Content-Type", "text/html"),
		"not hex":           faultinject.Header("Docker-Content-Digest", "sha256:zz"),
		"another algorithm": faultinject.Header("Docker-Content-Digest", "sha512:"+hex+hex),
		"upper case":        faultinject.Header("Docker-Content-Digest", "sha256:"+strings.Repeat("A", 64)),
		"four thousand":     faultinject.Header("Docker-Content-Digest", "sha256:"+strings.Repeat("a", 4000)),
		"quotes":            faultinject.Header("Docker-Content-Digest", `"sha256:`+hex+`"`),
		"injection":         faultinject.Header("Docker-Content-Digest", `sha256:`+hex+`","other":"x`),
		"another's digest":  faultinject.Header("Docker-Content-Digest", "sha256:"+hex), // a well-formed lie: GET by digest finds out
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, digest := adopted(t)
			s.Push(ingestor, registries.Image("second", "linux/amd64"))
			s.Site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", registries.Head, registries.Get), Do: action})
			s.Forget()
			result := s.Tick()
			harness.RequireExit(t, 0, result)
			failed := result.Report.Target("ingestor").Workload("jobs")
			assert.Equal(t, "skipped", failed.Outcome)
			if name != "another's digest" {
				assert.Equal(t, "bad-response", failed.Cause)
			}
			assert.Equal(t, digest, live(s))
			assert.NotContains(t, s.Deployment("jobs").Annotations[lastError], "please log in")
			for _, write := range s.API.Writes() {
				assert.NotContains(t, string(write.Body), "INGESTOR_IMAGE_DIGEST", "no slot is written")
			}
		})
	}
}

// A registry that omits the digest header is asked by GET, then and only then.
func TestADigestHeaderThatIsMissing(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	moved := s.Push(ingestor, registries.Index("second", "linux/amd64"))
	s.Site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", registries.Head, registries.Get), Do: faultinject.Header("Docker-Content-Digest")})
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, moved, live(s))
}

// I47: a registry's error text with newlines and escape codes forged log lines and filled an annotation.
func TestI47ForeignTextIsCutAndCleaned(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Configure(ingestorConfig + "    resolveFailureThreshold: 1\n")
	s.Site.Front.Inject(registries.Fault{
		Match: registries.At("ghcr.io", registries.Head, registries.Get, registries.Token),
		Do: faultinject.Reply(403, `{"errors":[{"code":"DENIED\n{\"level\":\"FORGED\"}\u001b[31m","message":"`+strings.Repeat("x", 5000)+`"}]}`,
			"Content-Type", "application/json"),
	})
	result := s.Tick()
	harness.RequireExit(t, 1, result)
	for _, line := range strings.Split(strings.TrimSpace(result.Stderr), "\n") {
		assert.True(t, strings.HasPrefix(line, `{"time":`), "a forged line: %s", line)
	}
	text := s.Deployment("jobs").Annotations[lastError]
	assert.NotContains(t, text, "\n")
	assert.NotContains(t, text, "\x1b")
	assert.Less(t, len(text), 1500)
}
