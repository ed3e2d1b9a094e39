package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/tracebloc/image-refresh/internal/window"
)

// leastWindow is the shortest window: several ticks of any sensible schedule find it open.
const leastWindow = time.Hour

const day = 24 * time.Hour

func weekdays() []string { return []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"} }

// window is a window of the file; nil where it has none.
func (v *validator) window(path string, entry *windowEntry) *window.Window {
	if entry == nil {
		return nil
	}
	w := &window.Window{From: v.clock(path+".from", entry.From), To: v.clock(path+".to", entry.To)}
	for i, text := range entry.Days {
		day := slices.Index(weekdays(), text)
		if day < 0 {
			v.add(fmt.Sprintf("%s.days[%d]", path, i), "%s, must be Mon, Tue, Wed, Thu, Fri, Sat or Sun", is(text))
		}
		w.Days = append(w.Days, time.Weekday(day))
	}
	for day := time.Sunday; len(entry.Days) == 0 && day <= time.Saturday; day++ {
		w.Days = append(w.Days, day)
	}
	if length := (w.To - w.From + day) % day; w.From >= 0 && w.To >= 0 && length < leastWindow && w.To-w.From != day {
		v.add(path, "is %s to %s, must be an hour or longer; 00:00 to 24:00 is a whole day", entry.From, entry.To)
	}
	zone, err := time.LoadLocation(entry.TimeZone)
	if err != nil || entry.TimeZone == "Local" {
		v.add(path+".timeZone", "%s, must be a time zone of the IANA database, as in Europe/Berlin; left out, it is UTC", is(entry.TimeZone))
	}
	w.Zone = zone
	return w
}

// clock is a time of the day, from 00:00 to 24:00; negative where it is none.
func (v *validator) clock(path, text string) time.Duration {
	at, err := time.Parse("15:04", text)
	if len(text) != len("15:04") || err != nil && text != "24:00" {
		v.add(path, "%s, must be a time of the day in quotes, as in \"22:00\"", is(text))
		return -1
	}
	if err != nil {
		return day
	}
	return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
}
