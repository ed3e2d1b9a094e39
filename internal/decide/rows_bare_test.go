package decide_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// bare is a slot that holds a tag alone, and was accepted so; nothing is known of what runs. So many slots, if more than one.
func bare(changes ...func(*decide.Input)) func(*decide.Input) {
	return func(in *decide.Input) {
		live(annotate.Unpinned)(in)
		in.Slots[0].Image = true
		record(annotate.Unpinned, annotate.Unpinned)(in)
		all(changes...)(in)
	}
}

// answered adds an answer to those that there are.
func answered(question decide.Question, answer decide.Answer) func(*decide.Input) {
	return func(in *decide.Input) { in.Answers = in.Answers.With(question, answer) }
}

// podsRun says that the pods run these images.
func podsRun(ids ...image.ID) func(*decide.Input) {
	return answered(decide.Question{Kind: decide.WhatRuns}, decide.Answer{Running: decide.Running{Images: ids}})
}

// sameImage answers whether what runs is latest.
func sameImage(answer decide.Answer, ids string) func(*decide.Input) {
	return func(in *decide.Input) {
		answered(decide.Question{Kind: decide.SameImage, Digest: in.Latest.Digest, Images: ids}, answer)(in)
	}
}

func stillServed(digest image.Digest, yes bool) func(*decide.Input) {
	return answered(decide.Question{Kind: decide.StillServed, Digest: digest}, decide.Answer{Yes: yes})
}

// runsA is how it is where all pods run A, and the registry says so.
func runsA(in *decide.Input) {
	podsRun(image.IDOf(digestA))(in)
	sameImage(decide.Answer{}, "@"+string(digestA))(in)
	stillServed(digestA, true)(in)
}

var (
	runsB       = podsRun(image.IDOf(digestB))
	configB     = image.ID(digestD) // of a configuration
	runsConfigB = all(podsRun(configB), sameImage(decide.Answer{Yes: true}, string(configB)))
	notRead     = answered(decide.Question{Kind: decide.WhatRuns}, decide.Answer{Running: decide.Running{Failure: &failure.Error{Cause: failure.API, Message: "500"}}})
)

func pinAtOnce(in *decide.Input) { in.Policy.PinAtOnce = true }

func runsNoted(latest, digest image.Digest, ids ...image.ID) func(*annotate.Record) {
	return state(func(s *annotate.State) { s.Runs = &annotate.Runs{Images: ids, Latest: latest, Digest: digest} })
}

func recordedIs(content annotate.Content) func(*annotate.Record) {
	return func(r *annotate.Record) { r.Recorded = content }
}

// noRuns forgets what was noted of what runs, as a patch does.
func noRuns(r *annotate.Record) { r.State.Runs = nil }

