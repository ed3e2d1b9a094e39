package resolver

// Rules for what is said here:
//
//   - A sentence: what could not be done, and who said so at which host and stage. Then the fix: what to do.
//   - In the operator's terms: the image as configured, the pull secret and account by name, host and port.
//   - Nothing that is not known: a registry does not tell an expired account from a deleted one, nor a private
//     image from a missing one, so neither do we.
//   - Secrets by name only. What others sent enters as a status, as an error code that is a word, or as a host name
//     through failure.Clean; bodies, URLs and error texts never.

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// subject is what a sentence is about.
type subject struct {
	query   Query
	ring    keyring
	outcome outcome
	digest  image.Digest // where a digest was asked for and no tag
	// signatures says that those of the digest were asked for.
	signatures bool
	host       string // where it is about a registry and no image
}

func (s *subject) image() string {
	if s.signatures {
		return "the list of signatures of " + s.name()
	}
	return s.name()
}

func (s *subject) name() string {
	if s.host != "" {
		return s.host
	}
	if s.digest != "" {
		return s.query.Image.Name() + "@" + string(s.digest)
	}
	return s.query.Image.Name() + ":" + s.query.Image.Tag
}

// failed says what came of it.
func (s *subject) failed() string {
	switch {
	case s.host != "":
		return s.host + " could not be asked"
	case s.digest != "":
		return s.image() + " could not be read"
	default:
		return s.image() + " could not be resolved"
	}
}

// saying is the sentence for some problems, of those with its cause that no saying before it is for.
type saying struct {
	of        func(*subject, *problem) bool
	text, fix string // what stands in braces is filled in
}

func detailed(details ...detail) func(*subject, *problem) bool {
	return func(_ *subject, p *problem) bool { return slices.Contains(details, p.detail) }
}

func asking(role failure.Stage) func(*subject, *problem) bool {
	return func(_ *subject, p *problem) bool { return p.Role == role }
}

func statusFrom(least int) func(*subject, *problem) bool {
	return func(_ *subject, p *problem) bool { return p.Status >= least }
}

func ofKind(kind wire.Kind) func(*subject, *problem) bool {
	return func(_ *subject, p *problem) bool { return p.Kind == kind }
}

func anonymously(s *subject, _ *problem) bool { return s.outcome.who.Anonymous() }

func fromCloud(s *subject, _ *problem) bool { return s.outcome.who.Cloud() }

func others(*subject, *problem) bool { return true }

// deadFix says how to fix a credential that was rejected, in each of the ways that cannot be told apart.
const deadFix = "it may be expired, disabled, deleted or have a wrong password, which a registry does not tell: extend or enable the account, with which the same password works again, or create a new one and put it into the secret"

