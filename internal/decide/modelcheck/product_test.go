package modelcheck

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/window"
)

const (
	threshold = 2 // every threshold
	replicas  = 3 // of a workload that is not scaled to zero, all of them available
)

// id stands for labels, or for annotations, by what they say. No label and no annotation is 0.
type id uint32

// core asks the product, and remembers its answers, since few different questions are asked in many states.
type core struct {
	product
	shape
	ids     map[string]id
	texts   []map[string]string
	plans   map[planned]plan
	steps   map[asked]answer
	ends    map[asked]answer
	returns map[view][mostTargets][mostSlots]uint8
	records map[recordKey]annotate.Record
	began   map[beganKey]decide.Memory
}

type recordKey struct {
	texts
	target int
}

type beganKey struct {
	texts
	now uint16
	at  uint8
}

// memo is an answer, asked for once.
func memo[K comparable, V any](known map[K]V, key K, ask func() V) V {
	got, found := known[key]
	if !found {
		got = ask()
		known[key] = got
	}
	return got
}

// product is what is checked: functions of package decide, unless a test breaks a rule on purpose.
type product struct {
	plan     func(decide.Tick, []decide.Target, []*decide.Workload) ([]decide.Target, []*decide.Step)
	again    func(decide.Tick, []decide.Target, decide.Workload, bool) decide.Step
	conclude func(decide.Tick, decide.Workload, []decide.Target, decide.Waits, []decide.Decision) decide.Step

	configured func(*decide.Policy)
}

func newCore(s shape) *core {
	c := &core{
		product: product{plan: decide.Tick.Plan, again: decide.Tick.Again, conclude: decide.Tick.Conclude, configured: func(*decide.Policy) {}},
		shape:   s, ids: map[string]id{}, plans: map[planned]plan{}, steps: map[asked]answer{}, ends: map[asked]answer{},
		returns: map[view][mostTargets][mostSlots]uint8{}, records: map[recordKey]annotate.Record{},
		began: map[beganKey]decide.Memory{},
	}
	c.idOf(nil)
	return c
}

var (
	keys  = annotate.NewKeys("p")
	epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	names = [mostTargets]string{"t0", "t1"}
)

// idOf numbers what labels or annotations say.
func (c *core) idOf(texts map[string]string) id {
	return memo(c.ids, fmt.Sprint(texts), func() id { // in the order of their keys
		c.texts = append(c.texts, texts)
		return id(len(c.texts) - 1)
	})
}

// with is what labels or annotations say after a change, but for what is for people alone.
func (c *core) with(of id, change map[string]string) id {
	if len(change) == 0 {
		return of
	}
	after := map[string]string{}
	maps.Copy(after, c.texts[of])
	maps.Copy(after, change)
	maps.DeleteFunc(after, func(key, text string) bool {
		return text == "" || key == keys.Condition() || slices.ContainsFunc(names[:], func(name string) bool { return key == keys.FailingSince(name) })
	})
	return c.idOf(after)
}

// What slots hold, by its number.
var (
	digestOf  [contents]image.Digest
	contentOf = func() (all [contents]annotate.Content) {
		for d := 1; d <= novel; d++ {
			digestOf[d] = image.Digest("sha256:" + strings.Repeat(fmt.Sprint(d), 64))
			all[d] = annotate.Of(digestOf[d])
		}
		all[unpinned] = annotate.Unpinned
		return all
	}()
)

func numberOf(content annotate.Content) uint8 {
	at := slices.IndexFunc(contentOf[:], content.Same)
	if at < 0 {
		panic("a content that is none of the model's: " + string(content))
	}
	return uint8(at)
}

// outcomes are numbered in this order; 0 is none.
var outcomes = []decide.Outcome{
	"", decide.Unchanged, decide.Adopted, decide.Refreshed, decide.Reapplied, decide.Held, decide.Deferred, decide.Skipped, decide.Waiting,
	decide.Rejected, decide.RolledBack, decide.Failed, decide.Pending,
}

func (c *core) rolloutOf(r uint8, zero bool) decide.Rollout {
	if zero {
		return decide.Rollout{Settled: true, NoReplica: true}
	}
	fresh := int(freshIn(r))
	rollout := decide.Rollout{Settled: r == settled, Fresh: fresh, Available: replicas, Desired: replicas}
	if r == gaveUp {
		rollout.Failure = "ProgressDeadlineExceeded"
	}
	if r == lost || r != settled && c.recreate {
		rollout.Available = fresh
	}
	return rollout
}

