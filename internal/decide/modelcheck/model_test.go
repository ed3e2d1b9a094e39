package modelcheck

import (
	"flag"
	"os"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// most is how many states each scenario visits at the most, the nearest first. More of them take minutes.
var most = flag.Int("states", 11_000, "how many states a scenario visits at the most")

// What is remembered only grows: to collect garbage less often takes a sixth of the time off.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// shape is how large an environment is, and what is fixed in it.
type shape struct {
	workloads, targets, slots, parallel, maxRollouts int
	recreate                                         bool
	ageless                                          bool   // time stands still, but for leaps of the clock
	entire                                           bool   // nothing happens within a tick, so that there is room for many of them
	healthy                                          bool   // every rollout settles at once
	minAge                                           uint16 // in quarters of an hour
	refuses                                          uint8  // the digest that the gates refuse for what it is; 0: none
	says                                             bool   // pods say what they run
	pins                                             bool   // bare tags are pinned in any case
	ticks                                            uint8  // how many begin at the most; 0: endlessly many
	window                                           bool   // new digests are rolled out only while it is open
	notify                                           bool   // only what a person approves is rolled out
}

func one(parallel int) shape {
	return shape{workloads: 1, targets: 1, slots: 1, parallel: parallel, ageless: true}
}

func (s shape) with(change func(*shape)) shape {
	change(&s)
	return s
}

func twoSlots(parallel int) shape     { return one(parallel).with(func(s *shape) { s.slots = 2 }) }
func twoTargets(parallel int) shape   { return one(parallel).with(func(s *shape) { s.targets = 2 }) }
func twoWorkloads(parallel int) shape { return one(parallel).with(func(s *shape) { s.workloads = 2 }) }

// wholeTicks: nothing happens within a tick, and time passes from one to the next.
func wholeTicks() shape { return shape{workloads: 1, targets: 1, slots: 1, parallel: 1, entire: true} }

func inTurns() shape {
	return shape{workloads: 2, targets: 1, slots: 1, parallel: 1, maxRollouts: 1, ticks: 5}
}

func (s shape) windowed() shape             { return s.with(func(s *shape) { s.window = true }) }
func (s shape) notifying() shape            { return s.with(func(s *shape) { s.notify = true }) }
func (s shape) recreating() shape           { return s.with(func(s *shape) { s.recreate = true }) }
func (s shape) saying() shape               { return s.with(func(s *shape) { s.says = true }) }
func (s shape) pinning() shape              { return s.with(func(s *shape) { s.pins = true }) }
func (s shape) refusing(digest uint8) shape { return s.with(func(s *shape) { s.refuses = digest }) }
func (s shape) settling() shape             { return s.with(func(s *shape) { s.healthy = true }) }
func (s shape) aging(minAge uint16) shape   { return s.with(func(s *shape) { s.minAge = minAge }) }

// A scenario says how large an environment is and what may happen in it, how often, at any moment; ticks begin, go on and
// wait for as long as they like, and rollouts settle, progress, hang or are given up at any moment.
type scenario struct {
	name  string
	shape shape
	gates bool
	chart uint8
	may   budget
}

var scenarios = []scenario{
	{"registry, gates and a kill", one(1), true, unpinned, budget{tags: 2, registry: 2, kills: 1}},
	{"registry, gates and a kill", one(1).recreating(), true, unpinned, budget{tags: 2, registry: 2, kills: 1}},
	{"registries that purge", one(1), false, 1, budget{tags: 2, purges: 1, kills: 1}},
	{"registries that purge", one(1).recreating(), false, 1, budget{tags: 2, purges: 1, deploys: 1}},
	{"registries that purge, and two slots", twoSlots(1), false, 1, budget{tags: 1, manual: 1, purges: 1}},
	{"a tag that flips", one(1), false, unpinned, budget{tags: 5}},
	{"two ticks at once", one(2), false, unpinned, budget{tags: 2, registry: 1}},
	{"two ticks at once", one(2).recreating(), false, unpinned, budget{tags: 1, registry: 2}},
	{"two ticks at once and a deployer", one(2), false, unpinned, budget{tags: 1, deploys: 2}},
	{"two ticks at once and a person", one(2), false, unpinned, budget{tags: 1, manual: 1, undos: 1}},
	{"a deployer with a tag in its chart", one(1), false, unpinned, budget{tags: 1, deploys: 4, kills: 1, breaks: 1}},
	{"a deployer with a digest in its chart", one(1).recreating(), false, 1, budget{tags: 2, deploys: 3, kills: 1}},
	{"a deployer with nothing in its chart", one(1), true, empty, budget{tags: 1, registry: 1, deploys: 2, kills: 1}},
	{"a person: undo after hold after refresh", one(1), false, unpinned, budget{tags: 1, manual: 1, undos: 1, holds: 1}},
	{"a person who undoes twice", one(1), false, 1, budget{tags: 1, manual: 1, undos: 2}},
	{"a person who removes the state", one(1), false, 1, budget{tags: 1, manual: 1, forgets: 2}},
	{"a person who removes the state", wholeTicks().recreating(), false, 1, budget{tags: 2, forgets: 1, others: 1}},
	{"others on our records", one(1), false, 1, budget{tags: 1, others: 2, kills: 1}},
	{"others on our records", one(1).recreating(), false, unpinned, budget{tags: 1, others: 2, registry: 1}},
	{"others on our records, and a deployer", one(1), false, 1, budget{tags: 1, others: 2, deploys: 1}},
	{"others on our records, and two ticks at once", one(2).recreating(), false, 1, budget{tags: 1, others: 2}},
	{"others on our records, and a person", one(1), false, 1, budget{tags: 1, others: 1, manual: 1, undos: 1}},
	{"a person and a deployer", one(1), false, 1, budget{tags: 1, manual: 1, deploys: 1, kills: 1}},
	{"a person, and pods that are down", one(1).recreating(), false, 1, budget{tags: 1, manual: 1, registry: 1, breaks: 1}},
	{"scaled to zero and up", one(1), true, 1, budget{tags: 2, scales: 3, registry: 1, kills: 1}},
	{"scaled to zero and up", one(1).recreating(), false, unpinned, budget{tags: 2, scales: 2, deploys: 1, manual: 1}},
	{"two slots, and a person", twoSlots(1), false, 1, budget{tags: 2, manual: 2, kills: 1}},
	{"two slots, and a person", twoSlots(1).recreating(), false, 1, budget{tags: 2, manual: 2}},
	{"two slots, and a deployer", twoSlots(1), false, unpinned, budget{tags: 2, manual: 1, deploys: 2}},
	{"two slots, and a deployer", twoSlots(1).recreating(), false, 1, budget{tags: 2, deploys: 2, kills: 1}},
	{"two slots, and two ticks at once", twoSlots(2), false, 1, budget{tags: 1, manual: 1}},
	{"two targets on one workload", twoTargets(1), false, 1, budget{tags: 2, registry: 1, kills: 1}},
	{"two targets on one workload", twoTargets(1).recreating(), false, 1, budget{tags: 2, deploys: 1}},
	{"two targets, and two ticks at once", twoTargets(2), false, 1, budget{tags: 2}},
	{"two targets, and a person", twoTargets(1), false, 1, budget{tags: 1, manual: 1, undos: 1, registry: 1}},
	{"two workloads", twoWorkloads(1), true, 1, budget{tags: 2, registry: 2, kills: 1}},
	{"two workloads, and two ticks at once", twoWorkloads(2), false, 1, budget{tags: 1, registry: 1}},
	{"a bare tag, and what runs", one(1).saying(), true, unpinned, budget{tags: 2, registry: 1, starts: 2, kills: 1}},
	{"a bare tag, and what runs", one(1).saying().recreating(), true, unpinned, budget{tags: 2, registry: 1, starts: 1, deploys: 1}},
	{"a bare tag, a deployer and a person", one(1).saying(), false, unpinned, budget{tags: 2, starts: 1, deploys: 2, manual: 1}},
	{"a bare tag, and a person who undoes", one(1).saying(), true, unpinned, budget{tags: 2, registry: 1, manual: 1, undos: 1}},
	{"a bare tag, scaled to zero and up", one(1).saying().recreating(), true, unpinned, budget{tags: 2, registry: 1, scales: 2}},
	{"a bare tag, pinned in any case", one(1).saying().pinning(), true, unpinned, budget{tags: 2, registry: 2, starts: 1, deploys: 1}},
	{"a bare tag, and two ticks at once", one(2).saying(), true, unpinned, budget{tags: 1, registry: 1, starts: 1}},
	{"bare tags in two slots", twoSlots(1).saying(), false, unpinned, budget{tags: 2, starts: 1, manual: 1}},
	{"one rollout a tick", inTurns(), false, 1, budget{tags: 4}},
	{"one rollout a tick", inTurns().recreating(), false, 1, budget{tags: 3, deploys: 1}},
	{"one rollout a tick, and a person", inTurns(), false, 1, budget{tags: 2, undos: 1}},
	{"pods that are evicted in mid-rollout", one(1), false, 1, budget{tags: 1, breaks: 2, kills: 1}},
	{"pods that are evicted in mid-rollout", one(1).recreating(), false, 1, budget{tags: 2, breaks: 2}},
	{"a person who undoes to any revision", one(1), false, 1, budget{tags: 2, undos: 3}},
	{"a digest that the gates refuse", one(1).refusing(2), true, 2, budget{tags: 2, registry: 1, deploys: 2, manual: 1}},
	{"a digest that the gates refuse", one(1).refusing(2).recreating(), true, empty, budget{tags: 3, deploys: 2}},
	{"a digest that the gates refuse, and many ticks", wholeTicks().refusing(2).settling(), true, 2, budget{tags: 4, deploys: 3}},
	{"a clock that leaps", one(1), false, unpinned, budget{tags: 1, deploys: 2, leaps: 2}},
	{"a clock that leaps, and two ticks at once", one(2), false, unpinned, budget{tags: 1, registry: 1, leaps: 2}},
	{"a fight at any rate", wholeTicks().settling(), false, 1, budget{tags: 1, deploys: 8, leaps: 2}},
	{"a tag that flips at any rate", wholeTicks().settling(), false, 1, budget{tags: 8, leaps: 2}},
	{"a rejection's day", wholeTicks(), false, 1, budget{tags: 1, breaks: 1, leaps: 3}},
	{"a rejection's day", wholeTicks().recreating(), false, 1, budget{tags: 2, leaps: 3}},
	{"a minimum age", wholeTicks().aging(2).settling(), false, 1, budget{tags: 5, deploys: 1, leaps: 2}},
	{"a minimum age", wholeTicks().aging(2).recreating(), false, 1, budget{tags: 3, deploys: 2, leaps: 1}},
	{"a window", one(1).windowed(), false, 1, budget{tags: 2, windows: 3, kills: 1}},
	{"a window, gates and a deployer", one(1).windowed().recreating(), true, 1, budget{tags: 1, registry: 1, windows: 2, deploys: 2}},
	{"a window, and others on our records", wholeTicks().windowed().settling(), false, 1, budget{tags: 2, windows: 2, deploys: 2, others: 2}},
	{"a window, and rollouts that fail", wholeTicks().windowed().recreating(), false, 1, budget{tags: 2, windows: 1, deploys: 1}},
	{"a window, and two ticks at once", one(2).windowed(), false, 1, budget{tags: 1, windows: 2}},
	{"a window and a minimum age", wholeTicks().windowed().aging(2).settling(), false, 1, budget{tags: 3, windows: 3, deploys: 1}},
	{"a person who approves", one(1).notifying(), true, 1, budget{tags: 2, approves: 2, registry: 1, kills: 1}},
	{"a person who approves, and nothing in the chart", one(1).notifying(), false, empty, budget{tags: 1, approves: 1, deploys: 2}},
	{"a person who approves, skips and sets", one(1).notifying(), false, 1, budget{tags: 1, approves: 2, skips: 1, manual: 1}},
	{"a person who approves, and two ticks at once", one(2).notifying(), false, 1, budget{tags: 1, approves: 1, deploys: 1}},
	{"a person who approves one of two targets", twoTargets(1).notifying(), false, 1, budget{tags: 2, approves: 2}},
	{"a person who approves, and a window", one(1).notifying().windowed(), false, 1, budget{tags: 1, approves: 1, windows: 2}},
	{"a person who approves, and many ticks", wholeTicks().notifying().recreating(), false, 1, budget{tags: 2, approves: 2, deploys: 1, forgets: 1}},
	{"a person who skips", one(1), true, 1, budget{tags: 2, skips: 2, registry: 1, kills: 1}},
	{"a person who skips, and a deployer", one(1).recreating(), false, unpinned, budget{tags: 1, skips: 1, deploys: 2}},
	{"a person who skips, and two ticks at once", one(2), false, 1, budget{tags: 2, skips: 1}},
}

func (sc scenario) model() *model {
	m := &model{shape: sc.shape, core: newCore(sc.shape), gates: sc.gates, undoes: sc.may[undos] > 0, chart: sc.chart, looks: sc.shape.ageless}
	s := state{known: max(1, digestNumber(sc.chart)), may: sc.may, clock: noon}
	old := revision{exists: true} // from before the install: none of our annotations belongs to it
	for t := range m.targets {
		s.tags[t] = 1
		for i := range m.slots {
			if old.template[t][i] = 1; sc.chart == 1 {
				old.template[t][i] = unpinned
			}
		}
	}
	for at := range m.workloads {
		o := &s.objects[at]
		for t := range m.targets {
			for i := range m.slots {
				o.slots[t][i] = slot{sc.chart, claimDeployer}
			}
			s.history.recordable[at][t].add(sc.chart)
		}
		if m.start(o, s.tags); m.undoes {
			o.revisions[0] = old
		}
	}
	m.initial = s
	return m
}

// Whatever happens, in whatever order, breaks no invariant.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		name := s.name + map[bool]string{true: ", recreate", false: ", rolling"}[s.shape.recreate]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := s.model()
			got := m.explore(*most)
			t.Logf("%d states (all: %t), %d steps, depth %d, %d futures, %d+%d+%d questions to the core", got.states, got.whole, got.events, got.depth,
				len(m.futures), len(m.core.plans), len(m.core.steps), len(m.core.ends))
			require.Empty(t, got.broken, "%s", got.example)
		})
	}
}
