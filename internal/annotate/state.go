package annotate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tracebloc/image-refresh/internal/image"
)

// stateVersion is the version of the JSON that this build writes and reads.
const stateVersion = 1

// maxState bounds the annotation, which each ReplicaSet copies.
const maxState = 8 << 10

// maxRejections is how many rejected digests are remembered, the newest ones.
const maxRejections = 5

// State is what one target's record on one workload remembers between ticks beside mark and recorded digest.
// Its zero value is "nothing to remember" and is stored as no annotation at all.
type State struct {
	// Attempt is the digest that a tick has put into the slots and that is not recorded yet, or whose failed
	// attempts still matter.
	Attempt *Attempt `json:"attempt,omitempty"`
	// Owners are the Apply managers that owned each slot before our patch, by slot. A slot without any is
	// listed with none, so that its claim is given to nobody.
	Owners map[string][]string `json:"owners,omitempty"`
	// Rejected are the digests that are not to be put here again, oldest first.
	Rejected []Rejection `json:"rejected,omitempty"`
	// Left is the digest that the last refresh replaced: going back to it is a flip (I46).
	Left Content `json:"left,omitempty"`
	// LeftBuild is which build that is, as far as it is known.
	LeftBuild image.Build `json:"leftBuild,omitzero"`
	// Stood is latest as it was last seen, where the slots hold something else: a person who sets them has left that too.
	Stood Content `json:"stood,omitempty"`
	// Runs is what the pods of an unpinned slot were found to run, so that no manifest is read twice for it.
	Runs *Runs `json:"runs,omitempty"`
	// Reapplied counts re-applications. It falls by one in two hours without one, while the slots are fresh (I38, I53, I75).
	Reapplied int `json:"reapplied,omitempty"`
	// ReappliedAt is when the count last changed.
	ReappliedAt *time.Time `json:"reappliedAt,omitempty"`
	// Contested says that re-applying was given up, and that this has been said.
	Contested bool `json:"contested,omitempty"`
	// Overwritten says that somebody else has written slot, mark and record, each as the other says, and that this has been said.
	Overwritten bool `json:"overwritten,omitempty"`
	// UnblockFailed is the digest that was put there to unblock the workload, and failed, since the workload was last settled.
	UnblockFailed image.Digest `json:"unblockFailed,omitempty"`
	// Refused is the digest that a gate has refused last for what it is, whoever may put it there (I24).
	Refused *Refusal `json:"refused,omitempty"`
	// Passed is the digest that no gate has anything against, and that waits for a person, so that it is asked for once.
	Passed image.Digest `json:"passed,omitempty"`
	// PassedBuild is which build that is, as far as it is known.
	PassedBuild image.Build `json:"passedBuild,omitzero"`
	// Approved is the digest that a person has approved where the target is notify only, until it is recorded or rejected.
	Approved image.Digest `json:"approved,omitempty"`
	// Seen is what was latest when it was seen last, and since when: of a digest that waits for its minimum age, and of a target
	// that is to be told when nothing has changed for too long.
	Seen *Seen `json:"seen,omitempty"`
	// TurnSince is since when the workload has waited for its turn among MAX_ROLLOUTS, whatever digest it waited for (I57).
	TurnSince *time.Time `json:"turnSince,omitempty"`
	// Told is what people have been told of the target, on its home alone. No decision depends on it.
	Told *Told `json:"told,omitempty"`
}

// Attempt is a digest put into the slots.
type Attempt struct {
	Digest image.Digest `json:"digest"`
	// Failed is how many rollouts of the digest have failed here (I13).
	Failed int `json:"failed,omitempty"`
	// Again says that the patch was a re-application.
	Again bool `json:"again,omitempty"`
	// Back says that the tag has moved back to the digest that was replaced last.
	Back bool `json:"back,omitempty"`
	// Reverted says that somebody took the digest out again before it was settled, and that this is counted.
	Reverted bool `json:"reverted,omitempty"`
	// Alone says that the digest failed in a rollout together with another target's: it is tried again
	// without company.
	Alone bool `json:"alone,omitempty"`
	// Served is how many replicas were available before the digest was put there: what was down already, it did
	// not take down (I39, I45).
	Served int `json:"served,omitempty"`
	// Wanted is how many replicas were wanted before the digest was put there: of those that were asked for since, none was
	// taken down (I85).
	Wanted int `json:"wanted,omitempty"`
	// Fresh is how many replicas were updated and available when the rollout was last seen: more of them are progress, in
	// whichever tick they became so (I52).
	Fresh int `json:"fresh,omitempty"`
	// Unblock says that the workload was not settled, for reasons of its own, when the digest was put there: its failing
	// proves nothing (I45).
	Unblock bool `json:"unblock,omitempty"`
	// Held is what each slot held before the first of the attempts since the workload was last settled, by the slot's key. A
	// restoration puts it back (I58).
	Held map[string]Content `json:"held,omitempty"`
	// Build is which build the digest is, as far as it is known.
	Build image.Build `json:"build,omitzero"`
}

