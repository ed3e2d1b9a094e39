// Package failure is the vocabulary of failure: the closed set of causes that operators see, the error that
// carries one from the boundary where it was recognised to the result, and the cleaning of foreign text.
//
// A message has two parts, both in the operator's terms: a sentence (what failed, and where), and its fix (what to do). Text
// that came from outside (a registry, a pod, an annotation) enters a message only through Clean.
package failure

import (
	"errors"
	"slices"
)

// Cause says why a target or a workload is not fresh. The set is part of the contract: it appears in results, logs, Events, annotations and the termination message.
type Cause string

// The causes, in the order in which one is worse than another for a target that fails in several ways at
// once: what a person must fix before what may pass by itself.
const (
	None              Cause = ""
	WorkloadMissing   Cause = "workload-missing"
	SlotInvalid       Cause = "slot-invalid"
	SlotMismatch      Cause = "slot-mismatch"
	API               Cause = "api"
	RolloutFailed     Cause = "rollout-failed"
	Contested         Cause = "contested"
	NotSettled        Cause = "not-settled"
	Unauthorized      Cause = "unauthorized"
	Forbidden         Cause = "forbidden"
	CredentialMissing Cause = "credential-missing" //nolint:gosec // a cause, no credential
	NotFound          Cause = "not-found"
	PlatformMissing   Cause = "platform-missing"
	Unsigned          Cause = "unsigned"
	Stale             Cause = "stale"
	BadResponse       Cause = "bad-response"
	TLS               Cause = "tls"
	Proxy             Cause = "proxy"
	DNS               Cause = "dns"
	ConnectionRefused Cause = "connection-refused"
	Timeout           Cause = "timeout"
	RateLimited       Cause = "rate-limited"
	ServerError       Cause = "server-error"
)

// Causes lists every cause but None, worst first.
func Causes() []Cause {
	return []Cause{
		WorkloadMissing, SlotInvalid, SlotMismatch, API, RolloutFailed, Contested, NotSettled,
		Unauthorized, Forbidden, CredentialMissing, NotFound, PlatformMissing, Unsigned, Stale, BadResponse, TLS, Proxy, DNS,
		ConnectionRefused, Timeout, RateLimited, ServerError,
	}
}

// Runbook is the address of the page where an operator reads on. It has a section a cause.
type Runbook string

// Of is the address of the section about the cause; empty for None.
func (r Runbook) Of(cause Cause) string {
	if cause == None {
		return ""
	}
	return string(r) + "#" + string(cause)
}

// Reference is what ends a text about a cause: where to read on. It is empty for None.
func (r Runbook) Reference(cause Cause) string {
	if cause == None {
		return ""
	}
	return " (see " + r.Of(cause) + ")"
}

// Advice is a failure's sentence, its fix and the address of its section, as operators get to see them everywhere.
func (r Runbook) Advice(failed *Error) string { return failed.Error() + r.Reference(failed.Cause) }

// Stage names how far a request to a registry had come when it failed.
type Stage string

// The stages, in the order in which a request passes them.
const (
	StageName     Stage = "resolving the name"
	StageConnect  Stage = "connecting"
	StageProxy    Stage = "the proxy"
	StageTLS      Stage = "TLS"
	StagePing     Stage = "the registry's /v2/ endpoint"
	StageToken    Stage = "the token endpoint"
	StageManifest Stage = "the manifest"
	StageIdentity Stage = "the cloud identity" // beside the others: what a cloud's registry is asked with
)

// Error is a failure with its cause. Its text is Message and Fix, which are safe to print anywhere; Err is kept
// for errors.Is and errors.As and is never printed, because what a server or a library said may hold a
// secret, a body or control characters.
type Error struct {
	Cause   Cause
	Stage   Stage  // empty where no registry was asked
	Host    string // host, or host:port, that failed; empty where none was asked
	Message string // what failed, and where: a clause or two, without a full stop
	Fix     string // what to do about it, likewise; empty where there is nothing to do
	Err     error
}

// Error is the sentence and its fix, for what has room for one string only.
func (e *Error) Error() string { return WithFix(e.Message, e.Fix) }

// WithFix is a sentence and what to do about it as one string; either may be empty.
func WithFix(sentence, fix string) string {
	if sentence == "" || fix == "" {
		return sentence + fix
	}
	return sentence + "; " + fix
}

func (e *Error) Unwrap() error { return e.Err }

// Of returns the typed failure inside err, or one with the cause `fallback` and the cleaned text of err where
// there is none. It returns nil for nil.
func Of(err error, fallback Cause) *Error {
	if err == nil {
		return nil
	}
	if found, ok := errors.AsType[*Error](err); ok {
		return found
	}
	return &Error{Cause: fallback, Message: Clean(err.Error()), Err: err}
}

// Worst returns the failure that counts where several happened at once: the one whose cause comes first in
// Causes; of equal ones the first given. Nil entries are ignored; it returns nil where nothing is left.
func Worst(failures ...*Error) *Error {
	order := Causes()
	var worst *Error
	for _, failed := range failures {
		if failed == nil {
			continue
		}
		if worst == nil || slices.Index(order, failed.Cause) < slices.Index(order, worst.Cause) {
			worst = failed
		}
	}
	return worst
}
