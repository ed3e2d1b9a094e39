package decide_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// How a target is, as people are told of it, follows from the worst of its workloads; what shows nothing leaves it as it was.
func TestWhatPeopleAreToldThatATargetIs(t *testing.T) {
	t.Parallel()
	on := func(outcome decide.Outcome, cause failure.Cause) decide.Ended {
		return decide.Ended{Outcome: outcome, Failure: &failure.Error{Cause: cause}}
	}
	fine, rolling := decide.Ended{Outcome: decide.Unchanged}, decide.Ended{Outcome: decide.Waiting, Underway: true}
	crashed := on(decide.Failed, failure.RolloutFailed)
	taken, calming, heldContest := crashed, fine, decide.Ended{Outcome: decide.Held, Contested: true}
	taken.Rejected, calming.Contested = true, true
	const asBefore = "as before"
	for name, c := range map[string]struct {
		ended []decide.Ended
		want  annotate.Standing
	}{
		"fine":                           {[]decide.Ended{fine, {Outcome: decide.Held}, {Outcome: decide.Waiting}}, annotate.Fine},
		"not resolved, at its threshold": {[]decide.Ended{fine, on(decide.Failed, failure.DNS)}, annotate.Unresolved},
		"below it":                       {[]decide.Ended{fine, on(decide.Skipped, failure.DNS)}, asBefore},
		"a rollout that failed":          {[]decide.Ended{crashed, on(decide.Failed, failure.DNS)}, annotate.NotRolledOut},
		"not settled":                    {[]decide.Ended{on(decide.Failed, failure.NotSettled)}, annotate.NotRolledOut},
		"rejected with its last attempt": {[]decide.Ended{taken, crashed}, annotate.Refused},
		"contested":                      {[]decide.Ended{on(decide.Failed, failure.Contested), taken}, annotate.Fought},
		"contested, and it may go on":    {[]decide.Ended{calming}, annotate.Fought},
		"contested, and held":            {[]decide.Ended{heldContest}, annotate.Fine},
		"wrong":                          {[]decide.Ended{on(decide.Failed, failure.SlotMismatch), on(decide.Failed, failure.Contested)}, annotate.Wrong},
		"a rollout is under way":         {[]decide.Ended{fine, rolling}, asBefore},
	} {
		s := decide.StandingOf(decide.Target{Asked: true}, c.ended)
		if s.AsBefore && s.Kind == annotate.Fine {
			s.Kind = asBefore
		}
		assert.Equal(t, c.want, s.Kind, name)
	}
	stale := decide.StandingOf(decide.Target{Asked: true, Stale: failing}, []decide.Ended{fine})
	assert.Equal(t, annotate.Unresolved, stale.Kind, "stale")
}

