package resolver

import (
	"bytes"
	"encoding/json"
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/image"
)

// The kinds of manifest that a pod can run, and the configurations that make one an image.
const (
	mediaIndex          = "application/vnd.oci.image.index.v1+json"
	mediaManifest       = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig         = "application/vnd.oci.image.config.v1+json"
	mediaDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaDockerConfig   = "application/vnd.docker.container.image.v1+json"
)

// maxEntries bounds an index. Real ones have a dozen.
const maxEntries = 1000

// contents is what a manifest says: either the images of an index, or the configuration of one image.
type contents struct {
	platforms []image.Platform // of the entries that name one
	unnamed   []image.Digest   // entries that are images and name no platform
	config    image.Digest     // of an image
	created   time.Time        // as the annotation org.opencontainers.image.created says, if it does
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

type descriptor struct {
	MediaType    string    `json:"mediaType"`
	Digest       string    `json:"digest"`
	ArtifactType string    `json:"artifactType"`
	Platform     *platform `json:"platform"`
}

type document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	ArtifactType  string          `json:"artifactType"`
	Manifests     json.RawMessage `json:"manifests"`
	Config        *descriptor     `json:"config"`
	Layers        json.RawMessage `json:"layers"`
	FSLayers      json.RawMessage `json:"fsLayers"`
	Annotations   json.RawMessage `json:"annotations"`
}

// parseManifest reads an image manifest or an index of images, OCI or Docker, and refuses all else: schema 1,
// artifacts, an index of nothing, a document that could be read as either (OCI image specification, "manifest" and
// "image index"). Where the document names its media type, that must be what it was sent as.
func parseManifest(body []byte, contentType string) (contents, detail) {
	var doc document
	if json.Unmarshal(body, &doc) != nil {
		return contents{}, notManifest
	}
	sentAs, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		sentAs = ""
	}
	if doc.SchemaVersion == 1 || doc.FSLayers != nil {
		return contents{}, schema1
	}
	kind := doc.MediaType
	if kind == "" {
		kind = sentAs
	}
	if doc.SchemaVersion != 2 || known(sentAs) && known(kind) && sentAs != kind {
		return contents{}, notManifest
	}
	isIndex, isImage := doc.Manifests != nil && string(doc.Manifests) != "null", doc.Config != nil
	switch {
	case isIndex == isImage, isIndex && doc.Layers != nil:
		return contents{}, notManifest
	case !isImageType(doc.ArtifactType):
		return contents{}, artifact
	case isIndex && (kind == mediaIndex || kind == mediaDockerList):
		c, d := readIndex(doc.Manifests)
		return c.dated(doc.Annotations, d)
	case isImage && (kind == mediaManifest || kind == mediaDockerManifest):
		c, d := readImage(*doc.Config)
		return c.dated(doc.Annotations, d)
	default:
		return contents{}, notManifest
	}
}

// dated adds when the image was built, where an annotation says so (OCI image specification, "annotations"). It is
// for people to read, so what does not parse is left out.
func (c contents) dated(annotations json.RawMessage, d detail) (contents, detail) {
	var found struct {
		Created string `json:"org.opencontainers.image.created"`
	}
	if d == plain && json.Unmarshal(annotations, &found) == nil {
		if at, err := time.Parse(time.RFC3339, found.Created); err == nil {
			c.created = at
		}
	}
	return c, d
}

func known(kind string) bool {
	return slices.Contains([]string{mediaIndex, mediaManifest, mediaDockerList, mediaDockerManifest}, kind)
}

// isImageType says whether an artifact type is none, or that of an image: some tools write an image's
// configuration type there, as the image specification has it for manifests without an artifact type.
func isImageType(artifactType string) bool {
	return artifactType == "" || artifactType == mediaConfig || artifactType == mediaDockerConfig
}

func readImage(config descriptor) (contents, detail) {
	if config.MediaType != mediaConfig && config.MediaType != mediaDockerConfig {
		return contents{}, artifact
	}
	digest, err := image.ParseDigest(config.Digest)
	if err != nil {
		return contents{}, notManifest
	}
	return contents{config: digest}, plain
}

// readIndex collects platforms. Attestations and the like are entries with platform "unknown", an artifact
// type, or another media type; an index of nothing else is no index of images.
//
// Entries are read one by one: four megabytes of empty ones would unfold to a hundred times as much.
func readIndex(raw json.RawMessage) (contents, detail) {
	var c contents
	seen := map[image.Platform]bool{}
	entries := json.NewDecoder(bytes.NewReader(raw))
	if first, err := entries.Token(); err != nil || first != json.Delim('[') {
		return contents{}, notManifest
	}
	for count := 0; entries.More(); count++ {
		var entry descriptor
		if count == maxEntries || entries.Decode(&entry) != nil {
			return contents{}, notManifest
		}
		digest, err := image.ParseDigest(entry.Digest)
		if err != nil {
			return contents{}, notManifest
		}
		if !known(entry.MediaType) || !isImageType(entry.ArtifactType) {
			continue
		}
		if entry.Platform == nil {
			if entry.MediaType == mediaManifest || entry.MediaType == mediaDockerManifest {
				c.unnamed = append(c.unnamed, digest)
			}
			continue
		}
		if p, ok := entry.Platform.normal(); ok && !seen[p] {
			seen[p] = true
			c.platforms = append(c.platforms, p)
		}
	}
	if len(c.platforms) == 0 && len(c.unnamed) == 0 {
		return contents{}, emptyIndex
	}
	return c, plain
}

// normal spells a platform as Go and Kubernetes do. False where it is none: unknown, or not a word.
func (p platform) normal() (image.Platform, bool) {
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
	return parsed, err == nil && parsed.Known() && len(text) <= 100
}

// parseConfig reads the platform of an image from its configuration.
func parseConfig(body []byte) (image.Platform, bool) {
	var config platform
	if json.Unmarshal(body, &config) != nil {
		return image.Platform{}, false
	}
	return config.normal()
}
