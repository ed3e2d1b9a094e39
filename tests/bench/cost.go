// Package bench measures image-refresh beside what people use instead, on a real control plane and real registries of this
// machine, and writes the report docs/benchmarks.md:
//
//	make bench
//
// Each figure is a median over runs of programs that took turns, so that what disturbed the machine disturbed all of them, and
// each ratio the median of the ratios run by run. What a run asks of others is for tests/scenario to count. The build tag bench
// keeps it out of go test ./...
package bench

import (
	"fmt"
	"slices"
	"time"
)

// cost is what one run has used, as launch tells it.
type cost struct {
	Wall     time.Duration `json:"wall"`
	CPU      time.Duration `json:"cpu"`
	Memory   int64         `json:"memory"`
	ExitCode int           `json:"exitCode"`
}

func wall(c cost) float64   { return c.Wall.Seconds() }
func cpu(c cost) float64    { return c.CPU.Seconds() }
func memory(c cost) float64 { return float64(c.Memory) / (1 << 20) }

// figure is one quantity over several runs.
type figure struct{ median, low, high float64 }

func of(costs []cost, quantity func(cost) float64) figure { return ratio(nil, costs, quantity) }

// ratio compares two contenders run by run: those that ran beside each other met the same machine. Against nothing, it is what
// theirs have used.
func ratio(ours, theirs []cost, quantity func(cost) float64) figure {
	var values []float64
	for i := range theirs {
		value := quantity(theirs[i])
		if ours != nil {
			value /= quantity(ours[i])
		}
		values = append(values, value)
	}
	slices.Sort(values)
	n := len(values)
	return figure{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

func (f figure) seconds() string {
	return fmt.Sprintf("%s (%s–%s)", seconds(f.median), seconds(f.low), seconds(f.high))
}

func (f figure) mebibytes() string { return fmt.Sprintf("%.1f MiB", f.median) }

func (f figure) times() string { return fmt.Sprintf("%.1f× (%.1f–%.1f)", f.median, f.low, f.high) }

// figures are the cells of a table: wall time, CPU and peak memory.
func figures(costs []cost) []string {
	return []string{of(costs, wall).seconds(), of(costs, cpu).seconds(), of(costs, memory).mebibytes()}
}

// seconds prints three digits.
func seconds(s float64) string {
	switch {
	case s >= 10:
		return fmt.Sprintf("%.1f s", s)
	case s >= 1:
		return fmt.Sprintf("%.2f s", s)
	default:
		return fmt.Sprintf("%.0f ms", s*1000)
	}
}
