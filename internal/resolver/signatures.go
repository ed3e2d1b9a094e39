package resolver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
	"github.com/tracebloc/image-refresh/internal/signature"
)

// Bounds on what is read in search of one signature, one after another. Each of them is as large as a manifest at most.
const (
	maxCandidates = 100
	maxPages      = 10 // of the list of referrers
)

// The media types of what cosign writes: layers of a manifest, of which the first kind has its signature in an annotation.
const (
	simpleSigningMedia  = "application/vnd.dev.cosign.simplesigning.v1+json"
	bundleMedia         = "application/vnd.dev.sigstore.bundle" // with a version after it
	signatureAnnotation = "dev.cosignproject.cosign/signature"
)

type signatureKey struct {
	repository string
	digest     image.Digest
	keys       string // their fingerprints
	as         credential.Identity
}

// Signed returns the key that has signed a digest, one of those given. It is looked for where pods pull the digest and then,
// where the configuration allows it, at the image's own registry, whatever a mirror has come to. The error's cause is unsigned only
// where everything could be read.
func (r *Resolver) Signed(ctx context.Context, q Query, digest image.Digest, keys signature.Keys) (signature.Key, error) {
	s := &subject{query: q, ring: r.keyring(ctx, q), digest: digest, signatures: true}
	ctx, release, p := r.turn(ctx)
	if p != nil {
		return signature.Key{}, r.failure(s, p)
	}
	defer release()
	var key signature.Key
	var failed []outcome
	for _, e := range r.signaturePlaces(q, digest) {
		_, one := r.tryAll(ctx, e, s.ring, func(ctx context.Context, e endpoint, who credential.Credential) (_ Manifest, p *problem) {
			key, p = r.host(e.host).signed(ctx, e.repository, who, digest, keys)
			return Manifest{}, p
		})
		if one.problem == nil {
			return key, nil
		}
		failed = append(failed, one)
	}
	at := max(0, slices.IndexFunc(failed, func(one outcome) bool { return one.problem.cause != failure.Unsigned }))
	s.outcome = failed[at]
	s.outcome.passed = slices.Delete(slices.Clone(failed), at, at+1)
	return signature.Key{}, r.failure(s, s.outcome.problem)
}

// signaturePlaces are where the signatures of a digest may be: where it was resolved, or else wherever it may be pulled, and last
// at the image's own registry.
func (r *Resolver) signaturePlaces(q Query, digest image.Digest) []endpoint {
	places := endpoints(q.Image, r.registries)
	from, ok := r.answerOf(q)
	if !ok || from.Digest != digest {
		return places
	}
	return slices.DeleteFunc(places, func(e endpoint) bool { return e.mirror && e != from.endpoint })
}

// signed searches one repository for a signature.
func (h *host) signed(ctx context.Context, repository string, who credential.Credential, digest image.Digest, keys signature.Keys) (signature.Key, *problem) {
	key := signatureKey{repository, digest, keys.Fingerprints(), who.Identity()}
	return h.signatures.do(ctx, key, h.timeout, func(ctx context.Context) (signature.Key, *problem) {
		s := &search{host: h, repository: repository, who: who, digest: digest, keys: keys, found: map[string]int{}}
		tag := strings.Replace(string(digest), ":", "-", 1)
		if s.inReferrers(ctx) || s.inIndex(ctx, tag) || s.inManifest(ctx, h.registry.Repo(repository).Tag(tag+".sig")) {
			return s.key, nil
		}
		s.failed(&problem{Failure: s.here(), cause: failure.Unsigned, found: s.findings()})
		return signature.Key{}, s.problem
	})
}

// search is the search of one repository, as somebody. Its steps say whether they have found the signature.
type search struct {
	*host
	repository string
	who        credential.Credential
	digest     image.Digest
	keys       signature.Keys

	key     signature.Key
	read    int            // candidates so far
	seen    []v1.Hash      // manifests that were read, which may be listed twice
	found   map[string]int // what is no signature, by the reason
	problem *problem       // the first one that kept something from being read
}

// failed keeps a problem. What is not there, or was deleted after it was listed, is none.
func (s *search) failed(p *problem) {
	if s.problem == nil && p.cause != failure.NotFound {
		s.problem = p
	}
}

// here is a failure of what was found, and not of an answer.
func (s *search) here() wire.Failure {
	return wire.Failure{Place: wire.Place{Role: failure.StageManifest, Host: s.address, Secure: !s.plainHTTP}, Stage: failure.StageManifest}
}

// another says whether one more candidate may be read.
func (s *search) another() bool {
	if s.read++; s.read <= maxCandidates {
		return true
	}
	s.failed(&problem{Failure: s.here(), cause: failure.BadResponse, detail: tooMany})
	return false
}

// noReferrers are what registries without the API for referrers answer; those behind a gateway have statuses of their own.
var noReferrers = []int{http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusGone, http.StatusNotImplemented}

