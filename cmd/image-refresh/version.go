package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"

	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/version"
)

func printVersion(arguments arguments, stdout, stderr io.Writer) int {
	var err error
	if arguments.output == outputJSON {
		err = json.NewEncoder(stdout).Encode(map[string]string{
			"version": version.Version(), "commit": version.Commit(), "goVersion": runtime.Version(),
		})
	} else {
		_, err = fmt.Fprintf(stdout, "image-refresh %s\ncommit %s\n%s\n", version.Version(), version.Commit(), runtime.Version())
	}
	if err != nil {
		fmt.Fprintf(stderr, "image-refresh: %s\n", err) //nolint:errcheck // nothing is left to tell it to
		return result.ExitOperator
	}
	return result.ExitFine
}
