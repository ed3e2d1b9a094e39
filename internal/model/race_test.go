//go:build race

package model

// deepest: under the race detector, which has nothing to find in a search by one goroutine and makes it ten times
// slower, only the first events are explored.
const deepest = 14
