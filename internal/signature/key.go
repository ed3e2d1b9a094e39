// Package signature verifies what cosign writes when it signs an image with a key: a simple-signing payload, or a Sigstore
// bundle. It is pure: what is verified has been fetched by somebody else, and the cryptography is the standard library's.
//
// A signature counts where one of the keys has made it, and what is signed says that this digest was published. All else that
// comes with one is not trusted, and not needed: certificates, entries of transparency logs, hints at a key, annotations.
package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
)

// minRSA is how many bits an RSA key has at least, as sigstore's libraries demand it.
const minRSA = 2048

// Key is a public key: ECDSA on P-256 or P-384, Ed25519, or RSA.
type Key struct {
	public crypto.PublicKey
	der    []byte
}

// Keys are public keys of which any one suffices, so that keys can be rotated.
type Keys []Key

// Fingerprint names the key: "SHA256:" and the SHA-256 of its DER encoding in hex, which
// `openssl pkey -pubin -in cosign.pub -outform DER | sha256sum` prints.
func (k Key) Fingerprint() string {
	sum := sha256.Sum256(k.der)
	return "SHA256:" + hex.EncodeToString(sum[:])
}

// Fingerprints names the keys, in their order.
func (ks Keys) Fingerprints() string {
	var names []string
	for _, key := range ks {
		names = append(names, key.Fingerprint())
	}
	return strings.Join(names, ", ")
}

// ParseKeys reads one public key or several, each in PEM ("PUBLIC KEY", RFC 7468 section 13, or "RSA PUBLIC KEY"). The error says
// what the text must be, and repeats nothing of it.
func ParseKeys(text []byte) (Keys, error) {
	var keys Keys
	blocks := bytes.Count(text, []byte("-----BEGIN "))
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		key, err := parseKey(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	switch {
	case blocks == 0:
		return nil, errors.New("must hold a public key in PEM, which begins with -----BEGIN PUBLIC KEY-----")
	case len(keys) != blocks: // which the decoder steps over
		return nil, errors.New("must hold whole PEM blocks: one is damaged or cut off")
	}
	return keys, nil
}

func parseKey(block *pem.Block) (Key, error) {
	var public crypto.PublicKey
	var err error
	switch {
	case block.Type == "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type == "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return Key{}, errors.New("must hold the public key and holds a private one, which is no secret any more: replace the pair, and keep its private key where images are signed")
	case block.Type == "CERTIFICATE":
		return Key{}, errors.New("must hold a public key and holds a certificate: keyless signatures are not verified here")
	default:
		return Key{}, errors.New("must hold a public key in PEM, which begins with -----BEGIN PUBLIC KEY-----, and holds something else")
	}
	if err != nil || !usable(public) {
		return Key{}, errors.New("must hold an ECDSA key on P-256 or P-384, an Ed25519 key, or an RSA key of 2048 bits or more")
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	return Key{public: public, der: der}, err
}

func usable(public crypto.PublicKey) bool {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		return key.Curve == elliptic.P256() || key.Curve == elliptic.P384()
	case ed25519.PublicKey:
		return true
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSA
	default:
		return false
	}
}

// signed says whether the key has signed a message. For P-384 some versions of cosign hash with SHA-384, and some with SHA-256; with
// Ed25519 some sign the message, and some its hash (Ed25519ph, RFC 8032).
func (k Key) signed(message, signature []byte) bool {
	switch public := k.public.(type) {
	case ed25519.PublicKey:
		sum := sha512.Sum512(message)
		return ed25519.Verify(public, message, signature) ||
			ed25519.VerifyWithOptions(public, sum[:], signature, &ed25519.Options{Hash: crypto.SHA512}) == nil
	case *ecdsa.PublicKey:
		if public.Curve == elliptic.P384() {
			if sum := sha512.Sum384(message); ecdsa.VerifyASN1(public, sum[:], signature) {
				return true
			}
		}
	}
	sum := sha256.Sum256(message)
	return k.signedSum(sum[:], signature)
}

// signedSum says the same of a message of which the SHA-256 alone is known. Ed25519 does not sign sums.
func (k Key) signedSum(sum, signature []byte) bool {
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(public, sum, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum, signature) == nil
	default:
		return false
	}
}