// Slots that hold a tag alone, by what their pods run.
func TestRowsOfABareTag(t *testing.T) {
	t.Parallel()
	noRecord := func(in *decide.Input) { in.Record = annotate.Record{} }
	two := func(in *decide.Input) {
		in.Slots = slotsOf(annotate.Unpinned, annotate.Unpinned)
		in.Slots[0].Image, in.Slots[1].Image = true, true
	}
	named := func(in *decide.Input) { in.Policy.Platforms = true }
	young := func(in *decide.Input) { in.Policy.MinAge = time.Hour }
	seenB := state(func(s *annotate.State) { s.Seen = &annotate.Seen{Digest: digestB, Since: now, Deferred: now} })
	oneA := []image.ID{image.IDOf(digestA)}
	pinned := want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, record: put(digestB, annotate.None)}
	fromA := func(w want) want { // in place of A, which is recorded
		w.record = both(put(digestB, a), recordedIs(a))
		return w
	}
	run(t, []row{
		{"4 adopted, and what runs is latest", input(bare(noRecord, runsB)), want{row: 4, outcome: decide.Adopted, says: "all pods run sha256:bbbb",
			record: both(marked(annotate.Unpinned), recordedIs(b))}},
		{"4 adopted, and what runs is the configuration of latest, I70", input(bare(noRecord, runsConfigB)), want{row: 4, outcome: decide.Adopted,
			record: both(marked(annotate.Unpinned), recordedIs(b), runsNoted(digestB, digestB, configB))}},
		{"4 adopted, and what runs is older, I6 I68", input(bare(noRecord, runsA)), want{row: 4, outcome: decide.Adopted,
			record: both(marked(annotate.Unpinned), recordedIs(a), stood(b), runsNoted(digestB, digestA, oneA...))}},
		{"4 adopted, and nothing runs", input(bare(noRecord, podsRun())), want{row: 4, outcome: decide.Adopted, record: both(marked(annotate.Unpinned), stood(b))}},
		{"4 adopted, and pods differ", input(bare(noRecord, podsRun(image.IDOf(digestA), image.IDOf(digestB)), sameImage(decide.Answer{}, "@"+string(digestA)+" @"+string(digestB)))),
			want{row: 4, outcome: decide.Adopted, record: both(marked(annotate.Unpinned), stood(b), runsNoted(digestB, "", image.IDOf(digestA), image.IDOf(digestB)))}},
		{"4 adopted, and a pod does not say", input(bare(noRecord, podsRun("", image.IDOf(digestB)))), want{row: 4, outcome: decide.Adopted, record: both(marked(annotate.Unpinned), stood(b))}},
		{"4 adopted, and pods were not read", input(bare(noRecord, notRead)), want{row: 4, outcome: decide.Adopted, record: both(marked(annotate.Unpinned), stood(b))}},
		{"4 adopted, and latest is unknown", input(bare(noRecord, unknown)), want{row: 4, outcome: decide.Adopted, record: marked(annotate.Unpinned)}},
		{"4 adopted, and the registry does not say", input(bare(noRecord, podsRun(configB), sameImage(decide.Answer{Failure: &failure.Error{}}, string(configB)))),
			want{row: 4, outcome: decide.Adopted, record: both(marked(annotate.Unpinned), stood(b))}},
		{"4 adopted, and what runs is gone", input(bare(noRecord, runsA, stillServed(digestA, false))), want{row: 4, outcome: decide.Adopted,
			record: both(marked(annotate.Unpinned), stood(b), runsNoted(digestB, "", oneA...))}},

		{"8 runs latest already, Q20", input(bare(runsB)), want{row: 8, outcome: decide.Unchanged, says: "already", record: recordedIs(b)}},
		{"8 and nothing is written", input(bare(runsB, record(annotate.Unpinned, b))), want{row: 8, outcome: decide.Unchanged}},
		{"8 two containers", input(bare(two, runsB)), want{row: 8, outcome: decide.Unchanged, record: recordedIs(b)}},
		{"8 an upgrade brought the tag back, and it runs latest", input(bare(runsB, record(b, b), deployer("helm"))), want{row: 8, outcome: decide.Unchanged, record: marked2(annotate.Unpinned, b)}},
		{"8 pods could not be read, I16", input(bare(notRead)), want{row: 8, outcome: decide.Failed, cause: failure.API, record: stood(b)}},

		{"12 runs an older one, I26", input(bare(runsA)), fromA(pinned)},
		{"12 pods differ, I26", input(bare(podsRun(image.IDOf(digestA), image.IDOf(digestB)), sameImage(decide.Answer{}, "@"+string(digestA)+" @"+string(digestB)))), pinned},
		{"12 nothing runs", input(bare(podsRun())), pinned},
		{"12 pods may not be read", input(bare(answered(decide.Question{Kind: decide.WhatRuns}, decide.Answer{Running: decide.Running{Unreadable: true}}))), pinned},
		{"12 the tag has moved on from what runs", input(bare(record(annotate.Unpinned, a), runsA)), fromA(pinned)},
		{"12 pinAtOnce", input(bare(pinAtOnce, runsB)), want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, record: both(put(digestB, annotate.None), recordedIs(b))}},
		{"12 platforms, I67", input(bare(named, runsB)), want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, record: both(put(digestB, annotate.None), recordedIs(b))}},
		{"12 an upgrade brought the tag back, and it runs an older one", input(bare(runsA, record(b, b), deployer("helm"))),
			want{row: 12, outcome: decide.Reapplied, set: digestB, wait: true, record: again(digestB, annotate.None, 1)}},
		{"12 what was noted goes with the patch", input(bare(runsA, record(annotate.Unpinned, a), func(in *decide.Input) { runsNoted(digestB, digestA, oneA...)(&in.Record) })),
			want{row: 12, outcome: decide.Refreshed, set: digestB, wait: true, record: both(put(digestB, a), noRuns)}},

		{"11 refused: what runs is pinned, I67", input(bare(runsA), gateSaysNoWith), want{row: 11, outcome: decide.Refreshed, set: digestA, wait: true, gated: true,
			record: both(put(digestA, annotate.None), recordedIs(a))}},
		{"11 refused, and pods run it: pinned all the same, Q12", input(bare(named, runsB), gateSaysNoWith), want{row: 11, outcome: decide.Refreshed, set: digestB, wait: true, gated: true,
			record: both(put(digestB, annotate.None), recordedIs(b))}},
		{"11 refused, and it is not known what runs", input(bare(podsRun()), gateSaysNoWith), want{row: 11, outcome: decide.Skipped, cause: failure.PlatformMissing, gated: true, record: stood(b)}},
		{"11 refused, notify", input(bare(runsA, notify), gateSaysNoWith), want{row: 11, outcome: decide.Skipped, cause: failure.PlatformMissing, gated: true,
			record: both(recordedIs(a), stood(b), runsNoted(digestB, digestA, oneA...))}},
		{"11 nothing could be found out: nothing is pinned", input(bare(runsA), answered(decide.Question{Kind: decide.MayRollOut, Digest: digestB}, decide.Answer{Failure: &failure.Error{Cause: failure.Timeout, Message: "x"}})),
			want{row: 11, outcome: decide.Skipped, cause: failure.Timeout, gated: true, record: both(recordedIs(a), stood(b), runsNoted(digestB, digestA, oneA...))}},
		{"11 too young: what runs is pinned, and its age goes on", input(bare(young, runsA)), want{row: 11, outcome: decide.Refreshed, set: digestA, wait: true,
			record: both(put(digestA, annotate.None), recordedIs(a), seenB)}},
		{"11 refused, and an upgrade brought the tag back", input(bare(named, runsB, record(a, a), deployer("helm")), gateSaysNoWith), want{row: 11, outcome: decide.Reapplied, set: digestA, wait: true, gated: true,
			record: again(digestA, annotate.None, 1)}},

		{"10 not settled: nobody is asked", input(bare(unsettled)), want{row: 10, outcome: decide.Waiting, skip: decide.SkipCount, record: stood(b)}},
		{"9 rejected by a person: nobody is asked", input(bare(rejected(b, annotate.ByPerson))), want{row: 9, outcome: decide.Held, record: stood(b)}},
		{"6 a person pins another one on a bare tag, Q9", input(bare(live(c), record(annotate.Unpinned, b), person("kubectl-set"))),
			want{row: 6, outcome: decide.Held, events: []decide.Reason{decide.RefreshHeld}, record: func(r *annotate.Record) {
				marked(c)(r)
				r.State.Rejected = []annotate.Rejection{{Digest: b, By: annotate.ByPerson, Why: "kubectl-set", At: now}}
			}}},
	})
}

