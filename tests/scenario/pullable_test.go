package scenario_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// goneLines are the warnings that a digest in use is gone.
func goneLines(result *product.Result) []string {
	var lines []string
	for _, line := range strings.Split(result.Stderr, "\n") {
		if strings.Contains(line, "no longer has") {
			lines = append(lines, line)
		}
	}
	return lines
}

// I61: a retention rule purged the untagged digest that pods were pinned to, and the next drained node took the service down.
// Wherever a tick leaves something else than latest in use, the registry is asked whether it still has that.
func TestI61WhatIsInUseAndGoneFromTheRegistryIsSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines   []string
		leave   func(s *harness.Scenario)
		exit    int
		outcome string
	}{
		"held by the label": {exit: 0, outcome: "held", leave: func(s *harness.Scenario) {
			s.Kubectl("label", "deployment", "jobs", "tracebloc.io/refresh-hold=true")
		}},
		"deferred":     {exit: 0, outcome: "deferred", lines: []string{"minAge: 1h"}},
		"notify":       {exit: 0, outcome: "pending", lines: []string{"mode: notify"}},
		"a gate's no":  {exit: 0, outcome: "skipped", lines: []string{"platforms: [linux/s390x]"}},
		"not settled":  {exit: 0, outcome: "waiting", leave: func(s *harness.Scenario) { restartStuck(s) }},
		"for too long": {exit: 1, outcome: "failed", leave: func(s *harness.Scenario) { restartStuck(s); s.Setenv("UNSETTLED_THRESHOLD", "1") }, lines: []string{"mode: notify"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, before, _ := behindTag(t, ingestor, image("a"), image("b"), c.lines...)
			if c.leave != nil {
				c.leave(s)
			}
			s.Forget()
			result := s.Tick()
			requireOutcome(t, result, c.exit, c.outcome, result.Report.Target("ingestor").Workload("jobs").Cause)
			assert.Empty(t, goneLines(result), "it is there")
			heads := s.Site.Front.Calls(func(call registries.Call) bool { return call.Stage == registries.Head && call.Reference == before })
			assert.Len(t, heads, 1, "asked once")

			require.NoError(t, s.Site.Delete("ghcr.io/tracebloc/ingestor@"+before))
			for range 2 {
				requireGoneIsSaid(t, s, s.Tick(), before)
			}
			assert.Equal(t, before, live(s))
		})
	}
}

func restartStuck(s *harness.Scenario) {
	s.Behave(func(*corev1.Pod) fakenode.Behaviour { return fakenode.Stuck() })
	s.Kubectl("rollout", "restart", "deployment", "jobs")
}

// requireGoneIsSaid asserts that a tick warns of a digest in use that is gone, and that a check fails for it.
func requireGoneIsSaid(t *testing.T, s *harness.Scenario, result *product.Result, digest string) {
	t.Helper()
	lines := goneLines(result)
	require.Len(t, lines, 1, result.Stderr)
	for _, line := range []string{lines[0], requireCheck(t, check(t, s, 1), "image", "failed", "ingestor on Deployment "+s.Namespace+"/jobs").Message} {
		for _, text := range []string{"ghcr.io/tracebloc/ingestor@" + digest, "Deployment " + s.Namespace + "/jobs", "retention rule", "docs/runbook.md#not-found"} {
			assert.Contains(t, line, text)
		}
	}
	assert.Contains(t, lines[0], `"level":"WARN"`)
}

// I61: the same for what a person has chosen, and for what stands there again after another digest was rejected.
func TestI61APersonsChoiceAndARestoredDigestAreAskedFor(t *testing.T) {
	t.Parallel()
	t.Run("held by hand", func(t *testing.T) {
		t.Parallel()
		s, _, _ := refreshedOnce(t)
		chosen := s.Push("ghcr.io/tracebloc/ingestor:hotfix", image("hotfix"))
		s.Kubectl("set", "env", "deployment/jobs", slot+"="+chosen)
		s.Settle(workloads.Deployment("jobs"))
		result := s.Tick()
		requireOutcome(t, result, 0, "held", "")
		assert.Empty(t, goneLines(result))
		require.NoError(t, s.Site.Delete("ghcr.io/tracebloc/ingestor@"+chosen))
		result = s.Tick()
		requireOutcome(t, result, 0, "held", "")
		assert.Len(t, goneLines(result), 1)
	})
	t.Run("rejected", func(t *testing.T) {
		t.Parallel()
		s, first := adopted(t, workloads.Recreate())
		behave(s, s.Push(ingestor, image("second")), crash())
		s.Setenv("ROLLOUT_TIMEOUT", "6s")
		requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
		require.NoError(t, s.Site.Delete("ghcr.io/tracebloc/ingestor@"+first))
		result := s.Tick()
		requireOutcome(t, result, 1, "rejected", "rollout-failed")
		assert.Len(t, goneLines(result), 1)
	})
}

