package registries

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Content is an image or an index to push. The same build and platforms give
// the same digest, everywhere and always.
type Content struct {
	image v1.Image
	index v1.ImageIndex
	err   error // kept until somebody uses the content, so that tests stay on one line
}

// Image returns an image for one platform (os/arch[/variant]), as a
// single-arch pipeline pushes it.
func Image(build, platform string) Content {
	image, err := newImage(build, platform)
	return Content{image: image, err: err}
}

// Built returns an image of the caller's, as it is.
func Built(image v1.Image) Content { return Content{image: image} }

// BuiltIndex returns an index of the caller's, as it is.
func BuiltIndex(index v1.ImageIndex) Content { return Content{index: index} }

// Index returns an OCI index with an image for each platform, as buildkit
// pushes it.
func Index(build string, platforms ...string) Content {
	return newIndex(build, platforms, func(image v1.Image) v1.Image { return untyped{image} })
}

// KoIndex returns an index as ko and crane write it: each entry says, as its
// artifact type, that it is an image.
func KoIndex(build string, platforms ...string) Content {
	return newIndex(build, platforms, func(image v1.Image) v1.Image { return image })
}

// untyped is an image that gets no artifact type in an index.
type untyped struct{ v1.Image }

func (untyped) ArtifactType() (string, error) { return "", nil }

func newIndex(build string, platforms []string, entry func(v1.Image) v1.Image) Content {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range platforms {
		image, err := newImage(build, platform)
		if err != nil {
			return Content{err: err}
		}
		parsed, err := v1.ParsePlatform(platform)
		if err != nil {
			return Content{err: err}
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: entry(image), Descriptor: v1.Descriptor{Platform: parsed}})
	}
	return Content{index: index}
}

// WithAttestation adds to an index the entry of platform unknown/unknown that
// buildkit puts there for its provenance.
func (c Content) WithAttestation() Content {
	if c.err != nil || c.index == nil {
		return c
	}
	image, err := newImage("attestation", "unknown/unknown")
	if err != nil {
		return Content{err: err}
	}
	c.index = mutate.AppendManifests(c.index, mutate.IndexAddendum{Add: untyped{image}, Descriptor: v1.Descriptor{
		Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
	}})
	return c
}

// EmptyIndex returns an index of nothing.
func EmptyIndex() Content { return newIndex("", nil, nil) }

// Artifact returns what is stored as a manifest and is no image: a chart, a
// signature.
func Artifact(build string) Content {
	image, err := newImage(build, "linux/amd64")
	if err != nil {
		return Content{err: err}
	}
	return Content{image: mutate.ConfigMediaType(image, "application/vnd.cncf.helm.config.v1+json")}
}

// AsDocker gives the content Docker's media types in place of OCI's.
func (c Content) AsDocker() Content {
	switch {
	case c.err != nil:
	case c.index != nil:
		c.index = mutate.IndexMediaType(c.index, types.DockerManifestList)
	default:
		c.image = mutate.ConfigMediaType(mutate.MediaType(c.image, types.DockerManifestSchema2), types.DockerConfigJSON)
	}
	return c
}

// Digest returns the content's digest.
func (c Content) Digest() (string, error) {
	if c.err != nil {
		return "", c.err
	}
	var hash v1.Hash
	var err error
	if c.index != nil {
		hash, err = c.index.Digest()
	} else {
		hash, err = c.image.Digest()
	}
	return hash.String(), err
}

// Parts returns the digests of the content's first image: of its manifest, and
// of its configuration.
func (c Content) Parts() (manifest, config string, err error) {
	one := c.image
	if c.err == nil && c.index != nil {
		var listed *v1.IndexManifest
		if listed, c.err = c.index.IndexManifest(); c.err == nil {
			one, c.err = c.index.Image(listed.Manifests[0].Digest)
		}
	}
	if c.err != nil {
		return "", "", c.err
	}
	own, err := one.Digest()
	if err != nil {
		return "", "", err
	}
	name, err := one.ConfigName()
	return own.String(), name.String(), err
}

func (c Content) push(ref name.Reference, options ...remote.Option) error {
	switch {
	case c.err != nil:
		return c.err
	case c.index != nil:
		return remote.WriteIndex(ref, c.index, options...)
	case c.image != nil:
		return remote.Write(ref, c.image, options...)
	}
	return fmt.Errorf("there is nothing to push")
}

func newImage(build, platform string) (v1.Image, error) {
	return Runnable(platform, static.NewLayer([]byte(build+" for "+platform), types.OCILayer), v1.Config{Labels: map[string]string{"build": build}})
}

// Runnable returns an image of one layer for one platform, with what it says of how it is run.
func Runnable(platform string, layer v1.Layer, run v1.Config) (v1.Image, error) {
	parsed, err := v1.ParsePlatform(platform)
	if err != nil {
		return nil, fmt.Errorf("read platform %q: %w", platform, err)
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		return nil, fmt.Errorf("make an image: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("make an image: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant, config.OSVersion = parsed.OS, parsed.Architecture, parsed.Variant, parsed.OSVersion
	config.Config = run
	return mutate.ConfigFile(image, config)
}
