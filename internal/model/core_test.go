package model

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
)

// The two kinds of deployment that step 6 distinguishes: one that keeps old pods serving, and one that is down
// while it is unsettled.
type strategy bool

const (
	rolling  strategy = false
	recreate strategy = true
)

// threshold is every threshold.
const threshold = 2

// core is the real decision core, asked through the model's numbers. It remembers its answers, since few
// different questions are asked in many worlds. decide and conclude are the product's unless a test breaks
// a rule on purpose.
type core struct {
	decide   func(decide.Input) decide.Decision
	conclude func(decide.Input, decide.Wait) decide.Decision
	strategy strategy
	parallel uint8                      // ticks that may run at once
	ended    func(*world, tick, answer) // told of every result; nil: nobody listens
	answers  map[question]answer
	reads    map[stored]record
}

func newCore(s strategy, parallel uint8) *core {
	return &core{parallel: parallel, decide: decide.Decide, conclude: decide.Conclude, strategy: s, answers: map[question]answer{}, reads: map[stored]record{}}
}

// record is annotate.Record as annotate.Keys.Read returns it.
type record struct {
	mark uint8
	memory
}

// stored is what labels and annotations hold.
type stored record

// question is decide.Input, and decide.Wait where digest is not 0.
type question struct {
	record
	live, claims, rollout, skip uint8
	hold                        bool
	latest                      uint8
	asked, gateNo               bool
	failures                    uint8
	lost, overtaken             bool
	phase                       uint8 // as memory.by
	digest, before              uint8
	pullFailed                  bool
}

// answer is decide.Decision.
type answer struct {
	row       int
	outcome   decide.Outcome
	verify    bool
	set       uint8
	wait      bool
	record    record
	untouched bool // the record is the input's, so nothing of it is written
	skip      decide.SkipChange
	gated     bool
	frozen    bool // an Event says that the workload is frozen
}

