package registries

import (
	"fmt"
	"maps"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Content is an image or an index to push. The same build and platforms give
// the same digest, everywhere and always. What makes it panics where a platform
// is none.
type Content struct {
	image v1.Image
	index v1.ImageIndex // in place of an image
}

// Said is what an image says of itself.
type Said struct {
	Labels map[string]string // of its configuration
	Image  map[string]string // annotations of its manifest
	Index  map[string]string // annotations of the index that it is in
}

// Image returns an image for one platform (os/arch[/variant]), as a
// single-arch pipeline pushes it.
func Image(build, platform string) Content { return ImageThatSays(Said{}, build, platform) }

// ImageThatSays returns an image that says something of itself.
func ImageThatSays(said Said, build, platform string) Content {
	labels := map[string]string{"build": build}
	maps.Copy(labels, said.Labels)
	layer := static.NewLayer([]byte(build+" for "+platform), types.OCILayer)
	image := must(Runnable(platform, layer, v1.Config{Labels: labels}))
	if said.Image != nil {
		image = mutate.Annotations(image, said.Image).(v1.Image)
	}
	return Content{image: image}
}

// Built returns an image of the caller's, as it is.
func Built(image v1.Image) Content { return Content{image: image} }

// BuiltIndex returns an index of the caller's, as it is.
func BuiltIndex(index v1.ImageIndex) Content { return Content{index: index} }

// Index returns an OCI index with an image for each platform, as buildkit
// pushes it.
func Index(build string, platforms ...string) Content {
	return IndexThatSays(Said{}, build, platforms...)
}

// IndexThatSays returns an index that says something of itself, as do its
// images.
func IndexThatSays(said Said, build string, platforms ...string) Content {
	index := EmptyIndex()
	for _, platform := range platforms {
		index = index.with(untyped{ImageThatSays(said, build, platform).image}, platform, nil)
	}
	if said.Index != nil {
		index.index = mutate.Annotations(index.index, said.Index).(v1.ImageIndex)
	}
	return index
}

// KoIndex returns an index of one platform as ko and crane write it: the entry
// says, as its artifact type, that it is an image.
func KoIndex(build, platform string) Content {
	return EmptyIndex().with(Image(build, platform).image, platform, nil)
}

// EmptyIndex returns an index of nothing.
func EmptyIndex() Content {
	return Content{index: mutate.IndexMediaType(empty.Index, types.OCIImageIndex)}
}

// WithAttestation adds to an index the entry of platform unknown/unknown that
// buildkit puts there for its provenance.
func (c Content) WithAttestation() Content {
	return c.with(untyped{Image("attestation", "unknown/unknown").image}, "unknown/unknown",
		map[string]string{"vnd.docker.reference.type": "attestation-manifest"})
}

// untyped is an image that gets no artifact type in an index.
type untyped struct{ v1.Image }

func (untyped) ArtifactType() (string, error) { return "", nil }

func (c Content) with(entry v1.Image, platform string, annotations map[string]string) Content {
	return Content{index: mutate.AppendManifests(c.index, mutate.IndexAddendum{Add: entry, Descriptor: v1.Descriptor{
		Platform: must(v1.ParsePlatform(platform)), Annotations: annotations,
	}})}
}

// Artifact returns what is stored as a manifest and is no image: a chart, a
// signature.
func Artifact(build string) Content {
	return Content{image: mutate.ConfigMediaType(Image(build, "linux/amd64").image, "application/vnd.cncf.helm.config.v1+json")}
}

// AsDocker gives the content Docker's media types in place of OCI's.
func (c Content) AsDocker() Content {
	if c.index != nil {
		return Content{index: mutate.IndexMediaType(c.index, types.DockerManifestList)}
	}
	return Content{image: mutate.ConfigMediaType(mutate.MediaType(c.image, types.DockerManifestSchema2), types.DockerConfigJSON)}
}

// Digest returns the content's digest.
func (c Content) Digest() (string, error) {
	hash, err := partial.Digest(c.taggable())
	return hash.String(), err
}

func (c Content) taggable() remote.Taggable {
	if c.index != nil {
		return c.index
	}
	return c.image
}

// Parts returns the digests of the content's first image: of its manifest, and
// of its configuration.
func (c Content) Parts() (manifest, config string, err error) {
	one := c.image
	if c.index != nil {
		one = must(c.index.Image(must(c.index.IndexManifest()).Manifests[0].Digest))
	}
	digest, err := one.Digest()
	if err != nil {
		return "", "", err
	}
	name, err := one.ConfigName()
	return digest.String(), name.String(), err
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

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
