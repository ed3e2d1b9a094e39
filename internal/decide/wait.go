package decide

import "github.com/tracebloc/image-refresh/internal/annotate"

// Waits is what the rollout of one workload is waited for: a value that each look at the workload may replace.
type Waits struct {
	Of      []Wait            // by binding; one without a digest is not waited for
	began   []annotate.Record // by binding, when the wait began
	skipped int               // ticks in a row in which the workload was unsettled, when the wait began
}

// Waits begins the wait for what a step has put somewhere, or found under way. The workload is as it is after the step was
// written.
func (t Tick) Waits(w Workload, targets []Target, decisions []Decision) Waits {
	memory := t.Remember(w, targets)
	waits := Waits{
		Of: make([]Wait, len(decisions)), began: memory.Records, skipped: memory.Skipped,
	}
	waited := 0
	for at, d := range decisions {
		if d.Rolls() { // what was written counts, not what somebody else may have made of it since
			owners := memory.Records[at].State.Owners
			memory.Records[at] = d.Record
			memory.Records[at].State.Owners = owners
		}
		if d.Wait != "" {
			waited++
			waits.Of[at] = Wait{Digest: d.Wait, Contested: d.Failure, Namespace: w.Object.Namespace}
		}
	}
	for at := range waits.Of {
		waits.Of[at].Joint = waited > 1
	}
	return waits
}

// Any says whether anything is waited for.
func (w Waits) Any() bool {
	for _, wait := range w.Of {
		if wait.Digest != "" {
			return true
		}
	}
	return false
}

// Over says whether the wait has an end: settled, given up by the controller, or taken over by somebody else. contents are
// what the slots of each binding hold together.
func (w Waits) Over(rollout Rollout, contents []annotate.Content) bool {
	if rollout.Settled || rollout.AwaitsDelete || rollout.Failure != "" {
		return true
	}
	for at, wait := range w.Of {
		if wait.Digest != "" && !contents[at].Is(wait.Digest) {
			return true
		}
	}
	return false
}

// Interrupted says that the tick was told to end while it waited.
func (w Waits) Interrupted() Waits {
	of := make([]Wait, 0, len(w.Of))
	for _, wait := range w.Of {
		wait.Interrupted = true
		of = append(of, wait)
	}
	w.Of = of
	return w
}

// inputAfter is the input of a conclusion.
func (t *Tick) inputAfter(w Workload, targets []Target, v verdict, waits Waits, at int) (Input, Wait) {
	in := t.input(w, targets, v, at)
	in.Began = waits.began[at]
	in.Approve, in.Skip = Label{}, Label{} // set meanwhile: the next tick's
	return in, waits.Of[at]
}

// ConclusionQuestions are those that the end of a wait raises, by binding.
func (t Tick) ConclusionQuestions(w Workload, targets []Target, waits Waits) [][]Question {
	v := verdict{now: t.Remember(w, targets), began: w.Began}
	questions := make([][]Question, len(w.Bindings))
	for at, wait := range waits.Of {
		if wait.Digest != "" {
			questions[at] = ConclusionQuestions(t.inputAfter(w, targets, v, waits, at))
		}
	}
	return questions
}

// Conclude decides after the wait, from the workload as it is now, for the targets that were waited for. The others keep
// what was decided before.
func (t Tick) Conclude(w Workload, targets []Target, waits Waits, before []Decision) Step {
	v := verdict{now: t.Remember(w, targets), began: w.Began, decisions: append([]Decision(nil), before...)}
	v.began.Skipped = min(v.began.Skipped, waits.skipped) // the end of a streak, before the wait, is no other tick's count
	conclude := func(restoredToo bool) (restores bool) {
		for at, wait := range waits.Of {
			if wait.Digest == "" {
				continue
			}
			in, wait := t.inputAfter(w, targets, v, waits, at)
			wait.RestoredToo = restoredToo
			v.decisions[at] = Conclude(in, wait)
			restores = restores || v.decisions[at].Rolls()
		}
		return restores
	}
	if restores := conclude(false); restores && waits.areJoint() {
		conclude(true) // they changed in one rollout, and all of them are restored
	}
	waited := make([]bool, len(waits.Of))
	step := Step{Decisions: v.decisions, Turn: true}
	for at, wait := range waits.Of {
		if waited[at] = wait.Digest != ""; !waited[at] {
			continue
		}
		for _, event := range v.decisions[at].Events {
			step.Events = append(step.Events, TargetEvent{w.Bindings[at].Target, event})
		}
	}
	step.Change = t.change(w, targets, v, waited)
	for at, home := range w.Homes {
		t.putSince(&step.Change, w, targets[home.Target], v, at)
		step.Failures = append(step.Failures, TargetFailure{home.Target, targets[home.Target].Failures})
	}
	t.putCondition(&step.Change, w, targets, step)
	return step
}

func (w Waits) areJoint() bool {
	for _, wait := range w.Of {
		if wait.Digest != "" && wait.Joint {
			return true
		}
	}
	return false
}
