package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// bench is one run of everything, and the report that it fills.
type bench struct {
	world    *world
	rounds   int
	progress io.Writer
	started  time.Time
	built    time.Duration
	machine  []string
	verdicts []verdict
	sections []string

	distances []far
	refreshes []refreshing
	grown     []growing
}

type far struct {
	registries time.Duration
	costs      [][]cost
}

type refreshing struct {
	workloads int
	costs     [][]cost
}

type growing struct {
	size
	seen  asked
	costs []cost
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, "bench: "+format+"\n", args...) // nobody must be there to read it
}

// describe tells on what the figures were taken.
func describe(ctx context.Context, w *world) ([]string, error) {
	lines := []string{fmt.Sprintf("Machine: %s, %d cores used, %s/%s, Linux %s", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, firstLine("/proc/sys/kernel/osrelease"))}
	for _, tool := range []struct {
		name string
		args []string
	}{
		{"image-refresh", []string{w.binary, "version", "-o", "json"}},
		{"kubectl", []string{w.cluster.Kubectl(), "version", "--client"}},
		{"crane", []string{w.crane, "version"}},
		{"bash", []string{"bash", "-c", "echo $BASH_VERSION"}},
		{"curl", []string{"curl", "--version"}},
		{"jq", []string{"jq", "--version"}},
	} {
		out, err := exec.CommandContext(ctx, tool.args[0], tool.args[1:]...).Output() //nolint:gosec // the list above
		if err != nil {
			return nil, fmt.Errorf("ask %s for its version: %w", tool.name, err)
		}
		first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		lines = append(lines, tool.name+": `"+first+"`")
	}
	version, err := w.cluster.Client().Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("ask the API server for its version: %w", err)
	}
	return append(lines, "Kubernetes "+version.GitVersion), nil
}

func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "unknown processor"
}

