package registries_test

import (
	"context"
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/registries"
)

func start(t *testing.T) (*registries.Site, *http.Transport) {
	t.Helper()
	site, err := registries.Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	through, err := site.Transport()
	require.NoError(t, err)
	t.Cleanup(func() {
		through.CloseIdleConnections()
		assert.NoError(t, site.Stop())
	})
	return site, through
}

func head(t *testing.T, through http.RoundTripper, reference string, options ...remote.Option) (*v1.Descriptor, error) {
	t.Helper()
	ref, err := name.ParseReference(reference)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	once := remote.Backoff{Steps: 1}
	return remote.Head(ref, append([]remote.Option{remote.WithTransport(through), remote.WithContext(ctx),
		remote.WithRetryBackoff(once)}, options...)...)
}

func TestRealNamesThroughTheProxy(t *testing.T) {
	site, through := start(t)
	for reference, host := range map[string]string{
		"docker.io/tracebloc/jobs-manager:prod": "registry-1.docker.io",
		"nginx:1":                               "",
		"ghcr.io/tracebloc/ingestor:0.3":        "ghcr.io",
	} {
		pushed, err := site.Push(reference, registries.Index("one", "linux/amd64", "linux/arm64").WithAttestation())
		require.NoError(t, err)
		found, err := head(t, through, reference)
		require.NoError(t, err)
		assert.Equal(t, pushed, found.Digest.String())
		if host != "" && host != "registry-1.docker.io" { // the client library calls docker.io index.docker.io
			assert.NotEmpty(t, site.Proxy.Connects(host))
		}
	}
	tokens := site.Front.Calls(registries.At("auth.docker.io", registries.Token))
	require.Len(t, tokens, 2)
	var asked []string
	for _, token := range tokens {
		asked = append(asked, token.Scopes...)
	}
	assert.ElementsMatch(t, []string{"repository:tracebloc/jobs-manager:pull", "repository:library/nginx:pull"}, asked)
	assert.Empty(t, site.Front.Calls(registries.At("", registries.Get)), "a HEAD is enough")
	assert.Zero(t, site.DockerHub.Pulls())
	for _, call := range site.Front.Calls(registries.At("ghcr.io", registries.Head)) {
		assert.Equal(t, "Bearer", call.Scheme)
		assert.Equal(t, http.StatusOK, call.Status)
	}
}

func TestTagsMoveAndGo(t *testing.T) {
	site, through := start(t)
	one, err := site.Push("ghcr.io/tracebloc/ingestor:0.3", registries.Image("one", "linux/amd64"))
	require.NoError(t, err)
	two, err := site.Push("ghcr.io/tracebloc/ingestor:0.3", registries.Image("two", "linux/amd64").AsDocker())
	require.NoError(t, err)
	assert.NotEqual(t, one, two)
	found, err := head(t, through, "ghcr.io/tracebloc/ingestor:0.3")
	require.NoError(t, err)
	assert.Equal(t, two, found.Digest.String())
	require.NoError(t, site.Tag("ghcr.io/tracebloc/ingestor:0.3", one))
	served, err := site.Digest("ghcr.io/tracebloc/ingestor:0.3")
	require.NoError(t, err)
	assert.Equal(t, one, served)
	require.NoError(t, site.Delete("ghcr.io/tracebloc/ingestor:0.3"))
	_, err = head(t, through, "ghcr.io/tracebloc/ingestor:0.3")
	assert.Equal(t, http.StatusNotFound, status(t, err))
}

func TestWhatEachRegistryRefuses(t *testing.T) {
	site, through := start(t)
	_, err := head(t, through, "docker.io/tracebloc/none:1")
	assert.Equal(t, http.StatusUnauthorized, status(t, err), "docker.io hides what is not there")
	assert.NotEmpty(t, site.Front.Calls(registries.At("", registries.Head)), "after it gave a token")

	_, err = head(t, through, "ghcr.io/tracebloc/none:1")
	assert.Equal(t, http.StatusUnauthorized, status(t, err))
	assert.Empty(t, site.Front.Calls(registries.At("ghcr.io", registries.Head)), "its token endpoint refuses already")

	_, err = site.Push("ghcr.io/tracebloc/secret:1", registries.Image("one", "linux/amd64"))
	require.NoError(t, err)
	site.GHCR.SetPrivate("tracebloc/secret", true)
	site.GHCR.AddAccount("robot", "right", "tracebloc/secret")
	_, err = head(t, through, "ghcr.io/tracebloc/secret:1", remote.WithAuth(&authn.Basic{Username: "robot", Password: "right"}))
	require.NoError(t, err)
	_, err = head(t, through, "ghcr.io/tracebloc/secret:1", remote.WithAuth(&authn.Basic{Username: "robot", Password: "wrong"}))
	assert.Equal(t, http.StatusForbidden, status(t, err))
}

