// Package modelcheck explores what package decide does, with the product's own functions, in a small environment: up to two
// workloads that carry up to two targets in up to two slots each, and two ticks side by side. Whatever may happen around a
// tick or between two, it lets happen in every order, and looks for a sequence of events that breaks an invariant
// (invariants_test.go).
//
// The model knows how Kubernetes behaves (state_test.go, events_test.go): that a slot changes its owner, that an undo brings
// annotations back, that a rollout settles or hangs. It knows nothing of what the program does. It calls Remember,
// Questions, Plan, Again, Waits, ConclusionQuestions, Conclude, ToReturn, Agree and NeedsAttention, applies the changes that
// these return, and lets other events happen in between (ticks_test.go).
//
// What is abstracted: all thresholds are two; a rollout is settled, hangs, has progressed or was given up; a digest that
// is new gets the next number. What is left out: OnDelete, the text of messages, and what is noted for people alone: the condition
// and since when a target fails.
package modelcheck

// The largest environment.
const (
	mostWorkloads = 2
	mostTargets   = 2
	mostSlots     = 2
	mostRevisions = 4
)

// What a slot holds, by number: nothing, a digest, a digest that is new to the whole history, or a tag.
const (
	empty    = 0
	digests  = 3 // 1, 2 and 3
	novel    = 4 // only where the checker asks whether a new good digest leads out
	unpinned = 5
	contents = 6
)

// set is a set of contents.
type set uint8

func (s set) has(content uint8) bool { return s&(1<<content) != 0 }

func (s *set) add(content uint8) { *s |= 1 << content }

// Who claims a slot in managedFields, as a set.
const (
	claimUs = 1 << iota
	claimPerson
	claimDeployer // by server-side apply
)

// How far the controller is.
const (
	settled = iota
	hangs   // no replica is fresh
	moves   // one is
	further // two are
	gaveUp  // the controller's word for it
	lost    // pods were evicted, or their nodes are away: none is available
)

// What the registry answers about a target.
const (
	up      = iota
	down    // latest is unknown
	gateNo  // latest is known, and may not be rolled out
	half    // the second workload's credential is refused
	answers // how many
)

type slot struct{ content, claims uint8 }

// template is what the slots hold: by target and slot.
type template [mostTargets][mostSlots]uint8

// texts are labels and annotations, by what they say.
type texts struct{ labels, annotations id }

// revision is a ReplicaSet: a template, and the annotations that the workload had under it.
type revision struct {
	exists      bool
	template    template
	annotations id
}

// object is a workload.
type object struct {
	view
	revisions [mostRevisions]revision
}

// view is what a tick can see of a workload.
type view struct {
	texts
	slots   [mostTargets][mostSlots]slot
	foreign [mostTargets]bool // somebody else has written the mark last
	rollout uint8
	zero    bool               // scaled to zero
	runs    [mostTargets]uint8 // the digest that all pods run in slots that hold a tag alone; nothing: they differ, or do not say
}

func (v view) template() (t template) {
	for i := range v.slots {
		for j := range v.slots[i] {
			t[i][j] = v.slots[i][j].content
		}
	}
	return t
}

// tick is a running tick, between two of its requests.
type tick struct {
	running bool
	knows   knowledge
	each    [mostWorkloads]part
}

// knowledge is what a tick has found out before it acts.
type knowledge struct {
	latest  [mostWorkloads][mostTargets]uint8
	gateNo  [mostTargets]bool
	failed  [mostTargets]bool // not resolved, or refused by a gate
	count   [mostTargets]count
	now     uint16 // the API server's clock
	targets uint8  // how many
	closed  bool   // the window
}

type count struct {
	n    uint8
	byUs bool
}

// part is a tick's part in one workload.
type part struct {
	phase    uint8
	turn     bool
	began    texts // what it read first
	outcomes [mostTargets]uint8
	failures [mostTargets]uint8 // of the targets whose counters stand there
	wait     wait
	beaten   uint8 // what other ticks have counted while this one was running
}

// The phases of a part.
const (
	done = iota
	writing
	returning
	waiting
)

// wait is what is waited for.
type wait struct {
	digest    [mostTargets]uint8
	contested [mostTargets]bool
	began     texts // when it began
	restoring bool  // what follows the return of ownership is the end
}

// state is a state of the model. It is comparable.
type state struct {
	tags     [mostTargets]uint8
	registry [mostTargets]uint8
	purged   bool  // registries have nothing but what tags stand for now
	closed   bool  // the window, where there is one
	known    uint8 // the digests 1 to known have been seen by somebody
	objects  [mostWorkloads]object
	ticks    [2]tick
	clock    uint16 // the API server's, in quarters of an hour
	may      budget
	begun    uint8 // ticks, where that is bounded
	history  history
}

// history is what no tick can see, kept for the invariants.
type history struct {
	before     [mostWorkloads]template                     // what the slots held before the first attempt since the workload was proven last
	recordable [mostWorkloads][mostTargets]set             // what was proven on a workload, or chosen by a person
	puts       [mostWorkloads][mostTargets][contents]uint8 // patches to the digest since anybody last gave a reason for one
	thrown     [mostWorkloads][mostTargets]uint8           // what a person threw out, unless that was overtaken
	stale      [mostWorkloads]uint8                        // ticks in a row that were green, with slots neither fresh nor held
	deferred   [mostWorkloads]uint8                        // ticks in a row in which it had no turn
	fresh      [mostWorkloads]uint8                        // the most replicas fresh at the end of a wait for what was put there last
	refused    [mostWorkloads][mostTargets]set             // what gates have refused here for what it is
	ages       ages
	choices
}

// demand says that there is a reason for another rollout of a workload.
func (s *state) demand(at int) {
	s.history.puts[at], s.history.stale[at] = [mostTargets][contents]uint8{}, 0
}

func (s *state) demandAll() {
	for at := range s.objects {
		s.demand(at)
	}
}

// together is what the slots of a target hold together, as the contract says it.
func (m *model) together(o *object, target int) uint8 {
	joint := o.slots[target][0].content
	for i := range m.slots {
		switch content := o.slots[target][i].content; {
		case content == empty:
			return empty
		case content != joint:
			joint = unpinned
		}
	}
	return joint
}

// bare says whether the slots of a target hold a tag alone, each of them.
func (m *model) bare(o *object, target int) bool {
	for i := range m.slots {
		if o.slots[target][i].content != unpinned {
			return false
		}
	}
	return true
}

// start is how pods start by what their slots hold: by a tag alone, with what it means now.
func (m *model) start(o *object, tags [mostTargets]uint8) {
	for t := range m.targets {
		if o.runs[t] = empty; m.says && m.bare(o, t) {
			o.runs[t] = tags[t]
		}
	}
}

// synchronise copies the annotations to the ReplicaSet of what is live. The controller never drops one that was removed
// (https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/controller/deployment/util/deployment_util.go, SetNewReplicaSetAnnotations).
func (m *model) synchronise(o *object) {
	if !m.undoes {
		return
	}
	fresh := revision{true, o.template(), o.annotations}
	for i := range o.revisions {
		switch r := &o.revisions[i]; {
		case !r.exists:
			*r = fresh
			return
		case r.template == fresh.template:
			r.annotations = m.core.with(r.annotations, m.core.texts[o.annotations])
			return
		}
	}
	copy(o.revisions[:], o.revisions[1:]) // the history limit
	o.revisions[mostRevisions-1] = fresh
}
