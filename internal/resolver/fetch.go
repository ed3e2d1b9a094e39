package resolver

import (
	"context"
	"net/http"

	"github.com/tracebloc/image-refresh/internal/fault"
)

// accept names every kind of manifest that a pod can run, in one value (I21). Harbor answers 404 for a kind
// that is left out.
const accept = mediaIndex + ", " + mediaDockerList + ", " + mediaManifest + ", " + mediaDockerManifest

// thing is one thing to fetch from a repository.
type thing struct {
	method     string
	kind, name string // manifests and a tag or digest, or blobs and a digest
	limit      int64
}

// fetch gets something from a repository as somebody. It returns any answer that is no 5xx and no 429; a 401
// only when nothing is left to try: a challenge that /v2/ did not show, or a token for this repository alone.
func (r *Resolver) fetch(ctx context.Context, h *host, repository string, who account, what thing) (response, grant, *problem) {
	if p := h.gone(); p != nil {
		return response{}, grant{}, p
	}
	answer, got, p := r.authorized(ctx, h, repository, who, what)
	h.answered(p)
	return answer, got, p
}

func (r *Resolver) authorized(ctx context.Context, h *host, repository string, who account, what thing) (response, grant, *problem) {
	ch, p := r.ping(ctx, h)
	if p != nil {
		return response{}, grant{}, p
	}
	for alone, adopted := false, false; ; {
		got, p := r.grant(ctx, h, ch, who, repository, alone)
		if p != nil {
			return response{}, grant{}, p
		}
		q := request{method: what.method, url: h.url(repository, what.kind, what.name), role: fault.StageManifest, authorization: got.authorization, limit: what.limit}
		if what.kind == "manifests" {
			q.accept = accept
		}
		answer, p := r.send(ctx, h, q)
		if p != nil {
			return response{}, grant{}, p
		}
		if answer.status == http.StatusUnauthorized && !answer.crossed {
			if ch.method == open && !adopted {
				if late, ok := h.adopt(answer.header); ok {
					ch, adopted = late, true
					continue
				}
			}
			if got.shared && !who.bereft() { // after a rejection there is little hope in asking for each image anew
				alone = true
				continue
			}
		}
		return answer, got, nil
	}
}