func TestTheProxyRefusesOneHost(t *testing.T) {
	site, through := start(t)
	for _, reference := range []string{"ghcr.io/tracebloc/ingestor:0.3", "docker.io/tracebloc/jobs-manager:prod"} {
		_, err := site.Push(reference, registries.Image("one", "linux/amd64"))
		require.NoError(t, err)
	}
	unblock := site.Proxy.Refuse("ghcr.io", http.StatusForbidden)
	_, err := head(t, through, "ghcr.io/tracebloc/ingestor:0.3")
	require.ErrorContains(t, err, "Forbidden")
	_, err = head(t, through, "docker.io/tracebloc/jobs-manager:prod")
	require.NoError(t, err)
	assert.Equal(t, http.StatusForbidden, site.Proxy.Connects("ghcr.io")[0].Status)
	unblock()
	_, err = head(t, through, "ghcr.io/tracebloc/ingestor:0.3")
	require.NoError(t, err)
	_, err = head(t, through, "quay.io/none/none:1")
	assert.ErrorContains(t, err, "Bad Gateway", "hosts that the site does not have")
}

func TestTheProxyInTheMiddle(t *testing.T) {
	site, through := start(t)
	pushed, err := site.Push("ghcr.io/tracebloc/ingestor:0.3", registries.Image("one", "linux/amd64"))
	require.NoError(t, err)
	site.Proxy.Intercept(true)
	through.ForceAttemptHTTP2 = false

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://ghcr.io/v2/", nil)
	require.NoError(t, err)
	request.Header["Accept"] = []string{"first", "second"}
	response, err := through.RoundTrip(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
	assert.Equal(t, 1, response.ProtoMajor)
	assert.Equal(t, []string{"first"}, site.Front.Calls(registries.At("ghcr.io", registries.Ping))[0].Accept)

	found, err := head(t, through, "ghcr.io/tracebloc/ingestor:0.3")
	require.NoError(t, err)
	assert.Equal(t, pushed, found.Digest.String())
}

func TestFaultsOfTheFront(t *testing.T) {
	site, through := start(t)
	const reference = "ghcr.io/tracebloc/ingestor:0.3"
	_, err := site.Push(reference, registries.Image("one", "linux/amd64"))
	require.NoError(t, err)
	at := func(stage registries.Stage, do faultinject.Action) {
		site.Front.Faults.Clear()
		site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", stage), Do: do})
	}
	for _, stage := range []registries.Stage{registries.Ping, registries.Token, registries.Head} {
		at(stage, faultinject.Reply(http.StatusServiceUnavailable, "down"))
		_, err = head(t, through, reference)
		assert.Equal(t, http.StatusServiceUnavailable, status(t, err), stage)
		at(stage, faultinject.Reset())
		_, err = head(t, through, reference)
		require.Error(t, err, stage)
	}
	at(registries.Head, faultinject.Header("Docker-Content-Digest", "sha256:zz"))
	_, err = head(t, through, reference)
	require.ErrorContains(t, err, "non-hex")
	at(registries.Token, faultinject.Hang())
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = head(t, through, reference, remote.WithContext(short))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	site.Front.Faults.Clear()
	site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", registries.Head), Skip: 1, Times: 1, Do: faultinject.Reply(500, "")})
	var codes []int
	for range 3 {
		_, err := head(t, through, reference)
		codes = append(codes, status(t, err))
	}
	assert.Equal(t, []int{200, 500, 200}, codes)
}

func TestDockerHubCountsPullsOnly(t *testing.T) {
	site, through := start(t)
	_, err := site.Push("nginx:1", registries.Image("one", "linux/amd64"))
	require.NoError(t, err)
	site.DockerHub.LimitPulls(1)
	ref, err := name.ParseReference("nginx:1")
	require.NoError(t, err)
	_, err = remote.Get(ref, remote.WithTransport(through))
	require.NoError(t, err)
	_, err = remote.Get(ref, remote.WithTransport(through), remote.WithRetryStatusCodes())
	assert.Equal(t, http.StatusTooManyRequests, status(t, err))
	_, err = head(t, through, "nginx:1")
	require.NoError(t, err, "a HEAD is free")
	assert.Equal(t, 1, site.DockerHub.Pulls())
}

func TestCertificatesOfTheTestsChoice(t *testing.T) {
	site, through := start(t)
	expired, err := site.Authority.IssueBetween(time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour), "ghcr.io")
	require.NoError(t, err)
	site.Front.SetCertificate("ghcr.io", expired)
	_, err = head(t, through, "ghcr.io/tracebloc/ingestor:0.3")
	var invalid x509.CertificateInvalidError
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, x509.Expired, invalid.Reason)
}

// status is that of a registry's refusal; 200 without one.
func status(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return http.StatusOK
	}
	var refusal *transport.Error
	require.ErrorAs(t, err, &refusal)
	return refusal.StatusCode
}
