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

func digest(c string) image.Digest { return image.Digest("sha256:" + strings.Repeat(c, 64)) }

func full() annotate.State {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	return annotate.State{
		Attempt: &annotate.Attempt{Digest: digest("a"), Failed: 2, Again: true, Reverted: true, Alone: true, Served: 3, Wanted: 4, Fresh: 2, Unblock: true,
			Held: map[string]annotate.Content{"api": annotate.Of(digest("e")), "init": annotate.Unpinned, "api/X": annotate.None}},
		Owners:      map[string][]string{"api/X": {"helm"}, "init": nil},
		Rejected:    []annotate.Rejection{{Digest: annotate.Of(digest("b")), By: annotate.ByPerson, Why: "kubectl-set", At: at, Evidence: true}},
		Left:        annotate.Of(digest("c")),
		Runs:        &annotate.Runs{Images: []image.ID{image.IDOf(digest("e")), image.ID(digest("f"))}, Latest: digest("a"), Digest: digest("e")},
		Reapplied:   2,
		ReappliedAt: &at,
		Contested:   true,
		Seen:        &annotate.Seen{Digest: digest("d"), Since: at, Deferred: at},
		TurnSince:   &at,
	}
}

func TestKeysAreTheContract(t *testing.T) {
	t.Parallel()
	k := annotate.NewKeys("tracebloc.io")
	assert.Equal(t, "tracebloc.io/ingestor-digest", k.Mark("ingestor"))
	assert.Equal(t, "tracebloc.io/refresh-hold", k.Hold())
	assert.Equal(t, "tracebloc.io/last-refreshed-ingestor-digest", k.Recorded("ingestor"))
	assert.Equal(t, "tracebloc.io/ingestor-refresh-consecutive-failures", k.Failures("ingestor"))
	assert.Equal(t, "tracebloc.io/ingestor-refresh-last-error", k.LastError("ingestor"))
	assert.Equal(t, "tracebloc.io/ingestor-refresh-state", k.State("ingestor"))
	assert.Equal(t, "tracebloc.io/refresh-skip-streak", k.SkipStreak())
}

func TestStateRoundTrip(t *testing.T) {
	t.Parallel()
	for _, state := range []annotate.State{{}, full()} {
		again, err := annotate.ParseState(state.String())
		require.NoError(t, err)
		assert.Equal(t, state, again)
	}
	assert.Empty(t, annotate.State{}.String())
}

func TestStateRefusesGarbage(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no JSON":             "{",
		"another version":     `{"version":2}`,
		"no version":          `{}`,
		"a list":              `[]`,
		"attempt no digest":   `{"version":1,"attempt":{"digest":"sha256:zz"}}`,
		"seen no digest":      `{"version":1,"seen":{"digest":""}}`,
		"rejected no digest":  `{"version":1,"rejected":[{"digest":"x","by":"person"}]}`,
		"rejected by nobody":  `{"version":1,"rejected":[{"digest":"unpinned"}]}`,
		"runs no digest":      `{"version":1,"runs":{"latest":"` + string(digest("a")) + `","digest":"unpinned"}}`,
		"runs of no latest":   `{"version":1,"runs":{}}`,
		"left no digest":      `{"version":1,"left":"zz"}`,
		"negative count":      `{"version":1,"reapplied":-1}`,
		"negative attempts":   `{"version":1,"attempt":{"digest":"` + string(digest("a")) + `","failed":-1}}`,
		"held no digest":      `{"version":1,"attempt":{"digest":"` + string(digest("a")) + `","held":{"api":"zz"}}}`,
		"a secret's contents": `{"version":1,"attempt":{"digest":"hunter2"}}`,
	} {
		_, err := annotate.ParseState(text)
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), "hunter2", name)
	}
}

// A state of a newer release is not absent, whatever else it holds.
func TestAStateOfANewerRelease(t *testing.T) {
	t.Parallel()
	k := annotate.NewKeys("p")
	for name, c := range map[string]struct {
		annotations map[string]string
		key         string
	}{
		"none":                    {map[string]string{"p/t-refresh-state": `{"version":1}`, "other": `{"version":9}`, "q/t-refresh-state": `{"version":9}`, "p/x": `{"version":9}`}, ""},
		"garbage":                 {map[string]string{"p/t-refresh-state": `]`}, ""},
		"newer":                   {map[string]string{"p/t-refresh-state": `{"version":9}`}, "p/t-refresh-state"},
		"of another form":         {map[string]string{"p/t-refresh-state": `{"version":9,"attempt":[]}`}, "p/t-refresh-state"},
		"of a target of old":      {map[string]string{"p/gone-refresh-state": `{"version":9}`}, "p/gone-refresh-state"},
		"two: always one of them": {map[string]string{"p/b-refresh-state": `{"version":9}`, "p/a-refresh-state": `{"version":9}`}, "p/a-refresh-state"},
	} {
		key, version := k.NewerState(c.annotations)
		assert.Equal(t, c.key, key, name)
		assert.Equal(t, c.key != "", version == 9, name)
	}
	_, warnings := k.Read("t", nil, map[string]string{"p/t-refresh-state": `{"version":9}`})
	assert.Empty(t, warnings, "it does not read as absent")
}

