package transport

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// Bounds on what a registry may make us hold. A manifest of 4 MiB is what registries themselves accept at most
// (distribution specification, "Pushing manifests"); tokens, and refusals, the library reads up to 64 KiB.
const (
	maxManifest = 4 << 20
	maxToken    = 64 << 10
	maxRefusal  = 64 << 10
	maxUsual    = 256 << 10 // of a manifest: ten times what the largest in use have
	// maxValues is how many values the library may find in a manifest: four megabytes of empty ones would unfold to a
	// hundred times as much.
	maxValues = 16 << 10
)

// body reads a body, up to a bound, before anybody above looks at it, so that one that breaks off can be asked for again.
// Large ones are read one at a time: all images together, at a registry that means it ill, must fit into what a pod is
// given. What a registry has compressed unasked is unfolded, as nodes do: the digest is of what was compressed.
type body struct {
	next  http.RoundTripper
	large chan struct{}
}

func (t *body) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // nothing was written that could be lost
	if r.Method == http.MethodHead || redirected(answer.StatusCode) {
		answer.Body = http.NoBody
		return answer, nil
	}
	stage := callOf(r.Context()).Stage
	exact, limit := answer.StatusCode == http.StatusOK && stage != failure.StagePing, int64(maxRefusal)
	if exact {
		limit = maxManifest
		if stage == failure.StageToken || stage == failure.StageIdentity {
			limit = maxToken
		}
	}
	held, err := t.read(r.Context(), answer, limit+1)
	tooLarge := int64(len(held)) > limit
	switch {
	case exact && (tooLarge || bytes.Count(held, []byte(",")) > maxValues):
		return nil, failureOf(answer.Request, TooLarge)
	case err != nil && (exact || r.Context().Err() != nil):
		return nil, broken(answer.Request, err)
	case tooLarge: // half an error page is as good as a whole one
		held = held[:limit]
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(held)), int64(len(held))
	return answer, nil
}

func (t *body) read(ctx context.Context, answer *http.Response, limit int64) ([]byte, error) {
	from := io.Reader(answer.Body)
	if answer.Header.Get("Content-Encoding") == "gzip" {
		unfolded, err := gzip.NewReader(io.LimitReader(answer.Body, limit))
		if err != nil {
			return nil, err
		}
		answer.Header.Del("Content-Encoding")
		from = unfolded
	}
	usual, err := io.ReadAll(io.LimitReader(from, min(limit, maxUsual)))
	if err != nil || len(usual) < maxUsual {
		return usual, err
	}
	select {
	case t.large <- struct{}{}:
		defer func() { <-t.large }()
	case <-ctx.Done():
		return usual, ctx.Err()
	}
	rest, err := io.ReadAll(io.LimitReader(from, limit-int64(len(usual))))
	return append(usual, rest...), err
}

// broken is the failure of a body that could not be read to its end.
func broken(r *http.Request, err error) *Failure {
	failed := classify(r.Context(), err, stepOf(r.Context()))
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) {
		failed.Kind, failed.Stage = Truncated, failed.Role
	}
	return failed
}
