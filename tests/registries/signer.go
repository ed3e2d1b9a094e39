package registries

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/auth/token"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// NewTokenRegistry returns a real registry that wants real tokens: signed, and
// verified by the registry itself against the key that it finds in dir. The
// token endpoint, at realm, is the Registry's.
func NewTokenRegistry(ctx context.Context, dir, realm string) (*Registry, error) {
	r := newRegistry(nil, dialect{realm: realm, service: "service of " + realm, verified: true})
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{r.signer.key.Public()}})
	if err != nil {
		return nil, fmt.Errorf("encode the key that signs tokens: %w", err)
	}
	file := filepath.Join(dir, "jwks-"+rand.Text()+".json")
	if err := os.WriteFile(file, keys, 0o600); err != nil {
		return nil, fmt.Errorf("write the key that signs tokens: %w", err)
	}
	r.Store = newStore(ctx, configuration.Auth{"token": configuration.Parameters{
		"realm": realm, "service": r.dialect.service, "issuer": r.signer.issuer, "jwks": file,
	}}, func(request *http.Request) {
		repository, _, _ := strings.Cut(strings.TrimPrefix(request.URL.Path, "/v2/"), "/blobs/") // uploads end in a slash
		repository, _, _ = strings.Cut(repository, "/manifests/")
		request.Header.Set("Authorization", "Bearer "+r.signer.sign("the test", time.Now().Add(tokenLifetime),
			&token.ResourceActions{Type: "repository", Name: repository, Actions: []string{"pull", "push", "delete"}}))
	})
	return r, nil
}

// signer issues tokens as the distribution specification has them.
type signer struct {
	key             jose.JSONWebKey
	issuer, service string
}

func newSigner(realm, service string) *signer {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	return &signer{
		key:    jose.JSONWebKey{Key: key, KeyID: "the one key", Algorithm: string(jose.ES256), Use: "sig"},
		issuer: "issuer of " + realm, service: service,
	}
}

func (s *signer) sign(subject string, until time.Time, access ...*token.ResourceActions) string {
	with := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, (&jose.SignerOptions{}).WithType("JWT")))
	started := time.Now().Add(-time.Second).Unix()
	return must(jwt.Signed(with).Claims(token.ClaimSet{
		Issuer: s.issuer, Subject: subject, Audience: token.AudienceList{s.service}, JWTID: rand.Text(),
		Expiration: until.Unix(), NotBefore: started, IssuedAt: started, Access: access,
	}).Serialize())
}
