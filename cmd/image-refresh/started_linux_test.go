package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestStartOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	stat := func(name, started string) string {
		return "42 (" + name + ") S 1 " + strings.Repeat("0 ", 17) + started + " 1000000 200"
	}
	for text, want := range map[string]time.Duration{
		stat("image-refresh", "99800"):     1990 * time.Millisecond, // rounded up: never too early
		stat(") a (name) of its", "99800"): 1990 * time.Millisecond,
		stat("image-refresh", "100000"):    0,
		stat("image-refresh", "98999"):     10 * time.Second,
		stat("image-refresh", "98998"):     0, // it was something else before
		stat("image-refresh", "x"):         0,
		stat("image-refresh", "-1"):        0,
		"42 (image-refresh) S":             0,
		"":                                 0,
	} {
		assert.Equal(t, want, now.Sub(startOf(text, 1000*time.Second, now)), text)
	}
}

func TestProcessStart(t *testing.T) {
	t.Parallel()
	before := time.Now()
	started := processStart()
	assert.False(t, started.After(time.Now()))
	assert.True(t, started.After(before.Add(-longestStart-time.Second)))
}
