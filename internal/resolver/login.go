package resolver

import (
	"context"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// ProofState is what is known of a credential at a host.
type ProofState int

// The states of a proof.
const (
	NotVerified ProofState = iota // the registry wants none, or its answer proves nothing
	Accepted
	Rejected
)

// verdict is what a registry made of a credential; its problem is set where that was rejected.
type verdict struct {
	state   ProofState
	problem *problem
	// refused says that the registry also refuses what pods ask for with it. Where it is only rejected, the registry
	// serves the dead all the same, as Harbor does.
	refused bool
}

// login finds out, once a tick, what a host makes of a credential, since a public image would hide a dead one (I25, I59):
// by what is asked for anyway, as pods ask it, and beside it by a question about the account alone. The image at hand
// asks for both; the others wait for the verdict, so that a dead account is not used for each of them: a failed login
// costs Harbor 1.5 s and counts against the account.
func (h *host) login(ctx context.Context, ch challenge, who credential.Credential, group, own []string, asPods func(context.Context, []string) *problem) verdict {
	v, _ := h.logins.do(ctx, who.Identity(), h.timeout, func(ctx context.Context) (verdict, *problem) {
		var v verdict
		var p *problem
		if ch.method == bearer {
			var both sync.WaitGroup
			connected, there := context.WithCancel(ctx) // over whose connection the other goes as well
			both.Go(func() { defer there(); p = asPods(wire.WithConnected(ctx, there), group) })
			both.Go(func() { <-connected.Done(); v = h.prove(ctx, ch, who) })
			both.Wait()
		} else if v = h.prove(ctx, ch, who); v.state == Rejected { // who is accepted asks for the manifest anyway
			p = asPods(ctx, group)
		}
		if v.state == Rejected && p.refusesLogin() && ch.method == bearer && len(group) > 1 {
			p = asPods(ctx, own) // some registries take one scope and no other number, and refuse the rest like this
		}
		v.refused = v.state == Rejected && p.refusesLogin()
		return v, nil
	})
	return v
}

// prove asks a host about the account alone: by a token request without a scope or, where there are no tokens, by /v2/.
// It is asked once and without a retry. A refusal after a redirect to another host is no verdict: the credential was not
// sent there.
func (h *host) prove(ctx context.Context, ch challenge, who credential.Credential) verdict {
	// Half of the time is left for those whose registry does not answer this question.
	v, _ := h.proofs.do(ctx, who.Identity(), h.timeout/2, func(ctx context.Context) (verdict, *problem) {
		var call *wire.Call
		var p *problem
		if ch.method == bearer {
			ctx, call = wire.Begin(ctx, failure.StageToken)
			call.Once = true
			_, p = h.exchange(ctx, call, ch, who, nil)
		} else {
			ctx, call = wire.Begin(ctx, failure.StagePing)
			call.Once = true
			with, err := h.with(ch, who, token{})
			if err == nil {
				_, err = transport.Ping(ctx, h.registry, with)
			}
			if err != nil || call.Status == http.StatusUnauthorized {
				p = badAnswer(call, noDetail)
			}
		}
		switch {
		case p == nil && !call.Crossed:
			return verdict{state: Accepted}, nil
		case p.refusesLogin() && !call.Crossed:
			p.cause, p.detail = failure.Unauthorized, rejected
			return verdict{state: Rejected, problem: p}, nil
		}
		return verdict{}, nil
	})
	return v
}

// known is what has been found out about a credential at a host so far.
func (h *host) known(who credential.Credential) verdict {
	v, _, _ := h.proofs.peek(who.Identity())
	return v
}
