package annotate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/image"
)

var keys = annotate.NewKeys("p")

// What no write of ours leaves: an undo has rewound the annotations, or somebody has written or removed one of them.
func TestI44ARecordIsTornWhereItsPartsDisagree(t *testing.T) {
	t.Parallel()
	attempt := annotate.State{Attempt: &annotate.Attempt{Digest: digestB, Failed: 1}}
	a, b := annotate.Content(annotate.Mark(digestA)), annotate.Content(annotate.Mark(digestB))
	ofA, unpinned := annotate.Of(digestA), annotate.Unpinned
	for name, c := range map[string]struct {
		label string
		want  annotate.Record
		torn  bool
	}{
		"first":                     {"", annotate.Record{Recorded: ofA, State: attempt}, false},
		"recorded":                  {string(a), annotate.Record{Mark: a, Recorded: ofA, State: attempt}, false},
		"attempted":                 {string(b), annotate.Record{Mark: b, Recorded: ofA, State: attempt}, false},
		"undone":                    {string(b), annotate.Record{Mark: b, Recorded: ofA}, true},
		"before our day":            {string(b), annotate.Record{Mark: b}, true},
		"unpinned":                  {"unpinned", annotate.Record{Mark: unpinned, Recorded: unpinned}, false},
		"unpinned, known by pods":   {"unpinned", annotate.Record{Mark: unpinned, Recorded: ofA}, false},
		"with the slots' name":      {string(a) + ".0123abcd", annotate.Record{Mark: a, Slots: "0123abcd", Recorded: ofA}, false},
		"undone, with their name":   {string(b) + ".0123abcd", annotate.Record{Mark: b, Slots: "0123abcd", Recorded: ofA}, true},
		"unpinned, with their name": {"unpinned.0123abcd", annotate.Record{Mark: unpinned, Slots: "0123abcd", Recorded: unpinned}, false},
	} {
		got, warnings := keys.Read("t", map[string]string{"p/t-digest": c.label},
			map[string]string{"p/last-refreshed-t-digest": string(c.want.Recorded), "p/t-refresh-state": c.want.State.String()})
		assert.Empty(t, warnings, name)
		assert.Equal(t, c.want, got, name)
		assert.Equal(t, c.torn, got.Torn(), name)
		assert.Equal(t, c.label, got.Label(), name)
	}
}

// What is recorded is remembered with its build, and so is whatever else is remembered of a digest; a build of no digest is none.
func TestWhichBuildIsRemembered(t *testing.T) {
	t.Parallel()
	text := annotate.FormatBuild(build)
	assert.JSONEq(t, `{"version":"1.4.2","revision":"9f3c2ab","created":"2026-11-20T10:00:00Z"}`, text)
	assert.Empty(t, annotate.FormatBuild(image.Build{}))
	for recorded, want := range map[annotate.Content]image.Build{annotate.Of(digestA): build, annotate.Unpinned: {}, annotate.None: {}} {
		record, warnings := keys.Read("t", nil, map[string]string{"p/last-refreshed-t-digest": string(recorded), "p/last-refreshed-t-build": text})
		assert.Empty(t, warnings)
		assert.Equal(t, annotate.Record{Recorded: recorded, Build: want}, record)
		assert.Equal(t, want, record.BuildOf(recorded))
	}
	left, passed := image.Build{Version: "left"}, image.Build{Version: "passed"}
	record := annotate.Record{Recorded: annotate.Of(digestA), State: annotate.State{
		Attempt: &annotate.Attempt{Digest: digestB, Build: build}, Left: annotate.Of(digest("c")), LeftBuild: left, Passed: digest("d"), PassedBuild: passed,
	}}
	for of, want := range map[annotate.Content]image.Build{
		annotate.Of(digestA): {}, annotate.Content(annotate.Mark(digestB)): build, annotate.Of(digest("c")): left, annotate.Of(digest("d")): passed, annotate.None: {},
	} {
		assert.Equal(t, want, record.BuildOf(of), of)
	}
}

// Anybody can name slots the same way: printf 'api/X\nweb' | sha256sum | cut -c 1-8.
func TestSlotsName(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "3ef96b9c", annotate.SlotsName([]string{"web", "api/X"}))
	assert.Equal(t, "3ef96b9c", annotate.SlotsName([]string{"api/X", "web"}), "in whatever order")
	assert.NotEqual(t, annotate.SlotsName([]string{"api", "web"}), annotate.SlotsName([]string{"apiweb"}))
}

// What does not parse reads as absent, and is warned of without its text.
func TestGarbageIsReadAsAbsent(t *testing.T) {
	t.Parallel()
	a := annotate.Mark(digestA)
	for _, mark := range []string{"zz", a + ".", a + ".0123abc", a + ".0123ABCD", a + ".0123abcd.0123abcd", ".0123abcd", a[1:] + ".0123abcd"} {
		annotations := map[string]string{"p/last-refreshed-t-digest": "zz", "p/t-refresh-state": "]"}
		record, warnings := keys.Read("t", map[string]string{"p/t-digest": mark}, annotations)
		assert.Equal(t, annotate.Record{}, record, mark)
		assert.Len(t, warnings, 3, mark)
	}
	_, warnings := keys.Read("t", nil, map[string]string{"p/last-refreshed-t-digest": string(digestA), "p/last-refreshed-t-build": "hunter2"})
	require.Len(t, warnings, 1)
	assert.NotContains(t, warnings[0].Error(), "hunter2")
	counters, warnings := keys.ReadCounters("t", map[string]string{
		"p/t-refresh-consecutive-failures": "2x", "p/t-refresh-last-error": "e", "p/t-refresh-failing-since": "2x",
	})
	assert.Equal(t, annotate.TargetCounters{LastError: "e"}, counters)
	require.Len(t, warnings, 2)
	assert.NotContains(t, warnings[0].Error()+warnings[1].Error(), "2x")
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

func TestMoments(t *testing.T) {
	t.Parallel()
	at, err := annotate.ParseTime("2026-01-02T05:04:05+02:00")
	require.NoError(t, err)
	assert.Equal(t, "2026-01-02T03:04:05Z", annotate.FormatTime(at))
	assert.Empty(t, annotate.FormatTime(time.Time{}))
}

func TestContents(t *testing.T) {
	t.Parallel()
	byMark := annotate.Content(annotate.Mark(digestA))
	for content, want := range map[annotate.Content][2]string{
		annotate.Of(digestA): {string(digestA), "sha256:aaaaaaaaaaaa"}, byMark: {"", "sha256:aaaaaaaaaaaa"},
		annotate.None: {"", "empty"}, annotate.Unpinned: {"", "the tag"},
	} {
		assert.Equal(t, want, [2]string{string(content.Digest()), content.Short()})
		assert.Equal(t, content.Short() == "sha256:aaaaaaaaaaaa", content.Is(digestA))
		assert.False(t, content.Is(""))
	}
	assert.True(t, annotate.Of(digestA).Same(byMark))
}
