package resolver

// Rules for what is said here:
//
//   - One sentence: what could not be done, who said so at which host and stage, and after the semicolon what to do.
//   - In the operator's terms: the image as configured, the pull secret and account by name, host and port.
//   - Nothing that is not known: a registry does not tell an expired account from a deleted one, nor a private
//     image from a missing one, so neither do we.
//   - Secrets by name only. What others sent enters as a status, as an error code that is a word, or as a host name
//     through fault.Clean; bodies, URLs and error texts never.

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
)

// subject is what a sentence is about.
type subject struct {
	query   Query
	ring    keyring
	outcome outcome
	digest  image.Digest // where a digest was asked for and no tag
	host    string       // where it is about a registry and no image
}

func (s subject) image() string {
	if s.host != "" {
		return s.host
	}
	if s.digest != "" {
		return s.query.Image.Name() + "@" + string(s.digest)
	}
	return s.query.Image.Name() + ":" + s.query.Image.Tag
}

// failure is the error of a query. A refusal to somebody without a credential, where a named secret was to give
// one, is that secret's absence.
func (r *Resolver) failure(s subject, p *problem) *fault.Error {
	e := &fault.Error{Cause: p.cause, Stage: p.Stage, Host: fault.Clean(p.Host), Retry: p.Retry, Err: p.Err}
	if s.refusedNobody(p) && len(s.ring.unusable) > 0 {
		e.Cause = fault.CredentialMissing
	}
	e.Message = r.sentence(s, p) + asides(s.outcome)
	if stage := string(p.Stage); stage != "" && !strings.Contains(e.Message, stage) { // the stage is always named (I33)
		e.Message += " (failed at: " + stage + ")"
	}
	return e
}

// refusedNobody says that a credential is what is lacking.
func (s subject) refusedNobody(p *problem) bool {
	refused := p.cause == fault.Unauthorized || p.cause == fault.Forbidden && p.detail == plain
	return refused && p.Role != fault.StagePing && s.outcome.who.Anonymous()
}

func (r *Resolver) sentence(s subject, p *problem) string {
	what := s.image()
	switch p.cause {
	case fault.NotFound:
		return what + notFoundText(s, p)
	case fault.Unauthorized:
		return what + unauthorizedText(s, p)
	case fault.Forbidden:
		return what + forbiddenText(s, p)
	case fault.RateLimited:
		return what + rateText(p)
	case fault.DNS:
		return fmt.Sprintf("%s could not be asked for: the name of %s does not resolve; check its spelling, the cluster's DNS, and the proxy settings (HTTPS_PROXY, NO_PROXY)", what, place(p))
	case fault.ConnectionRefused:
		return fmt.Sprintf("%s could not be asked for: %s %s%s; let NetworkPolicies and firewalls allow egress to %s, and check the port", what, placePort(p), cut[p.Kind], during(p), target(p))
	case fault.Timeout:
		return what + r.timeoutText(p)
	case fault.TLS:
		return fmt.Sprintf("%s could not be asked for: TLS with %s failed, %s; %s", what, placePort(p), tlsTrouble[p.Kind].what, tlsTrouble[p.Kind].fix)
	case fault.Proxy:
		return what + proxyText(p)
	case fault.ServerError:
		return what + serverText(p)
	case fault.SlotInvalid:
		return what + " has no tag, so there is nothing to follow; name one"
	case fault.BadResponse:
		if p.detail == oddStatus && p.Role == fault.StageToken && !s.outcome.who.Anonymous() {
			return fmt.Sprintf("%s could not be asked for: %s answered %s to %s; check account and secret, which it may mean by that, and what it is that answers there", what, place(p), status(p), holder(s.outcome.who))
		}
		return fmt.Sprintf("%s could not be read: %s %s; %s", what, place(p), badText(p), badFix(p))
	default:
		return fmt.Sprintf("%s could not be asked for at %s", what, place(p))
	}
}