// Runs is what image IDs were found to mean.
type Runs struct {
	Images []image.ID   `json:"images"`           // of the pods, each once, in order
	Latest image.Digest `json:"latest"`           // what the tag meant then
	Digest image.Digest `json:"digest,omitempty"` // what they run; empty where that could not be told
}

// Rejecter is who rejected a digest.
type Rejecter string

// Who rejects.
const (
	ByFailure Rejecter = "failure" // its rollouts failed: loud until the tag moves on (I14)
	ByPerson  Rejecter = "person"  // a person took it out, or skipped it: held until the tag moves on (I9)
)

// Rejection is a digest that is not put here again.
type Rejection struct {
	Digest Content   `json:"digest"`
	By     Rejecter  `json:"by"`
	Why    string    `json:"why,omitempty"` // the reason, or the manager by which the person acted
	At     time.Time `json:"at"`
	// Evidence says that pods spoke against the digest. A rejection by failure without it ends by itself after a day (I49, I71).
	Evidence bool `json:"evidence,omitempty"`
}

// Refusal is a digest that a gate has refused for what it is.
type Refusal struct {
	Digest image.Digest `json:"digest"`
	Why    string       `json:"why,omitempty"`
	// Unsigned: no signature was found for it, which there may be by now. Else the digest itself will not do.
	Unsigned bool `json:"unsigned,omitempty"`
}

// Seen is a digest and the moments that decide whether it is old enough, or too old.
type Seen struct {
	Digest   image.Digest `json:"digest"`
	Since    time.Time    `json:"since"`             // when the digest was first seen as latest
	Deferred time.Time    `json:"deferred,omitzero"` // when the workload began to wait, whatever digest it waited for; zero: it does not
}

