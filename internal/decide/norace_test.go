//go:build !race

package decide_test

// sample: every combination is tried.
const sample = 1