var (
	keys  = annotate.NewKeys("p")
	epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func digestOf(d uint8) image.Digest {
	return image.Digest("sha256:" + strings.Repeat(fmt.Sprint(d), 64))
}

func pinOf(d uint8) annotate.Pin {
	switch d {
	case empty:
		return annotate.None
	case unpinned:
		return annotate.Unpinned
	default:
		if d&markOnly != 0 {
			return annotate.Pin(digestOf(d &^ markOnly).Mark())
		}
		return annotate.Of(digestOf(d))
	}
}

func numberOf(pin annotate.Pin) uint8 {
	for d := range uint8(contents) {
		switch {
		case pin == pinOf(d):
			return d
		case d != empty && d != unpinned && pin == pinOf(d|markOnly):
			return d | markOnly
		}
	}
	panic("a pin that is none of the model's: " + string(pin))
}

// who names the ticks; instant is when memory.at was.
func who(by uint8) string { return [...]string{"", "over", "0", "0-after", "1", "1-after"}[by] }

func instant(at uint8) time.Time { return epoch.Add(time.Duration(2*at) * time.Minute) }

// state writes a memory as an annotate.State.
func (m memory) state() annotate.State {
	state := annotate.State{Left: pinOf(m.left), Stood: pinOf(m.stood), Reapplied: int(m.reapplied), Contested: int(m.contested)}
	if m.attempt != 0 {
		state.Attempt = &annotate.Attempt{Digest: digestOf(m.attempt), Failed: int(m.failed), Again: m.again, Reverted: m.reverted, Served: replicas}
	}
	for d, by := range m.rejected {
		if by != 0 {
			state = state.Reject(annotate.Rejection{
				Digest: pinOf(uint8(d)), By: map[uint8]annotate.Rejecter{byFailure: annotate.ByFailure, byPerson: annotate.ByPerson}[by], At: epoch,
			})
		}
	}
	switch m.owners {
	case 1:
		state.Owners = map[string][]string{"slot": {}}
	case 2:
		state.Owners = map[string][]string{"slot": {"helm"}}
	}
	if m.by != 0 {
		state.Counted = &annotate.Counted{By: who(m.by), At: instant(m.at)}
	}
	return state
}

// recordOf is the way back. It panics on what the model has no room for: a count that grows without bound.
func recordOf(r annotate.Record) record {
	got := record{mark: numberOf(r.Mark) &^ markOnly}
	m := &got.memory
	m.recorded, m.left, m.stood = numberOf(r.Recorded), numberOf(r.State.Left)&^markOnly, numberOf(r.State.Stood)
	if attempt := r.State.Attempt; attempt != nil {
		m.attempt, m.failed, m.again, m.reverted = numberOf(annotate.Of(attempt.Digest)), uint8(attempt.Failed), attempt.Again, attempt.Reverted
	}
	for _, rejection := range r.State.Rejected {
		m.rejected[numberOf(rejection.Digest)&^markOnly] = map[annotate.Rejecter]uint8{annotate.ByFailure: byFailure, annotate.ByPerson: byPerson}[rejection.By]
	}
	if owners, noted := r.State.Owners["slot"]; noted {
		m.owners = uint8(1 + len(owners))
	}
	m.reapplied, m.contested = uint8(r.State.Reapplied), uint8(r.State.Contested)
	if m.contested > 8 { // every eighth tick is like every other eighth
		m.contested -= 8
	}
	if counted := r.State.Counted; counted != nil {
		for by := range uint8(6) {
			if who(by) == counted.By {
				m.by = by
			}
		}
		m.at = uint8(min(2, counted.At.Sub(epoch)/(2*time.Minute)))
	}
	if m.failed > threshold+1 || m.reapplied > threshold+1 {
		panic(fmt.Sprintf("a count without a bound: %+v", r.State))
	}
	return got
}

// read reads labels and annotations, as annotate does it.
func (c *core) read(s stored) record {
	if got, known := c.reads[s]; known {
		return got
	}
	labels, annotations := map[string]string{}, map[string]string{}
	labels[keys.Mark("t")] = pinOf(s.mark).Mark()
	annotations[keys.Recorded("t")] = string(pinOf(s.recorded))
	annotations[keys.State("t")] = s.state().String()
	read, warnings := keys.Read("t", labels, annotations)
	if len(warnings) > 0 {
		panic(fmt.Sprintf("what was written does not parse: %v", warnings))
	}
	got := recordOf(read)
	c.reads[s] = got
	return got
}

func (c *core) rolloutOf(r uint8) decide.Rollout {
	rollout := decide.Rollout{Fresh: freshOf(r), Available: replicas, Desired: replicas}
	switch r {
	case settled:
		rollout.Settled = true
	case gaveUp:
		rollout.Failure = "ProgressDeadlineExceeded"
	}
	rollout.Down = r != settled && c.strategy == recreate
	return rollout
}

// replicas are those of the workload, all of them available.
const replicas = 2

func freshOf(r uint8) int { return [...]int{settled: replicas, hangs: 0, moves: 1, gaveUp: 0}[r] }

// ask asks the product.
func (c *core) ask(q question) answer {
	if got, known := c.answers[q]; known {
		return got
	}
	in := decide.Input{
		Policy: decide.Policy{
			ResolveFailures: threshold, RolloutFailures: threshold, Unsettled: threshold, Reapplications: threshold, Rollback: true,
		},
		Tick:     decide.Tick{ID: who(q.phase), Started: epoch, Now: instant(2)},
		Gate:     decide.Gate{Asked: q.asked},
		Failures: int(q.failures), Lost: q.lost, Overtaken: q.overtaken, Claimed: q.claims&claimUs != 0,
		Workload: decide.Workload{Held: q.hold, Rollout: c.rolloutOf(q.rollout), SkipStreak: int(q.skip), Targets: []string{"t"}},
		Slots:    []decide.Slot{{Live: pinOf(q.live)}},
		Record:   annotate.Record{Recorded: pinOf(q.recorded), State: q.state()},
	}
	if q.mark != 0 && q.mark != unpinned {
		in.Record.Mark = pinOf(q.mark | markOnly)
	} else {
		in.Record.Mark = pinOf(q.mark)
	}
	for claim, manager := range map[uint8]decide.Claim{
		claimUs: {Manager: decide.Manager}, claimPerson: {Manager: "kubectl-set"}, claimDeployer: {Manager: "helm", Apply: true},
	} {
		if q.claims&claim != 0 {
			in.Slots[0].Claims = append(in.Slots[0].Claims, manager)
		}
	}
	if q.latest != 0 {
		in.Latest.Digest = digestOf(q.latest)
	} else {
		in.Latest.Failure = &fault.Error{Cause: fault.Proxy}
	}
	if q.asked && q.gateNo {
		in.Gate.Failure = &fault.Error{Cause: fault.PlatformMissing}
	}
	var d decide.Decision
	if q.digest == 0 {
		d = c.decide(in)
	} else {
		d = c.conclude(in, decide.Wait{Digest: digestOf(q.digest), Before: c.rolloutOf(q.before), PullFailed: q.pullFailed})
	}
	got := answer{
		row: d.Row, outcome: d.Outcome, verify: d.Verify != "", set: numberOf(annotate.Of(d.Set)), wait: d.Wait,
		record: recordOf(d.Record), untouched: reflect.DeepEqual(d.Record, in.Record), skip: d.Skip, gated: d.Gated != nil,
	}
	for _, event := range d.Events {
		got.frozen = got.frozen || event.Reason == decide.RefreshFrozen
	}
	c.answers[q] = got
	return got
}