// freshIn is how many replicas are updated and available.
func freshIn(rollout uint8) uint8 {
	return [...]uint8{settled: replicas, hangs: 0, moves: 1, further: 2, gaveUp: 0, lost: 0}[rollout]
}

var unresolved = &failure.Error{Cause: failure.Proxy, Message: "why"}

// objectOf is a workload as the product takes it.
func (c *core) objectOf(v view) decide.Object {
	o := decide.Object{
		Namespace: "n", Labels: c.texts[v.labels], Annotations: c.texts[v.annotations], Rollout: c.rolloutOf(v.rollout, v.zero),
	}
	for t := range c.targets {
		if v.foreign[t] {
			o.Writers = map[string]decide.Writer{keys.Mark(names[t]): {Manager: "argocd-controller"}}
		}
		var slots []decide.Slot
		for i, one := range v.slots[t][:c.slots] {
			slot := decide.Slot{Key: names[t] + [...]string{"/0", "/1"}[i], Live: contentOf[one.content], Ours: one.claims&claimUs != 0, Image: c.says}
			if one.claims&claimPerson != 0 {
				slot.Person = "kubectl-set"
			}
			if one.claims&claimDeployer != 0 {
				slot.Deployer, slot.Appliers = "helm", []string{"helm"}
			}
			slots = append(slots, slot)
		}
		o.Slots = append(o.Slots, slots)
	}
	return o
}

func (c *core) tickOf(k knowledge) decide.Tick {
	return decide.Tick{Keys: keys, Now: epoch.Add(quarters(int(k.now) - noon)), MaxRollouts: c.maxRollouts}
}

// windowThatIs is a window that is open at all times of the model, which are whole quarters of an hour, or at none.
func windowThatIs(open bool) *window.Window {
	w := window.Window{Days: []time.Weekday{0, 1, 2, 3, 4, 5, 6}, From: 23*time.Hour + 50*time.Minute, To: 23*time.Hour + 59*time.Minute, Zone: time.UTC}
	if open {
		w.From, w.To = 0, 24*time.Hour
	}
	return &w
}

// targetsOf are the targets as a tick knows them.
func (c *core) targetsOf(k knowledge) (targets []decide.Target) {
	policy := decide.Policy{
		RolloutFailures: threshold, Unsettled: threshold, Reapplications: threshold, Rollback: true,
		MinAge: quarters(int(c.minAge)), Platforms: c.pins, Notify: c.notify,
	}
	if c.window {
		policy.Window = windowThatIs(!k.closed)
	}
	c.configured(&policy)
	for t := range c.targets {
		failures := decide.Count{N: int(k.count[t].n), Of: threshold, ByUs: k.count[t].byUs}
		target := decide.Target{Name: names[t], Policy: policy, Threshold: threshold, Asked: true, Failures: failures}
		if k.failed[t] {
			target.Failure = unresolved
		}
		targets = append(targets, target)
	}
	return targets
}

// workloadOf is a workload as decisions take it.
func (c *core) workloadOf(v view, began texts, k knowledge, at uint8) decide.Workload {
	w := decide.Workload{Object: c.objectOf(v)}
	for t := range c.targets {
		binding := decide.Binding{Target: t, Latest: decide.Latest{Digest: digestOf[k.latest[at][t]]}}
		if binding.Latest.Digest == "" {
			binding.Latest.Failure = unresolved
		}
		w.Bindings = append(w.Bindings, binding)
		if at == 0 {
			w.Homes = append(w.Homes, decide.Home{Target: t})
		}
	}
	w.Began = memo(c.began, beganKey{began, k.now, at}, func() decide.Memory {
		before := w
		before.Object.Labels, before.Object.Annotations = c.texts[began.labels], c.texts[began.annotations]
		return c.tickOf(k).Remember(before, c.targetsOf(k))
	})
	w.Began.Records = slices.Clone(w.Began.Records) // a broken rule may change it
	return w
}

