package main

import "fmt"

// The budgets.
const (
	budgetCPU         = 15 // times less than the loop's
	budgetWall        = 8
	budgetMemory      = 20 // MiB, of an unchanged tick of three images
	budgetRoundTrips  = 9  // through a proxy
	budgetLargeWall   = 3.0
	budgetLargeMemory = 64
	budgetBinary      = 18_500_000
	budgetImage       = 8 << 20
)

// verdict is one budget and what was measured.
type verdict struct {
	what, limit, measured string
	kept                  bool
	strict                bool // no machine can break it: the run fails
}

func (b *bench) judge(v verdict) { b.verdicts = append(b.verdicts, v) }

// broken are the budgets that fail the run.
func (b *bench) broken() []string {
	var broken []string
	for _, v := range b.verdicts {
		if v.strict && !v.kept {
			broken = append(broken, fmt.Sprintf("%s: %s, at most %s", v.what, v.measured, v.limit))
		}
	}
	return broken
}

func (b *bench) judgeUnchanged(costs [][]cost, seen asked) {
	const images, hosts = 3, 2
	const floor = images + 2*hosts
	b.judge(verdict{"registry requests of an unchanged tick (a HEAD an image, a ping and a token a registry)", fmt.Sprint(floor), fmt.Sprint(seen.registries), seen.registries <= floor, true})
	b.judge(verdict{"API requests of an unchanged tick (one read a workload)", fmt.Sprint(images), fmt.Sprint(seen.api), seen.api <= images, true})
	b.judge(verdict{"writes of an unchanged tick", "0", fmt.Sprint(seen.writes), seen.writes == 0, true})
	b.judge(verdict{"processes of a tick", "1", fmt.Sprint(seen.processes), seen.processes == 1, true})
	used, took, peak := ratio(costs[0], costs[1], cpu), ratio(costs[0], costs[1], wall), of(costs[0], memory)
	b.judge(verdict{"CPU of an unchanged tick, against the loop", fmt.Sprintf("1/%d", budgetCPU), fmt.Sprintf("1/%.1f", used.median), used.median >= budgetCPU, false})
	b.judge(verdict{"wall time of an unchanged tick, against the loop", fmt.Sprintf("1/%d", budgetWall), fmt.Sprintf("1/%.1f", took.median), took.median >= budgetWall, false})
	b.judge(verdict{"peak memory of an unchanged tick", fmt.Sprintf("%d MiB", budgetMemory), peak.mebibytes(), peak.median <= budgetMemory, false})
}
