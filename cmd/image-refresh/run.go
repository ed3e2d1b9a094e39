package main

import "github.com/spf13/cobra"

func (p *program) runCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "one tick (the default)", Args: knownCommand, RunE: p.tick("run"), Annotations: map[string]string{readsCluster: "yes"},
		Example: "image-refresh run -f config.yaml -n shop --context staging",
	}
}
