package decide_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// How a target is follows from how all of its workloads have ended, and from itself.
func TestHowATargetStands(t *testing.T) {
	t.Parallel()
	fine, skipped := decide.Ended{Outcome: decide.Unchanged}, decide.Ended{Outcome: decide.Skipped, Failure: failing}
	stuck := decide.Ended{Outcome: decide.Failed, Failure: &failure.Error{Cause: failure.NotSettled}}
	crashed := decide.Ended{Outcome: decide.RolledBack, Failure: &failure.Error{Cause: failure.RolloutFailed}}
	held, waits := decide.Ended{Outcome: decide.Held, Underway: true}, decide.Ended{Outcome: decide.Waiting}
	rolling := decide.Ended{Outcome: decide.Waiting, Underway: true}
	for name, c := range map[string]struct {
		target decide.Target
		ended  []decide.Ended
		want   string
	}{
		"fine":                             {decide.Target{Asked: true}, []decide.Ended{fine, held, waits}, "fine"},
		"one could not be resolved":        {decide.Target{Asked: true, Failure: failing, Failures: decide.Count{N: 1, Of: 3}}, []decide.Ended{fine, skipped}, "fails"},
		"for too long":                     {decide.Target{Asked: true, Failure: failing, Failures: decide.Count{N: 3, Of: 3}}, []decide.Ended{fine, held}, "fails proxy -1"},
		"for too long, and all are held":   {decide.Target{Asked: true, Failure: failing, Failures: decide.Count{N: 3, Of: 3}}, []decide.Ended{held}, "fails"},
		"stale":                            {decide.Target{Asked: true, Stale: &failure.Error{Cause: failure.Stale}}, []decide.Ended{fine}, "fails stale -1"},
		"the worst of two":                 {decide.Target{Asked: true}, []decide.Ended{stuck, crashed, fine}, "fails rollout-failed 1"},
		"a rollout is under way":           {decide.Target{Asked: true}, []decide.Ended{fine, rolling}, "unknown"},
		"under way, and another one fails": {decide.Target{Asked: true}, []decide.Ended{stuck, rolling}, "fails not-settled 0"},
		"nobody could ask":                 {decide.Target{Failures: decide.Count{N: 1, Of: 3}}, []decide.Ended{held}, "unknown"},
	} {
		s := decide.StandingOf(c.target, c.ended)
		got := map[bool]string{true: "fails"}[s.Fails] + map[bool]string{true: "unknown"}[s.Unknown]
		if s.Failure != nil {
			got += fmt.Sprintf(" %s %d", s.Failure.Cause, s.At)
		}
		if got == "" {
			got = "fine"
		}
		assert.Equal(t, c.want, got, name)
	}
}

// Since when a target fails is noted once and said once a day; that it is fine again is said where the failure was.
func TestSinceWhenATargetFails(t *testing.T) {
	t.Parallel()
	hours := func(n float64) time.Time { return now.Add(-time.Duration(n * float64(time.Hour))) }
	fails := func(cause failure.Cause) decide.Standing {
		return decide.Standing{Fails: true, Failure: &failure.Error{Cause: cause, Message: "why", Fix: "mend it"}}
	}
	below, fine, unknown := decide.Standing{Fails: true}, decide.Standing{}, decide.Standing{Unknown: true}
	const note = "why (failing since 2"
	for name, c := range map[string]struct {
		since, said time.Time
		failures    int // when the tick began
		standing    decide.Standing
		keeps       bool // since when stays as it is
		reason      decide.Reason
	}{
		"begins":                     {time.Time{}, time.Time{}, 0, below, false, ""},
		"goes on":                    {hours(23.9), time.Time{}, 3, fails(failure.DNS), true, ""},
		"a day":                      {hours(24), time.Time{}, 3, fails(failure.DNS), true, decide.ResolveFailing},
		"a day, below the threshold": {hours(24), time.Time{}, 2, below, true, ""},
		"a day after it was said":    {hours(99), hours(24), 0, fails(failure.RolloutFailed), true, decide.RolloutFailed},
		"less than a day after":      {hours(99), hours(23.9), 0, fails(failure.Contested), true, ""},
		"a day, not settled":         {hours(24), time.Time{}, 0, fails(failure.NotSettled), true, decide.RefreshFrozen},
		"a day, contested":           {hours(24), time.Time{}, 0, fails(failure.Contested), true, decide.RefreshContested},
		"a day, of what no Event was when it began": {hours(24), time.Time{}, 0, fails(failure.SlotInvalid), true, ""},
		"a rollout is under way":                    {hours(30), time.Time{}, 0, unknown, true, ""},
		"over":                                      {hours(2), time.Time{}, 0, fine, false, decide.Recovered},
		"over, of the registry":                     {hours(2), time.Time{}, 3, fine, false, decide.Recovered},
		"over before anybody was told":              {hours(2), time.Time{}, 2, fine, false, ""},
		"over, told a day ago":                      {hours(30), hours(3), 2, fine, false, decide.Recovered},
	} {
		w := counting(carrying(input(latest(a))), 0, c.failures)
		w.Object.Annotations[keys.FailingSince("t0")] = annotate.FormatTime(c.since)
		if !c.said.IsZero() {
			w.Object.Annotations[keys.State("t0")] = annotate.State{Told: &annotate.Told{Event: c.said}}.String()
		}
		w = begun(w)
		closing := rules.Close(w, targets(1), []decide.Standing{c.standing})
		after := written(w, closing.Change)
		want := map[bool]time.Time{true: c.since, false: {}}[c.keeps]
		if name == "begins" {
			want = now
		}
		assert.Equal(t, annotate.FormatTime(want), after.Object.Annotations[keys.FailingSince("t0")], name)
		assert.Equal(t, c.reason == "" && c.keeps, closing.Change.Empty(), name)
		if c.reason == "" {
			assert.Empty(t, closing.Events, name)
			continue
		}
		assert.Equal(t, c.reason, closing.Events[0].Event.Reason, name)
		text := note
		if c.reason == decide.Recovered {
			text = "fine again after " + decide.Lasted(now.Sub(c.since))
		}
		assert.Contains(t, closing.Events[0].Event.Note, text, name)
		again := rules.Close(begun(after), targets(1), []decide.Standing{c.standing})
		assert.Empty(t, again.Events, "%s: once", name)
		assert.True(t, again.Change.Empty(), "%s: and then nothing is written", name)
	}
}

func TestLasted(t *testing.T) {
	t.Parallel()
	for text, d := range map[string]time.Duration{
		"1 min": 20 * time.Second, "59 min": 59 * time.Minute, "1 h 0 min": time.Hour, "23 h 59 min": 24*time.Hour - time.Minute, "3 d 4 h": 76*time.Hour + 40*time.Minute,
	} {
		assert.Equal(t, text, decide.Lasted(d))
	}
}
