package resolver

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// explain makes more of a refusal of a manifest than its status says. Most speak for themselves; of 401s there are several
// kinds, and what a registry's policy withholds is named in a body, which HEAD does not have.
func (h *host) explain(ctx context.Context, ref name.Reference, who credential.Credential, got answer, p *problem) *problem {
	if p.Role != failure.StageManifest || got.Crossed {
		return p
	}
	if p.cause == failure.Forbidden && p.code == "" && got.how.method != basic { // where each request is a login
		if diagnosed := h.diagnose(ctx, ref, who); diagnosed != nil && diagnosed.Status == p.Status {
			p.code, p.errors = diagnosed.code, diagnosed.errors
		}
	}
	challenge := got.Challenge.Get("Www-Authenticate")
	switch {
	case p.cause == failure.Forbidden && p.detail == noDetail && !who.Anonymous() && h.known(who).state == NotVerified:
		p.detail = notVerifiedYet
	case p.Status != http.StatusUnauthorized:
	case strings.Contains(challenge, `realm="harbor"`) && got.token.subject != "" && !who.Anonymous():
		p.cause = failure.Forbidden // Harbor knows the account, which has no right here
	case challenge == "" && got.how.harbor():
		return h.explainHarbor(ctx, ref, who, p)
	}
	return p
}

// diagnose asks once more, by GET, for the errors in the body of a refusal. That a GET is served where HEAD is not helps
// nobody: nodes ask by HEAD.
func (h *host) diagnose(ctx context.Context, ref name.Reference, who credential.Credential) *problem {
	_, p := h.ask(ctx, ref.Context().RepositoryStr(), who, noDetail, func(o ...remote.Option) error {
		_, err := remote.Get(ref, o...)
		return err
	})
	return p
}

// explainHarbor tells Harbor's two 401s without a challenge apart: a project that does not exist, and trouble of its own in
// which valid accounts are refused.
func (h *host) explainHarbor(ctx context.Context, ref name.Reference, who credential.Credential, p *problem) *problem {
	if p.code == "" {
		diagnosed := h.diagnose(ctx, ref, who)
		switch {
		case diagnosed == nil: // it has thought better of it; the next tick will see
		case diagnosed.Status != http.StatusUnauthorized:
			return diagnosed
		default:
			p = diagnosed
		}
	}
	p.cause, p.detail = failure.ServerError, ownTrouble
	project, _, _ := strings.Cut(ref.Context().RepositoryStr(), "/")
	for _, e := range p.errors {
		// The one sentence in which Harbor says so; its error code is that of any 401.
		if strings.EqualFold(strings.TrimSpace(e.Message), "project "+project+" not found") {
			p.cause, p.detail = failure.NotFound, noProject
		}
	}
	return p
}
