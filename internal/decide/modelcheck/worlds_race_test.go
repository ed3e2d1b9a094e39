//go:build race

package modelcheck

// defaultWorlds are few under the race detector, which has nothing to find in pure functions and makes them ten times
// slower. TestBrokenRules is left out there.
const defaultWorlds = 200
