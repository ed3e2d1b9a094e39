package annotate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/image"
)

func digest(letter string) image.Digest {
	return image.Digest("sha256:" + strings.Repeat(letter, 64))
}

var digestA, digestB = digest("a"), digest("b")

var build = image.Build{Version: "1.4.2", Revision: "9f3c2ab", Created: "2026-11-20T10:00:00Z"}

func full() annotate.State {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	return annotate.State{
		Attempt: &annotate.Attempt{
			Digest: digestA, Failed: 2, Again: true, Reverted: true, Alone: true, Served: 3, Wanted: 4, Fresh: 2, Unblock: true,
			Build: build, Held: map[string]annotate.Content{"api": annotate.Of(digestB), "init": annotate.Unpinned, "api/X": annotate.None},
		},
		Owners:   map[string][]string{"api/X": {"helm"}, "init": nil},
		Rejected: []annotate.Rejection{{Digest: annotate.Of(digestB), By: annotate.ByPerson, Why: "kubectl-set", At: at, Evidence: true}},
		Left:     annotate.Of(digest("c")), Stood: annotate.Of(digest("d")),
		Runs:      &annotate.Runs{Images: []image.ID{image.IDOf(digest("e")), image.ID(digest("f"))}, Latest: digestA, Digest: digest("e")},
		Reapplied: 2, ReappliedAt: &at, Contested: true, Overwritten: true, UnblockFailed: digestA, Passed: digestB,
		LeftBuild: build, PassedBuild: build,
		Refused: &annotate.Refusal{Digest: digestB, Why: "no arm64"}, Seen: &annotate.Seen{Digest: digestA, Since: at, Deferred: at}, TurnSince: &at,
		Told: &annotate.Told{Event: at},
	}
}

func TestAStateIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	for _, state := range []annotate.State{{}, full()} {
		again, err := annotate.ParseState(state.String())
		require.NoError(t, err)
		assert.Equal(t, state, again)
	}
	assert.Empty(t, annotate.State{}.String())
}

func FuzzParseState(f *testing.F) {
	f.Add(full().String())
	f.Add(`{"version":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		state, err := annotate.ParseState(text)
		if err != nil {
			return
		}
		again, err := annotate.ParseState(state.String())
		require.NoError(t, err)
		assert.Equal(t, state.String(), again.String())
	})
}

func TestAStateThatIsGarbageIsRefused(t *testing.T) {
	t.Parallel()
	attempt := `{"version":1,"attempt":{"digest":"` + string(digestA) + `",`
	for _, text := range []string{
		"{", "[]", "{}", `{"version":2}`, `{"version":1,"attempt":{"digest":"hunter2"}}`, attempt + `"failed":-1}}`, attempt + `"held":{"api":"hunter2"}}}`,
		`{"version":1,"seen":{"digest":""}}`, `{"version":1,"left":"hunter2"}`, `{"version":1,"reapplied":-1}`, `{"version":1,"passed":"hunter2"}`,
		`{"version":1,"refused":{"digest":"hunter2"}}`, `{"version":1,"unblockFailed":"hunter2"}`,
		`{"version":1,"rejected":[{"digest":"hunter2","by":"person"}]}`, `{"version":1,"rejected":[{"digest":"unpinned"}]}`,
		`{"version":1,"runs":{"latest":"` + string(digestA) + `","digest":"hunter2"}}`, `{"version":1,"runs":{}}`,
	} {
		_, err := annotate.ParseState(text)
		require.Error(t, err, text)
		assert.NotContains(t, err.Error(), "hunter2", text)
	}
}

// A state of a newer release is not absent, whatever else it holds.
func TestAStateOfANewerRelease(t *testing.T) {
	t.Parallel()
	const newer = `{"version":9,"attempt":[]}`
	for want, annotations := range map[string]map[string]string{
		"":                     {"p/t-refresh-state": `{"version":1}`, "other": newer, "q/t-refresh-state": newer, "p/x": newer, "p/u-refresh-state": "]"},
		"p/t-refresh-state":    {"p/t-refresh-state": newer},
		"p/gone-refresh-state": {"p/gone-refresh-state": newer},
		"p/a-refresh-state":    {"p/b-refresh-state": newer, "p/a-refresh-state": newer},
	} {
		key, version := keys.NewerState(annotations)
		assert.Equal(t, want, key)
		assert.Equal(t, want != "", version == 9)
	}
	_, warnings := keys.Read("t", nil, map[string]string{"p/t-refresh-state": newer})
	assert.Empty(t, warnings, "it does not read as absent")
}

// Each ReplicaSet copies the annotation.
func TestAStateIsBounded(t *testing.T) {
	t.Parallel()
	var state annotate.State
	for i := range 5 {
		state = state.Reject(annotate.Rejection{Digest: annotate.Of(digest(fmt.Sprint(i))), By: annotate.ByFailure, Why: strings.Repeat("x", 3000)})
	}
	text := state.String()
	assert.LessOrEqual(t, len(text), 8<<10)
	cut, err := annotate.ParseState(text)
	require.NoError(t, err)
	require.Len(t, cut.Rejected, 5, "no rejection is forgotten")
	for i, rejection := range cut.Rejected {
		assert.Equal(t, i < 3, rejection.Why == "…", "the oldest reasons go first")
		assert.Len(t, state.Rejected[i].Why, 3000, "the receiver is left alone")
	}
	assert.Equal(t, text, cut.String())
}

func TestTheLastFiveRejectionsAreKept(t *testing.T) {
	t.Parallel()
	var state annotate.State
	for i := range 7 {
		state = state.Reject(annotate.Rejection{Digest: annotate.Of(digest(fmt.Sprint(i))), By: annotate.ByFailure})
	}
	rejects := func(state annotate.State, content annotate.Content) annotate.Rejecter {
		found, _ := state.Rejection(content)
		return found.By
	}
	byMark := annotate.Content(annotate.Mark(digest("6")))
	assert.Len(t, state.Rejected, 5)
	assert.Empty(t, rejects(state, annotate.Of(digest("1"))))
	assert.Equal(t, annotate.ByFailure, rejects(state, byMark), "a rejection is found by the mark alone")
	assert.Len(t, state.Unreject(byMark).Rejected, 4)
	assert.Len(t, state.Rejected, 5, "Unreject leaves its receiver alone")
	assert.Equal(t, state, state.Reject(annotate.Rejection{Digest: annotate.Unpinned, By: annotate.ByPerson}))
	again := state.Reject(annotate.Rejection{Digest: byMark, By: annotate.ByPerson})
	assert.Len(t, again.Rejected, 5)
	assert.Equal(t, annotate.ByPerson, rejects(again, annotate.Of(digest("6"))))
}
