//go:build bench

package bench

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	binary = flag.String("binary", "", "image-refresh, built as it is shipped")
	report = flag.String("report", "", "where to write the report; it is logged where empty")
	rounds = flag.Int("rounds", 15, "runs of each contender in the shortest comparison")
)

// The budgets.
const (
	budgetCPU         = 15 // times less than the loop's
	budgetWall        = 8
	budgetMemory      = 20 // MiB, of an unchanged tick of three images
	budgetLargeWall   = 3.0
	budgetLargeMemory = 64
	budgetBinary      = 18_500_000
	budgetImage       = 8 << 20
)

// bench is one run of everything, and the report that it fills.
type bench struct {
	*testing.T
	*environment
	budgets  [][]string
	sections []string
}

func TestBenchmarks(t *testing.T) {
	b := &bench{T: t, environment: newEnvironment(t)}
	begun := time.Now()
	machine := b.describe()
	b.startUp()
	b.unchanged()
	b.refreshed()
	b.growth()
	text := "# Benchmarks\n\nWritten by `make bench` on " + begun.UTC().Format("2006-01-02 15:04 MST") + ", in " +
		time.Since(begun).Round(time.Second).String() + ". Do not edit.\n\n" +
		"Programs take turns, so that what disturbs the machine disturbs all of them. A figure is the median over the runs, with the " +
		"smallest and the largest in brackets; a ratio is the median of the ratios run by run. Control plane, registries and proxy run " +
		"on the same machine as what is measured, and compete with it: times are too long rather than too short, for all alike.\n\n" +
		machine + "\n## Budgets\n\nThe sizes fail the run where they are broken.\n\n" +
		table([]string{"budget", "at most", "measured", ""}, b.budgets) + strings.Join(b.sections, "")
	if *report == "" {
		t.Log(text)
		return
	}
	require.NoError(t, os.WriteFile(*report, []byte(text), 0o644))
}

// judge notes whether a budget is kept.
func (b *bench) judge(kept bool, what, limit, measured string) {
	verdict := "kept"
	if !kept {
		verdict = "**BROKEN**"
	}
	b.budgets = append(b.budgets, []string{what, limit, measured, verdict})
}

// section ends one, and notes how busy the machine was while its figures were taken.
func (b *bench) section(title string, paragraphs ...string) {
	load, err := os.ReadFile("/proc/loadavg")
	require.NoError(b, err)
	b.sections = append(b.sections, fmt.Sprintf("\n## %s\n\n%s\n\n_Load of the machine when these had been taken: %s._\n",
		title, strings.Join(paragraphs, "\n\n"), strings.Fields(string(load))[0]))
	b.Log(title)
}

// table is one of Markdown.
func table(head []string, rows [][]string) string {
	text := "| " + strings.Join(head, " | ") + " |\n|" + strings.Repeat("---|", len(head)) + "\n"
	for _, row := range rows {
		text += "| " + strings.Join(row, " | ") + " |\n"
	}
	return text
}

// describe tells on what the figures were taken.
func (b *bench) describe() (list string) {
	for _, command := range []string{
		"grep --max-count 1 'model name' /proc/cpuinfo | cut -d : -f 2-", "echo $(nproc) cores, $(uname -sr)", *binary + " version -o json",
		"kubectl version --client | head -1", "echo crane $(crane version)", "curl --version | head -1", "jq --version",
	} {
		list += "- `" + strings.TrimSpace(b.shell(command)) + "`\n"
	}
	return list
}