func firstLine(path string) string {
	text, err := os.ReadFile(path) //nolint:gosec // constants
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// load is how many wanted to run on the machine, on average over the last minute.
func load() string { before, _, _ := strings.Cut(firstLine("/proc/loadavg"), " "); return before }

// section begins one, and notes how busy the machine was when its figures had been taken.
func (b *bench) section(title string, paragraphs ...string) {
	text := "## " + title + "\n\n" + strings.Join(paragraphs, "\n\n") + "\n\n_Load of the machine when these had been taken: " + load() + "._\n"
	b.sections = append(b.sections, text)
}

// table is one of Markdown.
func table(head []string, rows [][]string) string {
	var text strings.Builder
	text.WriteString("| " + strings.Join(head, " | ") + " |\n|" + strings.Repeat("---|", len(head)))
	for _, row := range rows {
		text.WriteString("\n| " + strings.Join(row, " | ") + " |")
	}
	return text.String()
}

func (b *bench) reportSmall(binary, image int64, tools map[string]int64, costs [][]cost) {
	b.judge(verdict{"binary, static and stripped", fmt.Sprintf("%.1f MB", float64(budgetBinary)/1e6), fmt.Sprintf("%.1f MB", float64(binary)/1e6), binary <= budgetBinary, true})
	b.judge(verdict{"image, compressed", fmt.Sprintf("%d MiB", budgetImage>>20), fmt.Sprintf("%.1f MiB", float64(image)/(1<<20)), image <= budgetImage, true})
	rows := [][]string{}
	for i, name := range []string{"`image-refresh version`", "`crane version`", "`kubectl version --client`"} {
		rows = append(rows, []string{name, of(costs[i], wall).seconds(), of(costs[i], cpu).seconds(), of(costs[i], memory).mebibytes()})
	}
	b.section("Start-up and sizes",
		table([]string{"start-up alone", "wall", "CPU", "peak memory"}, rows),
		table([]string{"size", ""}, [][]string{
			{"binary", fmt.Sprintf("%.1f MB", float64(binary)/1e6)},
			{"image, one layer of binary and CA certificates, gzip", fmt.Sprintf("%.1f MiB", float64(image)/(1<<20))},
			{"for comparison: crane's binary", fmt.Sprintf("%.1f MB", float64(tools["crane"])/1e6)},
			{"for comparison: kubectl's binary", fmt.Sprintf("%.1f MB", float64(tools["kubectl"])/1e6)},
		}))
}

func (b *bench) reportUnchanged(contenders []contender, costs [][]cost, seen []asked) {
	b.judgeUnchanged(costs, seen[0])
	var rows [][]string
	for i, c := range contenders {
		rows = append(rows, []string{
			c.name, of(costs[i], cpu).seconds(), of(costs[i], wall).seconds(), of(costs[i], memory).mebibytes(),
			fmt.Sprint(seen[i].processes), fmt.Sprint(seen[i].registries), fmt.Sprint(seen[i].connections), fmt.Sprint(seen[i].api),
		})
	}
	var ratios [][]string
	for i, c := range contenders[1:] {
		ratios = append(ratios, []string{
			c.name, ratio(costs[0], costs[i+1], cpu).times(), ratio(costs[0], costs[i+1], wall).times(), ratio(costs[0], costs[i+1], memory).times(),
		})
	}
	b.section("An unchanged tick: 3 images on 2 registries",
		"Three Deployments, each with the digest of its image in a variable. The loop is `tests/bench/yardsticks/loop.sh`: it reads, "+
			"resolves, compares, and would set, wait and record. `crane.sh` beside it only compares. Each run starts in an empty home, as a pod does. "+
			"Peak memory is that of the largest process.",
		table([]string{"", "CPU", "wall", "peak memory", "processes", "registry requests", "connections to registries", "API requests"}, rows),
		"Against image-refresh, run by run:",
		table([]string{"", "CPU", "wall", "peak memory"}, ratios),
		fmt.Sprintf("Noise: image-refresh's own %d runs lie %.0f %% of their median apart in CPU, and %.0f %% in wall time.",
			len(costs[0]), 100*of(costs[0], cpu).noise(), 100*of(costs[0], wall).noise()))
}

func (b *bench) addLatency(registries time.Duration, costs [][]cost) {
	b.distances = append(b.distances, far{registries, costs})
}

// roundTrips is how many round trips to the registries a contender waits for: how its time grows with the distance,
// between the nearest and the farthest. The quickest run of each says it with the least of the machine in it.
func (b *bench) roundTrips(contender int) float64 {
	near, distant := b.distances[0], b.distances[len(b.distances)-1]
	grown := of(distant.costs[contender], wall).low - of(near.costs[contender], wall).low
	return grown / (distant.registries - near.registries).Seconds()
}

func (b *bench) reportLatency() {
	var rows [][]string
	for _, d := range b.distances {
		rows = append(rows, []string{
			d.registries.String(), of(d.costs[0], wall).seconds(), of(d.costs[1], wall).seconds(), of(d.costs[2], wall).seconds(),
			ratio(d.costs[0], d.costs[1], wall).times(), ratio(d.costs[0], d.costs[2], wall).times(),
		})
	}
	trips := b.roundTrips(0)
	b.judge(verdict{"round trips to the registries of an unchanged tick, through a proxy", fmt.Sprint(budgetRoundTrips), fmt.Sprintf("%.1f", trips), math.Round(trips) <= budgetRoundTrips, false})
	b.section("The same, far away",
		"The time is that of a round trip to the registries; one to the API server takes 5 ms. It is added to everything that crosses the network: "+
			"the handshakes of TCP and TLS and the proxy's CONNECT as well as requests.",
		table([]string{"round trip", "image-refresh", "kubectl + curl + jq", "crane + kubectl", "the loop against it", "crane against it"}, rows),
		fmt.Sprintf("How the time grows with the distance tells how many round trips one waits for, one after the other: image-refresh %.1f, the loop %.1f, crane %.1f. "+
			"image-refresh waits for those of one registry, because it asks the others meanwhile: TCP, CONNECT, TLS and the ping; the same to "+
			"the token endpoint, which for docker.io is another host; and one for all images.", trips, b.roundTrips(1), b.roundTrips(2)))
}

func (b *bench) addRefresh(workloads int, costs [][]cost) {
	b.refreshes = append(b.refreshes, refreshing{workloads, costs})
}

func (b *bench) reportRefresh() {
	var rows [][]string
	for _, r := range b.refreshes {
		row := []string{fmt.Sprint(r.workloads), of(r.costs[0], wall).seconds(), of(r.costs[0], cpu).seconds(), of(r.costs[0], memory).mebibytes(), "not run", "", ""}
		if len(r.costs) > 1 {
			row = append(row[:4], of(r.costs[1], wall).seconds(), ratio(r.costs[0], r.costs[1], wall).times(), ratio(r.costs[0], r.costs[1], cpu).times())
		}
		rows = append(rows, row)
	}
	b.section("A refresh",
		"One image has moved, and so many Deployments of one replica follow it. Registries are 20 ms away, the API server 5 ms. The time is that of the whole tick: resolve, verify, "+
			"patch, wait for every rollout, record. Pods are played and ready at once, so that little of it is the application's. `MAX_ROLLOUTS=0`; by default a tick rolls ten workloads.",
		table([]string{"workloads", "image-refresh, wall", "CPU", "peak memory", "the loop, wall", "the loop against it, wall", "CPU"}, rows))
}

func (b *bench) addGrowth(s size, seen asked, costs []cost) {
	b.grown = append(b.grown, growing{s, seen, costs})
	if s.workloads == atBudget && s.images == manyImages && s.namespaces == namespaces && s.far.api == growthAPI {
		took, peak := of(costs, wall), of(costs, memory)
		what := fmt.Sprintf("%d workloads, %d images, registries %s away and the API server %s: ", s.workloads, s.images, s.far.registries, s.far.api)
		b.judge(verdict{what + "wall", duration(budgetLargeWall), duration(took.median), took.median <= budgetLargeWall, false})
		b.judge(verdict{what + "peak memory", fmt.Sprintf("%d MiB", budgetLargeMemory), peak.mebibytes(), peak.median <= budgetLargeMemory, false})
		b.judge(verdict{what + "API requests", fmt.Sprint(s.workloads), fmt.Sprint(seen.api), seen.api <= s.workloads, true})
		// A token lists at most 50 repositories: beyond that a registry is asked for several.
		floor := s.images + 2 + 2*((s.images/2+49)/50)
		b.judge(verdict{what + "registry requests", fmt.Sprint(floor), fmt.Sprint(seen.registries), seen.registries <= floor, true})
	}
}
