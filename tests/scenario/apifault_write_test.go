package scenario_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
)

// What passes by itself is waited out, at each write of a refresh: the tick succeeds.
func TestAPITroubleThatPassesIsWaitedOut(t *testing.T) {
	t.Parallel()
	writes := map[string]apiproxy.Matcher{
		"read": apiproxy.Verb("get", "deployments"), "patch": isSlotPatch, "hand back": isHandBack, "record": isRecord,
		"watch": apiproxy.Verb("watch", "deployments"), "Event": apiproxy.Verb("create", "events"),
	}
	for name, trouble := range map[string]faultinject.Rule[apiproxy.Request]{
		"429 with Retry-After": {Do: apiproxy.TooManyRequests(1), Times: 1},
		"500":                  {Do: internal, Times: 2},
		"503":                  {Do: unavailable, Times: 2},
		"reset":                {Do: faultinject.Reset(), Times: 2},
		"answer lost":          {Do: faultinject.Lose(), Times: 1},
		"storm of conflicts":   {Do: conflict, Times: 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, latest := moved(t, fakenode.Ready())
			for where, match := range writes {
				if name == "answer lost" && where == "watch" || name == "storm of conflicts" && (where == "read" || where == "Event") {
					continue // a watch has no end, and nothing there can conflict
				}
				rule := trouble
				rule.Match = match
				s.API.Inject(rule)
			}
			harness.RequireExit(t, 0, s.Tick())
			requireRefreshed(t, s, latest)
			assert.Len(t, eventsOf(s, "DigestRefreshed"), 1)
		})
	}
}

// What does not pass is an operator's, exit code 1 within a bounded time, and nothing is changed.
func TestAPITroubleAtThePatchIsLoudAndChangesNothing(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]faultinject.Action{
		"conflicts for ever":        conflict,
		"429 to come back tomorrow": apiproxy.TooManyRequests(86400),
		"500":                       internal,
		"503":                       unavailable,
		"forbidden":                 forbidden,
		"silent":                    faultinject.Hang(),
		"reset":                     faultinject.Reset(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, first, latest := moved(t, fakenode.Ready())
			remove := s.API.Inject(apiproxy.Fault{Match: apiproxy.Verb("patch", "deployments"), Do: trouble})
			result := s.Tick()
			failed := requireOutcome(t, result, 1, "failed", "api")
			assert.Contains(t, failed.Message, "jobs")
			assert.Less(t, result.Duration, time.Minute)
			requireUntouched(t, s, first)
			remove()
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			requireRefreshed(t, s, latest)
		})
	}
}

// A patch that the server has carried out, and whose answer never comes: loud, and continued.
func TestAPatchWhoseAnswerNeverComesIsContinued(t *testing.T) {
	t.Parallel()
	s, first, latest := moved(t, fakenode.Ready())
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	remove := s.API.Inject(apiproxy.Fault{Match: isSlotPatch, Do: faultinject.After(func() { <-never })})
	result := s.Tick()
	requireOutcome(t, result, 1, "failed", "api")
	assert.Less(t, result.Duration, time.Minute)
	assert.Equal(t, first, s.Deployment("jobs").Annotations[recorded], "nothing is recorded that nobody has seen roll out")
	remove()
	harness.RequireExit(t, 0, s.Tick())
	requireRefreshed(t, s, latest)
}

// A claim that cannot be handed back is a warning, since the refresh itself went well; the next tick mends it.
func TestAPITroubleAtHandingBackIsMendedByTheNextTick(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]faultinject.Action{"conflicts for ever": conflict, "500": internal, "forbidden": forbidden} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, first, latest := moved(t, fakenode.Ready())
			remove := s.API.Inject(apiproxy.Fault{Match: isHandBack, Do: trouble})
			result := s.Tick()
			requireOutcome(t, result, 0, "refreshed", "")
			assert.Contains(t, result.Stderr, "could not be handed back")
			assert.Equal(t, []string{"image-refresh/Update"}, slotOwners(s))
			remove()
			s.Settle(jobs(latest))
			requireOutcome(t, s.Tick(), 0, "unchanged", "")
			requireRefreshed(t, s, latest)
			assert.NotContains(t, s.Deployment("jobs").Annotations[state], "owners")
			assert.NoError(t, s.Apply(harness.Helm, jobs(first)))
		})
	}
}

// A record that cannot be written fails the tick, and the next one records.
func TestAPITroubleAtTheRecordIsLoudAndContinued(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]faultinject.Action{"conflicts for ever": conflict, "500": internal, "forbidden": forbidden} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, first, latest := moved(t, fakenode.Ready())
			remove := s.API.Inject(apiproxy.Fault{Match: isRecord, Do: trouble})
			requireOutcome(t, s.Tick(), 1, "failed", "api")
			assert.Equal(t, latest, live(s))
			assert.Equal(t, first, s.Deployment("jobs").Annotations[recorded])
			remove()
			requireOutcome(t, s.Tick(), 0, "unchanged", "")
			requireRefreshed(t, s, latest)
			assert.Len(t, eventsOf(s, "DigestRefreshed"), 1)
		})
	}
}

// I12: what only clears may fail in any way: a warning.
func TestI12AClearThatMeetsOnlyConflictsIsAWarning(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	unblock := s.Site.Proxy.Refuse("ghcr.io", 403)
	requireOutcome(t, s.Tick(), 0, "skipped", "proxy")
	unblock()
	remove := s.API.Inject(apiproxy.Fault{Match: apiproxy.Verb("patch", "deployments"), Do: conflict})
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.Contains(t, s.Deployment("jobs").Annotations, failures)
	remove()
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.NotContains(t, s.Deployment("jobs").Annotations, failures)
}

// An Event that is lost is a warning.
func TestAnEventThatCannotBeWrittenIsAWarning(t *testing.T) {
	t.Parallel()
	s, _, latest := moved(t, fakenode.Ready())
	s.API.Inject(apiproxy.Fault{Match: apiproxy.Verb("create", "events"), Do: forbidden})
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRefreshed(t, s, latest)
}