var sayings = map[failure.Cause][]saying{
	failure.SlotInvalid: {{others, "${image} has no tag, so there is nothing to follow", "name one"}},
	failure.NotFound: {
		{detailed(noProject), "${image} was not found: ${place} has no project ${project}", "compare the name in the values with the registry, and create the project or push the image there"},
		{asking(failure.StagePing), "${failed}: ${place} answered 404 for /v2/, as no registry does", "compare the host in the values with the registry's"},
		{asking(failure.StageToken), "${failed}: ${place}, which the registry names, answered 404", "check the registry's own address in its configuration, and what answers there"},
		{anonymously, "${image} was not found: ${place} answered ${status}", "compare repository and tag in the values with the registry, and build and push the image if it is not there"},
		{others, "${image} was not found: ${place} answered ${status}", "compare repository and tag in the values with the registry, and build and push the image if it is not there; or ${account} lacks the right to pull it, which some registries hide behind a 404"},
	},
	failure.Unauthorized: {
		{detailed(noChallenge), "${failed}: ${place} ${what}", "check what it is that answers there: a captive portal, a login page, a proxy?"},
		{fromCloud, "${image} cannot be resolved: ${account} was rejected by ${place} with ${status}", "see that it is an identity of that registry's own cloud and tenant, and ${rights}"},
		{detailed(rejected), "${image} cannot be resolved: ${account} was rejected by ${place} with ${status}", deadFix},
		{anonymously, "${image} was refused by ${place} with ${status} to a request without a credential${lacking}", "${lackingFix}"},
		{others, "${image} was refused to ${account} by ${place} with ${status}", "compare the name with the registry, give the account the right to pull there, and if it has expired, been disabled or deleted or its password is wrong (a registry does not tell), fix the account and the secret"},
	},
	failure.Forbidden: {
		{asking(failure.StagePing), "${failed}: ${place} answers nobody here, it says ${status} to /v2/ already", "check whether it, or something in between, allows this network"},
		{detailed(storage), "${image} could not be read: the storage ${host}, to which the registry sends, answered ${status}", "allow egress to ${port}, or have it serve this network"},
		{detailed(policy), "${image} is withheld: ${place} answered ${status}, a policy of its own (after a scan, for want of a signature, a lock, a legal reason)", "have that fixed for the image, or the policy changed"},
		{detailed(between), "${failed}: ${place} answered ${status}, and not as a registry does", "check what is in between (a firewall, a geo block, single sign-on, a bill that is due) and have this network allowed there"},
		{fromCloud, "${image} is forbidden to ${account}: ${place} answered ${status}", "${rights}"},
		{anonymously, "${image} was refused by ${place} with ${status} to a request without a credential${lacking}", "${lackingFix}"},
		{detailed(notVerifiedYet), "${image} is forbidden to ${account}: ${place} answered ${status}", "give the account the right to pull from that project, and if it has expired (the passwords of Amazon's ECR do after twelve hours), been disabled or deleted or its password is wrong (a registry does not tell), fix the account and the secret"},
		{others, "${image} is forbidden to ${account}: ${place} answered ${status}", "give the account the right to pull from that project"},
	},
	failure.Unsigned: {{others, "${name} is signed by none of the keys in verify.keys (found at ${place}: ${found})",
		"whoever publishes the tag must sign what it means, the index and not its platforms alone (cosign sign --key), or their key be added to verify.keys"}},
	failure.RateLimited: {
		{detailed(quotaUsed), "${image} could not be pulled: ${place} says that no pulls are left (ratelimit-remaining: 0${within})", "authenticate with a pull secret, or use a mirror"},
		{others, "${failed}: ${place} answered 429, too many requests, and ${again}", "authenticate with a pull secret, or use a mirror"},
	},
	failure.DNS:               {{others, "${failed}: the name of ${place} does not resolve", "check its spelling, the cluster's DNS, and the proxy settings (HTTPS_PROXY, NO_PROXY)"}},
	failure.ConnectionRefused: {{others, "${failed}: ${place:port} ${what}${during}", "let NetworkPolicies and firewalls allow egress to ${port}, and check the port"}},
	failure.TLS:               {{others, "${failed}: TLS with ${place:port} failed, ${what}", "${whatFix}"}},
	failure.Timeout: {
		{ofKind(wire.Interrupted), "${failed}: the tick was interrupted", "the next one asks again"},
		{detailed(givenUp), "${failed}: ${place:port} did not answer for ${max} images before it", "allow egress to ${port}"},
		{detailed(unasked), "${failed}: the tick's time was over before its turn came", "ask for fewer images or raise the concurrency"},
		{others, "${failed}: no answer from ${place:port} within ${timeout} (at: ${stage})", "allow egress to ${port}"},
	},
	failure.Proxy: {
		{ofKind(wire.ProxySetting), "${failed}: the proxy setting is no address", "write HTTPS_PROXY as http://host:port"},
		{func(_ *subject, p *problem) bool { return p.Status == 407 }, "${failed}: the proxy${proxy} wants a user and password (407) before it connects to ${place:port}", "put them into HTTPS_PROXY, or HTTP_PROXY where the registry has no TLS"},
		{statusFrom(500), "${failed}: the proxy${proxy} answered ${number} and could not connect to ${place:port}", "allow it to reach ${port}, as it may reach others"},
		{statusFrom(1), "${failed}: the proxy${proxy} refused with ${number} to connect to ${place:port}", "have ${port} allowed there, as other hosts may be already"},
		{others, "${failed}: the proxy${proxy} hung up when asked to connect to ${place:port}", "have ${port} allowed there, as other hosts may be already"},
	},
	failure.ServerError: {
		{detailed(ownTrouble), "${failed}: ${place} refuses even valid accounts (401 without a challenge), as Harbor does while its database is down", "that is the registry's own trouble, and there is nothing to do here"},
		{others, "${failed}: ${place} answered ${number}", "that is the registry's own trouble, and there is nothing to do here"},
	},
	failure.BadResponse: {
		{func(s *subject, p *problem) bool {
			return p.detail == oddStatus && p.Role == failure.StageToken && !anonymously(s, p)
		}, "${failed}: ${place} answered ${status} to ${account}", "check account and secret, which it may mean by that, and what it is that answers there"},
		{detailed(badRealm), "${image} could not be read: its registry ${what} (${place})", "have its external address set right where it runs (with a proxy before it, X-Forwarded-Proto)"},
		{detailed(schema1, artifact, emptyIndex), "${image} could not be read: ${place} ${what}", "check what was pushed there"},
		{others, "${image} could not be read: ${place} ${what}", "check what it is that answers there: a captive portal, a login page, a proxy?"},
	},
}

