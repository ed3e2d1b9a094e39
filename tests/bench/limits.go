package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// chartMemory is the limit that the chart sets, in MiB.
const chartMemory = 128

func (b *bench) reportGrowth() {
	var rows [][]string
	for _, g := range b.grown {
		concurrency := g.concurrency
		if concurrency == "" {
			concurrency = "8"
		}
		rows = append(rows, []string{
			fmt.Sprint(g.workloads), fmt.Sprint(g.images), fmt.Sprint(g.namespaces), g.far.registries.String(), g.far.api.String(), concurrency,
			of(g.costs, wall).seconds(), of(g.costs, cpu).seconds(), of(g.costs, memory).mebibytes(),
			fmt.Sprint(g.seen.api), fmt.Sprint(g.seen.registries), fmt.Sprint(g.seen.connections),
		})
	}
	few, many := b.find(10, 3), b.find(1000, 3)
	perWorkload := func(quantity func(cost) float64) float64 {
		return (of(many.costs, quantity).median - of(few.costs, quantity).median) / float64(many.workloads-few.workloads)
	}
	fewer, more := b.find(200, 10), b.find(200, 200)
	perImage := (of(more.costs, wall).median - of(fewer.costs, wall).median) / float64(more.images-fewer.images)
	b.section("Growth",
		"Unchanged ticks over Deployments of usual size (12 variables, probes, resources; about 6 KB each as JSON).",
		table([]string{"workloads", "images", "namespaces", "registries away", "API away", "CONCURRENCY", "wall", "CPU", "peak memory", "API requests", "registry requests", "connections to registries"}, rows),
		fmt.Sprintf("A further workload costs %.2f ms of wall time (API server %s away), %.2f ms of CPU and %.0f KiB of memory; a further image %.2f ms of wall time (registries %s away). "+
			"1,000 workloads in one namespace took %s, in %d namespaces %s.", 1000*perWorkload(wall), growthAPI, 1000*perWorkload(cpu), 1024*perWorkload(memory), 1000*perImage, growthRegistries,
			b.took(func(g growing) bool { return g.workloads == 1000 && g.images == manyImages && g.namespaces == 1 }), namespaces,
			b.took(func(g growing) bool {
				return g.workloads == 1000 && g.images == manyImages && g.namespaces == namespaces
			})))
	b.reportLimits(perWorkload(cpu), perWorkload(memory), of(few.costs, memory).median)
}

// find returns the first size of that description, the zero one where there is none.
func (b *bench) find(workloads, images int) growing {
	at := slices.IndexFunc(b.grown, func(g growing) bool { return g.workloads == workloads && g.images == images })
	if at < 0 {
		return growing{}
	}
	return b.grown[at]
}

// took is how long the first size took for which that holds.
func (b *bench) took(holds func(growing) bool) string {
	at := slices.IndexFunc(b.grown, holds)
	if at < 0 {
		return "nothing: it was not measured"
	}
	return duration(of(b.grown[at].costs, wall).median)
}

// reportLimits works out what fits, from what was measured.
func (b *bench) reportLimits(perCPU, perMemory, base float64) {
	const concurrency = 8
	fits := func(mebibytes float64) float64 { return (mebibytes - base) / perMemory }
	var rows [][]string
	for _, away := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond} {
		// Reading and resolving both wait for one round trip each, so many at once; the machine's work comes on top.
		perRead := away.Seconds()/concurrency + perCPU
		rows = append(rows, []string{
			away.String(), fmt.Sprintf("%.1f s", 1000*perRead), fmt.Sprintf("%.1f s", 200*away.Seconds()/concurrency), fmt.Sprintf("%.0f", 300/perRead),
		})
	}
	five := b.find(mostWorkloads, manyImages)
	b.section("Limits", strings.Join([]string{
		fmt.Sprintf("**Memory is the first limit.** %d MiB hold about %.0f workloads, the chart's %d MiB about %.0f; %d took %s (above): give such an installation a higher limit, or shard it.",
			budgetLargeMemory, fits(budgetLargeMemory), chartMemory, fits(chartMemory), mostWorkloads, of(five.costs, memory).mebibytes()),
		"**Time is no limit for unchanged ticks.** A tick must be over well before the next one begins, 15 minutes later. Worked out from the figures above, at the default `CONCURRENCY=8`:",
	}, "\n\n"),
		table([]string{"round trip", "1,000 workloads are read in", "200 images are resolved in", "workloads read in 5 minutes"}, rows),
		fmt.Sprintf("The budget has the API server %s away, as it is from most pods. `CONCURRENCY` shortens the waiting where it is farther, at its expense: with everything %s away %d workloads "+
			"took %s, and %s with `CONCURRENCY=%s`; %d took %s, and %s with `CONCURRENCY=%s`.", growthAPI, growthRegistries,
			atBudget, b.took(equallyFar(atBudget, "")), b.took(equallyFar(atBudget, moreRequests)), moreRequests,
			mostWorkloads, b.took(equallyFar(mostWorkloads, "")), b.took(equallyFar(mostWorkloads, mostRequests)), mostRequests),
		"**Rollouts are what takes time.** A tick rolls `MAX_ROLLOUTS` (10) workloads and waits for them side by side, so a tag that many workloads follow takes as many ticks as it has tens of workloads; raise it where the cluster has room.",
		"**Beyond that, shard**: install the chart once for each application release, or for each namespace, each with its own targets. Nothing is shared between installations: all state is on the workloads. "+
			"An image that two installations follow is then resolved by both.")
}

// equallyFar picks a size with everything equally far away.
func equallyFar(workloads int, concurrency string) func(growing) bool {
	return func(g growing) bool {
		return g.workloads == workloads && g.far.api == growthRegistries && g.concurrency == concurrency
	}
}

// report is all of it.
func (b *bench) report() string {
	var budgets [][]string
	for _, v := range b.verdicts {
		kept, kind := "kept", "reported"
		if !v.kept {
			kept = "**BROKEN**"
		}
		if v.strict {
			kind = "fails the run"
		}
		budgets = append(budgets, []string{v.what, v.limit, v.measured, kept, kind})
	}
	text := "# Benchmarks\n\nWritten by `make bench` on " + b.started.UTC().Format("2006-01-02 15:04 MST") + ", in " +
		time.Since(b.started).Round(time.Second).String() + " after " + b.built.Round(time.Second).String() + " of builds and start-up. Do not edit.\n\n" +
		"Programs take turns, so that what disturbs the machine disturbs all of them. A figure is the median over the runs, with the smallest and the largest in " +
		"brackets; a ratio is the median of the ratios run by run. Control plane, registries and proxy run on the same machine as what is measured, and " +
		"compete with it: times are too long rather than too short, for all alike.\n\n- " + strings.Join(b.machine, "\n- ") + "\n\n" +
		"## Budgets\n\n" + table([]string{"budget", "at most", "measured", "", "where it is broken"}, budgets) + "\n"
	for _, section := range b.sections {
		text += "\n" + section
	}
	return text
}
