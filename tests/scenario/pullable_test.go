package scenario_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// purge takes a digest from the registry.
func purge(t *testing.T, s *harness.Scenario, digest string) {
	t.Helper()
	require.NoError(t, s.Site.Delete("ghcr.io/tracebloc/ingestor@"+digest))
}

// I61: a retention rule purged the untagged digest that pods were pinned to, and the next drained node took the service down.
// Wherever a tick leaves something else than latest in use, the registry is asked whether it still has that.
func TestI61WhatIsInUseAndGoneFromTheRegistryIsSaid(t *testing.T) {
	t.Parallel()
	hold := func(s *harness.Scenario) { s.Kubectl("label", "deployment", "jobs", "tracebloc.io/refresh-hold=true") }
	stuck := func(s *harness.Scenario) {
		s.Behave(func(*corev1.Pod) fakenode.Behaviour { return fakenode.Stuck() })
		s.Kubectl("rollout", "restart", "deployment", "jobs")
	}
	for name, c := range map[string]struct {
		line    string
		leave   func(s *harness.Scenario)
		exit    int
		outcome string
	}{
		"held by the label": {leave: hold, outcome: "held"},
		"held by hand": {leave: func(s *harness.Scenario) {
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			s.Kubectl("set", "env", "deployment/jobs", slot+"="+s.Push("ghcr.io/tracebloc/ingestor:hotfix", image("hotfix")))
			s.Settle(workloads.Deployment("jobs"))
		}, outcome: "held"},
		"rejected": {leave: func(s *harness.Scenario) {
			breaks(s, crash(), s.Push(ingestor, image("crashing")))
			s.Setenv("ROLLOUT_TIMEOUT", "6s")
			requireOutcome(t, s.Tick(), 1, "rolled-back", "rollout-failed")
		}, exit: 1, outcome: "rejected"},
		"deferred":    {line: "minAge: 1h", outcome: "deferred"},
		"notify":      {line: "mode: notify", outcome: "pending"},
		"a gate's no": {line: "platforms: [linux/s390x]", outcome: "skipped"},
		"not settled": {leave: stuck, outcome: "waiting"},
		"for too long": {leave: func(s *harness.Scenario) {
			stuck(s)
			s.Setenv("UNSETTLED_THRESHOLD", "1")
		}, line: "mode: notify", exit: 1, outcome: "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			before := s.Push(ingestor, image("a"))
			s.Push(ingestor, image("b"))
			s.Deploy(adoptedJobs(before, workloads.Recreate()))
			followTag(s, ingestor, c.line)
			if c.leave != nil {
				c.leave(s)
			}
			s.Forget()
			result := s.Tick()
			assert.Equal(t, c.outcome, result.Report.Target("ingestor").Workload("jobs").Outcome)
			harness.RequireExit(t, c.exit, result)
			assert.Empty(t, warnings(t, result), "it is there")
			used := live(s)
			heads := func(call registries.Call) bool { return call.Stage == registries.Head && call.Reference == used }
			assert.Len(t, s.Site.Front.Calls(heads), 1, "asked once")

			purge(t, s, used)
			for range 2 {
				lines := warnings(t, s.Tick())
				require.Len(t, lines, 1)
				checked := requireCheck(t, check(t, s, 1), "image", "failed", "ingestor on Deployment "+s.Namespace+"/jobs")
				for _, text := range []string{lines[0], checked.Message} {
					requireSays(t, text, "tracebloc/ingestor@"+used, s.Namespace+"/jobs", "retention rule", "docs/runbook.md#not-found")
				}
			}
			assert.Equal(t, used, live(s))
		})
	}
}

// Only a clear 404 is gone: whatever else keeps a registry from saying so says nothing of the digest.
func TestI61OnlyAClear404IsGone(t *testing.T) {
	t.Parallel()
	reply := func(status int) faultinject.Action { return faultinject.Reply(status, "") }
	for name, c := range map[string]struct {
		head, get faultinject.Action
		gone      bool
	}{
		"404":                          {reply(404), nil, true},
		"410":                          {reply(410), nil, true},
		"401":                          {reply(401), nil, false},
		"403":                          {reply(403), nil, false},
		"429":                          {reply(429), nil, false},
		"500":                          {reply(500), nil, false},
		"200 without a type":           {reply(200), reply(200), false},
		"no answer":                    {faultinject.Hang(), nil, false},
		"a cut connection":             {faultinject.Reset(), nil, false},
		"no HEAD, and it is there":     {reply(405), nil, false},
		"no HEAD, and it is not there": {reply(405), reply(404), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, before, _ := behindTag(t, ingestor, image("a"), image("b"), "minAge: 1h")
			s.Setenv("RESOLVE_TIMEOUT", "3s")
			for stage, do := range map[registries.Stage]faultinject.Action{registries.Head: c.head, registries.Get: c.get} {
				if do != nil {
					inject(s, func(call registries.Call) bool { return call.Stage == stage && call.Reference == before }, do)
				}
			}
			result := s.Tick()
			requireOutcome(t, result, 0, "deferred", "")
			assert.Equal(t, c.gone, len(warnings(t, result)) == 1, result.Stderr)
		})
	}
}

