package resolver

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/image"
)

func TestParseChallenges(t *testing.T) {
	t.Parallel()
	bearerOf := func(realm, service string) offer {
		return offer{"bearer", map[string]string{"realm": realm, "service": service}}
	}
	for name, c := range map[string]struct {
		headers []string
		want    []offer
	}{
		"docker hub":         {[]string{`Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`}, []offer{bearerOf("https://auth.docker.io/token", "registry.docker.io")}},
		"spaces and case":    {[]string{`BEARER  Realm = "https://a/t" ,  SERVICE=s`}, []offer{bearerOf("https://a/t", "s")}},
		"escaped quote":      {[]string{`Basic realm="a \"b\" c"`}, []offer{{"basic", map[string]string{"realm": `a "b" c`}}}},
		"comma in a string":  {[]string{`Basic realm="a, Bearer realm=b"`}, []offer{{"basic", map[string]string{"realm": "a, Bearer realm=b"}}}},
		"two in one header":  {[]string{`Basic realm="r", Bearer realm="https://a/t",service="s"`}, []offer{{"basic", map[string]string{"realm": "r"}}, bearerOf("https://a/t", "s")}},
		"two headers":        {[]string{`Basic realm=r`, `Bearer realm="https://a/t",service=s`}, []offer{{"basic", map[string]string{"realm": "r"}}, bearerOf("https://a/t", "s")}},
		"no parameters":      {[]string{"Negotiate"}, []offer{{"negotiate", map[string]string{}}}},
		"the first one wins": {[]string{`Bearer realm="a",realm="b"`}, []offer{{"bearer", map[string]string{"realm": "a"}}}},
		"unterminated":       {[]string{`Bearer realm="https://a/t`}, []offer{{"bearer", map[string]string{}}}},
		"nonsense":           {[]string{`="x", ,,`, ``}, nil},
		"none":               {nil, nil},
	} {
		assert.Equal(t, c.want, parseChallenges(c.headers), name)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]detail{
		`Bearer realm="https://auth.example.com/token",service=s`: plain,
		`Basic realm=x`: plain,
		`Basic realm=x, Bearer realm="https://a.io/t"`: plain,
		`Bearer realm="http://a.io/t"`:                 badRealm,
		`Bearer realm="http://a.io/t", Basic realm=x`:  badRealm,
		`Bearer realm="/token"`:                        badRealm,
		`Bearer realm="https://u:p@a.io/t"`:            badRealm,
		`Bearer realm="ftp://a.io/t"`:                  badRealm,
		`Bearer realm="https://"`:                      badRealm,
		`Bearer`:                                       badRealm,
		`Negotiate`:                                    noChallenge,
		``:                                             noChallenge,
	} {
		_, d := choose(parseChallenges([]string{header}), false)
		assert.Equal(t, want, d, header)
	}
	ch, d := choose(parseChallenges([]string{`Basic realm=x, Bearer realm="http://a.io/t"`}), true)
	assert.Equal(t, plain, d, "a registry without TLS may have a token endpoint without")
	assert.Equal(t, bearer, ch.method, "Bearer before Basic")
}

func TestParseToken(t *testing.T) {
	t.Parallel()
	jwt := func(payload string) string {
		return "h." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".s"
	}
	for name, c := range map[string]struct {
		body string
		want token
	}{
		"token":               {`{"token":"abc"}`, token{value: "abc", life: time.Minute}},
		"access_token alone":  {`{"access_token":"abc","expires_in":300}`, token{value: "abc", life: 5 * time.Minute}},
		"harbor":              {`{"token":"` + jwt(`{"sub":"robot$p+n","access":[]}`) + `","access_token":"","expires_in":1800}`, token{value: jwt(`{"sub":"robot$p+n","access":[]}`), life: 30 * time.Minute, subject: "robot$p+n"}},
		"harbor for nobody":   {`{"token":"` + jwt(`{"access":[]}`) + `"}`, token{value: jwt(`{"access":[]}`), life: time.Minute}},
		"endless":             {`{"token":"abc","expires_in":1e300}`, token{value: "abc", life: time.Hour}},
		"negative":            {`{"token":"abc","expires_in":-5}`, token{value: "abc", life: time.Minute}},
		"both":                {`{"token":"abc","access_token":"def"}`, token{value: "abc", life: time.Minute}},
		"dots, but no claims": {`{"token":"a.%.c"}`, token{value: "a.%.c", life: time.Minute}},
	} {
		got, ok := parseToken([]byte(c.body))
		assert.True(t, ok, name)
		assert.Equal(t, c.want, got, name)
	}
	for _, body := range []string{``, `{}`, `[]`, `{"token":""}`, `{"token":"a b"}`, `{"token":"a\r\nX: y"}`, `{"token":"ä"}`, `{"token":5}`, `<html>login</html>`, `{"token":"x"`} {
		_, ok := parseToken([]byte(body))
		assert.False(t, ok, body)
	}
}

