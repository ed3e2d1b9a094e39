package decide

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// Object is a workload as it was read.
type Object struct {
	Namespace           string
	Labels, Annotations map[string]string
	Paused              bool
	HeldBy              string // who holds or has paused it, and since when, as far as that is known; cleaned
	Rollout             Rollout
	Newer               *failure.Error // a newer release has left a state here: nothing at all is written; nil where none has
	Slots               [][]Slot       // by binding

	// Writers says who has written labels and annotations of ours, by key: those that we have not, or no longer. Nobody
	// where that is not known.
	Writers    map[string]Writer
	LastWriter Writer // of the pod template, us aside; a person only where that was since we have written last
}

// Binding is a target on a workload.
type Binding struct {
	Target  int // which of the tick's targets
	Latest  Latest
	Answers Answers
}

// Workload is everything that the decisions on one workload depend on, beside the tick and its targets.
type Workload struct {
	Object   Object // as it is now
	Began    Memory // what this tick read of it first
	Bindings []Binding
	Homes    []Home // the targets whose counters stand here
}

// Memory is what labels and annotations of a workload remember.
type Memory struct {
	Records  []annotate.Record // by binding
	Skipped  int               // ticks in a row in which it was unsettled
	Failures []int             // in a row, of the targets whose counters stand here
	Since    []time.Time       // likewise: since when each fails; zero where it is fine
	Told     []*annotate.Told  // likewise: what people have been told of it; nil for nothing
}

// Tick is what all decisions of one run have in common.
type Tick struct {
	Keys        annotate.Keys
	Now         time.Time // by the API server's clock, so that ticks on nodes whose clocks differ agree; only ages depend on it
	MaxRollouts int       // workloads rolled in one tick; 0: no limit
	Runbook     failure.Runbook

	Tells        bool          // somebody is to be told what a target comes to
	TellsChanges bool          // also of each refresh
	Longest      time.Duration // how long a tick may take: what was to be sent longer ago is sent by nobody any more
}

// Remember reads what a workload remembers. What does not parse reads as absent.
func (t Tick) Remember(w Workload, targets []Target) Memory {
	memory := Memory{Records: make([]annotate.Record, 0, len(w.Bindings))}
	for _, binding := range w.Bindings {
		record, _ := t.Keys.Read(targets[binding.Target].Name, w.Object.Labels, w.Object.Annotations)
		record.State, _ = record.State.NotAfter(t.Now)
		memory.Records = append(memory.Records, record)
	}
	memory.Skipped, _ = annotate.ParseCount(w.Object.Annotations[t.Keys.SkipStreak()])
	for _, home := range w.Homes {
		counters, _ := t.Keys.ReadCounters(targets[home.Target].Name, w.Object.Annotations)
		counters = mostOf(counters, home.Moved)
		memory.Failures = append(memory.Failures, counters.Failures)
		memory.Since = append(memory.Since, annotate.NotAfter(counters.FailingSince, t.Now))
		memory.Told = append(memory.Told, counters.Told.NotAfter(t.Now))
	}
	return memory
}

// toldOf is what people have been told of a target, if its home is here.
func (m Memory) toldOf(w Workload, target int) *annotate.Told {
	if at := slices.IndexFunc(w.Homes, func(h Home) bool { return h.Target == target }); at >= 0 {
		return m.Told[at]
	}
	return nil
}

// withoutCounters is what a memory says of counters after an undo has rewound it: nothing (I44).
func (m Memory) withoutCounters() Memory {
	return Memory{Records: m.Records, Failures: make([]int, len(m.Failures)), Since: make([]time.Time, len(m.Since)), Told: make([]*annotate.Told, len(m.Told))}
}

// Step is what is to be done with one workload.
type Step struct {
	Decisions []Decision // by binding
	Change    Change
	Events    []TargetEvent   // once the change is written
	Failures  []TargetFailure // of the targets whose counters stand here
	Turn      bool            // MAX_ROLLOUTS leaves it a place
	Rolls     bool            // it is to be rolled: in this tick or, without a place, in a later one
}

// TargetEvent is an Event about a target, on a workload.
type TargetEvent struct {
	Target int
	Event  Event
}

// TargetFailure is how often in a row a target has failed, as the workload that holds its counters says.
type TargetFailure struct {
	Target int
	Count  Count
}

// verdict is what was decided for a workload, before the tick as a whole has had its say.
type verdict struct {
	now       Memory // what the workload remembers
	began     Memory
	decisions []Decision
}

func (v *verdict) rolls() bool { return slices.ContainsFunc(v.decisions, Decision.Rolls) }

