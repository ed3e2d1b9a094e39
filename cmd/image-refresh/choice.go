package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/choice"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// choiceCommand is the command by which a person makes a choice for a target.
func (p *program) choiceCommand(made choice.Choice, short string) *cobra.Command {
	name := string(made)
	command := &cobra.Command{
		Use: name + " TARGET", Short: short, Annotations: map[string]string{readsCluster: "yes"},
		Example:           "image-refresh " + name + " api -f config.yaml -n shop\nimage-refresh " + name + " api --values values.yaml --context staging",
		Args:              oneTarget,
		ValidArgsFunction: p.completeTarget,
		RunE: func(command *cobra.Command, args []string) error {
			return p.choose(command.Context(), made, args[0])
		},
	}
	p.valuesFlag(command)
	return command
}

func oneTarget(command *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("%s takes the name of one target: %s", command.Name(), seeHelp(command))
}

// completeTarget offers the targets of the configuration, as far as it can be read.
func (p *program) completeTarget(command *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	read, _ := config.Read(command.Context(), p.lookup, p.overrides)
	return targetNames(read), cobra.ShellCompDirectiveNoFileComp
}

func targetNames(read config.Config) (names []string) {
	for _, target := range read.Targets {
		names = append(names, target.Name)
	}
	return names
}

func (p *program) choose(ctx context.Context, made choice.Choice, name string) error {
	read, err := config.Read(ctx, p.lookup, p.overrides)
	if err != nil {
		return ended(result.ExitConfiguration, err)
	}
	at := slices.Index(targetNames(read), name)
	if at < 0 {
		return ended(result.ExitConfiguration, unknownTarget(read, name))
	}
	parts, err := p.wire(read, newLogger(read.Env, p.stderr), string(made), workload.PersonsManager)
	switch {
	case config.IsInvalid(err):
		return ended(result.ExitConfiguration, err)
	case err != nil:
		return unless(err)
	}
	chooser := &choice.Chooser{
		Tick: parts.runner, Cluster: parts.cluster, Keys: annotate.NewKeys(string(read.AnnotationPrefix)), Runbook: failure.Runbook(read.Runbook),
	}
	report := chooser.Run(ctx, made, read.Targets[at])
	if err := report.Print(p.stdout, p.output, p.style()); err != nil {
		return unless(err)
	}
	return ended(report.ExitCode, nil)
}

// unknownTarget names the targets that there are.
func unknownTarget(read config.Config, name string) error {
	return fmt.Errorf("the configuration has no target %q, only %s", failure.Clean(name), failure.Cut(strings.Join(targetNames(read), ", "), failure.MaxForeign))
}
