//go:build e2e && linux

package e2e

import (
	"archive/tar"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/stretchr/testify/require"
)

// The program's image, as buildah makes it of the Dockerfile.
func TestImage(t *testing.T) {
	t.Parallel()
	for _, platform := range platforms() {
		image, err := env.built(platform)
		require.NoError(t, err)
		config, err := image.ConfigFile()
		require.NoError(t, err)
		require.Equal(t, platform, config.Platform().String())
		require.Equal(t, "65532:65532", config.Config.User)
		require.Equal(t, []string{"/image-refresh"}, config.Config.Entrypoint)
		files := files(t, image)
		require.Len(t, files, 2, "and no shell")
		require.Contains(t, files, "etc/ssl/certs/ca-certificates.crt")
		// The program of another platform cannot be asked; what the linker put into it can be looked for.
		commit := config.Config.Labels["org.opencontainers.image.revision"]
		require.Len(t, commit, 40)
		for _, text := range []string{version, commit} {
			require.GreaterOrEqual(t, strings.Index(files["image-refresh"], text), 0, "%s: %s", platform, text)
		}
	}
	image, err := env.built(platforms()[0])
	require.NoError(t, err)
	again, err := readLayout(filepath.Join(env.box.Dir, layoutAgain))
	require.NoError(t, err)
	first, err := image.Digest()
	require.NoError(t, err)
	second, err := again.Digest()
	require.NoError(t, err)
	require.Equal(t, first, second, "the same sources give the same digest, wherever they are built")
}

// files are all files of an image, by name.
func files(t *testing.T, image v1.Image) map[string]string {
	content := mutate.Extract(image)
	defer func() { _ = content.Close() }() // read to its end
	files := map[string]string{}
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		if header.Typeflag != tar.TypeDir {
			text, err := io.ReadAll(archive)
			require.NoError(t, err)
			files[strings.TrimPrefix(header.Name, "/")] = string(text)
		}
	}
}
