package decide_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/image"
)

// shown is all that a decision does, in words and in this order, so that a row of a table is one line:
//
//	12 refreshed        the row that decided, none after a wait; the outcome, and with a slash the cause of a failure
//	put=B               B goes into every slot; it is the mark, is attempted, is waited for, and what the slots held is noted
//	back=A              after a wait: A goes back into every slot, and is the mark and recorded
//	wait=B              what is waited for, where nothing is put
//	counted, settled    the ticks in a row in which the workload was not settled: one more, or over
//	gated, rewound      a gate said no; an undo has rewound the annotations
//	event=RefreshHeld   an Event on the workload
//	left=A, attempt=-   what changes in the record, by name; - is nothing
func shown(in decide.Input, d decide.Decision) string {
	var words []string
	say := func(yes bool, format string, values ...any) {
		if yes {
			words = append(words, fmt.Sprintf(format, values...))
		}
	}
	for _, row := range decide.Table() {
		say(d.Row == row.Number, "%s", row.Label)
	}
	outcome := string(d.Outcome)
	if d.Failure != nil {
		outcome += "/" + string(d.Failure.Cause)
	}
	say(true, "%s", outcome)
	before, after := in.Record, d.Record
	set := none
	if d.Rolls() {
		slots := slotsOf()
		var each []string
		for _, digest := range d.Set {
			slots = append(slots, decide.Slot{Live: annotate.Of(digest), Left: digest == ""})
			each = append(each, letter(annotate.Of(digest)))
		}
		set = decide.Together(slots)
		say(true, "%s=%s", map[bool]string{true: "put", false: "back"}[d.Row > 0], strings.Join(slices.Compact(each), ","))
		before.Mark = set
		if d.Row == 0 {
			before.Recorded = set
		}
	}
	say(d.Wait != "" && !set.Is(d.Wait) || d.Wait == "" && d.Row > 0 && d.Rolls(), "wait=%s", letter(annotate.Of(d.Wait)))
	say(d.Skip == decide.SkipCount, "counted")
	say(d.Skip == decide.SkipClear, "settled")
	say(d.Gated != nil, "gated")
	say(d.Rewound, "rewound")
	var events []string
	for _, event := range d.Events {
		events = append(events, string(event.Reason))
	}
	say(len(events) > 0, "event=%s", strings.Join(events, ","))
	say(after.Mark != before.Mark, "mark=%s", letter(after.Mark))
	say(after.Recorded != before.Recorded, "recorded=%s", letter(after.Recorded))
	was, is := before.State, after.State
	words = append(words, shownAttempt(in, d, was.Attempt, is.Attempt)...)
	say(is.Left != was.Left, "left=%s", letter(is.Left))
	say(is.Stood != was.Stood, "stood=%s", letter(is.Stood))
	say(is.Reapplied != was.Reapplied, "reapplied=%d", is.Reapplied)
	say(!reflect.DeepEqual(is.ReappliedAt, was.ReappliedAt), "at=%s", when(is.ReappliedAt))
	say(is.Contested != was.Contested, "contested=%t", is.Contested)
	say(is.Overwritten != was.Overwritten, "overwritten=%t", is.Overwritten)
	say(is.UnblockFailed != was.UnblockFailed, "unblockFailed=%s", letter(annotate.Of(is.UnblockFailed)))
	say(is.Passed != was.Passed, "passed=%s", letter(annotate.Of(is.Passed)))
	say(!reflect.DeepEqual(is.TurnSince, was.TurnSince), "turn=%s", when(is.TurnSince))
	for _, rejection := range was.Rejected {
		say(!slices.Contains(is.Rejected, rejection), "unrejected=%s", letter(rejection.Digest))
	}
	for _, rejection := range is.Rejected {
		why := rejection.Why
		if rejection.Evidence {
			why += "!"
		}
		if !rejection.At.Equal(now) {
			why += when(&rejection.At)
		}
		say(!slices.Contains(was.Rejected, rejection), "rejected=%s:%s:%s", letter(rejection.Digest), rejection.By, why)
	}
	if !reflect.DeepEqual(is.Seen, was.Seen) {
		say(is.Seen == nil, "seen=-")
		if is.Seen != nil {
			say(true, "seen=%s:%s:%s", letter(annotate.Of(is.Seen.Digest)), when(&is.Seen.Since), when(&is.Seen.Deferred))
		}
	}
	if !reflect.DeepEqual(is.Refused, was.Refused) {
		say(is.Refused == nil, "refused=-")
		if is.Refused != nil {
			say(true, "refused=%s:%s", letter(annotate.Of(is.Refused.Digest)), is.Refused.Why)
		}
	}
	if !reflect.DeepEqual(is.Runs, was.Runs) {
		say(is.Runs == nil, "runs=-")
		if is.Runs != nil {
			var ids []string
			for _, id := range is.Runs.Images {
				ids = append(ids, letterOfID(id))
			}
			say(true, "runs=%s:%s", letter(annotate.Of(is.Runs.Digest)), strings.Join(ids, ","))
			say(is.Runs.Latest != in.Latest.Digest, "ofAnotherTag")
		}
	}
	say(!reflect.DeepEqual(is.Owners, was.Owners), "owners=%v", is.Owners)
	if after.Mark != in.Record.Mark || d.Rolls() { // a mark is for the slots that there are when it is written
		var keys []string
		for _, slot := range in.Slots {
			keys = append(keys, slot.Key)
		}
		before.Slots = annotate.SlotsName(keys)
	}
	say(after.Slots != before.Slots, "slots=%s", after.Slots)
	return strings.Join(words, " ")
}

