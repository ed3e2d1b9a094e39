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
}

// NewKeys returns the keys under prefix, which the configuration has found to be a DNS subdomain.
func NewKeys(prefix string) Keys { return Keys{prefix: prefix} }

// Prefix is what all keys begin with.
func (k Keys) Prefix() string { return k.prefix + "/" }

// Mark is the label that says what we last put or accepted in the target's slots. It is a label because
// `kubectl rollout undo` rewinds annotations and leaves labels (I9).
func (k Keys) Mark(target string) string { return k.prefix + "/" + target + markSuffix }

// Hold is the label by which a person keeps us away from the slots of a workload: "true".
func (k Keys) Hold() string { return k.prefix + "/" + holdName }

// Recorded is the annotation with the digest last proven rolled out (I4).
func (k Keys) Recorded(target string) string {
	return k.prefix + "/" + recordedPrefix + target + markSuffix
}

// Failures is the annotation, on the target's home, that counts resolve failures in a row (I1).
func (k Keys) Failures(target string) string { return k.prefix + "/" + target + failuresSuffix }

// LastError is the annotation, on the target's home, that says why resolving fails, from the
// threshold on.
func (k Keys) LastError(target string) string { return k.prefix + "/" + target + lastErrorSuffix }

// Counts says whether the key is that of a target's counter, whichever target's.
func (k Keys) Counts(key string) bool {
	return (strings.HasSuffix(key, failuresSuffix) || strings.HasSuffix(key, lastErrorSuffix)) && strings.HasPrefix(key, k.prefix+"/")
}

// State is the annotation with everything else that a later tick must know, as versioned JSON (State).
func (k Keys) State(target string) string { return k.prefix + "/" + target + stateSuffix }

const (
	stateSuffix     = "-refresh-state"
	failuresSuffix  = "-refresh-consecutive-failures"
	lastErrorSuffix = "-refresh-last-error"
	markSuffix      = "-digest"
	recordedPrefix  = "last-refreshed-"
	holdName        = "refresh-hold"
)

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
func (k Keys) SkipStreak() string { return k.prefix + "/refresh-skip-streak" }
