package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/image"
)

var (
	buildA = image.Build{Version: "1.4.1", Revision: "9f3c2ab01234"}
	buildB = image.Build{Version: "1.4.2", Revision: "a1b2c3d01234", Created: "2026-01-02T01:00:00Z"}
)

// gatesTell has the gates tell which build B is.
func gatesTell(build image.Build) func(*decide.Input) {
	return func(in *decide.Input) {
		in.Answers = decide.Answers{{Kind: decide.MayRollOut, Digest: digestB}: {Build: build}}
	}
}

// recordedAs is which build is recorded.
func recordedAs(build image.Build) func(*decide.Input) {
	return func(in *decide.Input) { in.Record.Build = build }
}

// What replaces what is named by its build, where that is known, beside the digest; and what is recorded is remembered with it.
func TestBuildsAreNamedAndRemembered(t *testing.T) {
	t.Parallel()
	const toB = "1.4.2 (a1b2c3d, built 2 Jan 01:00 UTC)"
	passed := func(in *decide.Input) { in.Record.State.Passed, in.Record.State.PassedBuild = digestB, buildB }
	left := func(in *decide.Input) { in.Record.State.Left, in.Record.State.LeftBuild = b, buildB }
	attempt := func(in *decide.Input) {
		in.Record = annotate.Record{Mark: b, Recorded: a, Build: buildA, State: annotate.State{
			Attempt: &annotate.Attempt{Digest: digestB, Build: buildB}, Left: a, LeftBuild: buildA,
		}}
		in.Slots = slotsOf(b)
		in.Answers = nil
	}
	unpinned := func(in *decide.Input) {
		in.Slots, in.Record.Mark, in.Record.Recorded = slotsOf(tag), tag, tag
	}
	signedByX := func(in *decide.Input) {
		in.Policy.Verify = true
		in.Answers = in.Answers.With(decide.Question{Kind: decide.IsSigned, Digest: digestB}, decide.Answer{Signer: "K"})
	}
	again := func(in *decide.Input) {
		in.Record = annotate.Record{Mark: b, Recorded: b, Build: buildB}
		in.Answers = nil
	}
	for name, c := range map[string]struct {
		in       decide.Input
		message  string
		recorded image.Build // what is remembered of recorded
		known    image.Build // and of B
	}{
		"both":              {input(gatesTell(buildB), recordedAs(buildA)), ": from 1.4.1 (9f3c2ab) to " + toB, buildA, buildB},
		"the new one":       {input(gatesTell(buildB)), ": from sha256:aaaaaaaaaaaa to " + toB, image.Build{}, buildB},
		"the old one":       {input(recordedAs(buildA)), ": from 1.4.1 (9f3c2ab) to sha256:bbbbbbbbbbbb", buildA, image.Build{}},
		"when it was built": {input(gatesTell(image.Build{Created: buildB.Created})), " to sha256:bbbbbbbbbbbb (built 2 Jan 01:00 UTC)", image.Build{}, image.Build{Created: buildB.Created}},
		"neither":           {input(gatesTell(image.Build{}), recordedAs(image.Build{Created: buildB.Created})), "sha256:bbbbbbbbbbbb replaces sha256:aaaaaaaaaaaa", image.Build{Created: buildB.Created}, image.Build{}},
		"a tag":             {input(gatesTell(buildB), unpinned), "sha256:bbbbbbbbbbbb replaces the tag: " + toB, image.Build{}, buildB},
		"a tag, of which it is known what runs": {input(gatesTell(buildB), recordedAs(buildA), func(in *decide.Input) { in.Slots, in.Record.Mark = slotsOf(tag), tag }),
			"sha256:bbbbbbbbbbbb replaces the tag: from 1.4.1 (9f3c2ab) to " + toB, buildA, buildB},
		"signed":                                 {input(gatesTell(buildB), signedByX), "is signed by the key K: from sha256:aaaaaaaaaaaa to " + toB, image.Build{}, buildB},
		"put back":                               {input(again, helm), "replaces sha256:aaaaaaaaaaaa: from sha256:aaaaaaaaaaaa to " + toB, buildB, buildB},
		"moved back":                             {input(left, recordedAs(buildA)), "to which the tag has moved back: from 1.4.1 (9f3c2ab) to " + toB, buildA, buildB},
		"pending":                                {input(notify, gatesTell(buildB), recordedAs(buildA)), ": from 1.4.1 (9f3c2ab) to " + toB, buildA, buildB},
		"still pending":                          {input(notify, passed, unasked), ": from sha256:aaaaaaaaaaaa to " + toB, image.Build{}, buildB},
		"a deployer put there what nobody knows": {input(live(b), helm, recordedAs(buildA), unasked), "", image.Build{}, image.Build{}},
		"a dead tick put it there":               {input(attempt), "", buildB, buildB},
		"a person went back to what was left before": {input(left, live(b), person, latest(a), unasked), "", buildB, buildB},
	} {
		d := decide.Decide(c.in)
		assert.Contains(t, d.Message, c.message, name)
		assert.Equal(t, c.recorded, d.Record.Build, name)
		assert.Equal(t, c.known, d.Record.BuildOf(b), name)
	}
	for name, c := range map[string]struct {
		in   decide.Input
		says string
	}{
		"rolled out": {input(attempt, settled), "sha256:bbbbbbbbbbbb is rolled out: from 1.4.1 (9f3c2ab) to " + toB},
		"rolled out again": {input(attempt, settled, func(in *decide.Input) { in.Record.Recorded, in.Record.Build = b, buildB }),
			"sha256:bbbbbbbbbbbb is rolled out: " + toB},
		"a year later": {input(attempt, settled, func(in *decide.Input) { in.Now = now.Add(366 * 24 * time.Hour) }),
			"is rolled out: from 1.4.1 (9f3c2ab) to 1.4.2 (a1b2c3d, built 2 Jan 2026 01:00 UTC)"},
	} {
		d := decide.Conclude(c.in, forB)
		assert.Contains(t, d.Message, c.says, name)
		assert.Contains(t, d.Events[0].Note, c.says, name)
		assert.Equal(t, buildB, d.Record.Build, name)
		assert.Equal(t, d.Message, "sha256:bbbbbbbbbbbb is rolled out: "+d.Ended(decide.Rollout{}, digestB).Builds, name)
	}
	crashes := input(attempt, setRollout(decide.Rollout{}), podsSay(crashing))
	assert.Contains(t, decide.Conclude(crashes, forB).Failure.Message, "the rollout of sha256:bbbbbbbbbbbb, 1.4.2 (a1b2c3d), failed, attempt 1/3")
	hangs := input(attempt, setRollout(decide.Rollout{}), podsSay(decide.PodProblems{Reasons: []string{"full"}}))
	assert.Contains(t, decide.Conclude(hangs, forB).Failure.Message, "the rollout of sha256:bbbbbbbbbbbb, 1.4.2 (a1b2c3d), is not settled (full)")
	thrownOut := input(attempt, failedB, live(a), unasked)
	assert.Contains(t, decide.Decide(thrownOut).Failure.Message, "sha256:bbbbbbbbbbbb, 1.4.2 (a1b2c3d), was rejected at ")
	back := input(attempt, settled, func(in *decide.Input) { in.Record.State.Attempt.Back = true })
	assert.Contains(t, decide.Conclude(back, forB).Events[0].Note, "is rolled out: the tag has moved back to it, from 1.4.1 (9f3c2ab) to "+toB)
}
