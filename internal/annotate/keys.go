// Package annotate owns everything that the program remembers: the keys of its labels and annotations, the
// values that they may hold, and how each is parsed and printed. It is pure: no client, no clock, no logger.
//
// All of it stands on the workload's own metadata, never on its pod template, so that remembering something
// rolls nothing. The keys are a contract with people and with the shell script that came before (I36).
package annotate

import "strings"

// Keys names the labels and annotations under one prefix, "tracebloc.io" unless configured otherwise.
type Keys struct {
	prefix string
	// Of a workload as a whole; made once, since they are read in each decision.
	hold, approve, skip, condition, skipStreak string
}

// NewKeys returns the keys under prefix, which the configuration has found to be a DNS subdomain.
func NewKeys(prefix string) Keys {
	return Keys{
		prefix: prefix, hold: prefix + "/" + holdName, approve: prefix + "/" + approveName, skip: prefix + "/" + skipName,
		condition: prefix + "/" + conditionName, skipStreak: prefix + "/refresh-skip-streak",
	}
}

// Prefix is what all keys begin with.
func (k Keys) Prefix() string { return k.prefix + "/" }

// Mark is the label that says what we last put or accepted in the target's slots. It is a label because
// `kubectl rollout undo` rewinds annotations and leaves labels (I9).
func (k Keys) Mark(target string) string { return k.prefix + "/" + target + markSuffix }

// Hold is the label by which a person keeps us away from the slots of a workload: "true".
func (k Keys) Hold() string { return k.hold }

// Approve is the label by which a person allows the digest whose first digits it holds (Digits) to be rolled out where the target is
// notify only. The tick that takes it into the state removes it.
func (k Keys) Approve() string { return k.approve }

// Skip is the label by which a person rejects such a digest. The tick that takes it into the state removes it.
func (k Keys) Skip() string { return k.skip }

// Recorded is the annotation with the digest last proven rolled out (I4).
func (k Keys) Recorded(target string) string {
	return k.prefix + "/" + recordedPrefix + target + markSuffix
}

// Build is the annotation that says which build the recorded digest is (image.Build), for people.
func (k Keys) Build(target string) string {
	return k.prefix + "/" + recordedPrefix + target + buildSuffix
}

// Failures is the annotation, on the target's home, that counts resolve failures in a row (I1).
func (k Keys) Failures(target string) string { return k.prefix + "/" + target + failuresSuffix }

// LastError is the annotation, on the target's home, that says why resolving fails, from the
// threshold on.
func (k Keys) LastError(target string) string { return k.prefix + "/" + target + lastErrorSuffix }

// FailingSince is the annotation, on the target's home, that says when the target last went from fine to failing, or to a
// failure below its threshold (RFC 3339).
func (k Keys) FailingSince(target string) string { return k.prefix + "/" + target + failingSinceSuffix }

// Counts says whether an annotation is a target's counter, whichever target's: what stands on its home alone. What people have
// been told stands in the state.
func (k Keys) Counts(key, text string) bool {
	name, found := strings.CutPrefix(key, k.prefix)
	if !found || !strings.HasPrefix(name, "/") {
		return false
	}
	for _, suffix := range counterSuffixes {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return strings.HasSuffix(name, stateSuffix) && strings.Contains(text, toldField)
}

// CountAny says whether any of a workload's annotations is a target's counter.
func (k Keys) CountAny(annotations map[string]string) bool {
	for key, text := range annotations {
		if k.Counts(key, text) {
			return true
		}
	}
	return false
}

// Condition is the label, one a workload, that says how its targets are (Condition).
func (k Keys) Condition() string { return k.condition }

// State is the annotation with everything else that a later tick must know, as versioned JSON (State).
func (k Keys) State(target string) string { return k.prefix + "/" + target + stateSuffix }

const (
	stateSuffix        = "-refresh-state"
	failuresSuffix     = "-refresh-consecutive-failures"
	lastErrorSuffix    = "-refresh-last-error"
	failingSinceSuffix = "-refresh-failing-since"
	markSuffix         = "-digest"
	buildSuffix        = "-build"
	recordedPrefix     = "last-refreshed-"
	holdName           = "refresh-hold"
	approveName        = "refresh-approve"
	skipName           = "refresh-skip"
	conditionName      = "refresh"
)

var counterSuffixes = []string{failuresSuffix, lastErrorSuffix, failingSinceSuffix}

// NewerState finds a state of a version that only a newer release knows, of whichever target. The key is empty for none.
func (k Keys) NewerState(annotations map[string]string) (key string, version int) {
	for name, text := range annotations {
		if !strings.HasPrefix(name, k.prefix+"/") || !strings.HasSuffix(name, stateSuffix) || key != "" && name > key {
			continue
		}
		if found := versionOf(text); found > stateVersion {
			key, version = name, found
		}
	}
	return key, version
}

// SkipStreak is the annotation, one a workload, that counts ticks in a row in which it was unsettled (I11).
func (k Keys) SkipStreak() string { return k.skipStreak }
