package decide

import (
	"cmp"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
)

// Telling is what is to be sent of a target.
type Telling struct {
	Target   int
	Notice   annotate.Notice // as it is noted
	Standing bool            // how the target is, is told
	News     bool            // and its digest
	Waits    bool            // which waits for a person
}

func began(told *annotate.Told) annotate.Notice {
	if told == nil {
		return annotate.Notice{}
	}
	return told.Notice
}

// tell decides what is to be sent of a target, and what is to be noted of that. before is what is noted now, and began what was
// when this tick began: where another tick has noted something since, it is the one that sends. Each change is told once, what is
// not fine once a day, and what nobody has taken by the next tick. What a tick was to send that was killed is sent once it can be
// alive no more. since is since when the target fails, or did.
func (t Tick) tell(before, began annotate.Notice, s Standing, since time.Time) (telling Telling, tells bool) {
	switch {
	case !t.Tells:
		return Telling{}, false
	case before != began:
		return Telling{Notice: before}, false
	}
	kind, news := s.Kind, s.Waits
	if s.AsBefore {
		kind = annotate.WorstStanding(kind, before.Standing)
	}
	if news == "" && t.TellsChanges {
		news = s.Recorded
	}
	telling = Telling{Notice: before, Standing: kind != before.Standing, News: news != "" && news != before.Digest, Waits: s.Waits != ""}
	age := t.Now.Sub(before.At)
	switch before.Sending {
	case annotate.Failed:
		telling = telling.again()
	case annotate.Unsent:
		if age >= t.Longest {
			telling = telling.again()
		}
	case annotate.Sent:
		telling.Standing = telling.Standing || kind != annotate.Fine && age >= day
		if s.Waits == "" && !telling.Standing && !telling.News { // what has waited does so no more
			telling.Notice = before.Done(true, false)
		}
	}
	if !telling.Standing && !telling.News {
		return telling, false
	}
	n := &telling.Notice
	switch kind {
	case before.Standing:
	case annotate.Fine:
		n.Since, n.Until = cmp.Or(before.Since, since), t.Now
	default:
		n.Since, n.Until = since, time.Time{}
	}
	if telling.News && news != "" {
		n.Digest = news
	}
	n.Standing, n.At, n.Sending = kind, t.Now, annotate.Unsent
	return telling, true
}

// again is a telling with all that was to be sent before, and may not have been.
func (t Telling) again() Telling {
	t.Standing = t.Standing || t.Notice.Standing != annotate.Fine || !t.Notice.Until.IsZero()
	t.News = t.News || t.Notice.Digest != ""
	return t
}

// Told is what is left to be written to a workload after these tellings of targets whose home it is were sent. What somebody else
// has noted since stays.
func (t Tick) Told(w Workload, targets []Target, tells []Telling, taken bool) Change {
	change := Change{Labels: map[string]string{}, Annotations: map[string]string{}}
	for _, telling := range tells {
		name := targets[telling.Target].Name
		record, _ := t.Keys.Read(name, w.Object.Labels, w.Object.Annotations)
		state := record.State
		if w.Object.Newer != nil || state.Told == nil || state.Told.Notice != telling.Notice {
			continue
		}
		told := *state.Told
		told.Notice = telling.Notice.Done(taken, telling.Waits)
		if state.Told = &told; told == (annotate.Told{}) {
			state.Told = nil
		}
		differ(change.Annotations, w.Object.Annotations, t.Keys.State(name), state.String())
	}
	return change
}