// decide decides for every target of a workload. Where one of them finds that an undo has rewound the annotations, it has
// for all: the counters of the others are as old, and they are decided without.
func (t *Tick) decide(w Workload, targets []Target) verdict {
	v := verdict{now: t.Remember(w, targets), began: w.Began}
	v.decisions = t.decideEach(w, targets, v)
	if slices.ContainsFunc(v.decisions, func(d Decision) bool { return d.Rewound }) {
		v.now, v.began = v.now.withoutCounters(), v.began.withoutCounters()
		v.decisions = t.decideEach(w, targets, v)
	}
	t.oneByOne(w, targets, v)
	return v
}

func (t *Tick) decideEach(w Workload, targets []Target, v verdict) []Decision {
	decisions := make([]Decision, 0, len(w.Bindings))
	for at := range w.Bindings {
		decisions = append(decisions, Decide(t.input(w, targets, v, at)))
	}
	return decisions
}

// Questions are those that the facts of a workload raise, by binding. There may be further ones once these are answered.
func (t Tick) Questions(w Workload, targets []Target) [][]Question {
	v := verdict{now: t.Remember(w, targets), began: w.Began}
	questions := make([][]Question, len(w.Bindings))
	for at := range w.Bindings {
		questions[at] = Questions(t.input(w, targets, v, at))
	}
	return questions
}

func (t *Tick) input(w Workload, targets []Target, v verdict, at int) Input {
	binding := w.Bindings[at]
	policy := targets[binding.Target].Policy
	object := w.Object
	return Input{
		Approve: w.label(t.Keys.Approve()), Skip: w.label(t.Keys.Skip()),
		Binding: at, Policy: policy, Now: t.Now, Latest: binding.Latest, Answers: binding.Answers,
		Unsettled: Increment(v.began.Skipped, v.now.Skipped, policy.Unsettled),
		Facts: Facts{
			Held: object.Labels[t.Keys.Hold()] == "true", Paused: object.Paused, HeldBy: object.HeldBy, Rollout: object.Rollout,
			Newer:   object.Newer,
			Targets: namesOf(w, targets),
		},
		Slots: object.Slots[at], Record: v.now.Records[at], Began: v.began.Records[at],
		Writers: t.writers(object, targets[binding.Target].Name),
		Keys:    RecordKeys{Mark: t.Keys.Mark(targets[binding.Target].Name), Recorded: t.Keys.Recorded(targets[binding.Target].Name)},
	}
}

// writers are those of a target's record.
func (t *Tick) writers(object Object, target string) Writers {
	_, recorded := object.Annotations[t.Keys.Recorded(target)]
	by, others := object.Writers[t.Keys.Recorded(target)]
	return Writers{Mark: object.Writers[t.Keys.Mark(target)], Recorded: by, RecordIsOurs: recorded && !others, Template: object.LastWriter}
}

func namesOf(w Workload, targets []Target) []string {
	names := make([]string, 0, len(w.Bindings))
	for _, binding := range w.Bindings {
		names = append(names, targets[binding.Target].Name)
	}
	return names
}

// oneByOne holds all but one target back after a joint failure: which one it is that fails shows only then. Nothing is
// counted.
func (t *Tick) oneByOne(w Workload, targets []Target, v verdict) {
	alone := slices.IndexFunc(v.decisions, func(d Decision) bool {
		attempt := d.Record.State.Attempt
		return d.Rolls() && attempt != nil && attempt.Alone
	})
	for at, d := range v.decisions {
		if alone >= 0 && at != alone && d.Rolls() {
			v.decisions[at] = t.postponed(w, targets, v, at, Postponement{Message: "after a joint failure the targets are tried one by one: another one's turn"})
		}
	}
}

// deferRollouts holds the workload back in this tick, and notes since when it waits (I57). Nothing is counted.
func (t *Tick) deferRollouts(w Workload, targets []Target, v verdict) {
	for at, d := range v.decisions {
		if d.Rolls() {
			v.decisions[at] = t.postponed(w, targets, v, at, Postponement{
				Message: "enough workloads roll in this tick (MAX_ROLLOUTS): a later one goes on", ForTurn: true,
			})
		}
	}
}

// postponed decides once more, and leaves the slots alone.
func (t *Tick) postponed(w Workload, targets []Target, v verdict, at int, why Postponement) Decision {
	in := t.input(w, targets, v, at)
	in.Postponed = why
	d := Decide(in)
	if d.Skip == SkipCount { // of an attempt to unblock the workload, which is not made
		d.Skip = SkipKeep
	}
	return d
}