func shownAttempt(in decide.Input, d decide.Decision, was, is *annotate.Attempt) (words []string) {
	put := d.Rolls() && d.Row > 0
	switch {
	case is == nil && was == nil:
		return nil
	case is == nil:
		return []string{"attempt=-"}
	case put && d.Set[len(d.Set)-1] == is.Digest:
		was = &annotate.Attempt{Held: heldBy(in.Slots)}
		for _, slot := range in.Slots {
			if slot.Left {
				delete(was.Held, slot.Key)
			}
		}
	case was == nil || was.Digest != is.Digest:
		words = append(words, "attempt="+letter(annotate.Of(is.Digest)))
		was = &annotate.Attempt{}
	}
	flags := []struct {
		name    string
		was, is bool
	}{{"again", was.Again, is.Again}, {"reverted", was.Reverted, is.Reverted}, {"alone", was.Alone, is.Alone}, {"unblock", was.Unblock, is.Unblock}}
	for _, flag := range flags {
		if flag.was != flag.is {
			words = append(words, map[bool]string{true: "", false: "not-"}[flag.is]+flag.name)
		}
	}
	if was.Failed != is.Failed {
		words = append(words, fmt.Sprint("failed=", is.Failed))
	}
	if was.Fresh != is.Fresh {
		words = append(words, fmt.Sprint("fresh=", is.Fresh))
	}
	if !reflect.DeepEqual(was.Held, is.Held) && len(was.Held)+len(is.Held) > 0 {
		var held []string
		for _, slot := range in.Slots {
			if content, noted := is.Held[slot.Key]; noted {
				held = append(held, letter(content))
			}
		}
		words = append(words, "held="+strings.Join(held, ","))
	}
	return words
}

func letter(content annotate.Content) string {
	switch {
	case content == none:
		return "-"
	case content == tag:
		return "tag"
	}
	for at, of := range []annotate.Content{a, b, c, d} {
		if content.Same(of) {
			return string("ABCD"[at])
		}
	}
	return string(content)
}

func letterOfID(id image.ID) string {
	return letter(annotate.Content(strings.TrimPrefix(string(id), "@")))
}

func when(at *time.Time) string {
	switch {
	case at == nil:
		return "-"
	case at.IsZero():
		return "never"
	case at.Equal(now):
		return "now"
	}
	return strings.TrimSuffix(strings.TrimSuffix(at.Sub(now).String(), "0s"), "0m")
}

// shownQuestions are questions in words.
func shownQuestions(questions []decide.Question) string {
	var all []string
	for _, q := range questions {
		about := letter(annotate.Of(q.Digest))
		switch q.Kind {
		case decide.MayRollOut:
			if about = "gates of " + about; q.Live != "" {
				about += " beside " + letter(annotate.Of(q.Live))
			}
		case decide.WhyNotReady:
			about = "why"
		case decide.WhatRuns:
			about = "pods"
		case decide.SameImage:
			var ids []string
			for _, id := range q.IDs() {
				ids = append(ids, letterOfID(id))
			}
			about += " same as " + strings.Join(ids, ",")
		case decide.StillServed:
			about += " served"
		}
		all = append(all, about)
	}
	return "asks " + strings.Join(all, ", ")
}

// row is a row of a table: given this, that is decided or asked for, and the message has what follows ": ".
type row struct {
	name string
	in   decide.Input
	want string
}

func run(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			want, says, _ := strings.Cut(r.want, ": ")
			if questions := decide.Questions(r.in); len(questions) > 0 {
				assert.Equal(t, want, shownQuestions(questions))
				return
			}
			got := decide.Decide(r.in)
			assert.Equal(t, want, shown(r.in, got))
			assert.Contains(t, message(got), says)
			if got.Row != 3 && got.Row != 11 && got.Row != 12 {
				r.in.Answers = maps.Clone(r.in.Answers)
				maps.DeleteFunc(r.in.Answers, func(q decide.Question, _ decide.Answer) bool { return q.Kind == decide.MayRollOut })
				assert.Empty(t, decide.Questions(r.in), "the gates are not asked in vain")
				assert.Equal(t, got, decide.Decide(r.in))
			}
		})
	}
}

// conclusion is a row of a table of what is decided after a wait. It begins with a question mark where the pods are asked why
// they are not ready, and with the digests that the registry is asked for then.
type conclusion struct {
	name string
	in   decide.Input
	wait decide.Wait
	want string
}

// conclude answers what is asked, unless the row has: a container crashes, and the registry has all digests.
func conclude(t *testing.T, conclusions []conclusion) {
	t.Helper()
	for _, c := range conclusions {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			want, says, _ := strings.Cut(c.want, ": ")
			asked, of := "", ""
			for range 2 { // the pods, and then the registry
				for _, question := range decide.ConclusionQuestions(c.in, c.wait) {
					answer := decide.Answer{Yes: true}
					if question == whyNotReady {
						answer.Pods = crashing
					} else {
						of += letter(annotate.Of(question.Digest))
					}
					answered(question, answer)(&c.in)
					asked = "?" + of + " "
				}
			}
			assert.Empty(t, decide.ConclusionQuestions(c.in, c.wait))
			got := decide.Conclude(c.in, c.wait)
			assert.Equal(t, want, asked+shown(c.in, got))
			assert.Contains(t, message(got), says)
			for _, digest := range got.Set {
				_, asked := c.in.Answers[decide.Question{Kind: decide.StillServed, Digest: digest}]
				assert.True(t, asked || digest == c.wait.Digest, "what is restored has been asked for (I61)")
			}
		})
	}
}

func message(d decide.Decision) string {
	if d.Failure != nil {
		return d.Message + d.Failure.Error()
	}
	return d.Message
}
