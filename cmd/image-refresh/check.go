package main

import "github.com/spf13/cobra"

func (p *program) checkCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "check", Short: "look for everything that could make a tick fail, before it does: a line each, with the fix",
		Args: knownCommand, RunE: p.tick("check"), Annotations: map[string]string{readsCluster: "yes"},
		Example: "image-refresh check -f config.yaml -n shop\nimage-refresh check --values values.yaml -n shop",
	}
	p.valuesFlag(command)
	command.Flags().BoolVar(&p.notify, "notify", false, "send one test message to each URL of NOTIFY_URLS, and say which of them took it")
	return command
}
