// Package bench measures image-refresh beside what people use instead, on a real control plane and real registries of this
// machine, and writes the report docs/benchmarks.md:
//
//	make bench
//
// Each figure is a median over runs of programs that took turns, so that what disturbed the machine disturbed all of them, and
// each ratio the median of the ratios run by run. What a run asks of others is for tests/scenario to count. The build tag bench
// keeps it out of go test ./...
package bench