// what happened on the way, in TLS's case what to do about it, and what is wrong with an answer.
var (
	onTheWay = map[wire.Kind]string{
		wire.Refused: "refused the connection", wire.Unreachable: "could not be reached", wire.Reset: "cut the connection",
		wire.UnknownAuthority: "its certificate is signed by an authority that is not trusted here",
		wire.WrongName:        "its certificate is for another name",
		wire.Expired:          "its certificate has expired or is not valid yet",
		wire.NotTLS:           "it does not speak TLS there",
		wire.Handshake:        "the handshake was refused",
		wire.TooLarge:         "sent more than a manifest or token may have",
		wire.Truncated:        "sent half an answer",
		wire.Downgrade:        "redirected to plain HTTP",
		wire.BadRedirect:      "redirected to nowhere, or too often",
		wire.InvalidHTTP:      "sent an invalid HTTP response",
	}
	ofTLS = map[wire.Kind]string{
		wire.UnknownAuthority: "give the authority's certificate as caFile of the registry or in SSL_CERT_FILE, be it the registry's own or that of a proxy that intercepts TLS",
		wire.WrongName:        "use the name that the certificate is for, or have it issued for this one",
		wire.Expired:          "have the certificate renewed, and check the clock here",
		wire.NotTLS:           "check the port, and set plainHTTP for the registry if it has no TLS",
		wire.Handshake:        "check its TLS versions and whether it wants a client certificate",
	}
	inTheAnswer = map[detail]string{
		noChallenge:  "answered 401 to /v2/ without saying how to authenticate",
		badRealm:     "named a token endpoint that no credential may be sent to: its address is not https, no address at all, or on this machine",
		badToken:     "answered without a token",
		badDigest:    "sent a digest that is not sha256: and 64 lowercase hex digits",
		notManifest:  "sent a body that is no image manifest",
		schema1:      "has it in the format schema 1, which no node runs any more",
		artifact:     "has an artifact there, which is no image",
		emptyIndex:   "has an index there that holds no image",
		otherDigest:  "sent a body that is not its digest's",
		badConfig:    "has no image configuration for it, or another one's",
		notReferrers: "sent a list of referrers that is none",
		tooMany:      fmt.Sprintf("lists more than %d signatures and attestations, of which the first %[1]d hold no signature by the keys in verify.keys", maxCandidates),
	}
)

func (p *problem) what() string {
	if text := onTheWay[p.Kind]; text != "" {
		return text
	}
	if text := inTheAnswer[p.detail]; text != "" {
		return text
	}
	return "answered " + p.status()
}

