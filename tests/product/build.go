package product

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tracebloc/image-refresh/tests/components"
)

// Build compiles the program into dir and returns its path; with the race
// detector where race is set, else as it is shipped. Go's own cache makes a
// second build quick.
func Build(ctx context.Context, dir string, race bool) (string, error) {
	tests, err := components.Root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "image-refresh")
	args, cgo := []string{"build", "-trimpath", "-o", binary}, "0"
	if race {
		args, cgo = append(args, "-race"), "1" // the race detector is a C library
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/image-refresh")...)
	cmd.Dir = filepath.Dir(tests)
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo, "GOWORK=off", "PWD="+cmd.Dir)
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, output)
	}
	return binary, nil
}