// A history is a word a tick, 15 minutes apart: how the target is (F fine, S skipped, U not resolved, R rejected, and N, M new
// digests that wait for a person), after it what becomes of a message (- nobody takes it, ! the tick is killed before it is
// sent), and before it a day (+) or two hours (2) that pass, or a person who removes the state (x). The answer has a word a message.
func TestEachChangeIsToldOnce(t *testing.T) {
	t.Parallel()
	for history, want := range map[string]string{
		"F F F":          "",
		"S S U U U":      "unresolved",
		"S S F":          "",
		"U R R U":        "unresolved rejected unresolved",
		"U +U U +U":      "unresolved unresolved unresolved",
		"U F F":          "unresolved recovered",
		"U S F":          "unresolved recovered",
		"R S S R F":      "rejected recovered",
		"U- U U":         "unresolved",
		"U- U- F- F F":   "recovered",
		"U F- F- F F +F": "unresolved recovered",
		"U! U U 2U U":    "unresolved",
		"U! U U":         "",
		"U! R R":         "rejected",
		"U! F F":         "recovered",
		"R xF F":         "rejected recovered",
		"S xF F":         "",
		"U! +U U":        "unresolved",
		"U +U- U U":      "unresolved unresolved",
		"N N M M +M F N": "new:a new:b new:a",
		"N- N N":         "new:a",
		"U N F":          "unresolved recovered,new:a",
		"N R R N":        "new:a rejected recovered",
	} {
		tick := decide.Tick{Keys: keys, Now: now, Tells: true, Longest: time.Hour}
		w := carrying(input(latest(a)))
		var told []string
		var last decide.Standing
		for word := range strings.FieldsSeq(history) {
			tick.Now = tick.Now.Add(15 * time.Minute)
			if rest, found := strings.CutPrefix(word, "+"); found {
				word, tick.Now = rest, tick.Now.Add(24*time.Hour)
			} else if rest, found := strings.CutPrefix(word, "2"); found {
				word, tick.Now = rest, tick.Now.Add(2*time.Hour)
			} else if rest, found := strings.CutPrefix(word, "x"); found {
				word, w = rest, written(w, decide.Change{Annotations: map[string]string{keys.State("t0"): ""}})
			}
			last = map[byte]decide.Standing{
				'F': {}, 'S': {Fails: true, AsBefore: true}, 'N': {Waits: digestA}, 'M': {Waits: digestB},
				'U': {Fails: true, Failure: failing, Kind: annotate.Unresolved}, 'R': {Fails: true, Failure: failing, Kind: annotate.Refused},
			}[word[0]]
			w.Began = tick.Remember(w, targets(1))
			w = counting(w, 0, map[byte]int{'S': 1}[word[0]]) // below the threshold
			closing := tick.Close(w, targets(1), []decide.Standing{last})
			w = written(w, closing.Change)
			if len(closing.Tells) == 0 || strings.HasSuffix(word, "!") {
				continue
			}
			telling := closing.Tells[0]
			taken := !strings.HasSuffix(word, "-")
			w = written(w, tick.Told(w, targets(1), closing.Tells, taken))
			var parts []string
			if telling.Standing {
				parts = append(parts, string(telling.Notice.Standing))
				if telling.Notice.Standing == annotate.Fine {
					parts[0] = "recovered"
				}
			}
			if telling.News {
				parts = append(parts, "new:"+letter(annotate.Of(telling.Notice.Digest)))
			}
			if taken {
				told = append(told, strings.ToLower(strings.Join(parts, ",")))
			}
		}
		assert.Equal(t, want, strings.Join(told, " "), history)
		w.Began = tick.Remember(w, targets(1))
		assert.True(t, tick.Close(w, targets(1), []decide.Standing{last}).Change.Empty(), "%s: and then nothing is written", history)
	}
}

// Of ticks at once, the one sends that wins the write; those that have read less leave it to that one. Without anybody to tell,
// nothing of it is noted.
func TestWhoWinsTheWriteTells(t *testing.T) {
	t.Parallel()
	tells := decide.Tick{Keys: keys, Now: now, Tells: true, Longest: time.Hour}
	w := carrying(input(latest(a)))
	unresolved := []decide.Standing{{Fails: true, Failure: failing, Kind: annotate.Unresolved}}
	first := tells.Close(w, targets(1), unresolved)
	assert.Len(t, first.Tells, 1)
	slower := w
	slower.Object = written(w, first.Change).Object
	assert.Empty(t, tells.Close(slower, targets(1), unresolved).Tells)
	failed := written(slower, tells.Told(slower, targets(1), first.Tells, false))
	failed.Began = w.Began
	assert.Empty(t, tells.Close(failed, targets(1), unresolved).Tells, "what nobody has taken is the next tick's")
	assert.Len(t, tells.Close(begun(failed), targets(1), unresolved).Tells, 1)
	late := tells.Told(failed, targets(1), first.Tells, true)
	assert.True(t, late.Empty(), "what another one has noted since stays")

	silent := rules.Close(w, targets(1), unresolved)
	assert.Empty(t, silent.Tells)
	assert.NotContains(t, silent.Change.Annotations, keys.State("t0"))
	dropped := rules.Close(begun(slower), targets(1), unresolved)
	assert.Empty(t, dropped.Change.Annotations[keys.State("t0")], "nobody is told any more")
}
