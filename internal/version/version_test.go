package version

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheRunbookIsThatOfTheRelease(t *testing.T) {
	t.Parallel()
	for version, at := range map[string]string{
		"1.2.3": "v1.2.3", "v1.2.3": "v1.2.3", "dev": "main", "v1.2.3-4-g0f1e2d3": "main", "1.2.3-dirty": "main", "0f1e2d3": "main",
	} {
		assert.Equal(t, "blob/"+at+"/docs/runbook.md", strings.TrimPrefix(runbookAt(version), "https://github.com/tracebloc/image-refresh/"))
	}
}
