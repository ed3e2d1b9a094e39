package tick

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// decide decides for every workload: once to learn what the gates say, which is the last thing that counts
// towards a target's failures, and once more with that count.
func (t *tick) decide(ctx context.Context) {
	t.count()
	var all sync.WaitGroup
	for _, j := range t.jobs {
		if j.failure == nil {
			all.Go(func() { t.evaluate(ctx, j) })
		}
	}
	all.Wait()
	t.count()
	for _, j := range t.jobs {
		if j.failure == nil {
			t.evaluate(ctx, j)
		}
	}
	t.ration(ctx)
}

// ration gives each workload that wants to roll a place among MAX_ROLLOUTS, in the configuration's order. One
// that wants to roll only later, because somebody changed it meanwhile, has a place if any is left.
func (t *tick) ration(ctx context.Context) {
	places := int(t.Config.MaxRollouts)
	if places == 0 {
		return
	}
	for _, j := range t.jobs {
		if j.failure == nil && j.rolls() {
			places--
			if j.restrained = places < 0; j.restrained {
				t.evaluate(ctx, j)
			}
		}
	}
	for _, j := range t.jobs {
		j.restrained = j.restrained || places <= 0 && !j.rolls()
	}
}

func (j *job) rolls() bool {
	for _, m := range j.members {
		if m.decision.Set != "" {
			return true
		}
	}
	return false
}

// count works out every target's failures in a row.
func (t *tick) count() {
	for _, own := range t.targets {
		for _, m := range own.members {
			if m.decision.Gated != nil {
				own.failure = fault.Worst(own.failure, m.decision.Gated)
			}
		}
		own.failures = t.failuresOf(own)
		own.written = own.failures
	}
}

// failuresOf is the target's failures in a row with this tick, unless another tick has counted while this one
// was running; capped at the threshold.
func (t *tick) failuresOf(own *target) int {
	switch {
	case own.failure == nil && !own.asked() && own.home.object != nil: // nothing has shown that the streak is over
		return t.failuresBefore(own)
	case own.failure == nil:
		return 0
	case own.home.object == nil:
		return 1
	}
	before := t.failuresBefore(own)
	record, _ := t.keys.Read(own.Name, own.home.object.Meta.Labels, own.home.object.Meta.Annotations)
	if t.counted(record.State, t.id) {
		return before
	}
	return min(before+1, own.ResolveFailureThreshold)
}

func (t *tick) failuresBefore(own *target) int {
	if own.home.rewound {
		return 0
	}
	shared, _ := t.keys.ReadShared(own.Name, own.home.object.Meta.Annotations)
	return min(shared.Failures, own.ResolveFailureThreshold)
}

// asked says whether the target's image was asked for in this tick: where none of its workloads could be worked with, it
// was not.
func (own *target) asked() bool {
	return slices.ContainsFunc(own.members, func(m *member) bool { return len(m.queries) > 0 })
}

// counted says whether this tick, in this phase, must not count here: another tick has counted while it was
// running (I28), or the write that counted went through although its answer was lost.
func (t *tick) counted(state annotate.State, phase string) bool {
	switch {
	case state.Counted == nil:
		return false
	case state.Counted.By == phase:
		return true
	default:
		return state.Counted.By != t.id && state.Counted.At.After(t.Started)
	}
}

// evaluate decides for every member of a workload, from the object as it is now. Where one of them finds that an undo has
// rewound the annotations, it has for all: the counters of the others are as old.
func (t *tick) evaluate(ctx context.Context, j *job) {
	j.rewound = false
	t.consider(ctx, j)
	if j.rewound = slices.ContainsFunc(j.members, func(m *member) bool { return m.decision.Rewound }); j.rewound {
		t.consider(ctx, j)
	}
	t.restrain(j)
}