// Each ReplicaSet copies the annotation.
func TestAStateIsBounded(t *testing.T) {
	t.Parallel()
	var state annotate.State
	for i := range 5 {
		state = state.Reject(annotate.Rejection{Digest: annotate.Of(digest(fmt.Sprint(i))), By: annotate.ByFailure, Why: strings.Repeat(fmt.Sprint(i), 3000)})
	}
	before := strings.Clone(state.Rejected[0].Why)
	text := state.String()
	assert.LessOrEqual(t, len(text), 8<<10)
	assert.Equal(t, before, state.Rejected[0].Why, "the receiver is left alone")
	cut, err := annotate.ParseState(text)
	require.NoError(t, err)
	require.Len(t, cut.Rejected, 5, "no rejection is forgotten")
	for i, rejection := range cut.Rejected {
		assert.Equal(t, i < 3, rejection.Why == "…", "the oldest reasons go first")
	}
	assert.Equal(t, text, cut.String())
}

func TestRejectKeepsTheLastFive(t *testing.T) {
	t.Parallel()
	var state annotate.State
	for i := range 7 {
		state = state.Reject(annotate.Rejection{Digest: annotate.Of(digest(fmt.Sprint(i))), By: annotate.ByFailure})
	}
	assert.Len(t, state.Rejected, 5)
	_, first := state.Rejection(annotate.Of(digest("1")))
	_, last := state.Rejection(annotate.Of(digest("6")))
	assert.False(t, first)
	assert.True(t, last)
	byMark := annotate.Content(annotate.Mark(digest("6")))
	_, found := state.Rejection(byMark)
	assert.True(t, found, "a rejection is found by the mark alone")
	before := state
	assert.Len(t, state.Unreject(byMark).Rejected, 4)
	assert.Equal(t, before, state, "Unreject leaves its receiver alone")
	assert.Equal(t, state, state.Reject(annotate.Rejection{Digest: annotate.Unpinned, By: annotate.ByPerson}))
	again := state.Reject(annotate.Rejection{Digest: byMark, By: annotate.ByPerson})
	assert.Len(t, again.Rejected, 5)
	got, _ := again.Rejection(annotate.Of(digest("6")))
	assert.Equal(t, annotate.ByPerson, got.By)
}

// What no write of ours leaves: an undo has rewound the annotations, or somebody has written or removed one of them.
func TestTorn_I44(t *testing.T) {
	t.Parallel()
	k := annotate.NewKeys("p")
	a, b := digest("a"), digest("b")
	attempt := annotate.State{Attempt: &annotate.Attempt{Digest: b, Failed: 1}}
	markA, markB := annotate.Content(annotate.Mark(a)), annotate.Content(annotate.Mark(b))
	for name, c := range map[string]struct {
		mark, recorded string
		state          annotate.State
		want           annotate.Record
		torn           bool
	}{
		"first":                     {"", string(a), attempt, annotate.Record{Recorded: annotate.Of(a), State: attempt}, false},
		"recorded":                  {annotate.Mark(a), string(a), attempt, annotate.Record{Mark: markA, Recorded: annotate.Of(a), State: attempt}, false},
		"attempted":                 {annotate.Mark(b), string(a), attempt, annotate.Record{Mark: markB, Recorded: annotate.Of(a), State: attempt}, false},
		"undone":                    {annotate.Mark(b), string(a), annotate.State{}, annotate.Record{Mark: markB, Recorded: annotate.Of(a)}, true},
		"before our day":            {annotate.Mark(b), "", annotate.State{}, annotate.Record{Mark: markB}, true},
		"unpinned":                  {"unpinned", "unpinned", annotate.State{}, annotate.Record{Mark: annotate.Unpinned, Recorded: annotate.Unpinned}, false},
		"unpinned, known by pods":   {"unpinned", string(a), annotate.State{}, annotate.Record{Mark: annotate.Unpinned, Recorded: annotate.Of(a)}, false},
		"with the slots' name":      {annotate.Mark(a) + ".0123abcd", string(a), annotate.State{}, annotate.Record{Mark: markA, Slots: "0123abcd", Recorded: annotate.Of(a)}, false},
		"undone, with their name":   {annotate.Mark(b) + ".0123abcd", string(a), annotate.State{}, annotate.Record{Mark: markB, Slots: "0123abcd", Recorded: annotate.Of(a)}, true},
		"unpinned, with their name": {"unpinned.0123abcd", "unpinned", annotate.State{}, annotate.Record{Mark: annotate.Unpinned, Slots: "0123abcd", Recorded: annotate.Unpinned}, false},
	} {
		got, warnings := k.Read("t",
			map[string]string{"p/t-digest": c.mark},
			map[string]string{"p/last-refreshed-t-digest": c.recorded, "p/t-refresh-state": c.state.String()})
		assert.Empty(t, warnings, name)
		assert.Equal(t, c.want, got, name)
		assert.Equal(t, c.torn, got.Torn(), name)
		assert.Equal(t, c.mark, got.Label(), name)
	}
}

