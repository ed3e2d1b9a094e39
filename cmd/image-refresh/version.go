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
		RunE: func(*cobra.Command, []string) error { return ended(p.printVersion()) },
	}
}

func (p *program) printVersion() int {
	var err error
	if p.output == result.JSON {
		err = json.NewEncoder(p.stdout).Encode(map[string]string{
			"version": version.Version(), "commit": version.Commit(), "goVersion": runtime.Version(),
		})
	} else {
		_, err = fmt.Fprintf(p.stdout, "image-refresh %s\ncommit %s\n%s\n", version.Version(), version.Commit(), runtime.Version())
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "image-refresh: %s\n", err) //nolint:errcheck // nothing is left to tell it to
		return result.ExitOperator
	}
	return result.ExitFine
}
