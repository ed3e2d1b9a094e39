package resolver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

func TestNewNamesEveryFileThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	junk, absent := filepath.Join(dir, "junk.crt"), filepath.Join(dir, "absent.crt")
	require.NoError(t, os.WriteFile(junk, []byte("hunter2"), 0o600))
	_, err := New(Options{Registries: []Registry{
		{Host: "a.io", Fallback: true}, {Host: "c.io", Fallback: true, CAFile: junk}, {Host: "e.io", Fallback: true, CAFile: absent},
	}})
	require.ErrorContains(t, err, "registries[1] (c.io).caFile: "+junk+" holds no PEM certificate")
	require.ErrorContains(t, err, "registries[2] (e.io).caFile: "+absent)
	assert.NotContains(t, err.Error(), "hunter2")
}

// A tick that is told to stop has its answers at once; one whose time is over says that a turn never came; an image without
// a tag has nothing to follow. None of them asks a registry.
func TestImagesThatAreNotAskedAbout(t *testing.T) {
	t.Parallel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	over, done := context.WithTimeout(t.Context(), 0)
	defer done()
	for _, c := range []struct {
		ctx         context.Context
		image, says string
		cause       failure.Cause
	}{
		{stopped, "a.invalid/i:1", "the tick was interrupted", failure.Timeout},
		{over, "a.invalid/i:1", "before its turn came", failure.Timeout},
		{t.Context(), "a.invalid/i@" + someDigest, "has no tag", failure.SlotInvalid},
	} {
		r, err := New(Options{Timeout: time.Minute, Concurrency: 1, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		ref, err := image.ParseReference(c.image)
		require.NoError(t, err)
		answer := r.Resolve(c.ctx, []Query{{Image: ref}})[0]
		require.NotNil(t, answer.Failure, c.says)
		assert.Equal(t, c.cause, answer.Failure.Cause)
		assert.Contains(t, answer.Failure.Message, c.says)
	}
}

// answers is a network in which each path has one answer.
type answers struct {
	asked atomic.Int32
	by    map[string]string
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked.Add(1)
	body := a.by[r.URL.Path]
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {ociIndex}}, Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: r}, nil
}

// Many secrets may hold one account: who asks with it for the same asks once, whichever secret it came from.
func TestOneAccountAsksOnce(t *testing.T) {
	t.Parallel()
	body := indexJSON(entryJSON(ociImage, `{"os":"linux","architecture":"amd64"}`))
	sum := sha256.Sum256([]byte(body))
	digest := image.Digest("sha256:" + hex.EncodeToString(sum[:]))
	network := &answers{by: map[string]string{"/v2/x/manifests/" + string(digest): body}}
	h := at(t, "a.io")
	h.network, h.timeout = network, time.Minute
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			found, p := h.body(t.Context(), "x", credential.Credential{}, digest)
			assert.Nil(t, p)
			assert.Len(t, found.Platforms, 1)
		})
	}
	group.Wait()
	assert.Equal(t, int32(2), network.asked.Load(), "a ping and the manifest")
}
