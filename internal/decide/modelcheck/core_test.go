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
)

// threshold is every threshold.
const threshold = 2

// replicas are those of a workload that is not scaled to zero, all of them available.
const replicas = 3

// id stands for labels, or for annotations, by what they say.
type id uint32

// core asks the product, and remembers its answers, since few different questions are asked in many worlds.
type core struct {
	product
	shape
	ids     map[string]id
	texts   []map[string]string
	plans   map[planKey]planned
	steps   map[stepKey]answer
	ends    map[endKey]answer
	returns map[view][mostTargets][mostSlots]uint8
	merges  map[[2]id]id
	records map[recordKey]annotate.Record
	began   map[beganKey]decide.Memory
}

// product is what is checked: functions of package decide, unless a test breaks a rule on purpose.
type product struct {
	plan     func(decide.Tick, []decide.Target, []*decide.Workload) ([]decide.Target, []*decide.Step)
	again    func(decide.Tick, []decide.Target, decide.Workload, bool) decide.Step
	conclude func(decide.Tick, decide.Workload, []decide.Target, decide.Waits, []decide.Decision) decide.Step
}

func theProduct() product {
	return product{plan: decide.Tick.Plan, again: decide.Tick.Again, conclude: decide.Tick.Conclude}
}

// shape is how large a world is.
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
}