// ParseState reads a state annotation. Empty is the zero State. What is no JSON of this version is an error;
// its text never repeats the value.
func ParseState(text string) (State, error) {
	if text == "" {
		return State{}, nil
	}
	var stored struct {
		Version int `json:"version"`
		State
	}
	if version := versionOf(text); version > stateVersion {
		return State{}, NewerStateError{version}
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	if err := decoder.Decode(&stored); err != nil {
		return State{}, fmt.Errorf("not the JSON of a state, %d characters", len(text))
	}
	if stored.Version != stateVersion {
		return State{}, fmt.Errorf("state version %d, this build reads version %d", stored.Version, stateVersion)
	}
	if err := stored.validate(); err != nil {
		return State{}, err
	}
	return stored.State, nil
}

// NewerStateError says that a state is of a version that only a newer release knows. It is not absent.
type NewerStateError struct{ Version int }

func (e NewerStateError) Error() string {
	return fmt.Sprintf("state version %d is newer than this build's %d", e.Version, stateVersion)
}

// versionOf is the version of a state, whatever else of it can be read; 0 for none.
func versionOf(text string) int {
	var stored struct {
		Version int `json:"version"`
	}
	if json.Unmarshal([]byte(text), &stored) != nil {
		return 0
	}
	return stored.Version
}

func (s State) validate() error {
	if s.Attempt != nil {
		if _, err := image.ParseDigest(string(s.Attempt.Digest)); err != nil {
			return fmt.Errorf("attempt: %w", err)
		}
		for _, held := range s.Attempt.Held {
			if _, err := ParseContent(string(held)); err != nil {
				return fmt.Errorf("held before the attempt: %w", err)
			}
		}
	}
	for _, maybe := range []struct {
		name   string
		digest image.Digest
	}{{"unblockFailed", s.UnblockFailed}, {"passed", s.Passed}, {"approved", s.Approved}} {
		if maybe.digest == "" {
			continue
		}
		if _, err := image.ParseDigest(string(maybe.digest)); err != nil {
			return fmt.Errorf("%s: %w", maybe.name, err)
		}
	}
	if s.Refused != nil {
		if _, err := image.ParseDigest(string(s.Refused.Digest)); err != nil {
			return fmt.Errorf("refused: %w", err)
		}
	}
	if s.Seen != nil {
		if _, err := image.ParseDigest(string(s.Seen.Digest)); err != nil {
			return fmt.Errorf("seen: %w", err)
		}
	}
	if s.Runs != nil {
		_, err := image.ParseDigest(string(s.Runs.Latest))
		if s.Runs.Digest != "" {
			_, runsErr := image.ParseDigest(string(s.Runs.Digest))
			err = errors.Join(err, runsErr)
		}
		if err != nil {
			return fmt.Errorf("runs: %w", err)
		}
	}
	if s.Told != nil {
		if err := s.Told.Notice.validate(); err != nil {
			return err
		}
	}
	contents := []Content{s.Left, s.Stood}
	for _, rejection := range s.Rejected {
		if rejection.By != ByFailure && rejection.By != ByPerson {
			return fmt.Errorf("rejected by neither %s nor %s", ByFailure, ByPerson)
		}
		contents = append(contents, rejection.Digest)
	}
	for _, content := range contents {
		_, digestErr := ParseContent(string(content))
		_, markErr := ParseMark(string(content))
		if digestErr != nil && markErr != nil {
			return fmt.Errorf("a digest in the state: %w", digestErr)
		}
	}
	if s.Reapplied < 0 || s.Attempt != nil && (s.Attempt.Failed < 0 || s.Attempt.Served < 0 || s.Attempt.Fresh < 0 || s.Attempt.Wanted < 0) {
		return fmt.Errorf("a count in the state is negative")
	}
	return nil
}

// String prints the state as its annotation holds it; empty where there is nothing to remember.
func (s State) String() string {
	if s.Empty() {
		return ""
	}
	text := s.json()
	for at := range s.Rejected { // the oldest reasons are missed least
		if len(text) <= maxState {
			break
		}
		s.Rejected = slices.Clone(s.Rejected)
		s.Rejected[at].Why = "…"
		text = s.json()
	}
	return text
}

func (s State) json() string {
	text, err := json.Marshal(struct {
		Version int `json:"version"`
		State
	}{stateVersion, s})
	if err != nil { // every field marshals: only a year past 9999 could get here, and none is taken from outside
		return ""
	}
	return string(text)
}

// NotAfter is the state without a time that is more than a minute later than now: such a time is replaced by now, since a
// clock that was ahead for one tick must not count for all that follow (I48). It says whether there was one.
func (s State) NotAfter(now time.Time) (State, bool) {
	replaced := false
	bound := func(at time.Time) time.Time {
		bounded := NotAfter(at, now)
		replaced = replaced || !bounded.Equal(at)
		return bounded
	}
	if s.Seen != nil {
		seen := Seen{Digest: s.Seen.Digest, Since: bound(s.Seen.Since), Deferred: bound(s.Seen.Deferred)}
		s.Seen = &seen
	}
	if s.TurnSince != nil {
		since := bound(*s.TurnSince)
		s.TurnSince = &since
	}
	if bounded := s.Told.NotAfter(now); s.Told != nil && *bounded != *s.Told {
		s.Told, replaced = bounded, true
	}
	if s.ReappliedAt != nil {
		at := bound(*s.ReappliedAt)
		s.ReappliedAt = &at
	}
	s.Rejected = slices.Clone(s.Rejected)
	for i := range s.Rejected {
		s.Rejected[i].At = bound(s.Rejected[i].At)
	}
	return s, replaced
}

// NotAfter is a stored moment, or now where that is more than a minute later.
func NotAfter(at, now time.Time) time.Time {
	if at.After(now.Add(time.Minute)) {
		return now
	}
	return at
}

// Empty says whether there is nothing to remember.
func (s State) Empty() bool {
	return s.Attempt == nil && len(s.Owners) == 0 && len(s.Rejected) == 0 && s.Left == None && s.Stood == None && s.Runs == nil && s.Reapplied == 0 &&
		s.ReappliedAt == nil && !s.Contested && !s.Overwritten && s.UnblockFailed == "" && s.Refused == nil && s.Passed == "" && s.Approved == "" && s.Seen == nil && s.TurnSince == nil && s.Told == nil
}

// Attempted is the digest that a tick has put there and that has not been recorded yet; empty for none.
func (s State) Attempted() image.Digest {
	if s.Attempt == nil {
		return ""
	}
	return s.Attempt.Digest
}

// Rejection finds the rejection of a digest.
func (s State) Rejection(digest Content) (Rejection, bool) {
	for _, rejection := range s.Rejected {
		if digest != None && rejection.Digest.Same(digest) {
			return rejection, true
		}
	}
	return Rejection{}, false
}

// RejectedBy is who has rejected a digest; empty where nobody has.
func (s State) RejectedBy(digest image.Digest) Rejecter {
	rejection, _ := s.Rejection(Of(digest))
	return rejection.By
}

// Reject returns the state with one more rejected digest, the oldest dropped where there are too many. A
// digest that was already rejected takes the new reason. None and Unpinned cannot be rejected.
func (s State) Reject(rejection Rejection) State {
	if rejection.Digest == None || rejection.Digest == Unpinned {
		return s
	}
	s = s.Unreject(rejection.Digest)
	s.Rejected = append(s.Rejected, rejection)
	if extra := len(s.Rejected) - maxRejections; extra > 0 {
		s.Rejected = s.Rejected[extra:]
	}
	return s
}

// Unreject returns the state without a rejection of the digest.
func (s State) Unreject(digest Content) State {
	s.Rejected = slices.DeleteFunc(slices.Clone(s.Rejected), func(r Rejection) bool { return r.Digest.Same(digest) })
	if len(s.Rejected) == 0 {
		s.Rejected = nil
	}
	return s
}

// Unapprove returns the state without an approval of the digest.
func (s State) Unapprove(digest image.Digest) State {
	if s.Approved == digest {
		s.Approved = ""
	}
	return s
}
