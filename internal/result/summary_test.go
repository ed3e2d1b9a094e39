package result

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

func TestTheSummarySaysWhoNeedsYou(t *testing.T) {
	t.Parallel()
	of := func(cause failure.Cause, failures int, outcomes ...decide.Outcome) Target {
		target := Target{Name: "a", Cause: cause, Failures: failures, Threshold: 3}
		for _, outcome := range outcomes {
			target.Workloads = append(target.Workloads, Workload{Outcome: outcome})
		}
		return target
	}
	failed := of(failure.Proxy, 3, decide.Failed, decide.Failed, decide.Held)
	failed.Workloads[0].Cause, failed.Workloads[1].Cause = failure.Proxy, failure.Proxy
	good := of(failure.None, 0, decide.Unchanged, decide.Adopted, decide.Refreshed, decide.Reapplied)
	for _, c := range []struct {
		code    int
		targets []Target
		want    string
	}{
		{0, []Target{good}, "exit 0: 0 of 4 need you; 4 fine"},
		{0, []Target{good, of(failure.DNS, 2, decide.Skipped, decide.Unchanged)}, "exit 0: 0 of 6 need you; 5 fine, 1 skipped"},
		{1, []Target{good, failed, of(failure.None, 0, decide.Rejected)}, "exit 1: 3 of 8 need you (2 proxy, 1 rejected); 4 fine, 1 held"},
		{1, []Target{of(failure.Stale, 0, decide.Held, decide.Unchanged)}, "exit 1: 2 of 2 need you (2 stale); 0 fine"},
		{1, []Target{of(failure.DNS, 3, decide.Waiting, decide.Held)}, "exit 1: 1 of 2 need you (1 dns); 0 fine, 1 held"},
		{1, []Target{of(failure.None, 0, decide.Waiting)}, "exit 1: 0 of 1 need you (interrupted); 0 fine, 1 waiting"},
		{3, []Target{of(failure.None, 0, decide.Pending)}, "exit 3: 0 of 1 need you; 0 fine, 1 pending"},
		{1, nil, "exit 1: nothing could be done"},
		{2, nil, "exit 2: the configuration is invalid; nothing was read or written"},
	} {
		assert.Equal(t, c.want, Report{ExitCode: c.code, Targets: c.targets}.Summary())
	}
}

// The kubelet keeps 4096 bytes, and would cut a character in two. The most important lines stand there whole, and what is left
// out is counted.
func TestTerminationFitsWhatTheKubeletKeeps(t *testing.T) {
	t.Parallel()
	assert.Equal(t, mixed().Summary()+"\n"+strings.Join(mixed().Lines(), "\n")+"\n", mixed().Termination())
	head := Report{}.Summary() + "\n"
	for _, character := range []string{"x", "ä", "€", "🦭"} {
		for over := -4; over <= 8; over++ {
			text := strings.Repeat(character, 900)
			text = strings.Repeat("y", 4096-len(head)-1+over-len(text)) + text
			kept := Report{}.TerminationOf([]string{text})
			assert.True(t, utf8.ValidString(kept))
			assert.LessOrEqual(t, len(kept), 4096)
			assert.Equal(t, over > 0, strings.HasSuffix(kept, character+"…\n"))
			assert.Greater(t, len(kept), min(4096, 4096+over)-len("…")-len(character), "as much as fits is kept")
		}
	}
	var lines []string
	for len(lines) < 200 {
		lines = append(lines, fmt.Sprintf("%03d ", len(lines))+strings.Repeat("z", len(lines)*7%83))
		kept := Report{}.TerminationOf(lines)
		require.LessOrEqual(t, len(kept), 4096)
		shown := strings.Split(strings.TrimSuffix(strings.TrimPrefix(kept, head), "\n"), "\n")
		if last := len(shown) - 1; strings.HasPrefix(shown[last], "and ") {
			require.Equal(t, fmt.Sprintf("and %d more", len(lines)-last), shown[last])
			shown = shown[:last]
		} else {
			require.Len(t, lines, len(shown))
		}
		require.Equal(t, lines[:len(shown)], shown)
	}
}