// Only a clear 404 is gone: whatever else keeps a registry from saying so says nothing of the digest.
func TestI61OnlyAClear404IsGone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   faultinject.Action
		gone bool
	}{
		"404":                              {faultinject.Reply(404, ""), true},
		"410":                              {faultinject.Reply(410, ""), true},
		"401":                              {faultinject.Reply(401, ""), false},
		"403":                              {faultinject.Reply(403, ""), false},
		"429":                              {faultinject.Reply(429, ""), false},
		"500":                              {faultinject.Reply(500, ""), false},
		"200 without what makes it useful": {faultinject.Reply(200, ""), false},
		"no answer":                        {faultinject.Hang(), false},
		"a cut connection":                 {faultinject.Reset(), false},
		"no HEAD, and it is there":         {headless(200), false},
		"no HEAD, and it is not there":     {headless(404), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, before, _ := behindTag(t, ingestor, image("a"), image("b"), "minAge: 1h")
			s.Setenv("RESOLVE_TIMEOUT", "3s")
			s.Site.Front.Inject(registries.Fault{Match: ofDigest(before), Do: c.do})
			result := s.Tick()
			requireOutcome(t, result, 0, "deferred", "")
			assert.Equal(t, c.gone, len(goneLines(result)) == 1, result.Stderr)
		})
	}
}

// headless is a registry without HEAD, which answers GET with a status, or as usual.
func headless(status int) faultinject.Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch {
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case status != http.StatusOK:
			w.WriteHeader(status)
		default:
			next.ServeHTTP(w, r)
		}
	}
}

// I61: what a rollout would be taken back to is asked for first. Where the registry no longer has it, what failed stays where
// replicas of it serve, and the message says why.
func TestI61ARestorationAsksFirst(t *testing.T) {
	t.Parallel()
	t.Run("what failed serves", func(t *testing.T) {
		t.Parallel()
		s, first, second := halfServing(t)
		require.NoError(t, s.Site.Delete("ghcr.io/tracebloc/ingestor@"+first))
		failed := requireOutcome(t, s.Tick(), 1, "failed", "rollout-failed")
		assert.Contains(t, failed.Message, "left in place")
		assert.Contains(t, failed.Message, "no longer has "+first[:19])
		assert.Contains(t, failed.Message, "retention rule")
		assert.Equal(t, second, live(s))
		assert.Equal(t, first, s.Deployment("jobs").Annotations[recorded])
		for range 2 {
			requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
		}
		assert.Equal(t, second, live(s))
		third := s.Push(ingestor, image("third"))
		s.Setenv("ROLLOUT_TIMEOUT", "30s")
		requireOutcome(t, s.Tick(), 0, "refreshed", "")
		assert.Equal(t, third, live(s))
	})
	t.Run("what failed serves, and the registry does not say", func(t *testing.T) {
		t.Parallel()
		s, first, _ := halfServing(t)
		s.Site.Front.Inject(registries.Fault{Match: ofDigest(first), Do: faultinject.Reply(503, "")})
		requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
		assert.Equal(t, first, live(s))
	})
	t.Run("nothing serves", func(t *testing.T) {
		t.Parallel()
		s, first := adopted(t, workloads.Recreate())
		behave(s, s.Push(ingestor, image("second")), crash())
		require.NoError(t, s.Site.Delete("ghcr.io/tracebloc/ingestor@"+first))
		s.Setenv("ROLLOUT_TIMEOUT", "6s")
		restored := requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
		assert.Contains(t, restored.Message, "no longer has "+first[:19], "only a node that still has it can start it")
		assert.Equal(t, first, live(s))
	})
}

// halfServing is a Deployment of two replicas whose tag has moved on to a digest that one pod of two serves with, and the other
// crashes with, as the tick after this one finds out.
func halfServing(t *testing.T) (s *harness.Scenario, first, second string) {
	t.Helper()
	s, first = adopted(t, workloads.Replicas(2))
	second = s.Push(ingestor, image("second"))
	var mu sync.Mutex
	serves := ""
	s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		mu.Lock()
		defer mu.Unlock()
		if !fakenode.Runs(pod, second) {
			return fakenode.Ready()
		}
		if serves == "" {
			serves = pod.Name
		}
		if pod.Name != serves {
			return crash()
		}
		return fakenode.Ready()
	})
	s.Setenv("ROLLOUT_TIMEOUT", "6s")
	s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	requireOutcome(t, s.Tick(), 0, "waiting", "")
	return s, first, second
}

// I61: a digest is gone where all the places say so in which pods look for it.
func TestI61ADigestIsGoneFromAllMirrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers map[string]int // by host; others have it
		gone    bool
	}{
		"all say so":              {map[string]int{firstMirror: 404, secondMirror: 404, hubHost: 404}, true},
		"one does not say":        {map[string]int{firstMirror: 503, secondMirror: 404, hubHost: 404}, false},
		"the last one has it":     {map[string]int{firstMirror: 404, secondMirror: 404}, false},
		"the first one forbids":   {map[string]int{firstMirror: 403, secondMirror: 404, hubHost: 404}, false},
		"the first one has it":    {map[string]int{secondMirror: 404, hubHost: 404}, false},
		"only the first lacks it": {map[string]int{firstMirror: 404}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, live, _ := mirrored(t, true)
			s.Kubectl("label", "deployment", "jobs", "tracebloc.io/refresh-hold=true")
			for host, status := range c.answers {
				s.Site.Front.Inject(registries.Fault{
					Match: func(call registries.Call) bool { return call.Host == host && call.Reference == live }, Do: faultinject.Reply(status, ""),
				})
			}
			result := s.Tick()
			requireOutcome(t, result, 0, "held", "")
			lines := goneLines(result)
			assert.Equal(t, c.gone, len(lines) == 1, result.Stderr)
			for _, line := range lines {
				assert.Contains(t, line, "the registry no longer has docker.io/")
			}
		})
	}
}