// answerAll answers questions with answers, until none is left.
func answerAll(w *decide.Workload, questions func() [][]decide.Question, answer func(t int, question decide.Question) decide.Answer) {
	for range 5 {
		asked := false
		for t, questions := range questions() {
			for _, question := range questions {
				asked = true
				w.Bindings[t].Answers = w.Bindings[t].Answers.With(question, answer(t, question))
			}
		}
		if !asked {
			return
		}
	}
	panic("a question that is asked again and again")
}

// refusedBy says for which targets a gate was asked, and said no.
func refusedBy(w decide.Workload) (refused [mostTargets]bool) {
	for t, binding := range w.Bindings {
		for _, answer := range binding.Answers {
			refused[t] = refused[t] || answer.Failure != nil
		}
	}
	return refused
}

// answer is decide.Step, in numbers, with the labels and annotations after its change.
type answer struct {
	texts
	turn           bool
	set            [mostTargets][mostSlots]uint8
	wait           [mostTargets]uint8
	contested      [mostTargets]bool
	rows, outcomes [mostTargets]uint8
	failures       [mostTargets]uint8
	refused        [mostTargets]bool // a gate was asked, and refused latest
}

func (c *core) answerOf(v view, step decide.Step, refused [mostTargets]bool) answer {
	after := texts{c.with(v.labels, step.Change.Labels), c.with(v.annotations, step.Change.Annotations)}
	a := answer{texts: after, turn: step.Turn, refused: refused}
	for _, change := range step.Change.Slots {
		a.set[change.Binding][change.Slot] = numberOf(annotate.Of(change.Digest))
	}
	for t, d := range step.Decisions {
		a.wait[t] = numberOf(annotate.Of(d.Wait))
		a.contested[t] = d.Failure != nil && d.Failure.Cause == failure.Contested
		a.rows[t], a.outcomes[t] = uint8(d.Row), uint8(slices.Index(outcomes, d.Outcome))
	}
	for _, counted := range step.Failures {
		a.failures[counted.Target] = uint8(counted.Count.N)
	}
	return a
}

func (a answer) sets() bool { return a.set != [mostTargets][mostSlots]uint8{} }

// planned is what a tick plans from, and plan what it comes to.
type planned struct {
	views [mostWorkloads]view
	knows knowledge
}

type plan struct {
	knows knowledge
	steps [mostWorkloads]answer
}

// planOf plans a tick over all workloads.
func (c *core) planOf(key planned) plan {
	return memo(c.plans, key, func() plan {
		var workloads []*decide.Workload
		var refused [mostWorkloads][mostTargets]bool
		for at, v := range key.views[:c.workloads] {
			w := c.readyOf(asked{view: v, began: v.texts, knows: key.knows, at: uint8(at)})
			workloads, refused[at] = append(workloads, &w), refusedBy(w)
		}
		targets, steps := c.plan(c.tickOf(key.knows), c.targetsOf(key.knows), workloads)
		got := plan{knows: key.knows}
		for t, target := range targets {
			got.knows.failed[t] = target.Failure != nil
			got.knows.count[t] = count{uint8(target.Failures.N), target.Failures.ByUs}
		}
		for at, step := range steps {
			got.steps[at] = c.answerOf(key.views[at], *step, refused[at])
		}
		return got
	})
}

// asked is what a tick decides from on one workload, before a wait and after.
type asked struct {
	view  view
	began texts
	knows knowledge
	at    uint8
	turn  bool

	wait   wait
	pods   uint8
	purged bool
	tags   [mostTargets]uint8 // what they stand for, where that is all that registries have
}

// readyOf is the workload with what the gates, the pods and the registry say to what the product asks. Pods name an index by its
// digest, and the registry keeps all.
func (c *core) readyOf(key asked) decide.Workload {
	k, w := key.knows, c.workloadOf(key.view, key.began, key.knows, key.at)
	questions := func() [][]decide.Question { return c.tickOf(k).Questions(w, c.targetsOf(k)) }
	answerAll(&w, questions, func(t int, question decide.Question) (answer decide.Answer) {
		switch question.Kind {
		case decide.MayRollOut:
			if k.gateNo[t] {
				answer.Failure = &failure.Error{Cause: failure.PlatformMissing, Message: "why"}
			}
		case decide.WhatRuns:
			if runs := key.view.runs[t]; runs != empty && !key.view.zero {
				answer.Running.Images = []image.ID{image.IDOf(digestOf[runs])}
			}
		case decide.StillServed:
			answer.Yes = true
		case decide.SameImage, decide.WhyNotReady, decide.IsSigned: // the last is asked of targets with keys, which are none here
		}
		return answer
	})
	return w
}

