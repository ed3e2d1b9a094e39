package resolver

import (
	"context"
	"net/http"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/fault"
)

// ProofState is what is known of a credential at a host.
type ProofState int

// The states of a proof.
const (
	Unproven ProofState = iota // the registry wants none, or its answer proves nothing
	Proven
	Rejected
)

func (s ProofState) String() string {
	switch s {
	case Proven:
		return "proven"
	case Rejected:
		return "rejected"
	default:
		return "unproven"
	}
}

type proofKey struct {
	host string
	of   credential.Identity
}

// verdict is the outcome of a proof; its problem is set where the credential was rejected.
type verdict struct {
	state   ProofState
	problem *problem
}

// prove asks once a tick whether a host accepts a credential at all, for a public image would hide a dead
// one (I25; DESIGN.md, "Registries and credentials"). It is asked before anything else is asked with it, once
// and without a retry: each failed login costs Harbor 1.5 s and counts against the account.
func (r *Resolver) prove(ctx context.Context, h *host, ch challenge, c credential.Credential) verdict {
	key := proofKey{h.name, c.Identity()}
	// Half of the time is left for those whose registry does not answer this question.
	v, _ := r.proofs.do(ctx, key, r.options.Timeout/2, func(ctx context.Context) (verdict, *problem) {
		q := request{method: http.MethodGet, url: h.url("", "", ""), role: fault.StagePing, authorization: c.Authorization()}
		if ch.method == bearer {
			q.url, q.role, q.limit = tokenURL(ch, nil), fault.StageToken, 0
		}
		answer, p := h.client.do(ctx, q)
		if p != nil {
			return verdict{}, nil
		}
		return judge(answer, q.role), nil
	})
	return v
}

// judge reads the answer to a proof. A refusal after a redirect to another host is no verdict: the credential
// was not sent there.
func judge(answer response, role fault.Stage) verdict {
	dead := answer.status == http.StatusUnauthorized || answer.status == http.StatusForbidden && role == fault.StageToken
	switch {
	case answer.crossed:
		return verdict{}
	case answer.status == http.StatusOK:
		return verdict{state: Proven}
	case dead:
		return verdict{state: Rejected, problem: &problem{
			cause: fault.Unauthorized, detail: rejected, stage: role, role: role, host: answer.host, status: answer.status, code: errorCode(answer.body),
		}}
	default:
		return verdict{}
	}
}
