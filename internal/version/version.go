// Package version says which build this is. The linker sets both variables (see Makefile and Dockerfile).
package version

import (
	"regexp"
	"runtime/debug"
)

var (
	version = "" // set by the linker; read through Version
	commit  = "" // set by the linker; read through Commit
)

// Version is the release that this binary is, or "dev" where it was built without one.
func Version() string {
	if version == "" {
		return "dev"
	}
	return version
}

// release is the version of a release, whose tag has a v in front.
var release = regexp.MustCompile(`^v?([0-9]+\.[0-9]+\.[0-9]+)$`)

// Runbook is the address of the runbook as it was at this release; as it is now, where the binary is of none.
func Runbook() string { return runbookAt(Version()) }

func runbookAt(version string) string {
	at := "main"
	if found := release.FindStringSubmatch(version); found != nil {
		at = "v" + found[1]
	}
	return "https://github.com/tracebloc/image-refresh/blob/" + at + "/docs/runbook.md"
}

// Commit is the commit that this binary was built from, or "unknown".
func Commit() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				return setting.Value
			}
		}
	}
	return "unknown"
}
