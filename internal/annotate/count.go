package annotate

import (
	"fmt"
	"strconv"
	"time"
)

// ParseCount reads a counter. Empty is 0; anything but a whole number from 0 up is an error, which does not
// repeat the text.
func ParseCount(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	count, err := strconv.Atoi(text)
	if err != nil || count < 0 {
		return 0, fmt.Errorf("a counter is a whole number from 0 up, not these %d characters", len(text))
	}
	return count, nil
}

// FormatCount prints a counter; 0 is no annotation at all.
func FormatCount(count int) string {
	if count == 0 {
		return ""
	}
	return strconv.Itoa(count)
}

// ParseTime reads a moment (RFC 3339). Empty is the zero time; anything else is an error, which does not repeat the text.
func ParseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("a moment is as in 2006-01-02T15:04:05Z (RFC 3339), not these %d characters", len(text))
	}
	return at.UTC(), nil
}

// FormatTime prints a moment in whole seconds of UTC; the zero time is no annotation at all.
func FormatTime(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}