func newCore(s shape) *core {
	c := &core{
		product: theProduct(), shape: s, ids: map[string]id{}, plans: map[planKey]planned{}, steps: map[stepKey]answer{}, ends: map[endKey]answer{},
		returns: map[view][mostTargets][mostSlots]uint8{}, merges: map[[2]id]id{}, records: map[recordKey]annotate.Record{},
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

// idOf numbers what labels or annotations say. No label and no annotation is 0.
func (c *core) idOf(texts map[string]string) id {
	var key strings.Builder
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		key.WriteString(name + "=" + texts[name] + "\n")
	}
	got, known := c.ids[key.String()]
	if !known {
		got = id(len(c.texts))
		c.ids[key.String()] = got
		c.texts = append(c.texts, texts)
	}
	return got
}

// with is what labels or annotations say after a change.
func (c *core) with(of id, change map[string]string) id {
	if len(change) == 0 {
		return of
	}
	after := maps.Clone(c.texts[of])
	if after == nil {
		after = map[string]string{}
	}
	for name, text := range change {
		if text == "" {
			delete(after, name)
		} else {
			after[name] = text
		}
	}
	return c.idOf(after)
}

// merge is what a ReplicaSet says after it was given more.
func (c *core) merge(into, from id) id {
	key := [2]id{into, from}
	got, known := c.merges[key]
	if !known {
		got = c.with(into, c.texts[from])
		c.merges[key] = got
	}
	return got
}

func digestOf(d uint8) image.Digest {
	if d == empty || d == unpinned {
		return ""
	}
	return image.Digest("sha256:" + strings.Repeat(fmt.Sprint(d), 64))
}

func contentOf(d uint8) annotate.Content {
	if d == unpinned {
		return annotate.Unpinned
	}
	return annotate.Of(digestOf(d))
}

func numberOf(content annotate.Content) uint8 {
	for d := range uint8(contents) {
		if content.Same(contentOf(d)) {
			return d
		}
	}
	panic("a content that is none of the model's: " + string(content))
}

// outcomes are numbered in this order; 0 is none.
var outcomes = []decide.Outcome{
	"", decide.Unchanged, decide.Adopted, decide.Refreshed, decide.Reapplied, decide.Held, decide.Deferred, decide.Skipped, decide.Waiting,
	decide.Rejected, decide.RolledBack, decide.Failed, decide.Pending,
}

// view is what a tick can see of a workload.
type view struct {
	slots               [mostTargets][mostSlots]slot
	labels, annotations id
	foreign             [mostTargets]bool
	rollout             uint8
	zero                bool
	runs                [mostTargets]uint8
}

func (o *object) view() view {
	return view{o.slots, o.labels, o.annotations, o.foreign, o.rollout, o.zero, o.runs}
}

func (c *core) rolloutOf(r uint8, zero bool) decide.Rollout {
	fresh := int(freshIn(r))
	rollout := decide.Rollout{Fresh: fresh, Available: replicas, Desired: replicas}
	switch {
	case zero:
		return decide.Rollout{Settled: true, NoReplica: true}
	case r == settled:
		rollout.Settled = true
	case r == gaveUp:
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
		for s := range c.slots {
			one := v.slots[t][s]
			slot := decide.Slot{Key: fmt.Sprint(names[t], "/", s), Live: contentOf(one.content), Ours: one.claims&claimUs != 0, Image: c.says}
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

func (c *core) policy() decide.Policy {
	return decide.Policy{RolloutFailures: threshold, Unsettled: threshold, Reapplications: threshold, Rollback: true, MinAge: quarters(int(c.minAge)), Platforms: c.pins}
}

// targetsOf are the targets as a tick knows them.
func (c *core) targetsOf(k knowledge) []decide.Target {
	var targets []decide.Target
	for t := range c.targets {
		target := decide.Target{
			Name: names[t], Policy: c.policy(), Threshold: threshold, Asked: true,
			Failures: decide.Count{N: int(k.count[t].n), Of: threshold, ByUs: k.count[t].byUs},
		}
		if k.failed[t] {
			target.Failure = &failure.Error{Cause: failure.Proxy, Message: "why"}
		}
		targets = append(targets, target)
	}
	return targets
}

// workloadOf is a workload as decisions take it.
func (c *core) workloadOf(v view, beganLabels, began id, k knowledge, at int) decide.Workload {
	w := decide.Workload{Object: c.objectOf(v)}
	for t := range c.targets {
		binding := decide.Binding{Target: t, Latest: decide.Latest{Digest: digestOf(k.latest[at][t])}}
		if binding.Latest.Digest == "" {
			binding.Latest.Failure = &failure.Error{Cause: failure.Proxy, Message: "why"}
		}
		w.Bindings = append(w.Bindings, binding)
		if at == 0 {
			w.Homes = append(w.Homes, decide.Home{Target: t})
		}
	}
	key := beganKey{beganLabels, began, k.now, at}
	memory, known := c.began[key]
	if !known {
		before := w
		before.Object.Labels, before.Object.Annotations = c.texts[beganLabels], c.texts[began]
		memory = c.tickOf(k).Remember(before, c.targetsOf(k))
		c.began[key] = memory
	}
	w.Began = memory
	w.Began.Records = slices.Clone(memory.Records) // a broken rule may change it
	return w
}

type beganKey struct {
	labels, annotations id
	now                 uint16
	at                  int
}

// answered asks the gates, the pods and the registry what the product wants to know. Pods name an index by its digest, and the
// registry keeps all.
func (c *core) answered(v view, w decide.Workload, k knowledge) decide.Workload {
	for range 5 {
		asked := false
		bindings := slices.Clone(w.Bindings)
		for t, questions := range c.tickOf(k).Questions(w, c.targetsOf(k)) {
			for _, question := range questions {
				asked = true
				var answer decide.Answer
				switch question.Kind {
				case decide.MayRollOut:
					if k.gateNo[t] {
						answer.Failure = &failure.Error{Cause: failure.PlatformMissing, Message: "why"}
					}
				case decide.WhatRuns:
					if v.runs[t] != empty && !v.zero {
						answer.Running.Images = []image.ID{image.IDOf(digestOf(v.runs[t]))}
					}
				case decide.StillServed:
					answer.Yes = true
				case decide.SameImage, decide.WhyNotReady:
				}
				bindings[t].Answers = bindings[t].Answers.With(question, answer)
			}
		}
		w.Bindings = bindings
		if !asked {
			return w
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
	turn                bool
	labels, annotations id
	set                 [mostTargets][mostSlots]uint8
	wait                [mostTargets]uint8
	contested           [mostTargets]bool
	rows, outcomes      [mostTargets]uint8
	failures            [mostTargets]uint8
	refused             [mostTargets]bool // a gate was asked, and refused latest
}

func (c *core) answerOf(v view, step decide.Step) answer {
	a := answer{turn: step.Turn, labels: c.with(v.labels, step.Change.Labels), annotations: c.with(v.annotations, step.Change.Annotations)}
	for _, change := range step.Change.Slots {
		a.set[change.Binding][change.Slot] = numberOf(annotate.Of(change.Digest))
	}
	for t, d := range step.Decisions {
		a.wait[t] = numberOf(annotate.Of(d.Wait))
		a.contested[t] = d.Failure != nil && d.Failure.Cause == failure.Contested
		a.rows[t] = uint8(d.Row)
		a.outcomes[t] = uint8(slices.Index(outcomes, d.Outcome))
	}
	for _, counted := range step.Failures {
		a.failures[counted.Target] = uint8(counted.Count.N)
	}
	return a
}

func (a answer) sets() bool { return a.set != [mostTargets][mostSlots]uint8{} }

type planKey struct {
	views [mostWorkloads]view
	knows knowledge
}

type planned struct {
	knows knowledge
	steps [mostWorkloads]answer
}

// planOf plans a tick over all workloads.
func (c *core) planOf(key planKey) planned {
	if got, known := c.plans[key]; known {
		return got
	}
	var workloads []*decide.Workload
	for at := range c.workloads {
		v := key.views[at]
		w := c.answered(v, c.workloadOf(v, v.labels, v.annotations, key.knows, at), key.knows)
		workloads = append(workloads, &w)
	}
	var refused [mostWorkloads][mostTargets]bool
	for at, w := range workloads {
		refused[at] = refusedBy(*w)
	}
	targets, steps := c.plan(c.tickOf(key.knows), c.targetsOf(key.knows), workloads)
	got := planned{knows: key.knows}
	for t, target := range targets {
		got.knows.failed[t] = target.Failure != nil
		got.knows.count[t] = count{uint8(target.Failures.N), target.Failures.ByUs}
	}
	for at, step := range steps {
		got.steps[at] = c.answerOf(key.views[at], *step)
		got.steps[at].refused = refused[at]
	}
	c.plans[key] = got
	return got
}

type stepKey struct {
	view               view
	beganLabels, began id
	knows              knowledge
	at                 uint8
	turn               bool
}

// stepOf decides for one workload once more.
func (c *core) stepOf(key stepKey) answer {
	if got, known := c.steps[key]; known {
		return got
	}
	w := c.answered(key.view, c.workloadOf(key.view, key.beganLabels, key.began, key.knows, int(key.at)), key.knows)
	refused := refusedBy(w)
	got := c.answerOf(key.view, c.again(c.tickOf(key.knows), c.targetsOf(key.knows), w, key.turn))
	got.refused = refused
	c.steps[key] = got
	return got
}

type endKey struct {
	stepKey
	wait   wait
	pods   uint8
	purged bool
	tags   [mostTargets]uint8 // what they stand for, where that is all that registries have
}

// endOf concludes a wait.
func (c *core) endOf(key endKey) answer {
	if got, known := c.ends[key]; known {
		return got
	}
	tick, targets := c.tickOf(key.knows), c.targetsOf(key.knows)
	w := c.workloadOf(key.view, key.beganLabels, key.began, key.knows, int(key.at))
	waits := c.waitsOf(key)
	for asked := true; asked; {
		asked = false
		for t, questions := range tick.ConclusionQuestions(w, targets, waits) {
			for _, question := range questions {
				asked = true
				w.Bindings[t].Answers = w.Bindings[t].Answers.With(question, key.answers(t, question))
			}
		}
	}
	before := make([]decide.Decision, c.targets)
	got := c.answerOf(key.view, c.conclude(tick, w, targets, waits, before))
	c.ends[key] = got
	return got
}

// answers is what pods, or the registry, say to what is asked at the end of a wait.
func (key endKey) answers(t int, question decide.Question) decide.Answer {
	all := []bool{true, true}
	if question.Kind == decide.WhyNotReady {
		return decide.Answer{Pods: [...]decide.PodProblems{
			podsCrash: {Reasons: []string{"CrashLoopBackOff"}, Evidence: all, Crashed: all}, podsMayHang: {MayHangOnDigest: true}, podsSayNothing: {},
			podsUnreadable: {Unreadable: true},
		}[key.pods]}
	}
	return decide.Answer{Yes: !key.purged || question.Digest == digestOf(key.tags[t])}
}

// waitsOf is the wait as it was when it began.
func (c *core) waitsOf(key endKey) decide.Waits {
	before := key.view
	before.labels, before.annotations = key.wait.labels, key.wait.annotations
	w := c.workloadOf(before, key.beganLabels, key.began, key.knows, int(key.at))
	var decisions []decide.Decision
	for t := range c.targets {
		d := decide.Decision{Wait: digestOf(key.wait.digest[t])}
		if key.wait.contested[t] {
			d.Failure = &failure.Error{Cause: failure.Contested, Message: "who"}
		}
		decisions = append(decisions, d)
	}
	return c.tickOf(key.knows).Waits(w, c.targetsOf(key.knows), decisions)
}

// returnOf is who claims the slots after ours were given back.
func (c *core) returnOf(v view) [mostTargets][mostSlots]uint8 {
	if got, known := c.returns[v]; known {
		return got
	}
	var claims [mostTargets][mostSlots]uint8
	for t := range v.slots {
		for s := range v.slots[t] {
			claims[t][s] = v.slots[t][s].claims
		}
	}
	var k knowledge
	w := c.workloadOf(v, v.labels, v.annotations, k, 0)
	for _, slot := range c.tickOf(k).ToReturn(w, c.targetsOf(k)) {
		claims[slot.Binding][slot.Slot] &^= claimUs
		if slices.Contains(slot.Owners, "helm") {
			claims[slot.Binding][slot.Slot] |= claimDeployer
		}
	}
	c.returns[v] = claims
	return claims
}

// recordOf is what is remembered of a target on a workload.
func (c *core) recordOf(o *object, t int) annotate.Record {
	key := recordKey{o.labels, o.annotations, t}
	if got, known := c.records[key]; known {
		return got
	}
	record, warnings := keys.Read(names[t], c.texts[o.labels], c.texts[o.annotations])
	if len(warnings) > 0 {
		panic(fmt.Sprintf("what was written does not parse: %v", warnings))
	}
	c.records[key] = record
	return record
}

type recordKey struct {
	labels, annotations id
	target              int
}

func (c *core) skipped(annotations id) int {
	n, _ := annotate.ParseCount(c.texts[annotations][keys.SkipStreak()])
	return n
}

func (c *core) failures(annotations id, t int) int {
	n, _ := annotate.ParseCount(c.texts[annotations][keys.Failures(names[t])])
	return n
}
