package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/image"
)

// testdata/make has made these, and testdata/README.md says what cosign itself makes of them.
func TestWhatCosignHasSigned(t *testing.T) {
	t.Parallel()
	digest := digestOf(t, kept(t, "image/manifest.json"))
	folders, err := filepath.Glob("testdata/cosign-*")
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	for _, folder := range folders {
		folder = filepath.Base(folder)
		keys := parsed(t, kept(t, folder+"/key.pub"))
		layer := kept(t, folder+"/layer")
		verify := func(digest image.Digest) (Key, error) {
			if strings.HasPrefix(folder, "cosign-3") {
				return keys.Bundle(layer, digest)
			}
			return keys.SimpleSigning(layer, annotated(t, kept(t, folder+"/manifest.json")), digest)
		}
		key, err := verify(digest)
		require.NoError(t, err, folder)
		assert.Equal(t, keys[0], key)
		_, err = verify(digestOf(t, []byte("another")))
		require.ErrorIs(t, err, ErrOtherDigest, folder)
		keys = parsed(t, publicKey(t, newKey(t)))
		_, err = verify(digest)
		require.ErrorIs(t, err, ErrOtherKey, folder)
		if text, err := os.ReadFile("testdata/" + folder + "/message"); err == nil {
			keys := parsed(t, kept(t, folder+"/key.pub"))
			_, err = keys.Bundle(text, digest)
			require.NoError(t, err, "%s: a message", folder)
		}
		if text, err := os.ReadFile("testdata/" + folder + "/attestation/layer"); err == nil {
			keys := parsed(t, kept(t, folder+"/key.pub"))
			_, err = keys.Bundle(text, digest)
			require.ErrorIs(t, err, ErrAttestation, folder)
		}
	}
}

func kept(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return text
}

func digestOf(t *testing.T, content []byte) image.Digest {
	t.Helper()
	digest, err := image.ParseDigest(fmt.Sprintf("sha256:%x", sha256.Sum256(content)))
	require.NoError(t, err)
	return digest
}

// annotated is the signature that stands in a manifest of cosign 2.
func annotated(t *testing.T, manifest []byte) string {
	t.Helper()
	var m struct {
		Layers []struct{ Annotations map[string]string }
	}
	require.NoError(t, json.Unmarshal(manifest, &m))
	return m.Layers[0].Annotations["dev.cosignproject.cosign/signature"]
}

func parsed(t *testing.T, text []byte) Keys {
	t.Helper()
	keys, err := ParseKeys(text)
	require.NoError(t, err)
	return keys
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func publicKey(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestParseKeys(t *testing.T) {
	t.Parallel()
	good := publicKey(t, newKey(t))
	block := func(kind string, content []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
	}
	curve, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(t, err)
	weak, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2046), E: 65537})
	require.NoError(t, err)
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for _, c := range []struct {
		name, says string
		text       []byte
	}{
		{"one", "", good},
		{"several, with words between", "", bytes.Join([][]byte{good, publicKey(t, strong)}, []byte("the old one:\n"))},
		{"RSA of its own format", "", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&strong.PublicKey))},
		{"nothing", "must hold a public key in PEM", nil},
		{"no PEM", "must hold a public key in PEM", []byte("cosign.pub")},
		{"a private key", "which is no secret any more", block("ENCRYPTED SIGSTORE PRIVATE KEY", []byte("x"))},
		{"a certificate", "keyless", block("CERTIFICATE", []byte("x"))},
		{"something else", "holds something else", block("SSH PUBLIC KEY", []byte("x"))},
		{"half a key", "damaged", good[:len(good)-10]},
		{"half a key before a whole one", "damaged", append(good[:len(good)-10:len(good)-10], good...)},
		{"garbage", "must hold an ECDSA key", block("PUBLIC KEY", []byte("x"))},
		{"another curve", "must hold an ECDSA key", publicKey(t, curve)},
		{"a short RSA key", "2048 bits", block("PUBLIC KEY", weak)},
	} {
		keys, err := ParseKeys(c.text)
		if c.says == "" {
			require.NoError(t, err, c.name)
			assert.NotEmpty(t, keys, c.name)
			continue
		}
		require.ErrorContains(t, err, c.says, c.name)
		assert.Empty(t, keys, c.name)
	}
}

// What openssl and sha256sum make of the same key.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	const text = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"
	keys := parsed(t, []byte(text+text))
	fingerprint := "SHA256:a1e9156054e04fac899ae9f275132cdc07a5dbc4ea2c2ad3a1ffc6e0d253681f"
	assert.Equal(t, fingerprint, keys[0].Fingerprint())
	assert.Equal(t, fingerprint+", "+fingerprint, keys.Fingerprints())
}