// inReferrers looks through what refers to the digest, as the registry lists it, page by page
// (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers).
func (s *search) inReferrers(ctx context.Context) bool {
	at := &url.URL{Scheme: s.registry.Scheme(), Host: s.registry.RegistryStr(), Path: "/v2/" + s.repository + "/referrers/" + string(s.digest)}
	for range maxPages {
		var body []byte
		got, p := s.ask(ctx, notReferrers, func(ctx context.Context, way http.RoundTripper) (err error) {
			body, err = getList(ctx, way, at)
			return err
		})
		if p != nil {
			if !slices.Contains(noReferrers, p.Status) {
				s.failed(p)
			}
			return false
		}
		if s.listed(ctx, body, &got.Call) {
			return true
		}
		if at = nextPage(got.Call); at == nil {
			return false
		}
	}
	s.failed(&problem{Failure: s.here(), cause: failure.BadResponse, detail: tooMany})
	return false
}

// ask asks with a token for this repository alone: what is not there would be asked for once more without others in the token.
// Once the time is over nothing is asked for, so that one slow search is no reason to leave the registry alone.
func (s *search) ask(ctx context.Context, unreadable detail, q request) (answer, *problem) {
	if ctx.Err() != nil {
		return answer{}, unanswered(wire.Ended(ctx))
	}
	return s.send(ctx, needs{repository: s.repository, alone: true}, s.who, unreadable, q)
}

func getList(ctx context.Context, way http.RoundTripper, at *url.URL) ([]byte, error) {
	asking, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	asking.Header.Set("Accept", string(types.OCIImageIndex))
	answered, err := (&http.Client{Transport: way}).Do(asking)
	if err != nil {
		return nil, err
	}
	defer answered.Body.Close() //nolint:errcheck // it has been read
	if err := transport.CheckError(answered, http.StatusOK); err != nil {
		return nil, err
	}
	return io.ReadAll(answered.Body)
}

var nextLink = regexp.MustCompile(`<([^>]*)>\s*;\s*rel="?next"?`)

// nextPage is where the list goes on (RFC 8288), at the same registry; nil where it is over.
func nextPage(of wire.Call) *url.URL {
	link := nextLink.FindStringSubmatch(of.Header.Get("Link"))
	if link == nil || of.Crossed {
		return nil
	}
	next, err := of.URL.Parse(link[1])
	if err != nil || next.Host != of.URL.Host {
		return nil
	}
	next.User = nil
	return next
}

// inIndex looks through the index under the tag that lists referrers where the registry has no API for them.
func (s *search) inIndex(ctx context.Context, tag string) bool {
	index, got, p := s.manifest(ctx, s.registry.Repo(s.repository).Tag(tag))
	if p != nil {
		s.failed(p)
		return false
	}
	return s.listed(ctx, index, &got.Call)
}

// listed looks through an index of manifests. What a descriptor says of a manifest's type is a hint: cosign 3 writes none, or the
// type of its empty configuration.
func (s *search) listed(ctx context.Context, body []byte, from *wire.Call) bool {
	var index struct {
		SchemaVersion int             `json:"schemaVersion"`
		Manifests     []v1.Descriptor `json:"manifests"`
	}
	if json.Unmarshal(body, &index) != nil || index.SchemaVersion != 2 {
		s.failed(badAnswer(from, notReferrers))
		return false
	}
	for _, one := range index.Manifests {
		if one.MediaType.IsIndex() || slices.Contains(s.seen, one.Digest) {
			continue
		}
		if s.seen = append(s.seen, one.Digest); !s.another() {
			return false
		}
		if s.inManifest(ctx, s.registry.Repo(s.repository).Digest(one.Digest.String())) {
			return true
		}
	}
	return false
}

func (s *search) manifest(ctx context.Context, ref name.Reference) (body []byte, got answer, p *problem) {
	got, p = s.ask(ctx, otherDigest, question(func(o ...remote.Option) error {
		found, err := remote.Get(ref, o...)
		if err == nil {
			body = found.Manifest
		}
		return err
	}).request())
	return body, got, p
}

// inManifest looks through the layers of a manifest.
func (s *search) inManifest(ctx context.Context, ref name.Reference) bool {
	body, _, p := s.manifest(ctx, ref)
	if p != nil {
		s.failed(p)
		return false
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(body))
	if err != nil {
		s.found[signature.ErrMalformed.Error()]++
		return false
	}
	for at, layer := range manifest.Layers {
		if at > 0 && !s.another() {
			return false
		}
		if s.inLayer(ctx, layer) {
			return true
		}
	}
	return false
}

func (s *search) inLayer(ctx context.Context, layer v1.Descriptor) bool {
	isBundle := strings.HasPrefix(string(layer.MediaType), bundleMedia)
	if !isBundle && layer.MediaType != simpleSigningMedia {
		return false
	}
	body, p := s.blob(ctx, layer)
	if p != nil {
		s.failed(p)
		return false
	}
	key, err := s.keys.SimpleSigning(body, layer.Annotations[signatureAnnotation], s.digest)
	if isBundle {
		key, err = s.keys.Bundle(body, s.digest)
	}
	if err != nil {
		s.found[err.Error()]++
		return false
	}
	s.key = key
	return true
}

func (s *search) blob(ctx context.Context, layer v1.Descriptor) (body []byte, p *problem) {
	ref := s.registry.Repo(s.repository).Digest(layer.Digest.String())
	_, p = s.ask(ctx, otherDigest, blobInto(&body, ref).request())
	return body, p
}

// findings says what was found in place of a signature, as in "1 by another key, 2 malformed".
func (s *search) findings() string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(s.found)) {
		parts = append(parts, fmt.Sprintf("%d %s", s.found[reason], reason))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
