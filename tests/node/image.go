//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/tracebloc/image-refresh/tests/components"
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
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./node/program")
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
	parsed, err := v1.ParsePlatform(platform)
	if err != nil {
		return nil, err
	}
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
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.AppendLayers(image, static.NewLayer(layer.Bytes(), types.OCIUncompressedLayer)); err != nil {
		return nil, fmt.Errorf("make an image: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("make an image: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = parsed.OS, parsed.Architecture, parsed.Variant
	config.Config.Entrypoint, config.Config.User = append([]string{"/program"}, args...), "65532:65532"
	return mutate.ConfigFile(image, config)
}
