package resolver

import (
	"fmt"
	"strings"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/fault"
)

// What is said of credentials beside an answer. The rules of message.go hold here as well.

const unusableFix = "create it where it is missing, and mount it here (the chart's pullSecrets)"

func fixUnusable(one credential.Unusable) string {
	switch {
	case one.State == credential.HelperFailed:
		return "install " + fault.Clean(one.Helper) + " or see what it says, or put account and password into the file"
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
		case credential.HelperFailed:
			parts = append(parts, "the credential helper "+fault.Clean(one.Helper)+", which DOCKER_CONFIG names, is missing or failed")
			continue
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

// spoiltFailure is that of an image whose pods name a secret that does not parse: nodes pull nothing for them, whatever
// the other secrets hold (I60).
func spoiltFailure(q Query, ring keyring) *fault.Error {
	var spoilt []credential.Unusable
	for _, one := range ring.unusable {
		if one.State == credential.Malformed {
			spoilt = append(spoilt, one)
		}
	}
	return &fault.Error{Cause: fault.CredentialMissing, Message: fmt.Sprintf(
		"%s:%s cannot be pulled: %s, so nodes pull nothing for these pods, whatever the other secrets hold; %s",
		q.Image.Name(), q.Image.Tag, unusableText(spoilt), fixUnusable(spoilt[0]))}
}

// unusedText says that an entry of the configuration does nothing.
func unusedText(host string) string {
	hint := ""
	if strings.HasSuffix(host, "docker.io") || strings.HasSuffix(host, "docker.com") {
		hint = "; Docker Hub is docker.io there"
	}
	return "registries: the entry for " + fault.Clean(host) + " is for none of the images that are asked for; write the host as the images name it, or remove the entry" + hint
}

// withheldText names entries that stand for many hosts, and are not used where the workload names the image.
func withheldText(withheld []credential.Credential) string {
	var parts []string
	for _, one := range withheld {
		parts = append(parts, holder(one))
	}
	return strings.Join(parts, ", ") + " stands for any host of that form, and is not used for one that the workload names"
}

// warnings says what went wrong beside the answer: credentials that were rejected though they were not needed, and
// mirrors that could not be asked. That a mirror does not have an image is nothing to warn of.
func (r *Resolver) warnings(q Query, ring keyring, out outcome) []*fault.Error {
	var all []*fault.Error
	name := q.Image.Name() + ":" + q.Image.Tag
	for _, one := range out.rejected {
		if out.suspect() || out.problem == one.problem {
			continue
		}
		all = append(all, &fault.Error{
			Cause: fault.Unauthorized, Stage: one.problem.Stage, Host: fault.Clean(one.problem.Host),
			Message: fmt.Sprintf("%s, of %s, was rejected by %s with %s: the image is served all the same, but pods may be refused at any time; %s", holder(one.credential), name, place(one.problem), status(one.problem), deadFix),
		})
	}
	if len(ring.withheld) > 0 {
		all = append(all, &fault.Error{Cause: fault.CredentialMissing, Message: name + " is asked for without one of its credentials: " + withheldText(ring.withheld) + "; name the host itself in the secret, or the image in the target"})
	}
	if out.problem != nil {
		return all
	}
	for _, one := range out.passed {
		if one.problem.cause == fault.NotFound {
			continue
		}
		e := r.failure(subject{query: q, outcome: outcome{at: one.at}}, one.problem)
		e.Message += "; " + out.at.via + " answered in place of the mirror " + one.at.via
		all = append(all, e)
	}
	return all
}