// place names who was asked, with its role.
func place(p *problem) string {
	host := fault.Clean(p.Host)
	switch {
	case p.Proxy != "" && p.Host == p.Proxy:
		return "the proxy " + host
	case p.Role == fault.StageToken:
		return "the token endpoint " + host
	case host == "":
		return "the registry"
	default:
		return "the registry " + host
	}
}

// placePort names it with its port, as firewalls know it.
func placePort(p *problem) string {
	return strings.Replace(place(p), fault.Clean(p.Host), target(p), 1)
}

func target(p *problem) string {
	host := fault.Clean(p.Host)
	if _, _, err := net.SplitHostPort(host); err == nil || host == "" {
		return host
	}
	if p.Secure {
		return host + ":443"
	}
	return host + ":80"
}

// status is that of an answer, with the registry's own code for it.
func status(p *problem) string {
	if p.code != "" {
		return fmt.Sprintf("%d (%s)", p.Status, p.code)
	}
	return fmt.Sprint(p.Status)
}

// holder names a credential: the secret, the account in it and the entry that matched.
func holder(c credential.Credential) string {
	where := "pull secret " + c.Source.String()
	if c.Source == (credential.Name{}) {
		where = "DOCKER_CONFIG's entry"
	}
	return fmt.Sprintf("%s (account %s, entry %s)", where, c.Account(), fault.Clean(c.Entry))
}

func notFoundText(s subject, p *problem) string {
	switch {
	case p.detail == noProject:
		project, _, _ := strings.Cut(s.outcome.at.repository, "/")
		return fmt.Sprintf(" was not found: %s has no project %s; compare the name in the values with the registry, and create the project or push the image there", place(p), project)
	case p.Role == fault.StagePing:
		return fmt.Sprintf(" could not be asked for: %s answered 404 for /v2/, as no registry does; compare the host in the values with the registry's", place(p))
	case p.Role == fault.StageToken:
		return fmt.Sprintf(" could not be asked for: %s, which the registry names, answered 404; check the registry's own address in its configuration, and what answers there", place(p))
	default:
		hidden := ""
		if !s.outcome.who.Anonymous() {
			hidden = fmt.Sprintf("; or %s lacks the right to pull it, which some registries hide behind a 404", holder(s.outcome.who))
		}
		return fmt.Sprintf(" was not found: %s answered %s; compare repository and tag in the values with the registry, and build and push the image if it is not there%s", place(p), status(p), hidden)
	}
}

func unauthorizedText(s subject, p *problem) string {
	who := s.outcome.who
	switch {
	case p.detail == noChallenge:
		return fmt.Sprintf(" could not be asked for: %s %s; %s", place(p), badText(p), badFix(p))
	case p.detail == rejected:
		return fmt.Sprintf(" cannot be resolved: %s was rejected by %s with %s; %s", holder(who), place(p), status(p), deadFix)
	case who.Anonymous():
		return nobodyText(s, p)
	default:
		return fmt.Sprintf(" was refused to %s by %s with %s; compare the name with the registry, give the account the right to pull there, and if it has expired, been disabled or deleted or its password is wrong (a registry does not tell), mend the account and the secret", holder(who), place(p), status(p))
	}
}

// nobodyText tells of a request without a credential, which a registry refuses for a private image and for one that
// does not exist alike.
func nobodyText(s subject, p *problem) string {
	refused := fmt.Sprintf(" was refused by %s with %s to a request without a credential", place(p), status(p))
	switch {
	case len(s.ring.unusable) > 0:
		return fmt.Sprintf("%s, and %s; %s", refused, unusableText(s.ring.unusable), fixUnusable(s.ring.unusable[0]))
	case len(s.ring.withheld) > 0:
		return fmt.Sprintf("%s: it is private or does not exist, and %s; name the host itself in the secret, or the image in the target", refused, withheldText(s.ring.withheld))
	case s.ring.Helpers, s.ring.IdentityToken(s.outcome.at.name()):
		return fmt.Sprintf("%s: it is private or does not exist, and %s; compare the name with the registry, and put account and password into the file itself", refused, ignoredText(s))
	case len(s.query.PullSecrets) > 0:
		return fmt.Sprintf("%s: it is private or does not exist, and none of the pull secrets named (%s) has an entry for %s; compare the name with the registry, and add the entry", refused, secretNames(s.query.PullSecrets), s.outcome.at.name())
	default:
		return refused + ": it is private or does not exist; compare the name with the registry, and name a pull secret for it"
	}
}

