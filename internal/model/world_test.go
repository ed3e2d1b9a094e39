// Package model checks the decision core by exhausting a small world: one workload, one target, three digests,
// thresholds of two. It drives the real decide.Decide, decide.Conclude and annotate.Keys.Read through every
// interleaving of what may happen around a tick and between two ticks, and looks for a sequence of events that
// breaks an invariant (invariants_test.go). The shell around the decisions, package tick, is modelled in
// tick_test.go: read, decide, patch against the resourceVersion, on a conflict read and decide again, hand the
// claim back, wait, conclude.
//
// What is abstracted: time is the order of events as far as running ticks can tell it; digests are symmetric, so
// worlds that differ in their names alone are one; a rollout is settled, hangs, has progressed or was given
// up. What is left out: several slots, targets or workloads, minimum ages, OnDelete, the text of messages.
package model

// A slot's content, by number: nothing, a digest, a digest that is new to the whole history, or a tag.
const (
	empty    = 0
	digests  = 3 // 1, 2 and 3
	novel    = 4 // only when the checker asks whether a new good digest leads out
	unpinned = 5
	contents = 6
)

// Who claims the slot in managedFields, as a set.
const (
	claimUs       = 1
	claimPerson   = 2
	claimDeployer = 4
)

// How far the controller is.
const (
	settled = iota
	hangs   // no replica is fresh
	moves   // some are
	gaveUp  // the controller's word for it
)

// What the registry answers.
const (
	up      = iota
	down    // latest is unknown
	gateNo  // latest is known, and may not be rolled out
	answers // how many
)

// memory is annotate.State and the recorded digest, as far as the model distinguishes them.
type memory struct {
	recorded  uint8 // a content; with markOnly where only its mark is known
	attempt   uint8
	failed    uint8
	again     bool
	reverted  bool
	owners    uint8 // 0: not noted; 1: nobody; 2: the deployer, by Apply
	rejected  [contents]uint8
	left      uint8
	stood     uint8
	reapplied uint8
	contested uint8
	by        uint8 // who counted last: 0 nobody, 1 a tick that is over, 2+2i the tick i, 3+2i the same after its wait
	at        uint8 // when: 0 before any running tick began, 1 before the younger one did, 2 since
}

const markOnly = 8

const (
	byFailure = 1
	byPerson  = 2
)

// notes are the annotations of the workload: all that `rollout undo` rewinds.
type notes struct {
	memory
	skip     uint8
	failures uint8
}

// tick is a running tick, between two of its requests.
type tick struct {
	phase    uint8
	latest   uint8 // what it has resolved; 0: nothing
	gateNo   bool
	failed   bool   // towards the target's failures in a row
	failures uint8  // as every decision of this tick sees them
	wait     bool   // whether a wait follows the hand-back
	digest   uint8  // what it waits for
	before   uint8  // how far the rollout was then
	seen     record // what it has read before it resolved, but for who counted
	beaten   uint8  // which counts another tick has made while this one was running
}

// The phases of a tick.
const (
	idle = iota
	writing
	handing
	waiting
)

// world is a state of the model. It is comparable, and canonical() makes equal what is equivalent.
type world struct {
	tag      uint8
	registry uint8
	chart    uint8 // what a re-render puts into the slot

	live    uint8
	claims  uint8
	rollout uint8
	mark    uint8 // a label: 0 for none
	hold    bool  // a label
	notes
	replicaSets [contents]struct {
		exists bool
		notes
	}
	ticks [2]tick
	left  budget
	ghost
}

// budget is how often the surroundings may still act; endless does not run out.
type budget struct {
	tags, registry, hands, deploys, breaks, kills uint8
}

const endless = 255

func spend(n *uint8) {
	if *n != endless {
		*n--
	}
}

// ghost is what no tick can see, kept for the invariants.
type ghost struct {
	proved   [contents]bool  // settled here once, or chosen by a person
	puts     [contents]uint8 // patches to the digest since the surroundings last asked for one
	restores [contents]uint8 // restorations in place of it since then
	thrown   uint8           // what a person threw out, unless that was overtaken
	stale    uint8           // ticks in a row that were green, with slots neither fresh nor held
}

