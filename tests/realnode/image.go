//go:build linux

package realnode

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// Program is package program, built: what containers run.
type Program struct{ binary []byte }

// BuildProgram builds it, static, at a path.
func BuildProgram(ctx context.Context, path string) error {
	tests, err := components.Root()
	if err != nil {
		return err
	}
	//nolint:gosec // the arguments are constants and a path of the caller's
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./realnode/program")
	cmd.Dir = tests
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "PWD="+tests)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build what containers run: %w\n%s", err, output)
	}
	return nil
}

// ReadProgram reads what BuildProgram built.
func ReadProgram(path string) (Program, error) {
	binary, err := os.ReadFile(path) //nolint:gosec // a path of the caller's
	return Program{binary: binary}, err
}

// Image returns an image for one platform that runs the program with these
// arguments, as no privileged user.
func (p Program) Image(platform string, args ...string) (v1.Image, error) {
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	if err := archive.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(p.binary))}); err != nil {
		return nil, err
	}
	if _, err := archive.Write(p.binary); err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return registries.Runnable(platform, static.NewLayer(layer.Bytes(), types.OCIUncompressedLayer), v1.Config{
		Entrypoint: append([]string{"/program"}, args...), User: "65532:65532",
	})
}
