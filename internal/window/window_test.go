package window

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var everyDay = []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday, time.Sunday}

func TestOpen(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	nights := Window{Days: []time.Weekday{time.Monday, time.Thursday}, From: 22 * hour, To: 5 * hour}
	morning := Window{Days: everyDay, From: 2*hour + 30*time.Minute, To: 4 * hour}
	skipped := Window{Days: everyDay, From: 2 * hour, To: 3 * hour}
	for _, c := range []struct {
		name   string
		window Window
		zone   string
		at     string // by UTC
		opens  string // next, in the zone; empty: it is open
	}{
		{"a minute too early", nights, "UTC", "2026-11-30T21:59:59Z", "Mon 30 Nov 22:00"},
		{"on the minute", nights, "UTC", "2026-11-30T22:00:00Z", ""},
		{"after midnight, of the day on which it began", nights, "UTC", "2026-12-01T04:59:59Z", ""},
		{"its end", nights, "UTC", "2026-12-01T05:00:00Z", "Thu 03 Dec 22:00"},
		{"the morning of its day belongs to the night before", nights, "UTC", "2026-11-30T03:00:00Z", "Mon 30 Nov 22:00"},
		{"a zone to the east", nights, "Asia/Kolkata", "2026-11-30T16:30:00Z", ""},
		{"a zone to the west", nights, "America/New_York", "2026-12-01T02:59:00Z", "Mon 30 Nov 22:00"},
		{"to midnight", Window{Days: []time.Weekday{time.Sunday}, From: 0, To: 24 * hour}, "UTC", "2026-11-29T23:59:59Z", ""},
		{"after midnight", Window{Days: []time.Weekday{time.Sunday}, From: 0, To: 24 * hour}, "UTC", "2026-11-30T00:00:00Z", "Sun 06 Dec 00:00"},
		// Clocks in Berlin go from 02:00 to 03:00 on 28 March 2027 at 01:00 UTC, and from 03:00 to 02:00 on 25 October 2026 at the same.
		{"before the hour that is skipped", morning, "Europe/Berlin", "2027-03-28T00:59:00Z", "Sun 28 Mar 03:00"},
		{"after it", morning, "Europe/Berlin", "2027-03-28T01:00:00Z", ""},
		{"it ends by the clock", morning, "Europe/Berlin", "2027-03-28T02:00:00Z", "Mon 29 Mar 02:30"},
		{"the window is skipped as a whole", skipped, "Europe/Berlin", "2027-03-28T00:30:00Z", "Mon 29 Mar 02:00"},
		{"the hour that comes twice", morning, "Europe/Berlin", "2026-10-25T00:30:00Z", ""},
		{"between the two", morning, "Europe/Berlin", "2026-10-25T01:15:00Z", "Sun 25 Oct 02:30"},
		{"for the second time", morning, "Europe/Berlin", "2026-10-25T01:30:00Z", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			zone, err := time.LoadLocation(c.zone)
			require.NoError(t, err)
			c.window.Zone = zone
			at, err := time.Parse(time.RFC3339, c.at)
			require.NoError(t, err)
			assert.Equal(t, c.opens == "", c.window.Open(at))
			if c.opens != "" {
				assert.Equal(t, c.opens, c.window.Opens(at).Format("Mon 02 Jan 15:04"))
			}
		})
	}
}
