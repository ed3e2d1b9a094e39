package resolver

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// says is a token endpoint that always says the same.
type says string

func (s says) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte(s))), Request: r}, nil
}

// exchanged is what the endpoint's answer is taken for.
func exchanged(t *testing.T, body string) (token, *problem) {
	t.Helper()
	h := at(t, "a.io")
	h.network = says(body)
	ch := challenge{
		method: bearer, realm: &url.URL{Scheme: "https", Host: "a.io", Path: "/token"},
		library: &transport.Challenge{Scheme: "bearer", Parameters: map[string]string{"realm": "https://a.io/token"}},
	}
	ctx, call := wire.Begin(t.Context(), failure.StageToken)
	return h.exchange(ctx, call, ch, credential.Credential{}, []string{scopeOf("x")})
}

func TestTokens(t *testing.T) {
	t.Parallel()
	jwt := func(payload string) string {
		return "h." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".s"
	}
	for name, c := range map[string]struct {
		body, value, subject string
		life                 time.Duration
	}{
		"token":               {`{"token":"abc"}`, "abc", "", 55 * time.Second},
		"access_token alone":  {`{"access_token":"abc","expires_in":300}`, "abc", "", 295 * time.Second},
		"both":                {`{"token":"abc","access_token":"def"}`, "abc", "", 55 * time.Second},
		"harbor":              {`{"token":"` + jwt(`{"sub":"robot$p+n"}`) + `","access_token":"","expires_in":1800}`, jwt(`{"sub":"robot$p+n"}`), "robot$p+n", 1795 * time.Second},
		"harbor for nobody":   {`{"token":"` + jwt(`{"access":[]}`) + `"}`, jwt(`{"access":[]}`), "", 55 * time.Second},
		"endless":             {`{"token":"abc","expires_in":1000000000000}`, "abc", "", time.Hour - 5*time.Second},
		"short":               {`{"token":"abc","expires_in":2}`, "abc", "", time.Second},
		"negative":            {`{"token":"abc","expires_in":-5}`, "abc", "", 55 * time.Second},
		"dots, but no claims": {`{"token":"a.%.c"}`, "a.%.c", "", 55 * time.Second},
	} {
		got, p := exchanged(t, c.body)
		assert.Nil(t, p, name)
		assert.Equal(t, c.value, got.value, name)
		assert.Equal(t, c.subject, got.subject, name)
		assert.InDelta(t, c.life, time.Until(got.until), float64(500*time.Millisecond), name)
	}
	for _, body := range []string{``, `{}`, `[]`, `{"token":""}`, `{"token":"a b"}`, `{"token":"a\r\nX: y"}`, `{"token":"ä"}`, `{"token":5}`, `<html>login</html>`, `{"token":"x"`} {
		_, p := exchanged(t, body)
		if assert.NotNil(t, p, body) {
			assert.Equal(t, failure.BadResponse, p.cause, body)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add([]byte(`{"token":"abc","expires_in":300}`))
	f.Add([]byte(`{"access_token":"h.eyJzdWIiOiJyb2JvdCRwK24ifQ.s","token":""}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, p := exchanged(t, string(body))
		if p == nil && (got.value == "" || strings.ContainsAny(got.value, " \r\n\t") || time.Until(got.until) > longestLife) {
			t.Fatalf("accepted nonsense: %+v", got)
		}
	})
}

func TestBatches(t *testing.T) {
	t.Parallel()
	names := func(count, length int) []string {
		var all []string
		for i := range count {
			all = append(all, fmt.Sprintf("%0*d", length, i))
		}
		return all
	}
	sizes := func(all [][]string) []int {
		var sizes []int
		for _, batch := range all {
			sizes = append(sizes, len(batch))
		}
		return sizes
	}
	assert.Nil(t, batches(nil))
	assert.Equal(t, []int{1}, sizes(batches(names(1, 10))))
	assert.Equal(t, []int{50}, sizes(batches(names(50, 10))))
	assert.Equal(t, []int{50, 1}, sizes(batches(names(51, 10))))
	for _, batch := range batches(names(60, 255)) {
		query := url.Values{"scope": scopesOf(batch)}
		assert.LessOrEqual(t, len(query.Encode()), maxScopeBytes)
	}
	assert.Equal(t, []int{1}, sizes(batches(names(1, 9000))), "one that is too long is tried all the same")
}
