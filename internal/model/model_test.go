package model

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
)

// begin is a workload that a chart has installed, before the first tick.
func begin(chart uint8, may budget) world {
	w := world{tag: 1, chart: chart, live: chart, claims: claimDeployer, left: may}
	w.proved[chart] = true
	return w
}

// A scenario says what the surroundings may do, how often, at any moment; ticks begin, go on and wait for as
// long as they like, and rollouts settle, progress, hang or are given up at any moment. Within that, every
// interleaving is explored, to the fixpoint.
type scenario struct {
	name     string
	strategy strategy
	parallel uint8
	gates    bool
	chart    uint8
	may      budget
}

func scenarios() []scenario {
	return []scenario{
		{"registry, gates and a kill", rolling, 1, true, unpinned, budget{tags: 2, registry: 2, kills: 1}},
		{"registry, gates and a kill", recreate, 1, true, unpinned, budget{tags: 2, registry: 2, kills: 1}},
		{"a tag that flips", rolling, 1, false, unpinned, budget{tags: 5}},
		{"two ticks at once", rolling, 2, false, unpinned, budget{tags: 2, registry: 1}},
		{"two ticks at once", recreate, 2, false, unpinned, budget{tags: 1, registry: 2}},
		{"two ticks at once and a deployer", rolling, 2, false, unpinned, budget{tags: 1, deploys: 2}},
		{"two ticks at once and a person", rolling, 2, false, unpinned, budget{tags: 1, hands: 1}},
		{"a deployer with a tag in its chart", rolling, 1, false, unpinned, budget{tags: 1, deploys: 4, kills: 1, breaks: 1}},
		{"a deployer with a digest in its chart", recreate, 1, false, 1, budget{tags: 2, deploys: 3, kills: 1}},
		{"a deployer with nothing in its chart", rolling, 1, true, empty, budget{tags: 1, registry: 1, deploys: 2, kills: 1}},
		{"a person: undo after hold after refresh", rolling, 1, false, unpinned, budget{tags: 1, hands: 2}},
		{"a person who undoes twice", rolling, 1, false, 1, budget{tags: 1, hands: 2}},
		{"a person and a deployer", rolling, 1, false, 1, budget{tags: 1, hands: 1, deploys: 1, kills: 1}},
		{"a person, and pods that are down", recreate, 1, false, 1, budget{tags: 1, hands: 1, registry: 1, breaks: 1}},
	}
}

func (s scenario) model() *model {
	return &model{core: newCore(s.strategy, s.parallel), gates: s.gates, hands: s.may.hands > 0, initial: begin(s.chart, s.may)}
}

func TestModel(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios() {
		name := s.name + ", rolling"
		if s.strategy == recreate {
			name = s.name + ", recreate"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			m := s.model()
			got := m.explore(deepest)
			t.Logf("%d worlds, %d steps, depth %d, %d futures, %d questions to the core, %s",
				got.worlds, got.events, got.depth, len(m.quiet), len(m.core.answers), time.Since(began).Round(time.Millisecond))
			require.Empty(t, got.broken, "%s", got.example)
		})
	}
}

// TestBrokenRules breaks a rule on purpose, by a wrapper around the core, and expects the checker to find it.
func TestBrokenRules(t *testing.T) {
	t.Parallel()
	asks := func(change func(*decide.Input)) func(*core) {
		return func(c *core) {
			c.decide = func(in decide.Input) decide.Decision { change(&in); return decide.Decide(in) }
			c.conclude = func(in decide.Input, wait decide.Wait) decide.Decision { change(&in); return decide.Conclude(in, wait) }
		}
	}
	says := func(change func(*decide.Decision)) func(*core) {
		return func(c *core) {
			c.decide = func(in decide.Input) decide.Decision { d := decide.Decide(in); change(&d); return d }
			c.conclude = func(in decide.Input, wait decide.Wait) decide.Decision {
				d := decide.Conclude(in, wait)
				change(&d)
				return d
			}
		}
	}
	one := scenario{parallel: 1, chart: unpinned, may: budget{tags: 1, registry: 1, hands: 1, deploys: 1}}
	two := scenario{parallel: 2, chart: unpinned, may: budget{tags: 2, registry: 1}}
	for _, rule := range []struct {
		name   string
		in     scenario
		breaks func(*core)
		finds  string
	}{
		{"recorded before it has settled, I4", one, says(func(d *decide.Decision) {
			if d.Set != "" {
				d.Record.Recorded = annotate.Of(d.Set)
			}
		}), "(c)"},
		{"no look at the rollout once live is latest, I3", one, asks(func(in *decide.Input) {
			if in.Slots[0].Live.Is(in.Latest.Digest) {
				in.Workload.Rollout.Settled = true
			}
		}), "the slot is not fresh"},
		{"hands not told from deployers, I9", one, asks(func(in *decide.Input) { in.Slots[0].Claims = nil }), "a person's hand wins"},
		{"rejections forgotten, I13", one, says(func(d *decide.Decision) { d.Record.State.Rejected = nil }), "(e)"},
		{"the skip never counted, I11", one, says(func(d *decide.Decision) {
			if d.Skip == decide.SkipCount {
				d.Skip, d.Record.State.Counted = decide.SkipKeep, nil
			}
		}), "(e)"},
		{"a hold that is not looked at", one, asks(func(in *decide.Input) { in.Workload.Held = false }), "held workload"},
		{"two ticks count twice, I28", two, asks(func(in *decide.Input) { in.Lost = false }), "count once"},
		{"an older answer of the registry wins, I28", two, asks(func(in *decide.Input) { in.Overtaken = false }), "(b)"},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			m := rule.in.model()
			rule.breaks(m.core)
			got := m.explore(endlessly)
			require.NotEmpty(t, got.broken, "the checker does not notice")
			assert.Contains(t, got.broken, rule.finds)
			assert.NotEmpty(t, got.example)
			t.Logf("%d worlds, %s:\n%s", got.worlds, got.broken, got.example)
		})
	}
}
