package resolver

import (
	"fmt"
	"strings"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/fault"
)

// The rules of message.go hold here as well.

func badText(p *problem) string {
	switch p.detail {
	case noChallenge:
		return "answered 401 to /v2/ without saying how to authenticate"
	case badRealm:
		return "named a token endpoint that is no https address"
	case badToken:
		return "answered without a token"
	case badDigest:
		return "sent a digest that is not sha256: and 64 lowercase hex digits"
	case tooLarge:
		return "sent more than a manifest or token may have"
	case truncated:
		return "sent half an answer"
	case downgrade:
		return "redirected to plain HTTP"
	case redirects:
		return "redirected to nowhere, or too often"
	case notHTTP:
		return "sent what is no HTTP answer"
	case schema1:
		return "has it in the format schema 1, which no node runs any more"
	case artifact:
		return "has an artifact there, which is no image"
	case emptyIndex:
		return "has an index there that holds no image"
	case otherDigest:
		return "sent a body that is not its digest's"
	case badConfig:
		return "has no image configuration for it, or another one's"
	case oddStatus:
		return "answered " + answer(p)
	default:
		return "sent a body that is no image manifest"
	}
}

func badFix(d detail) string {
	switch d {
	case schema1, artifact, emptyIndex:
		return "check what was pushed there"
	default:
		return "check what it is that answers there: a captive portal, a login page, a proxy?"
	}
}

// asides names the mirrors that were asked beside the place that the sentence is about.
func asides(out outcome) string {
	var parts []string
	for _, one := range out.passed {
		parts = append(parts, fmt.Sprintf("%s: %s", one.at.via(), one.problem.cause))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (also asked, " + strings.Join(parts, ", ") + ")"
}

const unusableFix = "create it where it is missing, and mount it here (the chart's pullSecrets)"

func fixUnusable(one credential.Unusable) string {
	switch {
	case one.Source == (credential.Name{}):
		return "mend the file"
	case one.State == credential.Malformed:
		return "write it anew (kubectl create secret docker-registry)"
	default:
		return unusableFix
	}
}

func unusableText(all []credential.Unusable) string {
	var parts []string
	for _, one := range all {
		state := "is not mounted"
		switch one.State {
		case credential.Unreadable:
			state = "cannot be read"
		case credential.Malformed:
			state = "is no docker configuration"
		case credential.NotMounted:
		}
		name := "pull secret " + one.Source.String()
		if one.Source == (credential.Name{}) {
			name = "the DOCKER_CONFIG file"
		}
		parts = append(parts, name+" "+state)
	}
	return strings.Join(parts, ", ")
}

func secretNames(names []credential.Name) string {
	var parts []string
	for _, name := range names {
		parts = append(parts, name.String())
	}
	return strings.Join(parts, ", ")
}

// unusableWarnings says, each tick, which of the named secrets gives nothing.
func unusableWarnings(q Query, ring keyring) []*fault.Error {
	var all []*fault.Error
	for _, one := range ring.unusable {
		text := unusableText([]credential.Unusable{one})
		all = append(all, &fault.Error{
			Cause:   fault.CredentialMissing,
			Message: fmt.Sprintf("%s:%s is asked for without one of its credentials: %s; %s", q.Image.Name(), q.Image.Tag, text, fixUnusable(one)),
		})
	}
	return all
}

// warnings says what went wrong beside the answer: credentials that were rejected though they were not needed, and
// mirrors that could not be asked. That a mirror does not have an image is nothing to warn of.
func (r *Resolver) warnings(q Query, out outcome) []*fault.Error {
	var all []*fault.Error
	name := q.Image.Name() + ":" + q.Image.Tag
	for _, one := range out.rejected {
		if out.suspect() || out.problem == one.problem {
			continue
		}
		all = append(all, &fault.Error{
			Cause: fault.Unauthorized, Stage: one.problem.stage, Host: fault.Clean(one.problem.host),
			Message: fmt.Sprintf("%s, of %s, was rejected by %s with %s: the image is not asked for with it, and pods that do may be refused; %s", holder(one.credential), name, place(one.problem), answer(one.problem), deadFix),
		})
	}
	if out.problem != nil {
		return all
	}
	for _, one := range out.passed {
		if one.problem.cause == fault.NotFound {
			continue
		}
		e := r.failure(subject{query: q, outcome: outcome{at: one.at}}, one.problem)
		e.Message += "; " + out.at.via() + " answered in place of the mirror " + one.at.via()
		all = append(all, e)
	}
	return all
}
