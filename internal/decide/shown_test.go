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
//	put=B               B goes into every slot; it is the mark, attempted, waited for, and what held and served is noted
//	back=A              after a wait: A goes back into every slot, and is the mark and recorded
//	wait=B              what is waited for, where nothing is put
//	counted, settled    the ticks in a row in which the workload was not settled: one more, or over
//	gated, rewound      a gate said no; an undo has rewound the annotations
//	heeds=skip          a person's label, which is to be removed; approvable=B is what one may approve
//	event=RefreshHeld   an Event on the workload
//	accepted=A          A becomes the mark, and recorded
//	rejected=B:failure! B is rejected because pods crashed; without the mark, no pod spoke against it
//	left=A, attempt=-   what else changes in the record, by name; - is nothing
func shown(t *testing.T, in decide.Input, d decide.Decision) string {
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
		assert.Len(t, d.Set, len(in.Slots))
		var restored []decide.Slot
		var each []string
		for _, digest := range d.Set {
			restored = append(restored, decide.Slot{Live: annotate.Of(digest), Left: digest == ""})
			each = append(each, letter(annotate.Of(digest)))
		}
		set = decide.Together(restored)
		say(true, "%s=%s", map[bool]string{true: "put", false: "back"}[d.Row > 0], strings.Join(slices.Compact(each), ","))
		if before.Mark = set; d.Row == 0 {
			before.Recorded = set
		}
	}
	if after.Mark != in.Record.Mark || d.Rolls() { // a mark is for the slots that there are when it is written
		before.Slots = annotate.SlotsName(slices.Sorted(maps.Keys(heldBy(in.Slots))))
	}
	say(d.Wait != "" && !set.Is(d.Wait) || d.Wait == "" && d.Row > 0 && d.Rolls(), "wait=%s", letter(annotate.Of(d.Wait)))
	say(d.Skip == decide.SkipCount, "counted")
	say(d.Skip == decide.SkipClear, "settled")
	say(d.Gated != nil, "gated")
	say(d.Rewound, "rewound")
	say(d.Approved, "heeds=approve")
	say(d.Skipped, "heeds=skip")
	say(d.Approvable != "", "approvable=%s", letter(annotate.Of(d.Approvable)))
	var events []string
	for _, event := range d.Events {
		events = append(events, string(event.Reason))
		assert.NotEmpty(t, event.Note)
	}
	say(len(events) > 0, "event=%s", strings.Join(events, ","))
	if after.Mark == after.Recorded && after.Mark != before.Mark && after.Recorded != before.Recorded {
		say(true, "accepted=%s", letter(after.Mark))
		before.Mark, before.Recorded = after.Mark, after.Recorded
	}
	words = append(words, changed(reflect.ValueOf(before), reflect.ValueOf(after), "State")...)
	was, is := before.State.Attempt, after.State.Attempt
	switch {
	case is != nil && d.Rolls() && d.Row > 0 && set.Is(is.Digest):
		filled := slices.DeleteFunc(slices.Clone(in.Slots), func(s decide.Slot) bool { return s.Left })
		rollout := in.Facts.Rollout
		was = &annotate.Attempt{Digest: is.Digest, Held: heldBy(filled), Served: rollout.Available, Wanted: rollout.Desired}
	case is != nil && (was == nil || was.Digest != is.Digest):
		was = &annotate.Attempt{}
	}
	if is == nil {
		say(was != nil, "attempt=-")
	} else {
		words = append(words, changed(reflect.ValueOf(*was), reflect.ValueOf(*is))...)
	}
	words = append(words, changed(reflect.ValueOf(before.State), reflect.ValueOf(after.State), "Attempt", "Rejected")...)
	for _, rejection := range before.State.Rejected {
		say(!slices.Contains(after.State.Rejected, rejection), "unrejected=%s", letter(rejection.Digest))
	}
	var rejections []string
	for _, rejection := range after.State.Rejected {
		if slices.Contains(before.State.Rejected, rejection) {
			continue
		}
		assert.Equal(t, now, rejection.At)
		why, _, _ := strings.Cut(rejection.Why, ", the label ")
		assert.Equal(t, map[annotate.Rejecter]string{byFailure: "crash", byPerson: "kubectl"}[rejection.By], why)
		evidence := map[bool]string{true: "!"}[rejection.Evidence]
		rejections = append(rejections, letter(rejection.Digest)+":"+string(rejection.By)+evidence)
	}
	say(len(rejections) > 0, "rejected=%s", strings.Join(rejections, ","))
	return strings.Join(words, " ")
}

// changed are the fields that differ, by their names, but for some.
func changed(before, after reflect.Value, but ...string) (words []string) {
	for i := range before.NumField() {
		name, was, is := before.Type().Field(i).Name, before.Field(i).Interface(), after.Field(i).Interface()
		if !slices.Contains(but, name) && !reflect.DeepEqual(was, is) {
			word := strings.ToLower(name[:1]) + name[1:] + "=" + value(is)
			word = strings.NewReplacer("digest=", "attempt=", "reappliedAt=", "at=").Replace(word)
			words = append(words, strings.TrimSuffix(word, "=true"))
		}
	}
	return words
}

// value is a field's, with digests as letters and times as they are from now.
func value(of any) string {
	switch v := of.(type) {
	case annotate.Content:
		return letter(v)
	case image.Digest:
		return letter(annotate.Of(v))
	case *time.Time:
		if v != nil {
			return when(*v)
		}
	case *annotate.Seen:
		if v != nil {
			return letter(annotate.Of(v.Digest)) + ":" + when(v.Since) + ":" + when(v.Deferred)
		}
	case *annotate.Refusal:
		if v != nil {
			return letter(annotate.Of(v.Digest)) + strings.TrimPrefix(":"+v.Why, ":linux/arm64")
		}
	case *annotate.Runs:
		if v != nil {
			return letters(v.Images) + " run " + letter(annotate.Of(v.Digest)) + " of " + letter(annotate.Of(v.Latest))
		}
	case map[string]annotate.Content:
		var held []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			held = append(held, letter(v[key]))
		}
		return strings.Join(held, ",")
	default:
		return fmt.Sprint(v)
	}
	return "-"
}

// letter is A to D for the digests of the tables.
func letter(content annotate.Content) string {
	switch content {
	case none:
		return "-"
	case tag:
		return "tag"
	}
	at := slices.IndexFunc([]annotate.Content{a, b, c, d}, content.Same)
	if at < 0 {
		return string(content)
	}
	return string("ABCD"[at])
}

func letters(ids []image.ID) string {
	var all []string
	for _, id := range ids {
		all = append(all, letter(annotate.Content(strings.TrimPrefix(string(id), "@"))))
	}
	return strings.Join(all, ",")
}

func when(at time.Time) string {
	switch {
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
		case decide.IsSigned:
			about += " signed"
		case decide.WhyNotReady:
			about = "why"
		case decide.WhatRuns:
			about = "pods"
		case decide.SameImage:
			about += " same as " + letters(q.IDs())
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
			assert.Equal(t, want, shown(t, r.in, got))
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
			assert.Equal(t, want, asked+shown(t, c.in, got))
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
