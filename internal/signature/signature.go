package signature

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tracebloc/image-refresh/internal/image"
)

// Why something is no signature of a digest.
var (
	ErrMalformed   = errors.New("malformed")
	ErrOtherKey    = errors.New("by another key")
	ErrOtherDigest = errors.New("of another digest")
	// ErrAttestation: provenance, a list of parts, and the report of a vulnerability are signed as well, with the same key, and say
	// nothing about whether the image was published (https://github.com/sigstore/cosign/security/advisories/GHSA-w6c6-c85g-mmv6).
	ErrAttestation = errors.New("an attestation, which is no signature")
)

// simpleSigning is the type of the payload that cosign signs
// (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md).
const simpleSigning = "cosign container image signature"

// SimpleSigning returns the key that has signed a payload about the digest. signature is in base64, as it stands in the
// annotation of the payload's layer. What the payload says of the image's name is not looked at: a mirror has another one.
func (ks Keys) SimpleSigning(payload []byte, signature string, digest image.Digest) (Key, error) {
	bytes, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return Key{}, ErrMalformed
	}
	key, found := ks.find(func(k Key) bool { return k.signed(payload, bytes) })
	if !found {
		return Key{}, ErrOtherKey
	}
	var document struct {
		Critical struct {
			Type  string `json:"type"`
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
		} `json:"critical"`
	}
	switch {
	case json.Unmarshal(payload, &document) != nil || document.Critical.Type != simpleSigning:
		return Key{}, ErrAttestation
	case document.Critical.Image.Digest != string(digest):
		return Key{}, ErrOtherDigest
	}
	return key, nil
}

// The statement that cosign 3 signs (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md).
const (
	statementMedia = "application/vnd.in-toto+json"
	statementType  = "https://in-toto.io/Statement/v1"
	published      = "https://sigstore.dev/cosign/sign/v1"
)

// bundle is what is looked at of a Sigstore bundle (https://docs.sigstore.dev/about/bundle/).
type bundle struct {
	Message *struct {
		Digest struct {
			Algorithm string `json:"algorithm"`
			Digest    []byte `json:"digest"`
		} `json:"messageDigest"`
		Signature []byte `json:"signature"`
	} `json:"messageSignature"`
	Envelope *struct {
		Payload     []byte `json:"payload"`
		PayloadType string `json:"payloadType"`
		Signatures  []struct {
			Signature []byte `json:"sig"`
		} `json:"signatures"`
	} `json:"dsseEnvelope"`
}

// Bundle returns the key that has signed the digest in a Sigstore bundle: itself, as the SHA-256 of the manifest, or by a statement
// that it was published.
func (ks Keys) Bundle(text []byte, digest image.Digest) (Key, error) {
	var b bundle
	if json.Unmarshal(text, &b) != nil || (b.Message == nil) == (b.Envelope == nil) {
		return Key{}, ErrMalformed
	}
	sum, err := hex.DecodeString(strings.TrimPrefix(string(digest), "sha256:"))
	if err != nil {
		return Key{}, ErrMalformed
	}
	if b.Message != nil {
		if b.Message.Digest.Algorithm != "SHA2_256" || !slices.Equal(b.Message.Digest.Digest, sum) {
			return Key{}, ErrOtherDigest
		}
		if key, found := ks.find(func(k Key) bool { return k.signedSum(sum, b.Message.Signature) }); found {
			return key, nil
		}
		return Key{}, ErrOtherKey
	}
	if len(b.Envelope.Signatures) != 1 { // which a bundle must have
		return Key{}, ErrMalformed
	}
	message := encoded(b.Envelope.PayloadType, b.Envelope.Payload)
	key, found := ks.find(func(k Key) bool { return k.signed(message, b.Envelope.Signatures[0].Signature) })
	if !found {
		return Key{}, ErrOtherKey
	}
	return key, states(b.Envelope.PayloadType, b.Envelope.Payload, hex.EncodeToString(sum))
}

// encoded is what is signed in an envelope (https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, "PAE").
func encoded(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// states says why a payload is no statement that a digest was published; nil where it is.
func states(payloadType string, payload []byte, sum string) error {
	var statement struct {
		Type      string `json:"_type"`
		Predicate string `json:"predicateType"`
		Subject   []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
	}
	if payloadType != statementMedia || json.Unmarshal(payload, &statement) != nil || statement.Type != statementType || statement.Predicate != published {
		return ErrAttestation
	}
	for _, subject := range statement.Subject {
		if subject.Digest["sha256"] == sum {
			return nil
		}
	}
	return ErrOtherDigest
}

func (ks Keys) find(signed func(Key) bool) (Key, bool) {
	if at := slices.IndexFunc(ks, signed); at >= 0 {
		return ks[at], true
	}
	return Key{}, false
}
