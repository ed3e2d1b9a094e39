package decide

import (
	"slices"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// QuestionKind is what is asked.
type QuestionKind int

// The questions.
const (
	// MayRollOut asks the gates before the first patch to a digest: is its manifest what the registry says, and does it
	// offer the platforms that are needed. The answer's Failure is the gate's no.
	MayRollOut QuestionKind = iota + 1
	// IsSigned asks before each patch to a digest whether one of today's keys has signed it. The answer is in Signer, or its Failure
	// is the gate's no.
	IsSigned
	// WhyNotReady asks the pods, after a rollout that was not settled in time. The answer is in Pods.
	WhyNotReady
	// WhatRuns asks the pods what an unpinned slot runs. The answer is in Running.
	WhatRuns
	// SameImage asks the registry whether what pods run is the digest: the index, a manifest of it, or the configuration of one.
	// The answer is Yes, or the Failure to find out.
	SameImage
	// StillServed asks the registry whether it still has the digest, before it is recorded, or restored. The answer is Yes, or
	// the Failure to find out.
	StillServed
)

// Question is something that a decision depends on, and that only a registry or the pods can tell. Which ones the facts
// raise is Questions' and ConclusionQuestions' to say, so that nobody is asked in vain.
type Question struct {
	Kind   QuestionKind
	Digest image.Digest // what it is about, where it is about a digest
	Live   image.Digest // of MayRollOut: what counts as live, where no slot holds a digest; it makes no other question
	Images string       // of SameImage: what pods run, as IDs (image.ID) with a space in between
}

// Answer is what came back.
type Answer struct {
	Failure *failure.Error
	Pods    PodProblems
	Running Running
	Signer  string      // the fingerprint of a key
	Build   image.Build // of MayRollOut: which build the digest is, as far as that is known
	Yes     bool
}

// Answers are the answers so far.
type Answers map[Question]Answer

// With returns the answers with one more. The receiver stays as it is.
func (a Answers) With(question Question, answer Answer) Answers {
	all := make(Answers, len(a)+1)
	for known, earlier := range a {
		all[known] = earlier
	}
	question.Live = ""
	all[question] = answer
	return all
}

// PodProblems is what the pods of a workload say about a rollout that was not settled in time.
type PodProblems struct {
	// Unreadable: the pods may not be read, or could not be. They say nothing then, for or against a digest.
	Unreadable bool

	// Evidence, by binding, is evidence against the digest that its slots hold: a pod whose own slot holds it, and whose
	// container was started, is not ready now, and crashed, exited, or runs past its startup probe; or, in image mode, a
	// pull that failed for what the digest is. What a disruption did to a pod is none.
	Evidence []bool
	Crashed  []bool // by binding: evidence, and the container ended by itself

	// MayHangOnDigest: what keeps pods from running is no evidence, and may go away with the digest all the same. They are
	// refused at admission for anything but a quota, or their image is being pulled or cannot be.
	MayHangOnDigest bool

	// AllReady: the containers of all pods with the digests are ready, and nothing but minReadySeconds or a readiness gate
	// is waited for.
	AllReady bool

	Reasons    []string // in the words of pods, conditions and workload; cleaned, cut, those that tell most first; none only where nobody was asked
	NeverReady []string // pods that a StatefulSet's controller will not replace by itself
}

// Running is what the pods of a workload say about what runs in the slots of a binding.
type Running struct {
	Unreadable bool           // the pods may not be read
	Failure    *failure.Error // they could not be read
	Images     []image.ID     // of all running containers, each once, in order; an empty one for what does not say; none: nothing runs
}

// gate is what the gates say of latest, or which of them is still to be asked; 0 for none. What nobody has signed is read no further.
func (e *evaluation) gate() (failed *failure.Error, open QuestionKind) {
	for _, kind := range [...]QuestionKind{IsSigned, MayRollOut} {
		answer, asked := e.Answers[Question{Kind: kind, Digest: e.Latest.Digest}]
		switch {
		case answer.Failure != nil:
			return answer.Failure, 0
		case !asked && e.needs(kind):
			return nil, kind
		}
	}
	return nil, 0
}

// needs says whether a gate is to be asked before latest is put into the slots: for a signature each time, so that a key that has
// leaked is out of use at once, for the rest once.
func (e *evaluation) needs(gate QuestionKind) bool {
	if gate == IsSigned {
		return e.Policy.Verify && !e.passed()
	}
	return e.notVerifiedYet()
}

func (e *evaluation) needsAny() bool { return e.needs(IsSigned) || e.needs(MayRollOut) }

// asks is the question for a gate; none for 0.
func (e *evaluation) asks(gate QuestionKind) []Question {
	switch gate {
	case IsSigned:
		return []Question{{Kind: IsSigned, Digest: e.Latest.Digest}}
	case MayRollOut:
		return []Question{e.mayRollOut()}
	default:
		return nil
	}
}

// mayRollOut asks the gates. Where no slot holds a digest, what is recorded stands for live: it is what runs there, or ran.
func (e *evaluation) mayRollOut() Question {
	question := Question{Kind: MayRollOut, Digest: e.Latest.Digest}
	if !slices.ContainsFunc(e.Slots, func(s Slot) bool { return s.Live.Digest() != "" }) {
		question.Live = e.Record.Recorded.Digest()
	}
	return question
}

// Questions are those that must be answered before Decide can decide. There may be further ones once these are answered.
func Questions(in Input) []Question {
	_, questions := decide(in)
	return questions
}

// ConclusionQuestions are those that must be answered before Conclude can decide. There may be further ones once these are
// answered.
func ConclusionQuestions(in Input, wait Wait) []Question {
	e := evaluationAfter(in)
	wait.RestoredToo = wait.RestoredToo || wait.Joint // which the others' conclusions tell
	switch e.ending(wait) {
	case unexplained:
		return []Question{{Kind: WhyNotReady}}
	case failed:
		return e.asksToRestore(wait)
	default:
		return nil
	}
}

// asksToRestore asks whether the registry still has what a restoration would put into the slots.
func (e *evaluation) asksToRestore(wait Wait) []Question {
	var questions []Question
	attempt := e.attemptFailed(wait)
	for _, slot := range attempt.restored {
		question := Question{Kind: StillServed, Digest: slot.Live.Digest()}
		if _, answered := e.Answers[question]; !answered && attempt.restore && !slot.Live.Is(wait.Digest) && !slices.Contains(questions, question) {
			questions = append(questions, question)
		}
	}
	return questions
}