// waitsSince is since when the workload waits for its turn; zero where it does not yet.
func (v *verdict) waitsSince() time.Time {
	var since time.Time
	for at, d := range v.decisions {
		turn := v.now.Records[at].State.TurnSince
		if d.Rolls() && turn != nil && (since.IsZero() || turn.Before(since)) {
			since = *turn
		}
	}
	return since
}

// step is what becomes of a verdict once the tick has had its say. counted are the failures in a row of all targets.
func (t *Tick) step(w Workload, targets []Target, v verdict, turn bool) Step {
	step := Step{Decisions: v.decisions, Turn: turn, Rolls: v.rolls()}
	if !turn {
		t.deferRollouts(w, targets, v)
	}
	for at, home := range w.Homes {
		step.Failures = append(step.Failures, TargetFailure{home.Target, targets[home.Target].failuresInARow(v.began.Failures[at], v.now.Failures[at])})
	}
	for at, d := range v.decisions {
		if d.Outcome == Skipped && step.failuresOf(w.Bindings[at].Target, targets).Reached() {
			v.decisions[at].Outcome = Failed
		}
	}
	step.Change = t.change(w, targets, v, nil)
	for at, d := range v.decisions {
		for _, event := range d.Events {
			step.Events = append(step.Events, TargetEvent{w.Bindings[at].Target, event})
		}
	}
	t.leaveHome(&step.Change, w, targets)
	for at, counted := range step.Failures {
		target := targets[counted.Target]
		since := t.putSince(&step.Change, w, target, v, at)
		t.putFailures(&step.Change, w, target, counted.Count, w.Homes[at].Moved)
		if counted.Count.JustReached() && target.Failure != nil {
			step.Events = append(step.Events, TargetEvent{counted.Target, resolveFailing(target.Failure, since)})
		}
	}
	if !slices.ContainsFunc(v.decisions, func(d Decision) bool { return d.Wait != "" }) { // else what comes of the rollout says it
		t.putCondition(&step.Change, w, targets, step)
	}
	if w.Object.Newer != nil {
		step.Change = Change{}
	}
	return step
}

// failuresOf are a target's failures in a row: as its counters here say, if they stand here, or as was planned.
func (s Step) failuresOf(target int, targets []Target) Count {
	for _, counted := range s.Failures {
		if counted.Target == target {
			return counted.Count
		}
	}
	return targets[target].Failures
}

// Change is one write to a workload: slots, labels and annotations together, so that a digest and what is remembered of
// it are never apart (I35). Only what differs from the object is in it.
type Change struct {
	Slots               []SlotChange
	Labels, Annotations map[string]string // an empty value removes the key
}

// SlotChange puts a digest into a slot.
type SlotChange struct {
	Binding, Slot int
	Digest        image.Digest
}

// Empty says whether there is nothing to write.
func (c Change) Empty() bool {
	return len(c.Slots) == 0 && len(c.Labels) == 0 && len(c.Annotations) == 0
}

// change is what the decisions on these bindings write; on all of them where only is nil.
func (t *Tick) change(w Workload, targets []Target, v verdict, only []bool) Change {
	change := Change{Labels: map[string]string{}, Annotations: map[string]string{}}
	if w.Object.Newer != nil {
		return change
	}
	skipped := v.now.Skipped
	for at, d := range v.decisions {
		if attempt := d.Record.State.Attempt; attempt != nil && !d.Rolls() && v.rolls() { // its rollout begins anew with the other one's
			anew := *attempt
			anew.Fresh = 0
			d.Record.State.Attempt = &anew
		}
		if only != nil && !only[at] {
			continue
		}
		switch {
		case d.Skip == SkipCount:
			skipped = v.now.Skipped + 1 // once for all targets
		case d.Skip == SkipClear && skipped == v.now.Skipped:
			skipped = 0
		}
		record := d.Record
		record.State.Told = v.now.toldOf(w, w.Bindings[at].Target)
		if d.Rolls() {
			record.State.Owners = ownersOf(w.Object.Slots[at], record.State.Owners)
			for slot, digest := range d.Set {
				if digest != "" {
					change.Slots = append(change.Slots, SlotChange{Binding: at, Slot: slot, Digest: digest})
				}
			}
		}
		if d.Row == 1 && reflect.DeepEqual(record, v.now.Records[at]) {
			continue // where the workload is not what was meant, even garbage is left alone
		}
		name := targets[w.Bindings[at].Target].Name
		differ(change.Labels, w.Object.Labels, t.Keys.Mark(name), record.Label())
		differ(change.Annotations, w.Object.Annotations, t.Keys.State(name), record.State.String())
		if record.Recorded.Digest() != "" || record.Recorded == annotate.None || record.Recorded == annotate.Unpinned {
			differ(change.Annotations, w.Object.Annotations, t.Keys.Recorded(name), string(record.Recorded))
			if record.Build != (image.Build{}) || annotate.HasBuild(w.Object.Annotations) {
				differ(change.Annotations, w.Object.Annotations, t.Keys.Build(name), annotate.FormatBuild(record.Build))
			}
		}
	}
	differ(change.Annotations, w.Object.Annotations, t.Keys.SkipStreak(), annotate.FormatCount(skipped))
	if only == nil {
		v.removeHeeded(&change, w, t.Keys.Approve(), func(d Decision) bool { return d.Approved })
		v.removeHeeded(&change, w, t.Keys.Skip(), func(d Decision) bool { return d.Skipped })
	}
	return change
}

