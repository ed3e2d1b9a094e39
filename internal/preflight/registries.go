package preflight

import (
	"fmt"
	"slices"
	"time"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/result"
)

// hostLevel says that a failure is a registry's, or the way's to it, and no image's.
func hostLevel(failed *failure.Error) bool {
	switch failed.Stage {
	case failure.StageName, failure.StageConnect, failure.StageProxy, failure.StageTLS:
		return true
	case failure.StagePing: // where an account is refused by Basic authentication too
		return !slices.Contains([]failure.Cause{failure.Unauthorized, failure.CredentialMissing}, failed.Cause)
	case failure.StageToken: // where one image, or one account, is refused too
		return !slices.Contains([]failure.Cause{failure.Unauthorized, failure.Forbidden, failure.CredentialMissing, failure.NotFound, failure.RateLimited}, failed.Cause)
	case failure.StageManifest, failure.StageIdentity:
	}
	return false
}

// registries says which registries answer, and returns what failed at each host that does not, by host.
func (l *list) registries(f Facts) map[string]*failure.Error {
	down := map[string]*failure.Error{} // by the host that failed: the registry's own, or its token endpoint
	for _, image := range f.Images {
		if failed := image.Answer.Failure; failed != nil && hostLevel(failed) && down[failed.Host] == nil {
			down[failed.Host] = failed
		}
	}
	for _, registry := range f.Registries {
		failed := registry.Failure
		for _, host := range []string{registry.Address, registry.TokenHost} {
			if failed == nil && host != "" {
				failed = down[host]
			}
		}
		switch {
		case registry.Unused != "":
			l.add(checkRegistry, registry.Host, result.Warning, registry.Unused)
		case failed == nil && registry.Challenge == "":
			l.add(checkRegistry, registry.Host, result.Unchecked, "was not asked")
		case failed == nil:
			l.add(checkRegistry, registry.Host, result.OK, "answers"+how(registry))
		case down[failed.Host] != nil:
			l.wrong(checkRegistry, registry.Host, failed)
		default: // a mirror, in whose place another answered
			l.warn(checkRegistry, registry.Host, failed)
		}
	}
	return down
}

func how(registry resolver.HostReport) string {
	switch registry.Challenge {
	case "bearer":
		return ", with tokens from " + registry.TokenHost
	case "basic":
		return ", and wants a user and password"
	default:
		return ", to anybody"
	}
}

// credentials says what registries made of each credential, and which secrets give none.
func (l *list) credentials(f Facts, down map[string]*failure.Error) {
	troubled := map[string]bool{} // hosts that had trouble of their own, which makes Harbor refuse valid accounts too
	for _, image := range f.Images {
		if failed := image.Answer.Failure; failed != nil && failed.Cause == failure.ServerError {
			troubled[failed.Host] = true
		}
	}
	for _, registry := range f.Registries {
		for _, proof := range registry.Proofs {
			subject := proof.Holder + " at " + registry.Host
			switch {
			case registry.Failure != nil || down[registry.Address] != nil || down[registry.TokenHost] != nil:
				l.add(checkCredential, subject, result.Unchecked, "the registry could not be asked")
			case proof.State == resolver.Rejected && troubled[registry.Address]:
				l.add(checkCredential, subject, result.Unchecked, "was rejected while the registry had trouble of its own, which proves nothing")
			case proof.State == resolver.Rejected:
				l.wrong(checkCredential, subject, proof.Failure)
			case proof.State == resolver.Accepted:
				l.add(checkCredential, subject, result.OK, "is accepted")
			default:
				l.add(checkCredential, subject, result.Unchecked, "cannot be proved: the registry asks for no login, or gave no verdict")
			}
			if !proof.Ends.IsZero() && proof.State != resolver.Rejected {
				l.warn(checkCredential, subject, &failure.Error{Message: "ends at " + proof.Ends.Format(time.RFC3339), Fix: "have the secret written anew before that, or use a password that lasts"})
			}
			if proof.Source == (credential.Name{}) && !proof.Cloud {
				l.warn(checkCredential, subject, &failure.Error{Message: "stands in DOCKER_CONFIG, which pods do not have", Fix: "name a pull secret in the workload as well"})
			}
		}
		l.identity(registry)
	}
	said := map[string]bool{}
	for _, image := range f.Images {
		for _, warning := range image.Answer.Warnings {
			switch {
			case said[warning.Error()]:
			case warning.Cause == failure.CredentialMissing:
				l.wrong(checkCredential, image.Name, warning)
			case warning.Cause != failure.Unauthorized: // a rejected credential has its own line above
				l.warn(checkRegistry, image.Name, warning)
			}
			said[warning.Error()] = true
		}
	}
}

// identity says what became of the pod's identity at a cloud's registry, unless the proof of it has said so.
func (l *list) identity(registry resolver.HostReport) {
	const notNeeded = ", and none is needed: each image there is served to anybody"
	subject := "the cloud identity at " + registry.Host
	switch one := registry.Identity; {
	case one == nil, one.Failure == nil && one.Needed:
	case one.Failure == nil:
		l.add(checkCredential, subject, result.OK, "is "+one.Holder+notNeeded)
	case one.Needed:
		l.wrong(checkCredential, subject, one.Failure)
	default:
		l.add(checkCredential, subject, result.OK, "could not be had ("+string(one.Failure.Cause)+")"+notNeeded)
	}
}

// images says what each tag is now, or why that is not known.
func (l *list) images(f Facts, down map[string]*failure.Error) {
	listed := func(host string) bool {
		return slices.ContainsFunc(f.Registries, func(r resolver.HostReport) bool { return r.Address == host || r.TokenHost == host })
	}
	for _, image := range f.Images {
		answer := image.Answer
		switch {
		case answer.Failure != nil && down[answer.Failure.Host] != nil && listed(answer.Failure.Host):
			l.add(checkImage, image.Name, result.Unchecked, "not resolved: "+answer.Failure.Host+" could not be asked, as said above")
		case answer.Failure != nil:
			l.wrong(checkImage, image.Name, answer.Failure)
		case answer.Quota.Exhausted():
			l.wrong(checkImage, image.Name, &failure.Error{
				Cause: failure.RateLimited, Message: "its registry allows no more pulls now" + window(answer.Quota), Fix: "pull with an account or through a mirror",
			})
		default:
			message := "is " + answer.Digest.Short()
			if answer.Quota.Known {
				message += fmt.Sprintf("; %d pulls are left%s", answer.Quota.Remaining, window(answer.Quota))
			}
			l.add(checkImage, image.Name, result.OK, message)
		}
		if image.Pods != nil {
			l.wrong(checkImage, image.Name, &failure.Error{Cause: image.Pods.Cause, Fix: image.Pods.Fix, Message: fmt.Sprintf(
				"resolves with the target's pull secrets, which the pods of %s do not name, and theirs do not do: %s", image.PodsOf, image.Pods.Message)})
		}
	}
}

func window(quota resolver.Quota) string {
	if quota.Window == 0 {
		return ""
	}
	return " in " + quota.Window.String()
}