func TestTokenURL(t *testing.T) {
	t.Parallel()
	realm, err := url.Parse("https://h.io/service/token?keep=1")
	require.NoError(t, err)
	ch := challenge{method: bearer, realm: realm, service: "harbor-registry"}
	assert.Equal(t, "keep=1&scope=repository%3Aa%2Fb%3Apull&scope=repository%3Ac%3Apull&service=harbor-registry", tokenURL(ch, []string{"a/b", "c"}).RawQuery)
	assert.Equal(t, "keep=1&service=harbor-registry", tokenURL(ch, nil).RawQuery)
	assert.Equal(t, "keep=1", realm.RawQuery)
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
		assert.LessOrEqual(t, len(tokenURL(challenge{realm: &url.URL{}}, batch).RawQuery), maxScopeBytes)
	}
	assert.Equal(t, []int{1}, sizes(batches(names(1, 9000))), "one that is too long is tried all the same")
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "999999999999": longestRetry,
		"Sat, 01 Aug 2026 12:00:30 GMT": 30 * time.Second, "Sat, 01 Aug 2026 11:00:00 GMT": 0, "Sat, 01 Aug 2099 11:00:00 GMT": longestRetry,
	} {
		got, ok := parseRetryAfter(header, now)
		assert.True(t, ok, header)
		assert.Equal(t, want, got, header)
	}
	for _, header := range []string{"", "-1", "1.5", "soon", "99999999999999999999999", "1s"} {
		_, ok := parseRetryAfter(header, now)
		assert.False(t, ok, header)
	}
}

func TestRetryAfterInGHCRsBody(t *testing.T) {
	t.Parallel()
	body := func(message string) []byte {
		return []byte(`{"errors":[{"code":"TOOMANYREQUESTS","message":"` + message + `"}]}`)
	}
	for message, want := range map[string]time.Duration{
		"retry-after: 285.47µs, allowed: 44000/minute": 285470 * time.Nanosecond,
		"Retry-After: 2s":  2 * time.Second,
		"retry-after: 30":  30 * time.Second,
		"retry-after: -4s": 0,
	} {
		got, ok := retryAfterIn(body(message))
		assert.True(t, ok, message)
		assert.Equal(t, want, got, message)
	}
	for _, text := range []string{"", "{}", "retry-after: 2s", string(body("retry-after: soon")), string(body("slow down"))} {
		_, ok := retryAfterIn([]byte(text))
		assert.False(t, ok, text)
	}
}

