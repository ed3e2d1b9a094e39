// Package workloads makes the objects that a scenario is about, and reads from
// them what its assertions are about: the value of a slot, the number of
// rollouts, who owns a field.
package workloads