// Anybody can name slots the same way: printf 'api/X\nweb' | sha256sum | cut -c 1-8.
func TestSlotsName(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "3ef96b9c", annotate.SlotsName([]string{"web", "api/X"}))
	assert.Equal(t, annotate.SlotsName([]string{"api/X", "web"}), annotate.SlotsName([]string{"web", "api/X"}), "in whatever order")
	assert.NotEqual(t, annotate.SlotsName([]string{"api", "web"}), annotate.SlotsName([]string{"apiweb"}))
}

func TestReadRefusesMarks(t *testing.T) {
	t.Parallel()
	k := annotate.NewKeys("p")
	whole := annotate.Mark(digest("a"))
	for _, text := range []string{whole + ".", whole + ".0123abc", whole + ".0123ABCD", whole + ".0123abcd.0123abcd", ".0123abcd", whole[1:] + ".0123abcd"} {
		record, warnings := k.Read("t", map[string]string{"p/t-digest": text}, nil)
		assert.Equal(t, annotate.Record{}, record, text)
		assert.Len(t, warnings, 1, text)
	}
}

func TestReadWarnsOfGarbage(t *testing.T) {
	t.Parallel()
	k := annotate.NewKeys("p")
	record, warnings := k.Read("t", map[string]string{"p/t-digest": "zz"},
		map[string]string{"p/last-refreshed-t-digest": "sha256:zz", "p/t-refresh-state": "]"})
	assert.Equal(t, annotate.Record{}, record)
	assert.Len(t, warnings, 3)
	shared, warnings := k.ReadCounters("t", map[string]string{"p/t-refresh-consecutive-failures": "2x", "p/t-refresh-last-error": "e"})
	assert.Equal(t, annotate.TargetCounters{LastError: "e"}, shared)
	require.Len(t, warnings, 1)
	assert.NotContains(t, warnings[0].Error(), "2x")
}

func TestCounts(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 8, 1000} {
		got, err := annotate.ParseCount(annotate.FormatCount(n))
		require.NoError(t, err)
		assert.Equal(t, n, got)
	}
	for _, bad := range []string{"-1", "x", "1.5", "99999999999999999999", " 1"} {
		_, err := annotate.ParseCount(bad)
		require.Error(t, err, bad)
	}
	assert.Empty(t, annotate.FormatCount(0))
}

func TestContents(t *testing.T) {
	t.Parallel()
	a := digest("a")
	assert.True(t, annotate.Of(a).Same(annotate.Content(annotate.Mark(a))))
	assert.True(t, annotate.Content(annotate.Mark(a)).Is(a))
	assert.False(t, annotate.None.Is(""))
	assert.Empty(t, annotate.Unpinned.Digest())
	assert.Empty(t, annotate.Content(annotate.Mark(a)).Digest())
	assert.Equal(t, a, annotate.Of(a).Digest())
	assert.False(t, annotate.Unpinned.Is(a))
	assert.Equal(t, "sha256:aaaaaaaaaaaa", annotate.Content(annotate.Mark(a)).Short())
	assert.Equal(t, "sha256:aaaaaaaaaaaa", annotate.Of(a).Short())
	assert.Equal(t, "empty", annotate.None.Short())
	assert.Equal(t, "unpinned", annotate.Unpinned.Short())
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
