// Package window knows when new digests may be rolled out: on some days of the week, from one time of the day to another, by
// the clocks of a time zone.
package window

import (
	"slices"
	"time"
)

// Window is a part of the week. A night, which ends on the day after, belongs to the day on which it begins.
type Window struct {
	Days     []time.Weekday // on which it opens
	From, To time.Duration  // since midnight, as clocks show it, in whole minutes; To may be 24 h, and is another time than From
	Zone     *time.Location
}

// Open says whether the window is open at a moment. It goes by what clocks in the zone show: an hour that they show twice is as
// open the second time as the first, and one that they skip is open at no time.
func (w Window) Open(at time.Time) bool {
	local := at.In(w.Zone)
	hour, minute, _ := local.Clock()
	clock := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	today, yesterday := local.Weekday(), (local.Weekday()+6)%7
	if w.From < w.To {
		return slices.Contains(w.Days, today) && w.From <= clock && clock < w.To
	}
	return slices.Contains(w.Days, today) && w.From <= clock || slices.Contains(w.Days, yesterday) && clock < w.To
}

// Opens is when the window opens next: the first whole minute after a moment at which it is open, in its zone.
func (w Window) Opens(after time.Time) time.Time {
	at := after.Truncate(time.Minute).Add(time.Minute)
	for !w.Open(at) { // two weeks at most: a window of one hour may fall into one that is skipped
		at = at.Add(time.Minute)
	}
	return at.In(w.Zone)
}
