package main

import (
	"io"

	"github.com/spf13/cobra"
)

func (p *program) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "completion SHELL", Short: "print what completes commands and flags in bash, zsh or fish",
		Example:   "source <(image-refresh completion bash)",
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args:      oneOf,
		RunE: func(command *cobra.Command, args []string) error {
			generate := map[string]func(io.Writer, bool) error{
				"bash": command.Root().GenBashCompletionV2,
				"zsh":  func(out io.Writer, _ bool) error { return command.Root().GenZshCompletion(out) },
				"fish": command.Root().GenFishCompletion,
			}
			return unless(generate[args[0]](p.stdout, true))
		},
	}
}
