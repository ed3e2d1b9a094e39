// Package version says which build this is. The linker sets both variables (see Makefile and Dockerfile).
package version

import "runtime/debug"

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
