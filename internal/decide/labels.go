package decide

import (
	"fmt"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// The labels by which a person approves or skips a digest. What a tick takes into the state it removes from the workload, in one write.

// Label names a digest for a decision by a person, as it stands on the workload. The zero value is none.
type Label struct {
	Key    string
	Digits annotate.Digits
	By     string // the field manager that has set it, as far as that is known
	Stray  bool   // it names the latest of no target here
}

// label is one that a person has set, for one of the targets here.
func (w Workload) label(key string) Label {
	text, set := w.Object.Labels[key]
	if !set {
		return Label{}
	}
	digits, err := annotate.ParseDigits(text)
	if err != nil {
		return Label{}
	}
	label := Label{Key: key, Digits: digits, By: w.Object.Writers[key].Manager, Stray: true}
	for _, binding := range w.Bindings { // of a target that is not resolved it may be the latest
		label.Stray = label.Stray && binding.Latest.Digest != "" && !digits.Name(binding.Latest.Digest)
	}
	return label
}

// heedLabels takes what a person has said of latest by a label into the record. Whoever has said both has said no.
func (e *evaluation) heedLabels() {
	latest, state := e.Latest.Digest, e.Record.State
	if e.Policy.Notify && e.Approve.Digits.Name(latest) {
		state = state.Unreject(annotate.Of(latest))
		state.Approved = latest
	}
	if e.Skip.Digits.Name(latest) && !e.inUse() && state.RejectedBy(latest) != annotate.ByPerson {
		state = state.Reject(annotate.Rejection{Digest: annotate.Of(latest), By: annotate.ByPerson, Why: e.skippedBy(), At: e.Now})
		state = state.Unapprove(latest)
	}
	e.Record.State = state
}

func (e *evaluation) skippedBy() string {
	by := "the label " + e.Skip.Key
	if e.Skip.By != "" {
		by = e.Skip.By + ", " + by
	}
	return by
}

// inUse says whether latest is in the slots or, where they hold no digest, runs all the same: only an undo takes it out.
func (e *evaluation) inUse() bool {
	return !e.outdated() || e.acceptedUnpinned() && e.Record.Recorded.Is(e.Latest.Digest)
}

// onlyReports says whether the digest is not to be put into the slots unless a person approves it.
func (e *evaluation) onlyReports(digest image.Digest) bool {
	return e.Policy.Notify && e.Record.State.Approved != digest
}

// approvable is latest, where a person may approve it; empty where something else would be put there.
func (e *evaluation) approvable() image.Digest {
	if e.rejectedLatest != nil || !e.latestUsable() {
		return ""
	}
	return e.Latest.Digest
}

// heeded adds to a decision which labels it has heeded, and says why it has not heeded others.
func (e *evaluation) heeded(d Decision) Decision {
	if d.Row <= 2 {
		return d
	}
	latest := e.served
	rejected := d.Record.State.RejectedBy(latest) == annotate.ByPerson
	if e.Approve.Digits.Name(latest) {
		d.Approved = !e.Policy.Notify || d.Record.State.Approved == latest || rejected || d.Row == 8
	}
	if e.Skip.Digits.Name(latest) {
		d.Skipped = rejected
		if d.Skipped && d.Row != 6 && e.read.State.RejectedBy(latest) != annotate.ByPerson { // a label that was set again says nothing new
			d.Events = append([]Event{{Reason: RefreshHeld, Note: fmt.Sprintf(
				"%s was skipped by a person (%s): held until the tag moves on", latest.Short(), failure.Clean(e.skippedBy()))}}, d.Events...)
		}
	}
	switch {
	case e.Skip.Digits.Name(latest) && !d.Skipped && e.inUse():
		d.Message = failure.WithFix(d.Message, fmt.Sprintf("the label %s names %s, which is in use: kubectl rollout undo takes it out, or kubectl edit of a CronJob", e.Skip.Key, latest.Short()))
	case e.Skip.Stray:
		d.Message = failure.WithFix(d.Message, stray(e.Skip))
	}
	if e.Approve.Stray {
		d.Message = failure.WithFix(d.Message, stray(e.Approve))
	}
	return d
}

func stray(label Label) string {
	return fmt.Sprintf("the label %s names %.12s, which is not latest, and changes nothing", label.Key, string(label.Digits))
}