func TestErrorCodeIsAWord(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"errors":[{"code":"NOT_FOUND","message":"x"}]}`:         "NOT_FOUND",
		`{"errors":[{"code":"a\nb"},{"code":"DENIED"}]}`:          "DENIED",
		`{"errors":[{"code":"` + strings.Repeat("A", 41) + `"}]}`: "",
		`{"errors":[{"code":""}]}`:                                "", `{"errors":{}}`: "", `<html>`: "", ``: "",
	} {
		assert.Equal(t, want, errorCode([]byte(body)), body)
	}
}

func TestParseQuota(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]Quota{
		"76;w=21600": {Known: true, Remaining: 76, Window: 6 * time.Hour}, "0;w=21600": {Known: true, Window: 6 * time.Hour}, "5": {Known: true, Remaining: 5},
		"": {}, " ": {}, "many": {}, "-1;w=60": {}, "99999999999999999999": {}, "3;w=x": {Known: true, Remaining: 3},
	} {
		assert.Equal(t, want, parseQuota(http.Header{"Ratelimit-Remaining": {header}}), header)
	}
	assert.Equal(t, Quota{}, parseQuota(nil))
	assert.True(t, Quota{Known: true}.Exhausted())
	assert.False(t, Quota{}.Exhausted())
}

func TestHeaderDigest_I37(t *testing.T) {
	t.Parallel()
	good := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	other := "sha256:" + strings.Repeat("f", 64)
	for name, c := range map[string]struct {
		values []string
		want   detail
	}{
		"good": {[]string{good}, plain}, "twice the same": {[]string{good, good}, plain}, "missing": {nil, noDigest}, "blank": {[]string{" "}, noDigest},
		"two": {[]string{good, other}, badDigest}, "garbage": {[]string{"sha256:zz"}, badDigest}, "another algorithm": {[]string{"sha512:" + strings.Repeat("a", 128)}, badDigest},
		"four thousand letters": {[]string{"sha256:" + strings.Repeat("a", 4000)}, badDigest}, "quotes": {[]string{`"` + good + `"`}, badDigest}, "upper case": {[]string{strings.ToUpper(good)}, badDigest},
	} {
		got, d := headerDigest(http.Header{"Docker-Content-Digest": c.values})
		assert.Equal(t, c.want, d, name)
		assert.Equal(t, d == plain, got == image.Digest(good), name)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	plainHosts := func(host string) bool { return host == "plain:5000" || host == "other:5000" }
	for _, c := range []struct {
		from, location, want string
		d                    detail
	}{
		{"https://a.io/v2/x", "/v2/y", "https://a.io/v2/y", plain},
		{"https://a.io/v2/x", "https://cdn.io/b?sig=s#f", "https://cdn.io/b?sig=s", plain},
		{"https://a.io/v2/x", "//b.io/", "https://b.io/", plain},
		{"https://a.io/v2/x", "https://u:p@b.io/", "https://b.io/", plain},
		{"http://plain:5000/v2/", "https://plain:5000/v2/", "https://plain:5000/v2/", plain},
		{"http://plain:5000/v2/", "/x", "http://plain:5000/x", plain},
		{"http://plain:5000/v2/", "http://other:5000/x", "http://other:5000/x", plain},
		{"http://plain:5000/v2/", "http://cdn.io/x", "", downgrade},
		{"https://a.io/v2/x", "http://a.io/v2/x", "", downgrade},
		{"https://a.io/v2/x", "http://plain:5000/v2/x", "", downgrade},
		{"https://a.io/v2/x", "", "", redirects}, {"https://a.io/v2/x", "ftp://a.io", "", redirects}, {"https://a.io/v2/x", "https://", "", redirects},
		{"https://a.io/v2/x", "https://a.io:port/", "", redirects}, {"https://a.io/v2/x", "javascript:alert(1)", "", redirects},
	} {
		from, err := url.Parse(c.from)
		require.NoError(t, err)
		next, d := follow(from, c.location, plainHosts)
		assert.Equal(t, c.d, d, c.location)
		if c.want != "" {
			assert.Equal(t, c.want, next.String())
		}
	}
}

func TestSameOrigin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"https://a.io/x", "https://a.io:443/y", true}, {"http://a.io", "http://a.io:80", true}, {"https://a.io", "http://a.io", false},
		{"https://a.io", "https://a.io:8443", false}, {"https://a.io", "https://b.io", false}, {"https://a.io", "https://a.io.evil.io", false},
	} {
		a, err := url.Parse(c.a)
		require.NoError(t, err)
		b, err := url.Parse(c.b)
		require.NoError(t, err)
		assert.Equal(t, c.want, sameOrigin(a, b), c.a+" "+c.b)
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	nginx, err := image.ParseReference("nginx:1")
	require.NoError(t, err)
	mirrors := []string{"harbor.example.com/dockerhub", "mirror.example.com:5000"}
	names := func(registry *Registry) []string {
		registries := map[string]Registry{}
		if registry != nil {
			registries["docker.io"] = *registry
		}
		var all []string
		for _, e := range endpoints(nginx, registries) {
			all = append(all, e.name())
		}
		return all
	}
	assert.Equal(t, []string{"docker.io/library/nginx"}, names(nil))
	assert.Equal(t, []string{"docker.io/library/nginx"}, names(&Registry{CAFile: "x"}))
	assert.Equal(t, []string{"harbor.example.com/dockerhub/library/nginx", "mirror.example.com:5000/library/nginx"}, names(&Registry{Mirrors: mirrors}))
	assert.Equal(t, []string{"harbor.example.com/dockerhub/library/nginx", "mirror.example.com:5000/library/nginx", "docker.io/library/nginx"}, names(&Registry{Mirrors: mirrors, Fallback: true}))
}