// stepOf decides for one workload once more.
func (c *core) stepOf(key asked) answer {
	return memo(c.steps, key, func() answer {
		w := c.readyOf(key)
		refused := refusedBy(w)
		return c.answerOf(key.view, c.again(c.tickOf(key.knows), c.targetsOf(key.knows), w, key.turn), refused)
	})
}

// endOf concludes a wait.
func (c *core) endOf(key asked) answer {
	return memo(c.ends, key, func() answer {
		tick, targets := c.tickOf(key.knows), c.targetsOf(key.knows)
		waits := c.waitsOf(key)
		w := c.workloadOf(key.view, key.began, key.knows, key.at)
		questions := func() [][]decide.Question { return tick.ConclusionQuestions(w, targets, waits) }
		answerAll(&w, questions, func(t int, question decide.Question) decide.Answer {
			if question.Kind == decide.WhyNotReady {
				return decide.Answer{Pods: podsSay[key.pods]}
			}
			return decide.Answer{Yes: !key.purged || question.Digest == digestOf[key.tags[t]]}
		})
		before := make([]decide.Decision, c.targets)
		return c.answerOf(key.view, c.conclude(tick, w, targets, waits, before), [mostTargets]bool{})
	})
}

// What pods say of a rollout that is not settled.
const (
	podsCrash = iota
	podsMayHang
	podsSayNothing
	podsUnreadable
)

var podsSay = [...]decide.PodProblems{
	podsCrash:      {Reasons: []string{"CrashLoopBackOff"}, Evidence: []bool{true, true}, Crashed: []bool{true, true}},
	podsMayHang:    {MayHangOnDigest: true},
	podsSayNothing: {},
	podsUnreadable: {Unreadable: true},
}

// waitsOf is the wait as it was when it began.
func (c *core) waitsOf(key asked) decide.Waits {
	before := key.view
	before.texts = key.wait.began
	w := c.workloadOf(before, key.began, key.knows, key.at)
	var decisions []decide.Decision
	for t := range c.targets {
		d := decide.Decision{Wait: digestOf[key.wait.digest[t]]}
		if key.wait.contested[t] {
			d.Failure = &failure.Error{Cause: failure.Contested, Message: "who"}
		}
		decisions = append(decisions, d)
	}
	return c.tickOf(key.knows).Waits(w, c.targetsOf(key.knows), decisions)
}

// returnOf is who claims the slots after ours were given back.
func (c *core) returnOf(v view) [mostTargets][mostSlots]uint8 {
	return memo(c.returns, v, func() (claims [mostTargets][mostSlots]uint8) {
		for t := range v.slots {
			for i := range v.slots[t] {
				claims[t][i] = v.slots[t][i].claims
			}
		}
		var k knowledge
		for _, slot := range c.tickOf(k).ToReturn(c.workloadOf(v, v.texts, k, 0), c.targetsOf(k)) {
			claims[slot.Binding][slot.Slot] &^= claimUs
			if slices.Contains(slot.Owners, "helm") {
				claims[slot.Binding][slot.Slot] |= claimDeployer
			}
		}
		return claims
	})
}

// recordOf is what is remembered of a target on a workload.
func (c *core) recordOf(of texts, t int) annotate.Record {
	return memo(c.records, recordKey{of, t}, func() annotate.Record {
		record, warnings := keys.Read(names[t], c.texts[of.labels], c.texts[of.annotations])
		if len(warnings) > 0 {
			panic(fmt.Sprintf("what was written does not parse: %v", warnings))
		}
		return record
	})
}

// skipped and failures are counters that annotations hold.
func (c *core) skipped(annotations id) int { return c.count(annotations, keys.SkipStreak()) }

func (c *core) failures(annotations id, t int) int {
	return c.count(annotations, keys.Failures(names[t]))
}

func (c *core) count(annotations id, key string) int {
	n, _ := annotate.ParseCount(c.texts[annotations][key])
	return n
}