func (t *tick) consider(ctx context.Context, j *job) {
	t.facts(j, t.id)
	for _, m := range j.members {
		m.decision = decide.Decide(m.input)
		if m.decision.Verify != "" {
			m.input.Gate = t.gates.ask(ctx, m, m.decision.Verify, m.slotsLive().Digest())
			m.decision = decide.Decide(m.input)
		}
	}
}

// facts fills the inputs of a workload's members, for the decisions before the wait or those after it.
func (t *tick) facts(j *job, phase string) {
	var names []string
	lost := false
	records := make([]annotate.Record, len(j.members))
	for i, m := range j.members {
		names = append(names, m.target.Name)
		records[i] = t.recordOf(m)
		lost = lost || t.counted(records[i].State, phase)
	}
	j.skip = 0
	if !j.rewound {
		j.skip, _ = annotate.ParseCount(j.object.Meta.Annotations[t.keys.SkipStreak()])
	}
	for i, m := range j.members {
		m.input = decide.Input{
			Policy:   m.target.policy,
			Tick:     decide.Tick{ID: phase, Started: t.Started, Now: t.Now()},
			Latest:   m.latest,
			Failures: m.target.failures,
			Lost:     lost,
			// Between this tick's reading and now another one may have resolved the tag later than this one did.
			Overtaken: phase == t.id && decide.Overtaken(m.first, records[i]),
			Workload: decide.Workload{
				Held: j.object.Meta.Labels[t.keys.Hold()] == "true", Paused: j.object.Paused, ParkedBy: t.parkedBy(j.object),
				Rollout: j.object.Rollout(j.stale), SkipStreak: j.skip, Skipped: j.skipped, Targets: names,
			},
			Record: records[i],
		}
		for at, slot := range m.slots {
			live := decide.Slot{Problem: m.problems[at]}
			if live.Problem == nil {
				live.Live, live.Claims = slot.Live, j.object.Claims(slot)
				m.input.Claimed = m.input.Claimed || j.object.Claimed(slot)
			}
			m.input.Slots = append(m.input.Slots, live)
		}
	}
}

// parkedBy says who holds or has paused a workload, and since when.
func (t *tick) parkedBy(object *workload.Object) string {
	held := object.Meta.Labels[t.keys.Hold()] == "true"
	if !held && !object.Paused {
		return "" // without reading managedFields, which is most of what a workload costs
	}
	manager, at := object.SetBy("spec", "paused")
	if held {
		manager, at = object.SetBy("metadata", "labels", t.keys.Hold())
	}
	if manager == "" {
		return ""
	}
	return fmt.Sprintf(" (by %s, since %s)", fault.Clean(manager), at.UTC().Format(time.RFC3339))
}

// slotsLive is what a member's slots hold, for the platforms that the image in use offers.
func (m *member) slotsLive() annotate.Pin {
	for at, slot := range m.slots {
		if m.problems[at] == nil && slot.Live.Digest() != "" {
			return slot.Live
		}
	}
	return annotate.None
}

// restrain holds rollouts back that the workload or the tick has no room for: after a joint failure one
// target is tried at a time, and a tick rolls at most MAX_ROLLOUTS workloads. Neither is counted.
func (t *tick) restrain(j *job) {
	var alone *member
	for _, m := range j.members {
		attempt := m.decision.Record.State.Attempt
		if alone == nil && m.decision.Set != "" && attempt != nil && attempt.Alone {
			alone = m
		}
	}
	for _, m := range j.members {
		if m.decision.Set == "" {
			continue
		}
		message := ""
		switch {
		case alone != nil && m != alone:
			message = "after a joint failure the targets are tried one by one: another one's turn"
		case j.restrained:
			message = "enough workloads roll in this tick (MAX_ROLLOUTS): a later one goes on"
		default:
			continue
		}
		m.decision = decide.Decision{Row: m.decision.Row, Outcome: decide.Waiting, Message: message, Record: m.input.Record, Gated: m.decision.Gated}
	}
}
