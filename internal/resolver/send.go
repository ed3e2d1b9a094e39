package resolver

import (
	"context"
	"net/http"

	"github.com/tracebloc/image-refresh/internal/fault"
)

// send asks, and asks again what may pass by itself: a broken connection, a 5xx, and a 429 that says for how
// long to wait, as far as the time of ctx goes. It returns a problem for these where they stay, and any other
// answer as it is. A 429 without a hint is not asked again (I31).
func (r *Resolver) send(ctx context.Context, h *host, q request) (response, *problem) {
	var before *problem
	for try := 0; ; try++ {
		if wait := h.wait(); wait > 0 && !pause(ctx, wait) {
			return response{}, earlier(before, &problem{
				cause: fault.RateLimited, stage: q.role, role: q.role, host: q.url.Host, status: http.StatusTooManyRequests, retry: wait,
			})
		}
		answer, p := h.client.do(ctx, q)
		if p == nil {
			p = troubled(answer, q.role)
		}
		if p == nil {
			return answer, nil
		}
		if p.cause == fault.RateLimited && p.retry > 0 {
			h.hold(p.retry)
		}
		p = earlier(before, p)
		if !p.temporary || try == len(r.options.Backoff) {
			return response{}, p
		}
		wait := r.options.Backoff[try]
		if p.cause == fault.RateLimited {
			wait = p.retry
		}
		if !pause(ctx, max(wait, p.retry)) {
			return response{}, p
		}
		before = p
	}
}

// earlier prefers what an earlier try found out to "no time was left" of a later one.
func earlier(before, p *problem) *problem {
	if before != nil && p.cause == fault.Timeout && p.detail == plain {
		return before
	}
	return p
}

// troubled returns the problem of an answer that says "not now".
func troubled(answer response, role fault.Stage) *problem {
	p := &problem{stage: role, role: role, host: answer.host, status: answer.status}
	var hinted bool
	p.retry, hinted = askedToWait(answer)
	switch {
	case answer.status == http.StatusTooManyRequests:
		p.cause, p.temporary = fault.RateLimited, hinted
	case answer.status >= 500 || answer.status == http.StatusRequestTimeout:
		p.cause, p.temporary = fault.ServerError, true
	case answer.status == http.StatusProxyAuthRequired: // a proxy for plain HTTP answers in the registry's place
		p.cause, p.stage = fault.Proxy, fault.StageProxy
	default:
		return nil
	}
	return p
}

// refusal is the problem of an answer that is no 200, where its status alone says what it is.
func refusal(answer response, role fault.Stage) *problem {
	p := &problem{stage: role, role: role, host: answer.host, status: answer.status, code: errorCode(answer.body)}
	switch answer.status {
	case http.StatusUnauthorized:
		p.cause = fault.Unauthorized
	case http.StatusForbidden:
		p.cause = fault.Forbidden
	case http.StatusNotFound:
		p.cause = fault.NotFound
	default:
		p.cause, p.detail = fault.BadResponse, oddStatus
	}
	return p
}
