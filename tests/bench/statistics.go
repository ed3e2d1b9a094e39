package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// The figures that a cost has.
func wall(c cost) float64   { return c.Wall.Seconds() }
func cpu(c cost) float64    { return c.CPU.Seconds() }
func memory(c cost) float64 { return float64(c.Memory) / (1 << 20) }

// figure is one quantity over several runs.
type figure struct{ median, low, high float64 }

func of(costs []cost, quantity func(cost) float64) figure {
	var values []float64
	for _, c := range costs {
		values = append(values, quantity(c))
	}
	return summarise(values)
}

func summarise(values []float64) figure {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	if n == 0 {
		return figure{}
	}
	return figure{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

// ratio compares two contenders run by run: those that ran beside each other met the same machine.
func ratio(ours, theirs []cost, quantity func(cost) float64) figure {
	var values []float64
	for i := range ours {
		values = append(values, quantity(theirs[i])/quantity(ours[i]))
	}
	return summarise(values)
}

// noise is how far the runs of one contender lie apart, as a share of their median.
func (f figure) noise() float64 { return (f.high - f.low) / cmp.Or(f.median, 1) }

func (f figure) seconds() string {
	return fmt.Sprintf("%s (%s–%s)", duration(f.median), duration(f.low), duration(f.high))
}

func (f figure) mebibytes() string { return fmt.Sprintf("%.1f MiB", f.median) }

func (f figure) times() string { return fmt.Sprintf("%.1f× (%.1f–%.1f)", f.median, f.low, f.high) }

// duration prints seconds with three digits.
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", seconds)
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", seconds)
	default:
		return fmt.Sprintf("%.0f ms", seconds*1000)
	}
}
