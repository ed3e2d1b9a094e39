//go:build race

package decide_test

// sample: under the race detector, which has nothing to find in pure functions and makes them ten times
// slower, only every sample-th combination is tried.
const sample = 41
