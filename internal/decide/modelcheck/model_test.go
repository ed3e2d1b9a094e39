package modelcheck

import (
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// worlds is the budget: how many worlds each scenario visits at the most, the nearest first. More of them take minutes.
var worlds = flag.Int("worlds", 12_000, "how many worlds a scenario visits at the most")

// A scenario says how large a world is and what the surroundings may do, how often, at any moment; ticks begin, go on and
// wait for as long as they like, and rollouts settle, progress, hang or are given up at any moment.
type scenario struct {
	name  string
	shape shape
	gates bool
	chart uint8
	may   budget
}

// one, slots, targets, workloads: how large.
func one(parallel int) shape {
	return shape{workloads: 1, targets: 1, slots: 1, parallel: parallel, ageless: true}
}

func (s shape) recreating() shape { s.recreate = true; return s }

func (s shape) saying() shape { s.says = true; return s }

func (s shape) pinning() shape              { s.pins = true; return s }
func (s shape) refusing(digest uint8) shape { s.refuses = digest; return s }

func (s shape) settling() shape { s.healthy = true; return s }

func (s shape) aging(minAge uint16) shape { s.minAge = minAge; return s }

// wholeTicks: nothing happens within a tick, and time passes from one to the next.
func wholeTicks() shape {
	return shape{workloads: 1, targets: 1, slots: 1, parallel: 1, entire: true}
}

func twoSlots(parallel int) shape {
	return shape{workloads: 1, targets: 1, slots: 2, parallel: parallel, ageless: true}
}

func twoTargets(parallel int) shape {
	return shape{workloads: 1, targets: 2, slots: 1, parallel: parallel, ageless: true}
}

func twoWorkloads(parallel int) shape {
	return shape{workloads: 2, targets: 1, slots: 1, parallel: parallel, ageless: true}
}

func inTurns() shape {
	return shape{workloads: 2, targets: 1, slots: 1, parallel: 1, maxRollouts: 1}
}

func scenarios() []scenario {
	return []scenario{
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
		{"one rollout a tick", inTurns(), false, 1, budget{tags: 4, ticks: 6}},
		{"one rollout a tick", inTurns().recreating(), false, 1, budget{tags: 3, deploys: 1, ticks: 6}},
		{"one rollout a tick, and a person", inTurns(), false, 1, budget{tags: 2, undos: 1, ticks: 6}},
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
	}
}

func (s scenario) model() *model {
	m := &model{shape: s.shape, core: newCore(s.shape), gates: s.gates, undoes: s.may.undos > 0, chart: s.chart, looks: s.shape.ageless}
	w := world{known: max(1, digestNumber(s.chart)), may: s.may, clock: noon}
	for t := range m.targets {
		w.tags[t] = 1
	}
	for at := range m.workloads {
		for t := range m.targets {
			for i := range m.slots {
				w.objects[at].slots[t][i] = slot{s.chart, claimDeployer}
			}
			w.ghost.recordable[at][t][s.chart] = true
		}
		m.start(&w.objects[at], w.tags)
		if m.undoes {
			w.objects[at].revisions[0] = revision{exists: true, template: m.beforeInstall()}
		}
	}
	m.initial = w
	return m
}

// beforeInstall is what the slots held in a revision that none of our annotations belongs to.
func (m *model) beforeInstall() (old template) {
	for t := range m.targets {
		for i := range m.slots {
			old[t][i] = 1
			if m.chart == 1 {
				old[t][i] = unpinned
			}
		}
	}
	return old
}

func TestModel(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios() {
		name := s.name + ", rolling"
		if s.shape.recreate {
			name = s.name + ", recreate"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			m := s.model()
			got := m.explore(*worlds)
			t.Logf("%d worlds (all: %t), %d steps, depth %d, %d futures, %d+%d+%d questions to the core, %s", got.worlds, got.whole, got.events, got.depth,
				len(m.futures), len(m.core.plans), len(m.core.steps), len(m.core.ends), time.Since(began).Round(time.Millisecond))
			require.Empty(t, got.broken, "%s", got.example)
		})
	}
}