// One thing is wrong with each; what is good is verified above.
func TestWhatIsNoSignature(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	keys := parsed(t, publicKey(t, key))
	digest := digestOf(t, []byte("image"))
	sum := strings.TrimPrefix(string(digest), "sha256:")
	const good = `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://sigstore.dev/cosign/sign/v1","subject":[{"digest":{"sha256":"SUM"}}]}`
	enveloped := func(kind, payload string, signatures int) string {
		payload = strings.ReplaceAll(payload, "SUM", sum)
		one := fmt.Sprintf(`{"sig":%q}`, signedBy(t, key, encoded(kind, []byte(payload))))
		return fmt.Sprintf(`{"dsseEnvelope":{"payload":%q,"payloadType":%q,"signatures":[%s]}}`, base64.StdEncoding.EncodeToString([]byte(payload)), kind,
			strings.TrimSuffix(strings.Repeat(one+",", signatures), ","))
	}
	for _, c := range []struct {
		name, bundle string
		err          error
	}{
		{"good", enveloped(statementMedia, good, 1), nil},
		{"no JSON", `{`, ErrMalformed},
		{"nothing in it", `{"verificationMaterial":{}}`, ErrMalformed},
		{"two things in it", `{"messageSignature":{},"dsseEnvelope":{}}`, ErrMalformed},
		{"no signature", enveloped(statementMedia, good, 0), ErrMalformed},
		{"two signatures", enveloped(statementMedia, good, 2), ErrMalformed},
		{"another media type", enveloped("application/json", good, 1), ErrAttestation},
		{"another predicate", enveloped(statementMedia, strings.Replace(good, "sign/v1", "sign/v2", 1), 1), ErrAttestation},
		{"another statement", enveloped(statementMedia, strings.Replace(good, "Statement/v1", "Statement/v9", 1), 1), ErrAttestation},
		{"no statement", enveloped(statementMedia, `[]`, 1), ErrAttestation},
		{"another digest", enveloped(statementMedia, strings.Replace(good, "SUM", "ab", 1), 1), ErrOtherDigest},
		{"the type is signed", strings.Replace(enveloped("application/json", good, 1), "application/json", statementMedia, 1), ErrOtherKey},
		{"another hash", `{"messageSignature":{"messageDigest":{"algorithm":"SHA2_512"}}}`, ErrOtherDigest},
		{"a message that nobody has signed", fmt.Sprintf(`{"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":%q}}}`,
			sumOf("image")), ErrOtherKey},
	} {
		_, err := keys.Bundle([]byte(c.bundle), digest)
		assert.Equal(t, c.err, err, c.name)
	}
	payload := func(kind string) []byte {
		return fmt.Appendf(nil, `{"critical":{"image":{"docker-manifest-digest":%q},"type":%q}}`, digest, kind)
	}
	for _, c := range []struct {
		name      string
		payload   []byte
		signature string
		err       error
	}{
		{"good", payload(simpleSigning), signedBy(t, key, payload(simpleSigning)), nil},
		{"no base64", payload(simpleSigning), "%", ErrMalformed},
		{"none", payload(simpleSigning), "", ErrOtherKey},
		{"another type", payload("atomic container signature"), signedBy(t, key, payload("atomic container signature")), ErrAttestation},
	} {
		_, err := keys.SimpleSigning(c.payload, c.signature, digest)
		assert.Equal(t, c.err, err, c.name)
	}
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func signedBy(t *testing.T, key crypto.Signer, message []byte) string {
	t.Helper()
	sum := sha256.Sum256(message)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(signature)
}

// Ed25519 does not sign sums, so it signs no digest itself, and no other key type takes its signatures.
func TestEd25519SignsMessages(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	key := Key{public: public}
	assert.True(t, key.signed([]byte("m"), ed25519.Sign(private, []byte("m"))))
	assert.False(t, key.signedSum([]byte("m"), ed25519.Sign(private, []byte("m"))))
}

func FuzzBundle(f *testing.F) {
	f.Add([]byte(`{"dsseEnvelope":{"payload":"e30=","payloadType":"x","signatures":[{"sig":"MEQ="}]}}`))
	f.Add([]byte(`{"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"e30="},"signature":"MEQ="}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := parsed(t, publicKey(t, newKey(t))).Bundle(text, digestOf(t, text))
		require.Error(t, err, "a key that nobody has")
	})
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys(text)
		require.Equal(t, err == nil, len(keys) > 0)
		for _, key := range keys {
			assert.Len(t, key.Fingerprint(), 71)
		}
	})
}
