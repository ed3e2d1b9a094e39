package annotate

import (
	"fmt"
	"slices"
	"time"

	"github.com/tracebloc/image-refresh/internal/image"
)

// Told is what people have been told of a target.
type Told struct {
	Event  time.Time `json:"event,omitzero"`  // when a failure that lasts was said again by an Event
	Notice Notice    `json:"notice,omitzero"` // what was sent last, or is being sent
}

// Standing is how a target is, as people are told of it: another cause in the same standing is no news.
type Standing string

// The standings.
const (
	Fine         Standing = ""
	Unresolved   Standing = "unresolved"
	NotRolledOut Standing = "not-rolled-out"
	Refused      Standing = "rejected"
	Fought       Standing = "contested"
	Wrong        Standing = "wrong"
)

// standings are all of them, the worst first.
var standings = []Standing{Wrong, Fought, Refused, NotRolledOut, Unresolved, Fine}

// WorstStanding is the worse of two.
func WorstStanding(a, b Standing) Standing {
	if slices.Index(standings, b) < slices.Index(standings, a) {
		return b
	}
	return a
}

// Sending is how far a notice is. Whoever wins the write of Unsent sends it.
type Sending string

// How far a notice may be.
const (
	Unsent Sending = "unsent" // a tick sends it, or was killed before it could say whether it had
	Sent   Sending = "sent"   // somebody has taken it
	Failed Sending = "failed" // nobody has
)

// Notice is what was told last. Its zero value is nothing.
type Notice struct {
	Standing Standing     `json:"standing,omitempty"`
	Since    time.Time    `json:"since,omitzero"`   // when the standing began or, once it is over, when that did which was before
	Until    time.Time    `json:"until,omitzero"`   // when it was over, until that is told
	Digest   image.Digest `json:"digest,omitempty"` // that is new, and waits for a person or was rolled out
	At       time.Time    `json:"at"`               // when the tick began that sends it
	Sending  Sending      `json:"sending"`
}

// Done is the notice after it was sent. waits says that its digest still waits for a person; where all is fine, any other need
// not be remembered.
func (n Notice) Done(taken, waits bool) Notice {
	if !taken {
		n.Sending = Failed
		return n
	}
	n.Sending, n.Until = Sent, time.Time{}
	if n.Standing == Fine && !waits {
		return Notice{}
	}
	return n
}

// NotAfter is what was told, with no time that is more than a minute later than now.
func (t *Told) NotAfter(now time.Time) *Told {
	if t == nil {
		return nil
	}
	bounded := *t
	bounded.Event = NotAfter(t.Event, now)
	bounded.Notice.Since, bounded.Notice.Until, bounded.Notice.At = NotAfter(t.Notice.Since, now), NotAfter(t.Notice.Until, now), NotAfter(t.Notice.At, now)
	return &bounded
}

// WithoutTold is the state but for what people have been told.
func (s State) WithoutTold() State {
	s.Told = nil
	return s
}

func (n Notice) validate() error {
	if n == (Notice{}) {
		return nil
	}
	if !slices.Contains(standings, n.Standing) || !slices.Contains([]Sending{Unsent, Sent, Failed}, n.Sending) {
		return fmt.Errorf("a notice in the state is of no known kind")
	}
	if n.Digest != "" {
		if _, err := image.ParseDigest(string(n.Digest)); err != nil {
			return fmt.Errorf("notice: %w", err)
		}
	}
	return nil
}