// gateSaysNoWith is gateSaysNo beside other answers.
func gateSaysNoWith(in *decide.Input) {
	answered(decide.Question{Kind: decide.MayRollOut, Digest: in.Latest.Digest}, decide.Answer{Failure: &failure.Error{Cause: failure.PlatformMissing, Message: "linux/arm64"}})(in)
}

func marked2(mark, recorded annotate.Content) func(*annotate.Record) {
	return func(r *annotate.Record) { r.Mark, r.Recorded = mark, recorded }
}

// What runs is asked of the pods, and of the registry only where the pods do not say it plainly, and it is not remembered.
func TestQuestionsOfABareTag(t *testing.T) {
	t.Parallel()
	pods := []decide.Question{{Kind: decide.WhatRuns}}
	ids := "@" + string(digestA)
	same := []decide.Question{{Kind: decide.SameImage, Digest: digestB, Images: ids}}
	noted := func(latest, digest image.Digest) func(*decide.Input) {
		return func(in *decide.Input) { runsNoted(latest, digest, image.IDOf(digestA))(&in.Record) }
	}
	runs := podsRun(image.IDOf(digestA))
	notSame := sameImage(decide.Answer{}, ids)
	for name, c := range map[string]struct {
		in   decide.Input
		want []decide.Question
	}{
		"the pods first":                        {input(bare()), pods},
		"at a first observation too":            {input(bare(func(in *decide.Input) { in.Record = annotate.Record{} })), pods},
		"they run latest":                       {input(bare(runsB)), nil},
		"they run something":                    {input(bare(runs)), same},
		"which is not latest":                   {input(bare(runs, notSame)), []decide.Question{{Kind: decide.StillServed, Digest: digestA}}},
		"and is recorded":                       {input(bare(runs, notSame, record(annotate.Unpinned, a))), nil},
		"all of it is remembered":               {input(bare(runs, noted(digestB, digestA))), nil},
		"it was of another tag":                 {input(bare(runs, noted(digestC, digestA))), same},
		"and what runs is the same as then":     {input(bare(runs, notSame, noted(digestC, digestD))), nil},
		"they run several":                      {input(bare(podsRun(image.IDOf(digestA), image.IDOf(digestC)), sameImage(decide.Answer{}, ids+" @"+string(digestC)))), nil},
		"they run more than nodes are of kinds": {input(bare(podsRun("1", "2", "3", "4", "5", "6", "7", "8", "9"))), nil},
		"a variable does not say it":            {input(bare(func(in *decide.Input) { in.Slots[0].Image = false })), nil},
		"nor one that holds a digest":           {input(bare(live(a))), nil},
		"not settled":                           {input(bare(unsettled)), nil},
		"latest is unknown":                     {input(bare(unknown)), nil},
		"rejected":                              {input(bare(rejected(b, annotate.ByFailure))), nil},
		"held":                                  {input(bare(held)), nil},
	} {
		assert.Equal(t, c.want, decide.Questions(c.in), name)
	}
	assert.Equal(t, []image.ID{"@" + image.ID(digestA), image.ID(digestB)}, decide.Question{Images: ids + " " + string(digestB)}.IDs())
}

