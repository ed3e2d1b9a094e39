package decide_test

import (
	"testing"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// bare is a slot that holds a tag alone, and was accepted so; nothing is known of what runs. So many slots, if more than one.
func bare(changes ...func(*decide.Input)) func(*decide.Input) {
	return func(in *decide.Input) {
		live(tag)(in)
		in.Slots[0].Image = true
		record(tag, tag)(in)
		all(changes...)(in)
	}
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

// runsA is how it is where all pods run A, and the registry says so.
func runsA(in *decide.Input) {
	podsRun(image.IDOf(digestA))(in)
	sameImage(decide.Answer{}, "@"+string(digestA))(in)
	isServed(a, true)(in)
}

var (
	runsB       = podsRun(image.IDOf(digestB))
	configB     = image.ID(digestD) // of a configuration
	runsConfigB = all(podsRun(configB), sameImage(decide.Answer{Yes: true}, string(configB)))
	runsAB      = all(podsRun(image.IDOf(digestA), image.IDOf(digestB)), sameImage(decide.Answer{}, "@"+string(digestA+" @"+digestB)))
	runsUnknown = all(podsRun(configB), sameImage(decide.Answer{Failure: &failure.Error{}}, string(configB)))
	notRead     = answered(decide.Question{Kind: decide.WhatRuns}, decide.Answer{Running: decide.Running{Failure: failing}})
)

func pinAtOnce(in *decide.Input) { in.Policy.PinAtOnce = true }

// Slots that hold a tag alone, by what their pods run.
func TestRowsOfABareTag(t *testing.T) {
	t.Parallel()
	two := func(in *decide.Input) {
		live(tag, tag)(in)
		in.Slots[0].Image, in.Slots[1].Image = true, true
	}
	unreadable := answered(decide.Question{Kind: decide.WhatRuns}, decide.Answer{Running: decide.Running{Unreadable: true}})
	gate := decide.Question{Kind: decide.MayRollOut, Digest: digestB}
	gateTimesOut := answered(gate, decide.Answer{Failure: &failure.Error{Cause: failure.Timeout}})
	runs, notSame := podsRun(image.IDOf(digestA)), sameImage(decide.Answer{}, "@"+string(digestA))
	platforms := func(in *decide.Input) { in.Policy.Platforms = true }
	noted := func(latest, digest image.Digest) func(*decide.Input) {
		return func(in *decide.Input) {
			in.Record.State.Runs = &annotate.Runs{Images: []image.ID{image.IDOf(digestA)}, Latest: latest, Digest: digest}
		}
	}
	run(t, []row{
		{"adopted, and what runs is latest", input(bare(noRecord, runsB)), "4 adopted mark=tag recorded=B: all pods run sha256:bbbb"},
		{"adopted, and what runs is the configuration of latest, I70", input(bare(noRecord, runsConfigB)),
			"4 adopted mark=tag recorded=B runs=D run B of B"},
		{"adopted, and what runs is older, I6 I68", input(bare(noRecord, runsA)),
			"4 adopted mark=tag recorded=A stood=B runs=A run A of B"},
		{"adopted, and nothing runs", input(bare(noRecord, podsRun())), "4 adopted accepted=tag stood=B"},
		{"adopted, and pods differ", input(bare(noRecord, runsAB)), "4 adopted accepted=tag stood=B runs=A,B run - of B"},
		{"adopted, and a pod does not say", input(bare(noRecord, podsRun("", image.IDOf(digestB)))), "4 adopted accepted=tag stood=B"},
		{"adopted, and pods were not read", input(bare(noRecord, notRead)), "4 adopted accepted=tag stood=B"},
		{"adopted, and latest is unknown", input(bare(noRecord, unknown)), "4 adopted accepted=tag"},
		{"adopted, and the registry does not say", input(bare(noRecord, runsUnknown)), "4 adopted accepted=tag stood=B"},
		{"adopted, and what runs is gone", input(bare(noRecord, runsA, isServed(a, false))),
			"4 adopted accepted=tag stood=B runs=A run - of B"},

		{"runs latest already, Q20", input(bare(runsB)), "8 unchanged recorded=B: already"},
		{"and nothing is written", input(bare(runsB, record(tag, b))), "8 unchanged"},
		{"two containers", input(bare(two, runsB)), "8 unchanged recorded=B"},
		{"an upgrade brought the tag back, and it runs latest", input(bare(runsB, record(b, b), helm)), "8 unchanged mark=tag"},
		{"pods could not be read, I16", input(bare(notRead)), "8 failed/proxy stood=B"},

		{"runs an older one, I26", input(bare(runsA)), "12 refreshed put=B recorded=A left=A"},
		{"pods differ, I26", input(bare(runsAB)), "12 refreshed put=B"},
		{"nothing runs", input(bare(podsRun())), "12 refreshed put=B"},
		{"pods may not be read", input(bare(unreadable)), "12 refreshed put=B"},
		{"the tag has moved on from what runs", input(bare(record(tag, a), runsA)), "12 refreshed put=B left=A"},
		{"pinAtOnce", input(bare(pinAtOnce, runsB)), "12 refreshed put=B recorded=B"},
		{"platforms, I67", input(bare(platforms, runsB)), "12 refreshed put=B recorded=B"},
		{"an upgrade brought the tag back, and it runs an older one", input(bare(runsA, record(b, b), helm)),
			"12 reapplied put=B again reapplied=1 at=now"},
		{"what was noted goes with the patch", input(bare(runsA, record(tag, a), noted(digestB, digestA))),
			"12 refreshed put=B left=A runs=-"},

		{"refused: what runs is pinned, I67", input(bare(runsA), gateSaysNo), "11 refreshed put=A gated recorded=A refused=B"},
		{"refused, and pods run it: pinned all the same, Q12", input(bare(platforms, runsB), gateSaysNo),
			"11 refreshed put=B gated recorded=B refused=B"},
		{"refused, and it is not known what runs", input(bare(podsRun()), gateSaysNo),
			"11 skipped/platform-missing gated stood=B refused=B"},
		{"refused, notify", input(bare(runsA, notify), gateSaysNo),
			"11 skipped/platform-missing gated recorded=A stood=B runs=A run A of B refused=B"},
		{"nothing could be found out: nothing is pinned", input(bare(runsA), gateTimesOut),
			"11 skipped/timeout gated recorded=A stood=B runs=A run A of B"},
		{"too young: what runs is pinned, and its age goes on", input(bare(young, runsA)),
			"11 refreshed put=A recorded=A seen=B:now:now"},
		{"refused, and an upgrade brought the tag back", input(bare(platforms, runsB, record(a, a), helm), gateSaysNo),
			"11 reapplied put=A gated again reapplied=1 at=now refused=B"},

		{"the pods are asked first", input(bare()), "asks pods"},
		{"at a first observation too", input(bare(noRecord)), "asks pods"},
		{"they run something", input(bare(runs)), "asks B same as A"},
		{"which is not latest", input(bare(runs, notSame)), "asks A served"},
		{"and is recorded", input(bare(runs, notSame, record(tag, a))), "12 refreshed put=B left=A"},
		{"all of it is remembered", input(bare(runs, noted(digestB, digestA))), "12 refreshed put=B recorded=A left=A runs=-"},
		{"it was of another tag", input(bare(runs, noted(digestC, digestA))), "asks B same as A"},
		{"and what runs is the same as then", input(bare(runs, notSame, noted(digestC, digestD))),
			"12 refreshed put=B recorded=D left=D runs=-"},
		{"they run more than nodes are of kinds", input(bare(podsRun("1", "2", "3", "4", "5", "6", "7", "8", "9"))), "12 refreshed put=B"},
		{"a variable does not say it", input(bare(func(in *decide.Input) { in.Slots[0].Image = false })), "12 refreshed put=B"},
		{"not settled: nobody is asked", input(bare(unsettled)), "10 waiting counted stood=B"},
		{"rejected by a person: nobody is asked", input(bare(thrownOutB)), "9 held"},
		{"a person pins another one on a bare tag, Q9", input(bare(live(c), record(tag, b), person)),
			"6 held event=RefreshHeld accepted=C rejected=B:person"},
	})
}
