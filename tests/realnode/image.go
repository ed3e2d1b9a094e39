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

// BuildProgram builds package program, what containers run, static, at a path.
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

// Image returns an image for one platform that runs the program, read from what BuildProgram built, with these arguments, as no
// privileged user.
func Image(program []byte, platform string, args ...string) (v1.Image, error) {
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	if err := archive.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return nil, err
	}
	if _, err := archive.Write(program); err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return registries.Runnable(platform, static.NewLayer(layer.Bytes(), types.OCIUncompressedLayer), v1.Config{
		Entrypoint: append([]string{"/program"}, args...), User: "65532:65532",
	})
}
