//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/registries"
)

func theImage(c *chapter) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range both() {
		image := c.built(layoutOf(platform))
		config, err := image.ConfigFile()
		require.NoError(c, err)
		require.Equal(c, platform, config.Platform().String())
		require.Equal(c, "65532:65532", config.Config.User)
		require.Equal(c, []string{"/image-refresh"}, config.Config.Entrypoint)
		files := c.files(image)
		names := slices.Collect(maps.Keys(files))
		c.Say(platform + " has the files " + strings.Join(names, " "))
		require.ElementsMatch(c, []string{"image-refresh", "etc/ssl/certs/ca-certificates.crt"}, names, "and no shell")
		// The program of another platform cannot be asked; what the linker put into it can be looked for.
		commit := config.Config.Labels["org.opencontainers.image.revision"]
		require.Len(c, commit, 40)
		for _, text := range []string{version, commit} {
			require.True(c, bytes.Contains(files["image-refresh"], []byte(text)), "linux/%s: %s", platform, text)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: config.Platform()}})
	}
	first, err := c.built(layoutOf(both()[0])).Digest()
	require.NoError(c, err)
	second, err := c.built(layoutAgain).Digest()
	require.NoError(c, err)
	require.Equal(c, first, second, "the same sources give the same digest")
	c.Say("Built again elsewhere, of a copy of the sources, it has the same digest: " + first.String())
	_, err = c.site.Push(programImage+":"+version, registries.BuiltIndex(index))
	require.NoError(c, err)
}

// built is the one image in an OCI layout.
func (c *chapter) built(name string) v1.Image {
	path, err := layout.FromPath(filepath.Join(c.box.Dir, name))
	require.NoError(c, err)
	index, err := path.ImageIndex()
	require.NoError(c, err)
	manifest, err := index.IndexManifest()
	require.NoError(c, err)
	require.Len(c, manifest.Manifests, 1)
	image, err := index.Image(manifest.Manifests[0].Digest)
	require.NoError(c, err)
	return image
}

// files are all files of an image, by name.
func (c *chapter) files(image v1.Image) map[string][]byte {
	content := mutate.Extract(image)
	defer func() { _ = content.Close() }() // read to its end
	files := map[string][]byte{}
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(c, err)
		if header.Typeflag != tar.TypeDir {
			files[strings.TrimPrefix(header.Name, "/")], err = io.ReadAll(archive)
			require.NoError(c, err)
		}
	}
}
