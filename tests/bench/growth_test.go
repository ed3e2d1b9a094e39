//go:build bench

package bench

import (
	"fmt"
	"strconv"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/tracebloc/image-refresh/tests/workloads"
)

// What there is to grow over: images that all hold the same, so that one digest is fresh for each, and workloads that follow them in
// turn, spread over the namespaces.
const (
	allWorkloads  = 5000
	allImages     = 200
	allNamespaces = 10
)

// size is one configuration to measure.
type size struct {
	workloads, images int
	away              distance
	concurrency       string
}

// growth measures unchanged ticks over more and more.
func (b *bench) growth() {
	reference := func(i int) string {
		return fmt.Sprintf("%s/tracebloc/app-%d:1", []string{"docker.io", "ghcr.io"}[i%2], i)
	}
	var digest string
	for i := range allImages {
		digest = b.push(reference(i), "the same")
	}
	var names []string
	for at := range allNamespaces {
		namespace, err := b.cluster.Namespace(b.Context(), "growth")
		require.NoError(b, err)
		require.NoError(b, b.cluster.Grant(b.Context(), namespace, b.namespace, account, rules()...))
		names = append(names, namespace)
		var objects []*appsv1.Deployment
		for n := at; n < allWorkloads; n += allNamespaces {
			target := fmt.Sprintf("app-%d", n%allImages)
			// Nothing runs: a workload that is scaled to zero is settled, and as large to read. A tick has recorded its digest.
			objects = append(objects, application(fmt.Sprintf("app-%d", n), digest, workloads.Replicas(0),
				workloads.Label("tracebloc.io/"+target+"-digest", digest[len("sha256:"):][:40]),
				workloads.Label("tracebloc.io/refresh", "ok"), workloads.Label("thousand", strconv.Itoa(n/1000)),
				workloads.Annotation("tracebloc.io/last-refreshed-"+target+"-digest", digest)))
		}
		b.deploy(namespace, objects...)
	}
	b.status()
	measure := func(s size) []cost {
		targets := make([]string, s.images)
		for n, left := 0, s.workloads; left > 0; n++ {
			if image := n % allImages; image < s.images {
				require.Less(b, n, allWorkloads, "there are so many workloads of these images")
				targets[image] += fmt.Sprintf("      - {kind: Deployment, name: app-%d, namespace: %s, env: %s}\n",
					n, names[n%allNamespaces], slot)
				left--
			}
		}
		text := "targets:\n"
		for image, list := range targets {
			text += fmt.Sprintf("  - name: app-%d\n    image: %q\n    workloads:\n%s", image, reference(image), list)
		}
		return b.alternate(*rounds/3, nil, b.product(b.configure(text), b.environ(s.away), "CONCURRENCY="+s.concurrency))[0]
	}
	far := distance{usual().registries, usual().registries}
	sizes := []size{
		{200, 10, usual(), "8"}, {200, 200, usual(), "8"}, {1000, 200, usual(), "8"}, {allWorkloads, 200, usual(), "8"},
		{1000, 200, far, "8"}, {1000, 200, far, "16"}, {allWorkloads, 200, far, "8"}, {allWorkloads, 200, far, "32"},
	}
	var rows [][]string
	var all [][]cost
	for _, s := range sizes {
		costs := measure(s)
		all = append(all, costs)
		rows = append(rows, append([]string{
			fmt.Sprint(s.workloads), fmt.Sprint(s.images), s.away.registries.String(), s.away.api.String(), s.concurrency,
		}, figures(costs)...))
	}
	few, budget, most := all[1], all[2], all[3]
	what := "1000 workloads, 200 images, registries 20ms away and the API server 5ms: "
	took, peak := of(budget, wall), of(budget, memory)
	b.judge(took.median <= budgetLargeWall, what+"wall", seconds(budgetLargeWall), seconds(took.median))
	b.judge(peak.median <= budgetLargeMemory, what+"peak memory", fmt.Sprintf("%d MiB", budgetLargeMemory), peak.mebibytes())
	each := func(quantity func(cost) float64) float64 { // of a further workload
		return (of(most, quantity).median - of(few, quantity).median) / (allWorkloads - 200)
	}
	fits := func(mebibytes float64) float64 { return 200 + (mebibytes-of(few, memory).median)/each(memory) }
	image := (of(few, wall).median - of(all[0], wall).median) / (allImages - 10)
	b.section("Growth",
		"Unchanged ticks over Deployments of usual size (12 variables, probes, resources; about 6 KB each as JSON), in 10 namespaces.",
		table([]string{"workloads", "images", "registries away", "API away", "CONCURRENCY", "wall", "CPU", "peak memory"}, rows),
		fmt.Sprintf("A further workload costs %.2f ms of wall time, %.2f ms of CPU and %.0f KiB of memory; a further image %.2f ms of wall "+
			"time (registries 20ms away, the API server 5ms).", 1000*each(wall), 1000*each(cpu), 1024*each(memory), 1000*image))
	b.section("Limits",
		fmt.Sprintf("**Memory is the first limit.** %d MiB hold about %.0f workloads, the chart's 128 MiB about %.0f; 5000 took %s: give such "+
			"an installation a higher limit, or shard it.", budgetLargeMemory, fits(budgetLargeMemory), fits(128), of(most, memory).mebibytes()),
		"**Time is no limit for unchanged ticks**, which must be over well before the next one begins, 15 minutes later. `CONCURRENCY` "+
			"shortens the waiting where the API server is farther than it is from most pods, at its expense: see the table above.",
		"**Rollouts are what takes time.** A tick rolls `MAX_ROLLOUTS` (10) workloads and waits for them side by side, so a tag that many "+
			"workloads follow takes as many ticks as it has tens of workloads; raise it where the cluster has room.",
		"**Beyond that, shard**: install the chart once for each application release, or for each namespace, each with its own targets. "+
			"Nothing is shared between installations: all state is on the workloads.")
}

// status measures how a thousand of these workloads are shown to a person.
func (b *bench) status() {
	shown := contender{"image-refresh status", []string{*binary, "status", "-A", "-l", "thousand=0", "-o", "table"}, []string{"KUBECONFIG=" + b.cluster.Kubeconfig()}}
	costs := b.alternate(*rounds/3, nil, shown)[0]
	used, peak := of(costs, cpu), of(costs, memory)
	b.judge(used.median <= budgetStatusCPU, "status of 1000 workloads: CPU", seconds(budgetStatusCPU), seconds(used.median))
	b.judge(peak.median <= budgetStatusMemory, "status of 1000 workloads: peak memory", fmt.Sprintf("%d MiB", budgetStatusMemory), peak.mebibytes())
	b.section("Status", "`image-refresh status` of 1000 of 5000 Deployments in 10 namespaces, by their labels and annotations.",
		table([]string{"", "wall", "CPU", "peak memory"}, [][]string{append([]string{"`" + shown.name + "`"}, figures(costs)...)}))
}