// Every combination of what a bare tag's fate depends on: nothing is asked twice, and a few things never happen.
func TestEveryCombinationOfABareTag(t *testing.T) {
	t.Parallel()
	contents := func(set func(annotate.Content) func(*decide.Input)) dimension {
		return dimension{set(annotate.None), set(annotate.Unpinned), set(a), set(b)}
	}
	n := 0
	each(input(bare()), []dimension{
		contents(setMark), contents(setRecorded),
		{nothing, attempt(annotate.Attempt{Digest: digestA, Failed: 2}), attempt(annotate.Attempt{Digest: digestB})},
		{nothing, unknown},
		{nothing, runsA, runsB, runsConfigB, podsRun(), podsRun(""), notRead},
		{nothing, deployer("helm"), person("kubectl-set")},
		{nothing, unsettled, awaitsDelete, noReplica},
		{nothing, rejected(b, annotate.ByFailure), rejected(b, annotate.ByPerson), rejected(a, annotate.ByFailure)},
		{nothing, gateSaysNoWith},
		{nothing, notify, pinAtOnce, func(in *decide.Input) { in.Policy.MinAge = time.Hour }},
		{func(in *decide.Input) { in.Began = in.Record }},
	}, func(in decide.Input) {
		if n++; n%sample != 0 || in.Record.Torn() {
			return
		}
		d := decide.Decide(in)
		if questions := decide.Questions(in); len(questions) > 0 {
			for _, question := range questions {
				if _, asked := in.Answers[question]; asked || d.Outcome != "" || d.Set != nil {
					t.Fatalf("nobody is asked twice, and nothing is decided before: %+v\n%+v", questions, in)
				}
			}
			return
		}
		if broken := violatesBare(in, d); broken != "" {
			t.Fatalf("%s:\n%+v\nis decided as\n%+v", broken, in, d)
		}
	})
	t.Logf("%d combinations", n)
}

