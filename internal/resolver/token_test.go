package resolver

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// says is a token endpoint that always says the same.
type says string

func (s says) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(s))), Request: r}, nil
}

// exchanged is what the endpoint's answer is taken for.
func exchanged(t *testing.T, body string) (token, *problem) {
	t.Helper()
	h := at(t, "a.io")
	h.network = says(body)
	asked := challenge{
		method: bearer, realm: &url.URL{Scheme: "https", Host: "a.io", Path: "/token"},
		library: &transport.Challenge{Scheme: "bearer", Parameters: map[string]string{"realm": "https://a.io/token"}},
	}
	ctx, call := wire.Begin(t.Context(), failure.StageToken)
	return h.exchange(ctx, call, asked, credential.Credential{}, []string{scopeOf("x")})
}

func TestTokens(t *testing.T) {
	t.Parallel()
	jwt := func(payload string) string {
		return "h." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".s"
	}
	robot, nobody := jwt(`{"sub":"robot$p+n"}`), jwt(`{"access":[]}`)
	for name, c := range map[string]struct {
		body, value, subject string
		life                 time.Duration
	}{
		"token":               {`{"token":"abc"}`, "abc", "", 55 * time.Second},
		"access_token alone":  {`{"access_token":"abc","expires_in":300}`, "abc", "", 295 * time.Second},
		"both":                {`{"token":"abc","access_token":"def"}`, "abc", "", 55 * time.Second},
		"harbor":              {`{"token":"` + robot + `","access_token":"","expires_in":1800}`, robot, "robot$p+n", 1795 * time.Second},
		"harbor for nobody":   {`{"token":"` + nobody + `"}`, nobody, "", 55 * time.Second},
		"endless":             {`{"token":"abc","expires_in":1000000000000}`, "abc", "", time.Hour - 5*time.Second},
		"short":               {`{"token":"abc","expires_in":2}`, "abc", "", time.Second},
		"negative":            {`{"token":"abc","expires_in":-5}`, "abc", "", 55 * time.Second},
		"dots, but no claims": {`{"token":"a.%.c"}`, "a.%.c", "", 55 * time.Second},
	} {
		got, p := exchanged(t, c.body)
		assert.Nil(t, p, name)
		assert.InDelta(t, c.life, time.Until(got.until), float64(500*time.Millisecond), name)
		assert.Equal(t, token{value: c.value, scopes: []string{scopeOf("x")}, subject: c.subject, until: got.until}, got, name)
	}
	for _, body := range []string{
		``, `{}`, `[]`, `{"token":""}`, `{"token":"a b"}`, `{"token":"a\r\nX: y"}`, `{"token":"ä"}`, `{"token":5}`, `<html>`, `{"token":"x"`,
	} {
		_, p := exchanged(t, body)
		require.NotNil(t, p, body)
		assert.Equal(t, failure.BadResponse, p.cause, body)
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
	for _, c := range []struct {
		count, length int
		want          []int
	}{
		{0, 0, nil}, {1, 10, []int{1}}, {50, 10, []int{50}}, {51, 10, []int{50, 1}}, {60, 255, []int{14, 14, 14, 14, 4}},
		{1, 9000, []int{1}}, // one that is too long is tried all the same
	} {
		var names []string
		for range c.count {
			names = append(names, strings.Repeat("x", c.length))
		}
		var sizes []int
		for _, batch := range batches(names) {
			sizes = append(sizes, len(batch))
			assert.True(t, len(batch) == 1 || len(url.Values{"scope": scopesOf(batch)}.Encode()) <= maxScopeBytes)
		}
		assert.Equal(t, c.want, sizes)
	}
}
