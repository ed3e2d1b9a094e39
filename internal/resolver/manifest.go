package resolver

import (
	"bytes"
	"encoding/json"
	"mime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/tracebloc/image-refresh/internal/image"
)

// maxEntries bounds an index. Real ones have a dozen.
const maxEntries = 1000

// contents is what a manifest says: either the images of an index, or the configuration of one image.
type contents struct {
	platforms []image.Platform // of the entries that name one
	unnamed   []v1.Hash        // entries that are images and name no platform
	images    []child          // of an index, all that are images or indexes of images
	config    *v1.Descriptor   // of an image
	build     image.Build      // as the annotations say
}

// child is an entry of an index that is an image, or an index of images.
type child struct {
	v1.Hash
	platform image.Platform // zero where the entry names none
}

// shape is what tells an index from an image.
type shape struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType"`
	Manifests     json.RawMessage `json:"manifests"`
	Config        json.RawMessage `json:"config"`
	Layers        json.RawMessage `json:"layers"`
	FSLayers      json.RawMessage `json:"fsLayers"`
}

// parseManifest reads an image manifest or an index of images, OCI or Docker, and refuses all else: schema 1,
// artifacts, an index of nothing, a document that could be read as either (OCI image specification, "manifest" and
// "image index"). An index that was sent as the other kind of index is one, as it is for nodes.
func parseManifest(body []byte, contentType string) (contents, detail) {
	var doc shape
	if json.Unmarshal(body, &doc) != nil {
		return contents{}, notManifest
	}
	if doc.SchemaVersion == 1 || doc.FSLayers != nil {
		return contents{}, schema1
	}
	sent, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		sent = ""
	}
	sentAs, kind := types.MediaType(sent), doc.MediaType
	if kind == "" {
		kind = sentAs
	}
	isIndex, isImage := given(doc.Manifests), given(doc.Config)
	switch {
	case doc.SchemaVersion != 2, isIndex == isImage, isIndex && given(doc.Layers):
		return contents{}, notManifest
	case isIndex && kind.IsIndex() && !sentAs.IsImage():
		return readIndex(body)
	case isImage && kind.IsImage() && !sentAs.IsIndex():
		return readImage(body)
	default:
		return contents{}, notManifest
	}
}

func given(raw json.RawMessage) bool { return raw != nil && string(raw) != "null" }

func readImage(body []byte) (contents, detail) {
	found, err := v1.ParseManifest(bytes.NewReader(body))
	switch {
	case err != nil || found.Config.Digest.Hex == "" && found.Config.MediaType.IsConfig():
		return contents{}, notManifest
	case !found.Config.MediaType.IsConfig():
		return contents{}, artifact
	}
	return contents{config: &found.Config, build: image.BuildOf(found.Annotations)}, noDetail
}

// readIndex collects platforms. Attestations and the like are entries with platform "unknown", an artifact
// type, or another media type; an index of nothing else is no index of images.
func readIndex(body []byte) (contents, detail) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(body))
	if err != nil || len(index.Manifests) > maxEntries {
		return contents{}, notManifest
	}
	c := contents{build: image.BuildOf(index.Annotations)}
	seen := map[image.Platform]bool{}
	for _, entry := range index.Manifests {
		switch p, ok := normal(entry.Platform); {
		case entry.Digest.Hex == "":
			return contents{}, notManifest
		case !entry.MediaType.IsImage() && !entry.MediaType.IsIndex(), !isImageType(entry.ArtifactType):
		case entry.Platform == nil && entry.MediaType.IsImage():
			c.unnamed, c.images = append(c.unnamed, entry.Digest), append(c.images, child{Hash: entry.Digest})
		case ok:
			c.images = append(c.images, child{entry.Digest, p})
			if !seen[p] {
				seen[p] = true
				c.platforms = append(c.platforms, p)
			}
		}
	}
	if len(c.platforms) == 0 && len(c.unnamed) == 0 {
		return contents{}, emptyIndex
	}
	return c, noDetail
}

// isImageType says whether the artifact type of an entry is none, or that of an image: some tools write an image's
// configuration type there, as the image specification has it for manifests without an artifact type.
func isImageType(artifactType string) bool {
	return artifactType == "" || types.MediaType(artifactType).IsConfig()
}

// normal spells a platform as Go and Kubernetes do. False where it is none: unknown, or not a word.
func normal(p *v1.Platform) (image.Platform, bool) {
	if p == nil {
		return image.Platform{}, false
	}
	text := strings.ToLower(p.OS + "/" + p.Architecture)
	switch text {
	case "linux/x86_64", "linux/x86-64":
		text = "linux/amd64"
	case "linux/aarch64":
		text = "linux/arm64"
	}
	if p.Variant != "" {
		text += "/" + strings.ToLower(p.Variant)
	}
	parsed, err := image.ParsePlatform(text)
	return parsed.OfVersion(p.OSVersion), err == nil && parsed.Known() && len(text) <= 100
}

// parseConfig reads the platform of an image from its configuration, and which build it is from the labels there.
func parseConfig(body []byte) (image.Platform, image.Build, bool) {
	var config struct {
		OS, Architecture, Variant string
		OSVersion                 string `json:"os.version"`
	}
	if json.Unmarshal(body, &config) != nil {
		return image.Platform{}, image.Build{}, false
	}
	platform, ok := normal(&v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant, OSVersion: config.OSVersion})
	return platform, buildOfConfig(body), ok
}

// buildOfConfig reads which build an image is from the labels of its configuration. What is no text there is none.
func buildOfConfig(body []byte) image.Build {
	var config struct {
		Config struct{ Labels map[string]string }
	}
	_ = json.Unmarshal(body, &config) // which goes on after a label that is no text
	return image.BuildOf(config.Config.Labels)
}
