package main

import "github.com/spf13/cobra"

func (p *program) planCommand() *cobra.Command {
	return &cobra.Command{
		Use: "plan", Short: "decide the same, write nothing, and print what a tick would do and why", Args: knownCommand, RunE: p.tick("plan"),
	}
}