// sentence is what is said of a problem, and its fix.
func (r *Resolver) sentence(s *subject, p *problem) (text, fix string) {
	all := sayings[p.cause]
	one := all[slices.IndexFunc(all, func(one saying) bool { return one.of(s, p) })]
	without, fixOfThat := lacking(s)
	fill := func(name string) string {
		switch name {
		case "image":
			return s.image()
		case "name":
			return s.name()
		case "found":
			return p.found
		case "failed":
			return s.failed()
		case "place":
			return p.place()
		case "place:port": // as firewalls know it
			return strings.Replace(p.place(), failure.Clean(p.Host), p.target(), 1)
		case "host":
			return failure.Clean(p.Host)
		case "port":
			return p.target()
		case "status":
			return p.status()
		case "number":
			return strconv.Itoa(p.Status)
		case "what":
			return p.what()
		case "whatFix":
			return ofTLS[p.Kind]
		case "account":
			return s.outcome.who.String()
		case "lacking":
			return without
		case "lackingFix":
			return fixOfThat
		case "rights":
			return r.host(s.outcome.at.host).cloud.Rights()
		case "project":
			project, _, _ := strings.Cut(s.outcome.at.repository, "/")
			return project
		case "proxy":
			return strings.TrimRight(" "+failure.Clean(p.Proxy), " ")
		case "stage":
			return string(p.Stage)
		case "during":
			switch p.Stage {
			case failure.StageConnect, failure.StageProxy, failure.StageName:
				return ""
			case failure.StageTLS:
				return " during the TLS handshake"
			default:
				return " while it was asked for " + string(p.Stage)
			}
		case "within":
			if p.Retry == 0 {
				return ""
			}
			return ", counted over " + p.Retry.String()
		case "again":
			if p.Retry == 0 {
				return "it did not say for how long"
			}
			return "it may be asked again in " + p.Retry.Round(time.Second).String()
		case "max":
			return strconv.Itoa(maxTimeouts)
		default:
			if p.identity != nil && p.identity.Waited > 0 {
				return p.identity.Waited.String()
			}
			return r.options.Timeout.String()
		}
	}
	return os.Expand(one.text, fill), os.Expand(one.fix, fill)
}

// failure is the error of a query, or of a registry. A refusal to somebody without a credential, where a named secret was
// to give one, is that secret's absence.
func (r *Resolver) failure(s *subject, p *problem) *failure.Error {
	var text, fix string
	if p.identity == nil || p.Kind != 0 {
		text, fix = r.sentence(s, p)
	}
	if p.identity != nil {
		text, fix = identitySentence(s, p, text, fix)
	}
	e := &failure.Error{Cause: p.cause, Stage: p.Stage, Host: failure.Clean(p.Host), Message: text + asides(s.outcome), Fix: fix}
	if p.cause == failure.Unauthorized || p.cause == failure.Forbidden {
		e.Message, e.Fix = ended(s.outcome.who, e.Message, e.Fix)
	}
	refused := p.cause == failure.Unauthorized || p.cause == failure.Forbidden && p.detail == noDetail
	if refused && p.Role != failure.StagePing && s.outcome.who.Anonymous() && len(s.ring.Unusable) > 0 {
		e.Cause = failure.CredentialMissing
	}
	if stage := string(p.Stage); !strings.Contains(e.Error(), stage) && !(s.signatures && p.Stage == failure.StageManifest) { // the stage is always named (I33)
		e.Message += " (failed at: " + stage + ")"
	}
	return e
}

// place names who was asked, with its role.
func (p *problem) place() string {
	host := failure.Clean(p.Host)
	switch {
	case p.Proxy != "" && p.Host == p.Proxy:
		return "the proxy " + host
	case p.Role == failure.StageIdentity:
		return "the source of the cloud identity, " + host
	case p.Role == failure.StageToken:
		return "the token endpoint " + host
	case host == "":
		return "the registry"
	default:
		return "the registry " + host
	}
}

func (p *problem) target() string {
	host := failure.Clean(p.Host)
	if _, _, err := net.SplitHostPort(host); err == nil || host == "" {
		return host
	}
	if p.Secure {
		return host + ":443"
	}
	return host + ":80"
}

// status is that of an answer, with the registry's own code for it.
func (p *problem) status() string {
	if p.code != "" {
		return fmt.Sprintf("%d (%s)", p.Status, p.code)
	}
	return strconv.Itoa(p.Status)
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