// ignoredText says what stands in a pull secret that only docker itself can use.
func ignoredText(s subject) string {
	where := "one of the pull secrets named (" + secretNames(s.query.PullSecrets) + ")"
	if s.ring.Helpers {
		return where + " leaves credentials to a helper program, which nodes do not run"
	}
	return where + " has an identity token in place of a password, which nodes do not use"
}

// deadFix says how to mend a credential that was rejected, in each of the ways that cannot be told apart.
const deadFix = "it may be expired, disabled, deleted or have a wrong password, which a registry does not tell: extend or enable the account, with which the same password works again, or create a new one and put it into the secret"

func forbiddenText(s subject, p *problem) string {
	switch {
	case p.Role == fault.StagePing:
		return fmt.Sprintf(" could not be asked for: %s answers nobody here, it says %s to /v2/ already; check whether it, or something in between, allows this network", place(p), status(p))
	case p.detail == storage:
		return fmt.Sprintf(" could not be read: the storage %s, to which the registry sends, answered %s; allow egress to %s, or have it serve this network", fault.Clean(p.Host), status(p), target(p))
	case p.detail == policy:
		return fmt.Sprintf(" is withheld: %s answered %s, a policy of its own (after a scan, for want of a signature, a lock, a legal reason); have that fixed for the image, or the policy changed", place(p), status(p))
	case p.detail == between:
		return fmt.Sprintf(" could not be asked for: %s answered %s, and not as a registry does; check what is in between (a firewall, a geo block, single sign-on, a bill that is due) and have this network allowed there", place(p), status(p))
	case s.outcome.who.Anonymous():
		return nobodyText(s, p)
	}
	fix := ""
	if p.detail == unproven {
		fix = ", and if it has expired (the passwords of Amazon's ECR do after twelve hours), been disabled or deleted or its password is wrong (a registry does not tell), mend the account and the secret"
	}
	return fmt.Sprintf(" is forbidden to %s: %s answered %s; give the account the right to pull from that project%s", holder(s.outcome.who), place(p), status(p), fix)
}

func rateText(p *problem) string {
	if p.detail == quotaUsed {
		return fmt.Sprintf(" could not be pulled: %s says that no pulls are left (ratelimit-remaining: 0%s); authenticate with a pull secret, or use a mirror", place(p), within(p.Retry))
	}
	again := "it did not say for how long"
	if p.Retry > 0 {
		again = "it may be asked again in " + p.Retry.Round(time.Second).String()
	}
	return fmt.Sprintf(" could not be asked for: %s answered 429, too many requests, and %s; authenticate with a pull secret, or use a mirror", place(p), again)
}

func within(window time.Duration) string {
	if window == 0 {
		return ""
	}
	return ", counted over " + window.String()
}

func serverText(p *problem) string {
	if p.detail == ownTrouble {
		return fmt.Sprintf(" could not be asked for: %s refuses even valid accounts (401 without a challenge), as Harbor does while its database is down; that is the registry's own trouble, and there is nothing to do here", place(p))
	}
	return fmt.Sprintf(" could not be asked for: %s answered %d; that is the registry's own trouble, and there is nothing to do here", place(p), p.Status)
}

// asides names the mirrors that were asked beside the place that the sentence is about.
func asides(out outcome) string {
	var parts []string
	for _, one := range out.passed {
		parts = append(parts, fmt.Sprintf("%s: %s", one.at.via, one.problem.cause))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (also asked, " + strings.Join(parts, ", ") + ")"
}
