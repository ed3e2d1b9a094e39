package product

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tracebloc/image-refresh/tests/components"
)

// Build compiles the program into dir and returns its path; with the race detector where race is set, else as it is shipped. Go's
// own cache makes a second build quick.
func Build(ctx context.Context, dir string, race bool, progress io.Writer) (string, error) {
	tests, err := components.Root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "image-refresh")
	args, cgo := []string{"build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", binary}, "0"
	if race {
		// The race detector is a C library. Without -trimpath the build shares what go test -race has compiled already.
		args, cgo = []string{"build", "-race", "-o", binary}, "1"
	}
	//nolint:gosec // the arguments are constants and a path of the caller's
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/image-refresh")...)
	cmd.Dir = filepath.Dir(tests)
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo, "GOWORK=off", "PWD="+cmd.Dir)
	_, _ = fmt.Fprintf(progress, "image-refresh: building the program under test (race detector: %t)\n", race) // nobody must be there to read it
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, output)
	}
	return binary, nil
}