// rename applies a renaming of digests everywhere.
func (w world) rename(to [contents]uint8) world {
	digest := func(d *uint8) { *d = to[*d&^markOnly] | *d&markOnly }
	remember := func(m *memory) {
		digest(&m.recorded)
		digest(&m.attempt)
		digest(&m.left)
		before := m.rejected
		for d := range to {
			m.rejected[to[d]] = before[d]
		}
	}
	for _, d := range []*uint8{&w.tag, &w.chart, &w.live, &w.mark, &w.thrown} {
		digest(d)
	}
	remember(&w.memory)
	sets, proved, puts, restores := w.replicaSets, w.proved, w.puts, w.restores
	for d := range to {
		w.replicaSets[to[d]], w.proved[to[d]], w.puts[to[d]], w.restores[to[d]] = sets[d], proved[d], puts[d], restores[d]
	}
	for d := range w.replicaSets {
		remember(&w.replicaSets[d].memory)
	}
	for i := range w.ticks {
		digest(&w.ticks[i].latest)
		digest(&w.ticks[i].digest)
		digest(&w.ticks[i].seen.mark)
		remember(&w.ticks[i].seen.memory)
	}
	return w
}

// canonical names digests in the order in which they appear, and returns the renaming.
func (w world) canonical() (world, [contents]uint8) {
	to := [contents]uint8{empty: empty, novel: novel, unpinned: unpinned}
	next := uint8(1)
	for _, d := range []uint8{
		w.tag, w.chart, w.live, w.mark, w.recorded &^ markOnly, w.attempt, w.memory.left, w.ticks[0].latest, w.ticks[0].digest,
		w.ticks[1].latest, w.ticks[1].digest, w.thrown, w.ticks[0].seen.mark, w.ticks[0].seen.recorded &^ markOnly, w.ticks[0].seen.attempt, w.ticks[0].seen.left,
		w.ticks[1].seen.mark, w.ticks[1].seen.recorded &^ markOnly, w.ticks[1].seen.attempt, w.ticks[1].seen.left,
	} {
		if d >= 1 && d <= digests && to[d] == 0 {
			to[d] = next
			next++
		}
	}
	for d := range to { // those that appear in lists only; their order makes worlds differ that are equal, no more
		if d >= 1 && d <= digests && to[d] == 0 {
			to[d] = next
			next++
		}
	}
	return w.rename(to), to
}

// forget drops what no future depends on any more.
func (w world) forget() world {
	var remembered [contents]bool
	remembered[w.live], remembered[w.mark], remembered[w.recorded&^markOnly] = true, true, true
	for d, set := range w.replicaSets {
		remembered[d] = remembered[d] || set.exists
		remembered[set.recorded&^markOnly] = true
	}
	for d := range w.proved { // what is remembered nowhere must settle again before it can be recorded
		w.proved[d] = w.proved[d] && remembered[d]
	}
	for i := range w.ticks {
		if t := &w.ticks[i]; t.phase > writing {
			t.gateNo, t.seen = false, record{}
		}
	}
	return w
}

// everyMemory visits what is remembered, on the workload and on its ReplicaSets.
func (w *world) everyMemory(visit func(*memory)) {
	visit(&w.memory)
	for d := range w.replicaSets {
		visit(&w.replicaSets[d].memory)
	}
}

// begin makes place for a tick that begins now, as the younger one, and returns its place.
func (w *world) begin() int {
	place, since := 0, uint8(0)
	if w.ticks[0].phase != idle {
		place, since = 1, 1
	}
	w.everyMemory(func(m *memory) {
		if m.at == 2 {
			m.at = since
		}
	})
	return place
}

// end removes a tick, and forgets what only it could tell apart.
func (w *world) end(place int) {
	w.ticks[place] = tick{}
	if place == 0 {
		w.ticks[0], w.ticks[1] = w.ticks[1], tick{}
	}
	alone := w.ticks[0].phase != idle
	w.everyMemory(func(m *memory) {
		if m.by == 0 {
			return
		}
		switch m.by {
		case uint8(2 + 2*place), uint8(3 + 2*place):
			m.by = 1
		case 4, 5:
			m.by -= 2
		}
		switch {
		case !alone:
			m.at = 0
		case place == 0 && m.at == 1:
			m.at = 0
		case place == 1 && m.at == 1:
			m.at = 2
		}
	})
}

// synchronise copies the annotations to the ReplicaSet of what is live. It never drops one that was removed
// (FACTS.md).
func (w *world) synchronise() {
	set := &w.replicaSets[w.live]
	set.exists = true
	if w.recorded != 0 {
		set.recorded = w.recorded
	}
	state, recorded := w.memory, set.recorded
	state.recorded = 0
	if state != (memory{}) {
		set.memory = state
		set.recorded = recorded
	}
	if w.skip > 0 {
		set.skip = w.skip
	}
	if w.failures > 0 {
		set.failures = w.failures
	}
}
