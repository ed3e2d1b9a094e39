package registries

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/auth/token"
)

// NewTokenRegistry returns a real registry that wants real tokens: signed, and
// verified by the registry itself against the key that it finds in dir. The
// token endpoint, at realm, is the Registry's.
func NewTokenRegistry(ctx context.Context, dir, realm string) (*Registry, error) {
	s, err := newSigner(realm)
	if err != nil {
		return nil, err
	}
	keys, err := s.writeKeys(dir)
	if err != nil {
		return nil, err
	}
	store := newStore(ctx, configuration.Auth{"token": configuration.Parameters{
		"realm": realm, "service": s.service, "issuer": s.issuer, "jwks": keys,
	}}, func(request *http.Request) {
		repository, _, _ := strings.Cut(strings.TrimPrefix(request.URL.Path, "/v2/"), "/blobs/") // uploads end in a slash
		repository, _, _ = strings.Cut(repository, "/manifests/")
		request.Header.Set("Authorization", "Bearer "+s.claim("the test", now().Add(tokenLifetime), &token.ResourceActions{
			Type: "repository", Name: repository, Actions: []string{"pull", "push", "delete"},
		}))
	})
	registry := newRegistry(store, dialect{realm: realm, service: s.service, badLogin: http.StatusUnauthorized})
	registry.signer = s
	return registry, nil
}

// signer issues tokens as the distribution specification has them.
type signer struct {
	key             *ecdsa.PrivateKey
	issuer, service string
}

const keyID = "the one key"

func newSigner(realm string) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key that signs tokens: %w", err)
	}
	return &signer{key: key, issuer: "issuer of " + realm, service: "service of " + realm}, nil
}

// writeKeys writes the public key as a JSON Web Key Set.
func (s *signer) writeKeys(dir string) (path string, err error) {
	point, err := s.key.PublicKey.Bytes() // 0x04, X, Y
	if err != nil {
		return "", fmt.Errorf("encode the key that signs tokens: %w", err)
	}
	text, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "kid": keyID, "use": "sig", "alg": "ES256",
		"x": segment(point[1:33]), "y": segment(point[33:]),
	}}})
	if err != nil {
		return "", fmt.Errorf("encode the key that signs tokens: %w", err)
	}
	file, err := os.CreateTemp(dir, "jwks-*.json")
	if err != nil {
		return "", fmt.Errorf("write the key that signs tokens: %w", err)
	}
	if _, err = file.Write(text); err != nil {
		return "", fmt.Errorf("write the key that signs tokens: %w", err)
	}
	return file.Name(), file.Close()
}

func (s *signer) sign(subject string, granted grant) string {
	var access []*token.ResourceActions
	for repository := range granted.repositories {
		access = append(access, &token.ResourceActions{Type: "repository", Name: repository, Actions: []string{"pull"}})
	}
	return s.claim(subject, granted.until, access...)
}

func (s *signer) claim(subject string, until time.Time, access ...*token.ResourceActions) string {
	header, err := json.Marshal(map[string]string{"typ": "JWT", "alg": "ES256", "kid": keyID})
	if err != nil {
		panic(err) // strings encode
	}
	started := now().Add(-time.Second)
	claims, err := json.Marshal(token.ClaimSet{
		Issuer: s.issuer, Subject: subject, Audience: token.AudienceList{s.service}, JWTID: rand.Text(),
		Expiration: until.Unix(), NotBefore: started.Unix(), IssuedAt: started.Unix(), Access: access,
	})
	if err != nil {
		panic(err) // strings and numbers encode
	}
	signed := segment(header) + "." + segment(claims)
	sum := sha256.Sum256([]byte(signed))
	first, second, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		panic(err) // P-256 signs a SHA-256
	}
	return signed + "." + segment(append(fixed(first), fixed(second)...))
}

// fixed is one half of an ES256 signature (RFC 7518, section 3.4).
func fixed(n *big.Int) []byte { return n.FillBytes(make([]byte, 32)) }

func segment(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