func violatesBare(in decide.Input, d decide.Decision) string {
	after := d.Record
	running := in.Answers[decide.Question{Kind: decide.WhatRuns}].Running
	runs := annotate.Unpinned
	switch {
	case len(running.Images) != 1:
	case running.Images[0] == image.IDOf(digestA):
		runs = a
	case running.Images[0] == image.IDOf(digestB), running.Images[0] == configB:
		runs = b
	}
	_, isRejected := in.Record.State.Rejection(b)
	free := !in.Policy.PinAtOnce && in.Policy.MinAge == 0
	var set annotate.Content
	if d.Rolls() {
		set = annotate.Of(d.Set[0])
	}
	firstSeen, handed := in.Record.Mark == annotate.None || d.Row == recordsRow, d.Row == 6 || in.Slots[0].Person != ""
	switch {
	case d.Outcome == "" || d.Failure == nil && d.Outcome.NeedsAttention():
		return "there is an outcome, and a failure has a cause"
	case d.Outcome == decide.Unchanged && (!free || isRejected || runs != b || !in.Facts.Rollout.Settled || after.Mark != annotate.Unpinned || after.Recorded != b):
		return "unchanged runs latest, and is marked and recorded so"
	case d.Rolls() && in.Policy.Notify:
		return "notify sets nothing"
	case d.Rolls() && free && !isRejected && runs == b && in.Facts.Rollout.Settled && !handed && d.Gated == nil:
		return "nothing is restarted for what runs already"
	case d.Rolls() && set != b && (set != after.Recorded || d.Gated == nil && !isRejected && in.Policy.MinAge == 0):
		return "what is put there is latest, or recorded where latest is kept out"
	case d.Rolls() && set == b && isRejected:
		return "what is rejected is not put there"
	case d.Rolls() && set == b && d.Gated != nil && after.Recorded != b:
		return "what a gate refuses is not put there, unless it runs"
	case d.Rolls() && running.Failure != nil && in.Facts.Rollout.Settled && !isRejected && !handed:
		return "nothing is put there where pods could not be read (I16)"
	case after.Recorded != in.Record.Recorded && after.Recorded != annotate.Unpinned && (after.Recorded != runs || !in.Facts.Rollout.Settled && !firstSeen) && !handed:
		return "what all pods run is recorded, once that has settled"
	case after.Mark != annotate.None && after.Torn():
		return "what we write never looks like an undo"
	case d.Rolls() && after.State.Runs != nil:
		return "what ran is forgotten with the patch"
	case d.Outcome == decide.Unchanged && in.Record.Mark == annotate.Unpinned && in.Record.Recorded == b && in.Record.State.Attempt == nil &&
		len(in.Record.State.Rejected) == 0 && running.Images[0] != configB && !reflect.DeepEqual(after, in.Record):
		return "an unchanged tick writes nothing"
	}
	return ""
}
