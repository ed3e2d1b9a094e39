package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tracebloc/image-refresh/docs"
	"github.com/tracebloc/image-refresh/internal/failure"
)

func (p *program) explainCommand() *cobra.Command {
	var causes []string
	for _, cause := range failure.Causes() {
		causes = append(causes, string(cause))
	}
	return &cobra.Command{
		Use: "explain CAUSE", Short: "print what the runbook says about a cause, as proxy or rollout-failed; without network",
		Example:   "image-refresh explain rollout-failed",
		ValidArgs: causes,
		Args:      oneOf,
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := fmt.Fprint(p.stdout, section(args[0]))
			return unless(err)
		},
	}
}

// section is what the runbook says about a cause.
func section(cause string) string {
	_, causes, _ := strings.Cut(docs.Runbook, "\n## Causes\n")
	causes, _, _ = strings.Cut(causes, "\n## ")
	_, text, _ := strings.Cut(causes, "\n### "+cause+"\n")
	text, _, _ = strings.Cut(text, "\n### ")
	return "# " + cause + "\n" + strings.TrimRight(text, "\n") + "\n"
}
