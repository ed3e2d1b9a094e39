package annotate

import (
	"fmt"
	"strconv"
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