// removeHeeded removes a person's label once it is heeded for each target whose latest it names.
func (v verdict) removeHeeded(change *Change, w Workload, key string, heeds func(Decision) bool) {
	label, heeded := w.label(key), false
	for at, d := range v.decisions {
		if !label.Digits.Name(w.Bindings[at].Latest.Digest) {
			continue
		}
		if !heeds(d) {
			return
		}
		heeded = true
	}
	if heeded {
		change.Labels[key] = ""
	}
}

// differ adds a value to a change where the object has another.
func differ(values, stored map[string]string, key, value string) {
	if stored[key] != value {
		values[key] = value
	}
}

// putFailures puts a target's failures in a row into the change of the workload where its counters stand.
func (t *Tick) putFailures(change *Change, w Workload, target Target, failures Count, moved annotate.TargetCounters) {
	lastError := ""
	switch {
	case target.Failure == nil && failures.N > 0 && moved.Failures == 0: // it was not asked for: what is known of it stays
		return
	case target.Failure == nil && failures.N > 0:
		lastError = cmp.Or(w.Object.Annotations[t.Keys.LastError(target.Name)], moved.LastError)
	case failures.Reached():
		lastError = string(target.Failure.Cause) + ": " + t.Runbook.Advice(target.Failure)
	}
	differ(change.Annotations, w.Object.Annotations, t.Keys.Failures(target.Name), annotate.FormatCount(failures.N))
	differ(change.Annotations, w.Object.Annotations, t.Keys.LastError(target.Name), lastError)
}

// putSince puts since when a target fails into the change of the workload where its counters stand, as far as this workload says
// so. That it is fine again is known only once all its workloads have come to their end (Close).
func (t *Tick) putSince(change *Change, w Workload, target Target, v verdict, at int) time.Time {
	since, fails := v.now.Since[at], target.Failure != nil
	for i, d := range v.decisions {
		fails = fails || w.Bindings[i].Target == w.Homes[at].Target && d.Outcome.NeedsAttention() && d.Record.Mark != annotate.None
	}
	if fails && since.IsZero() {
		since = t.Now
	}
	differ(change.Annotations, w.Object.Annotations, t.Keys.FailingSince(target.Name), annotate.FormatTime(since))
	return since
}

// ownersOf notes, in the patch that takes the slots, who owned each by server-side apply, so that they can be given back
// (https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management). A slot that is still ours has its
// owners noted already.
func ownersOf(slots []Slot, noted map[string][]string) map[string][]string {
	all := make(map[string][]string, len(slots)+len(noted))
	for key, owners := range noted {
		all[key] = owners
	}
	for _, slot := range slots {
		if _, known := all[slot.Key]; !known || !slot.Ours {
			all[slot.Key] = slot.Appliers
		}
	}
	return all
}

// SlotOwners says who is to get a slot back.
type SlotOwners struct {
	Binding, Slot int
	Owners        []string // field managers; none: nobody owned it by server-side apply
}

// ToReturn are the slots that a patch of ours has taken, in this tick or in one that died, and who owned each before.
func (t Tick) ToReturn(w Workload, targets []Target) []SlotOwners {
	var all []SlotOwners
	if w.Object.Newer != nil {
		return nil
	}
	for at, slots := range w.Object.Slots {
		for i, slot := range slots {
			if slot.Problem != nil || !slot.Ours {
				continue
			}
			record, _ := t.Keys.Read(targets[w.Bindings[at].Target].Name, w.Object.Labels, w.Object.Annotations)
			all = append(all, SlotOwners{Binding: at, Slot: i, Owners: record.State.Owners[slot.Key]})
		}
	}
	return all
}
