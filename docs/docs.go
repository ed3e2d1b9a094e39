// Package docs is the documentation that the program carries with it.
package docs

import _ "embed" // for the runbook

// Runbook is runbook.md.
//
//go:embed runbook.md
var Runbook string
