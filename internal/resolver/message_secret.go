package resolver

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// What is said of credentials. The rules of message.go hold here as well.

// lacking says why a request was made without a credential, and what to do about it: a registry refuses it for a private
// image and for one that does not exist alike.
func lacking(s *subject) (why, fix string) {
	const private, compare = ": it is private or does not exist", "compare the name with the registry, and "
	names := joined(s.query.PullSecrets)
	var ignored string
	switch {
	case len(s.ring.Unusable) > 0:
		what, fix := unusable(s.ring.Unusable...)
		return ", and " + what, fix
	case len(s.ring.withheld) > 0:
		return private + ", and " + withheldText(s.ring.withheld), withheldFix
	case s.ring.Helpers:
		ignored = " leaves credentials to a helper program, which nodes do not run"
	case s.ring.IdentityToken(s.outcome.at.name()):
		ignored = " has an identity token in place of a password, which nodes do not use"
	case names != "":
		return private + ", and none of the pull secrets named (" + names + ") has an entry for " + s.outcome.at.name(), compare + "add the entry"
	default:
		return private, compare + "name a pull secret for it"
	}
	return private + ", and one of the pull secrets named (" + names + ")" + ignored, compare + "put account and password into the file itself"
}

// identitySentence says why nobody could be asked in the place of whom a cloud's registry does not serve. Where no answer came, the
// rest says so already, and how to open the way; what may help as well follows.
func identitySentence(s *subject, p *problem, text, fix string) (string, string) {
	if p.Kind == 0 {
		text = s.failed() + ": nobody is served there without a login, and the cloud identity " + p.identity.Text
	}
	both := []string{fix, p.identity.Fix}
	if p.identity.Fix != "" && p.cause != failure.ServerError && p.cause != failure.RateLimited {
		both = append(both, "name a pull secret for it")
	}
	return text, strings.Join(slices.DeleteFunc(both, func(one string) bool { return one == "" }), ", or ")
}

// unusable says what is wrong with secrets that give nothing, and what to do about the first of them.
func unusable(all ...credential.Unusable) (what, fix string) {
	var parts []string
	for _, one := range all {
		name, state, do := "pull secret "+one.Source.String(), "is not mounted", "create it where it is missing, and mount it here (the chart's pullSecrets)"
		switch one.State {
		case credential.Unreadable:
			state = "cannot be read"
		case credential.Malformed:
			state, do = "is no docker configuration", "write it anew (kubectl create secret docker-registry)"
		case credential.Absent:
			state, do = "does not exist", "create it"
		case credential.Denied:
			state, do = "may not be read", "ask for the right to read it, or put it into PULL_SECRETS_DIR"
		case credential.HelperFailed, credential.NotMounted:
		}
		if one.Source == (credential.Name{}) {
			name, do = "the DOCKER_CONFIG file", "fix the file"
		}
		if one.State == credential.HelperFailed {
			helper := failure.Clean(one.Helper)
			name, state = "the credential helper "+helper+", which DOCKER_CONFIG names,", "is missing or failed"
			do = "install " + helper + " or see what it says, or put account and password into the file"
		}
		parts = append(parts, name+" "+state)
		if fix == "" {
			fix = do
		}
	}
	return strings.Join(parts, ", "), fix
}

// unusableWarnings says, each tick, which of the named secrets gives nothing.
func unusableWarnings(q Query, ring keyring) []*failure.Error {
	var all []*failure.Error
	for _, one := range ring.Unusable {
		what, fix := unusable(one)
		all = append(all, without(q, what, fix))
	}
	return all
}

func without(q Query, why, fix string) *failure.Error {
	return &failure.Error{Cause: failure.CredentialMissing, Message: (&subject{query: q}).image() + " is resolved without one of its credentials: " + why, Fix: fix}
}

// spoiltFailure is that of an image whose pods name a secret that does not parse: nodes pull nothing for them, whatever
// the other secrets hold (I60).
func spoiltFailure(q Query, ring keyring) *failure.Error {
	what, fix := unusable(ring.spoilt()...)
	return &failure.Error{Cause: failure.CredentialMissing, Fix: fix, Message: fmt.Sprintf(
		"%s cannot be pulled: %s, so nodes pull nothing for these pods, whatever the other secrets hold", (&subject{query: q}).image(), what)}
}

// unusedText says that an entry of the configuration does nothing.
func unusedText(host string) string {
	hint := ""
	if strings.HasSuffix(host, "docker.io") || strings.HasSuffix(host, "docker.com") {
		hint = "; Docker Hub is docker.io there"
	}
	return "registries: the entry for " + failure.Clean(host) + " is for none of the images; write the host as the images name it, or remove the entry" + hint
}

const withheldFix = "name the host itself in the secret, or the image in the target"

// withheldText names entries that stand for many hosts, and are not used where the workload names the image.
func withheldText(withheld []credential.Credential) string {
	var parts []string
	for _, one := range withheld {
		parts = append(parts, one.String())
	}
	return strings.Join(parts, ", ") + " stands for any host of that form, and is not used for one that the workload names"
}

// rejectedFailure is that of a credential, beside what became of the images that it is for.
func rejectedFailure(c credential.Credential, of string, p *problem, all string) *failure.Error {
	fix := deadFix
	if c.Cloud() {
		fix = "see that it is an identity of that registry's own cloud and tenant"
	}
	message, fix := ended(c, c.String()+of+" was rejected by "+p.place()+" with "+p.status()+all, fix)
	return &failure.Error{Cause: failure.Unauthorized, Stage: p.Stage, Host: failure.Clean(p.Host), Fix: fix, Message: message}
}

const endedFix = "have it written anew before each end (the passwords of Amazon's ECR live for twelve hours), or take the secret away and let the registry be asked with an identity of the cloud"

// ended says of a refusal that the password has ended, where that says so itself.
func ended(c credential.Credential, message, fix string) (text, doThis string) {
	end := c.Expires()
	if end.IsZero() || time.Now().Before(end) {
		return message, fix
	}
	return message + "; the password ended at " + end.Format(time.RFC3339), endedFix
}

// endedFailure is that of a password that has ended, and that no registry has told anything of.
func endedFailure(c credential.Credential) *failure.Error {
	return &failure.Error{Cause: failure.Unauthorized, Message: "the password of " + c.String() + " ended at " + c.Expires().Format(time.RFC3339), Fix: endedFix}
}

// warnings says what went wrong beside the answer: credentials that were rejected though they were not needed, and
// mirrors that could not be asked. That a mirror does not have an image is nothing to warn of.
func (r *Resolver) warnings(q Query, ring keyring, out outcome) []*failure.Error {
	var all []*failure.Error
	for _, one := range out.rejected {
		if !out.suspect() && out.problem != one.problem {
			all = append(all, rejectedFailure(one.credential, ", of "+(&subject{query: q}).image()+",", one.problem, ": the image is served all the same, but pods may be refused at any time"))
		}
	}
	if len(ring.withheld) > 0 {
		all = append(all, without(q, withheldText(ring.withheld), withheldFix))
	}
	if out.problem != nil {
		return all
	}
	for _, one := range out.passed {
		if one.problem.cause != failure.NotFound {
			e := r.failure(&subject{query: q, outcome: outcome{at: one.at}}, one.problem)
			e.Message += " (" + out.at.via + " answered in place of the mirror " + one.at.via + ")"
			all = append(all, e)
		}
	}
	return all
}
