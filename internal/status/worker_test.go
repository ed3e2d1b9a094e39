package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/workload"
)

// now is a Saturday, twelve minutes past.
var now = time.Date(2026, 3, 28, 12, 12, 0, 0, time.UTC)

func TestTheThirdLastTimeIsAsKubernetesReadsTheSchedule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schedule, zone, want string }{
		{"*/15 * * * *", "", "2026-03-28T11:30:00Z"},
		{"12 * * * *", "", "2026-03-28T10:12:00Z"}, // this minute's counts
		{"@daily", "", "2026-03-26T00:00:00Z"},
		{"0 22 * * 1-5", "Europe/Berlin", "2026-03-25T21:00:00Z"},
		{"0 22 * * 1-5", "Asia/Kolkata", "2026-03-25T16:30:00Z"},
		{"0 0 1 1 *", "", "2024-01-01T00:00:00Z"},
		{"0 0 30 2 *", "", ""}, // never
		{"every hour", "", ""},
		{"0 * * * *", "Europe/Nowhere", ""},
	} {
		got, err := thirdLast(c.schedule, c.zone, now)
		if c.want == "" {
			require.Error(t, err, c.schedule)
			continue
		}
		require.NoError(t, err, c.schedule)
		assert.Equal(t, c.want, got.UTC().Format(time.RFC3339), c)
	}
}

// A CronJob that has just been created is late for nothing, unless it is suspended.
func TestWhetherTicksRun(t *testing.T) {
	t.Parallel()
	recent, old := now.Add(-20*time.Minute), now.Add(-2*time.Hour)
	for name, c := range map[string]struct {
		schedule workload.Schedule
		state    WorkerState
		overdue  bool
		says     string
	}{
		"awake":                 {workload.Schedule{LastRun: recent, LastSuccess: recent, Created: old}, WorkerOK, false, ""},
		"new":                   {workload.Schedule{Created: recent}, WorkerOK, false, ""},
		"new, and failed":       {workload.Schedule{Created: recent, LastRun: recent}, WorkerFailing, true, "none has succeeded ever since it was created"},
		"never begun":           {workload.Schedule{Created: old}, WorkerLate, true, "none has begun in the last three times"},
		"late":                  {workload.Schedule{LastRun: old, LastSuccess: old, Created: recent}, WorkerLate, true, "since 2026-03-28T10:12:00Z"},
		"failing":               {workload.Schedule{LastRun: recent, LastSuccess: old}, WorkerFailing, true, "ticks run, and none has succeeded since 2026"},
		"suspended":             {workload.Schedule{Suspended: true, LastRun: recent, LastSuccess: recent}, WorkerSuspended, false, "it is suspended"},
		"suspended for long":    {workload.Schedule{Suspended: true, LastRun: old, LastSuccess: old}, WorkerSuspended, true, "since 2026-03-28T10:12:00Z"},
		"suspended at once":     {workload.Schedule{Suspended: true, Created: recent}, WorkerSuspended, true, "ever since it was created"},
		"an unreadable one":     {workload.Schedule{Schedule: "often", LastRun: recent, LastSuccess: old}, WorkerUnknown, false, "is not known"},
		"in its own time zone":  {workload.Schedule{Schedule: "0 9 * * *", TimeZone: "Asia/Tokyo", LastRun: old, LastSuccess: old}, WorkerOK, false, ""},
		"in a zone without one": {workload.Schedule{TimeZone: "Nowhere/Else", LastRun: old, LastSuccess: old}, WorkerUnknown, false, "is not known"},
	} {
		if c.schedule.Schedule == "" {
			c.schedule.Schedule = "*/15 * * * *"
		}
		got := worker(c.schedule, now)
		assert.Equal(t, c.state, got.State, name)
		assert.Equal(t, c.overdue, got.overdue, name)
		if c.says == "" {
			assert.Empty(t, got.Message, name)
		}
		assert.Contains(t, got.Message.Text, c.says, name)
	}
}
