package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tracebloc/image-refresh/docs"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
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
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && section(args[0]) != "" {
				return nil
			}
			said := "explain takes one cause"
			if len(args) == 1 {
				said = fmt.Sprintf("there is no cause %q", args[0])
			}
			return fmt.Errorf("%s: one of %s", said, strings.Join(causes, ", "))
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := fmt.Fprint(p.stdout, section(args[0])); err != nil {
				fmt.Fprintf(p.stderr, "image-refresh: %s\n", err) //nolint:errcheck // nothing is left to tell it to
				return ended(result.ExitOperator)
			}
			return nil
		},
	}
}

// section is what the runbook says about a cause; empty where there is no such cause.
func section(cause string) string {
	_, causes, _ := strings.Cut(docs.Runbook, "\n## Causes\n")
	causes, _, _ = strings.Cut(causes, "\n## ")
	_, text, found := strings.Cut(causes, "\n### "+cause+"\n")
	if !found {
		return ""
	}
	text, _, _ = strings.Cut(text, "\n### ")
	return "# " + cause + "\n" + strings.TrimRight(text, "\n") + "\n"
}
