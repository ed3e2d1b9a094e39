package resolver

import (
	"context"
	"net/http"
	"strings"

	"github.com/tracebloc/image-refresh/internal/fault"
)

// refused makes a problem of an answer for a manifest that is no 200. Most statuses speak for themselves; of
// 401s there are several kinds.
func (r *Resolver) refused(ctx context.Context, h *host, repository string, who account, name string, answer response, got grant) *problem {
	p := refusal(answer, fault.StageManifest)
	if v, _, proved := r.proofs.peek(proofKey{h.name, who.credential.Identity()}); p.cause == fault.Forbidden && proved && v.state == Unproven {
		p.detail = unproven
	}
	if p.cause != fault.Unauthorized {
		return p
	}
	p.detail = noGrant
	if who.credential.Anonymous() || answer.crossed {
		p.detail = noAccount
	}
	offers := parseChallenges(answer.header.Values("Www-Authenticate"))
	switch {
	case answer.crossed:
	case harborBasic(offers) && got.subject != "" && !who.credential.Anonymous():
		p.cause = fault.Forbidden // Harbor knows the account, which has no right here
	case len(offers) == 0 && got.authorization != "": // a registry that asks nobody who they are is no Harbor
		return r.diagnose(ctx, h, repository, who, name, p)
	}
	return p
}

// diagnose tells Harbor's two 401s without a challenge apart, a project that does not exist and trouble of its
// own in which valid accounts are refused (FACTS.md, Harbor). HEAD has no body, so it takes one GET.
func (r *Resolver) diagnose(ctx context.Context, h *host, repository string, who account, name string, p *problem) *problem {
	answer, _, trouble := r.fetch(ctx, h, repository, who, thing{method: http.MethodGet, kind: "manifests", name: name, limit: maxManifest})
	switch {
	case trouble != nil:
		return trouble
	case answer.status != http.StatusUnauthorized: // it has thought better of it; the next tick will see
		p.cause, p.detail, p.status = fault.ServerError, ownTrouble, http.StatusUnauthorized
	case missingProject(answer.body, repository):
		p.cause, p.detail, p.code = fault.NotFound, noProject, errorCode(answer.body)
	default:
		p.cause, p.detail, p.code = fault.ServerError, ownTrouble, errorCode(answer.body)
	}
	return p
}

// missingProject recognises the one sentence in which Harbor says so; its error code is that of any 401.
func missingProject(body []byte, repository string) bool {
	project, _, _ := strings.Cut(repository, "/")
	for _, e := range parseErrors(body) {
		if strings.EqualFold(strings.TrimSpace(e.Message), "project "+project+" not found") {
			return true
		}
	}
	return false
}