// I61: what a rollout would be taken back to is asked for first. Where the registry no longer has it, what failed stays where
// replicas of it serve, and the message says why.
func TestI61ARestorationAsksFirst(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []workloads.Option
		serves  bool // one pod of what fails serves, the other crashes
		silent  bool // the registry does not say whether it has what was there
		outcome string
		says    string
	}{
		"what failed serves":       {[]workloads.Option{workloads.Replicas(2)}, true, false, "failed", "left in place"},
		"it serves, and no answer": {[]workloads.Option{workloads.Replicas(2)}, true, true, "rolled-back", ""},
		"nothing serves":           {[]workloads.Option{workloads.Recreate()}, false, false, "rolled-back", "only a node that still has it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, first := adopted(t, c.options...)
			second := s.Push(ingestor, image("second"))
			s.Setenv("ROLLOUT_TIMEOUT", "6s")
			s.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
			s.Behave(oneServes(second, c.serves))
			if c.serves { // the next tick finds out that the other one crashes
				requireOutcome(t, s.Tick(), 0, "waiting", "")
			}
			if c.silent {
				inject(s, ofDigest(first), faultinject.Reply(503, ""))
			} else {
				purge(t, s, first)
			}
			ended := requireOutcome(t, s.Tick(), 1, c.outcome, "rollout-failed")
			assert.Contains(t, ended.Message, c.says)
			assert.Equal(t, !c.silent, strings.Contains(ended.Message, "no longer has "+first[:19]))
			assert.Equal(t, map[string]string{"failed": second, "rolled-back": first}[c.outcome], live(s))
			assert.Equal(t, first, s.Deployment("jobs").Annotations[recorded])
			if c.outcome == "failed" {
				assert.Contains(t, ended.Message, "retention rule")
				requireOutcome(t, s.Tick(), 1, "rejected", "rollout-failed")
				assert.Equal(t, second, live(s))
				third := s.Push(ingestor, image("third"))
				s.Setenv("ROLLOUT_TIMEOUT", "30s")
				requireOutcome(t, s.Tick(), 0, "refreshed", "")
				assert.Equal(t, third, live(s))
			}
		})
	}
}

// oneServes has pods with a digest crash, but for the first one, where that serves.
func oneServes(digest string, serves bool) fakenode.Policy {
	var mu sync.Mutex
	serving := ""
	return func(pod *corev1.Pod) fakenode.Behaviour {
		mu.Lock()
		defer mu.Unlock()
		if !fakenode.Runs(pod, digest) {
			return fakenode.Ready()
		}
		if serves && serving == "" {
			serving = pod.Name
		}
		if pod.Name == serving {
			return fakenode.Ready()
		}
		return crash()
	}
}

// I61: a digest is gone where all the places say so in which pods look for it.
func TestI61ADigestIsGoneFromAllMirrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers map[string]int // by host; others have it
		gone    int
	}{
		"all say so":              {map[string]int{firstMirror: 404, secondMirror: 404, hubHost: 404}, 1},
		"one does not say":        {map[string]int{firstMirror: 503, secondMirror: 404, hubHost: 404}, 0},
		"the last one has it":     {map[string]int{firstMirror: 404, secondMirror: 404}, 0},
		"the first one forbids":   {map[string]int{firstMirror: 403, secondMirror: 404, hubHost: 404}, 0},
		"the first one has it":    {map[string]int{secondMirror: 404, hubHost: 404}, 0},
		"only the first lacks it": {map[string]int{firstMirror: 404}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, live, _ := mirrored(t, true)
			s.Kubectl("label", "deployment", "jobs", "tracebloc.io/refresh-hold=true")
			for host, status := range c.answers {
				inject(s, func(call registries.Call) bool { return call.Host == host && call.Reference == live }, faultinject.Reply(status, ""))
			}
			result := s.Tick()
			requireOutcome(t, result, 0, "held", "")
			assert.Len(t, warnings(t, result), c.gone)
			assert.Equal(t, c.gone, strings.Count(result.Stderr, "the registry no longer has docker.io/"))
		})
	}
}
