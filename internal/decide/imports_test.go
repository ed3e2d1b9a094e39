package decide_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the decision core may know of: the vocabulary it decides in, and the standard library. Above all no
// Kubernetes client, no registry library and nothing that does I/O for it.
func TestImports(t *testing.T) {
	t.Parallel()
	const module = "github.com/tracebloc/image-refresh/"
	const reference = "github.com/google/go-containerregistry/pkg/name" // parses names, asks nobody
	allowed := map[string][]string{
		"internal/decide":   {module + "internal/annotate", module + "internal/failure", module + "internal/image", reference},
		"internal/annotate": {module + "internal/image", reference},
	}
	for name, known := range allowed {
		command := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", module+name)
		output, err := command.Output()
		require.NoError(t, err)
		for _, dependency := range strings.Fields(string(output)) {
			if dependency != module+name && !strings.HasPrefix(dependency, "github.com/opencontainers/go-digest") {
				assert.Contains(t, known, dependency, name)
			}
		}
		command = exec.CommandContext(t.Context(), "go", "list", "-deps", module+name)
		output, err = command.Output()
		require.NoError(t, err)
		for _, dependency := range strings.Fields(string(output)) {
			assert.NotEqual(t, "net/http", dependency, name)
			assert.NotEqual(t, "log/slog", dependency, name)
		}
	}
}
