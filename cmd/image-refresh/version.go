package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/version"
)

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print version, commit and Go version", Args: knownCommand,
		RunE: func(*cobra.Command, []string) error {
			return unless(p.printVersion())
		},
	}
}

func (p *program) printVersion() error {
	if p.output == result.JSON {
		return json.NewEncoder(p.stdout).Encode(map[string]string{
			"version": version.Version(), "commit": version.Commit(), "goVersion": runtime.Version(),
		})
	}
	_, err := fmt.Fprintf(p.stdout, "image-refresh %s\ncommit %s\n%s\n", version.Version(), version.Commit(), runtime.Version())
	return err
}
