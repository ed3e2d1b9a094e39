package main

import "github.com/spf13/cobra"

func (p *program) checkCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "check", Short: "look for everything that could make a tick fail, before it does: a line each, with the fix",
		Args: knownCommand, RunE: p.tick("check"), Annotations: map[string]string{readsCluster: "yes"},
		Example: "image-refresh check -f config.yaml -n shop\nimage-refresh check --values values.yaml -n shop",
	}
	p.valuesFlag(command)
	return command
}
