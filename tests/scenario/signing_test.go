package scenario_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/tracebloc/image-refresh/tests/registries"
)

// signers sign as cosign does; what cosign itself has signed is in testdata/signatures.
var signers = map[string]*ecdsa.PrivateKey{"release": newSigner(), "next": newSigner(), "stranger": newSigner()}

func newSigner() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// publicKey is a signer's public key in PEM.
func publicKey(signer string) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(signers[signer].Public()))})
}

// writeKeys puts the public key of each signer beside the configuration, as SIGNER.pub.
func writeKeys(dir string) {
	for name := range signers {
		if err := os.WriteFile(filepath.Join(dir, name+".pub"), publicKey(name), 0o600); err != nil {
			panic(err)
		}
	}
}

func signed(signer string, message []byte) []byte {
	sum := sha256.Sum256(message)
	return signedSum(signer, sum[:])
}

func signedSum(signer string, sum []byte) []byte {
	return must(signers[signer].Sign(rand.Reader, sum, crypto.SHA256))
}

// The media types of what cosign writes.
const (
	simpleSigningMedia = "application/vnd.dev.cosign.simplesigning.v1+json"
	bundleMedia        = "application/vnd.dev.sigstore.bundle.v0.3+json"
	cosignSign         = "https://sigstore.dev/cosign/sign/v1"
	emptyMedia         = "application/vnd.oci.empty.v1+json"
)

// simpleSigning is a payload about a digest.
func simpleSigning(digest string) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"ghcr.io/elsewhere/app"},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, digest)
}

// statement is a bundle that says something of a digest.
func statement(signer, digest, predicate string) []byte {
	const kind = "application/vnd.in-toto+json"
	payload := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":%q,"predicate":{}}`,
		strings.TrimPrefix(digest, "sha256:"), predicate)
	message := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload)
	return must(json.Marshal(map[string]any{
		"mediaType": bundleMedia, "verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "nobody has signed this"}},
		"dsseEnvelope": map[string]any{"payload": payload, "payloadType": kind, "signatures": []any{map[string]any{"sig": signed(signer, message)}}},
	}))
}

// layer is a blob with what a manifest says of it.
type layer struct {
	blob        []byte
	media       string
	annotations map[string]string
}

// signedPayload is a layer of a .sig tag.
func signedPayload(signer string, payload []byte) layer {
	return layer{payload, simpleSigningMedia, map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signed(signer, payload)),
	}}
}

func bundled(bundle []byte) layer { return layer{bundle, bundleMedia, nil} }

// rawManifest is a manifest of layers, as cosign writes it.
func rawManifest(layers ...layer) registries.Raw {
	config := []byte("{}")
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: describe(config, emptyMedia)}
	raw := registries.Raw{Media: manifest.MediaType, Blobs: [][]byte{config}}
	for _, one := range layers {
		descriptor := describe(one.blob, one.media)
		descriptor.Annotations = one.annotations
		manifest.Layers = append(manifest.Layers, descriptor)
		raw.Blobs = append(raw.Blobs, one.blob)
	}
	raw.Manifest = must(json.Marshal(manifest))
	return raw
}

func describe(content []byte, media string) v1.Descriptor {
	hash, size, err := v1.SHA256(strings.NewReader(string(content)))
	if err != nil {
		panic(err)
	}
	return v1.Descriptor{MediaType: types.MediaType(media), Digest: hash, Size: size}
}

// signatureTag is the tag under which what refers to a digest is found; with ".sig" after it, cosign 2's.
func signatureTag(digest string) string { return strings.Replace(digest, ":", "-", 1) }

// listed pushes manifests, and returns the index that lists them. As cosign 3 has it, it does not say of which type they are.
func listed(site *registries.Site, repository string, manifests ...registries.Raw) registries.Raw {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	for _, raw := range manifests {
		descriptor := describe(raw.Manifest, string(raw.Media))
		descriptor.ArtifactType = emptyMedia
		put(site, repository+"@"+descriptor.Digest.String(), raw)
		index.Manifests = append(index.Manifests, descriptor)
	}
	return registries.Raw{Manifest: must(json.Marshal(index)), Media: index.MediaType}
}

// attach puts manifests beside a digest where the registry has no API for referrers: in the index under its fallback tag.
func attach(site *registries.Site, repository, digest string, manifests ...registries.Raw) {
	put(site, repository+":"+signatureTag(digest), listed(site, repository, manifests...))
}

func put(site *registries.Site, reference string, raw registries.Raw) {
	if err := site.Put(reference, raw); err != nil {
		panic(err)
	}
}

// sign DIGEST [SIGNER] [REPOSITORY] signs a digest as cosign 3 does; by the signer "release" where none is said.
func (s *script) sign(args []string) {
	signer, repository := "release", strings.TrimSuffix(ingestor, ":0.3")
	for _, arg := range args[1:] {
		if strings.Contains(arg, "/") {
			repository = arg
		} else {
			signer = arg
		}
	}
	attach(s.Site, repository, args[0], rawManifest(bundled(statement(signer, args[0], cosignSign))))
}

// verified [SIGNER...] [LINE...] is configure with the public keys of these signers, of "release" where none is said.
func (s *script) verified(args []string) {
	writeKeys(s.Dir)
	names := slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return signers[arg] == nil })
	if len(names) == 0 {
		names = []string{"release"}
	}
	lines := []string{"verify: {keys: [" + strings.Join(names, ".pub, ") + ".pub]}"}
	s.configure(append(lines, slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return signers[arg] != nil })...))
}
