package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/result"
)

// selection is what a plan shows of what was planned, and how it tells that something is to be done.
type selection struct {
	targets          []string
	changedOnly      bool
	detailedExitCode bool
}

func (p *program) planCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "plan", Short: "decide the same, write nothing, and print what a tick would do and why",
		Args: knownCommand, RunE: p.tick("plan"), Annotations: map[string]string{readsCluster: "yes"},
		Example: "image-refresh plan -f config.yaml -n shop --changed-only\n" +
			"image-refresh plan -f config.yaml -o values > digests.yaml\n" +
			"image-refresh plan -f config.yaml --detailed-exit-code",
	}
	flags := command.Flags()
	flags.StringArrayVar(&p.selection.targets, "target", nil, "show the target of this `NAME` alone, and exit by it; all are planned, since they share workloads (may be given again)")
	p.valuesFlag(command)
	flags.BoolVar(&p.selection.changedOnly, "changed-only", false, "show only what would change or has failed")
	flags.BoolVar(&p.selection.detailedExitCode, "detailed-exit-code", false, "exit with 3, not 0, where changes are pending")
	return command
}

// valuesFlag has a command take the chart's values in place of the file that the chart makes of them.
func (p *program) valuesFlag(command *cobra.Command) {
	command.Flags().StringVar(&p.overrides.Values, "values", "", "a values `FILE` of the chart, in place of --config: its targets and registries; templates are refused")
}

// known refuses a target that the configuration does not have.
func (s selection) known(read config.Config) error {
	for _, name := range s.targets {
		if !slices.Contains(targetNames(read), name) {
			return &config.Invalid{Problems: []error{fmt.Errorf("--target: %w", unknownTarget(read, name))}}
		}
	}
	return nil
}

// apply narrows a plan down to what was asked for.
func (s selection) apply(report *result.Report) {
	if len(s.targets) > 0 {
		report.KeepTargets(s.targets)
	}
	if s.detailedExitCode && report.Pending() && report.ExitCode == result.ExitFine {
		report.ExitCode = result.ExitPending
	}
	if s.changedOnly {
		report.KeepChanged()
	}
}
