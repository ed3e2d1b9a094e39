package annotate

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Record is what is remembered of one target on one workload.
type Record struct {
	Mark     Content
	Slots    string // names the slots that the mark was written for (SlotsName); empty: those of today
	Recorded Content
	State    State
}

// TargetCounters is what is remembered once for a target, on its home.
type TargetCounters struct {
	Failures     int
	LastError    string
	FailingSince time.Time // zero where the target is fine
	Told         *Told     // nil for nothing
}

// Read reads a target's record from a workload's labels and annotations. A value that does not parse reads
// as absent and yields a warning that names its key.
func (k Keys) Read(target string, labels, annotations map[string]string) (Record, []error) {
	var warnings []error
	warn := func(key string, err error) {
		if err != nil && !errors.As(err, new(NewerStateError)) { // that one stops the workload (NewerState)
			warnings = append(warnings, fmt.Errorf("%s is read as absent: %w", key, err))
		}
	}
	var record Record
	var err error
	record.Mark, record.Slots, err = parseLabel(labels[k.Mark(target)])
	warn(k.Mark(target), err)
	record.Recorded, err = ParseContent(annotations[k.Recorded(target)])
	warn(k.Recorded(target), err)
	record.State, err = ParseState(annotations[k.State(target)])
	warn(k.State(target), err)
	return record, warnings
}

// Label is the mark as its label holds it; empty for none.
func (r Record) Label() string {
	if r.Mark == None || r.Slots == "" {
		return r.Mark.Mark()
	}
	return r.Mark.Mark() + "." + r.Slots
}

// parseLabel reads a mark's label: the mark and, after a dot, the name of the slots that it was written for. Earlier
// releases have written the mark alone. Empty is None.
func parseLabel(text string) (mark Content, slots string, err error) {
	text, slots, dotted := strings.Cut(text, ".")
	if dotted && (text == "" || !slotsPattern.MatchString(slots)) {
		return None, "", fmt.Errorf("a mark ends in a dot and %d lowercase hex digits, not in these %d characters", slotsLength, len(slots))
	}
	if mark, err = ParseMark(text); err != nil || mark == None {
		return None, "", err
	}
	return mark, slots, nil
}

// slotsLength is how many hex digits name slots.
const slotsLength = 8

var slotsPattern = regexp.MustCompile(fmt.Sprintf(`^[0-9a-f]{%d}$`, slotsLength))

// SlotsName names slots by their keys, in whatever order: the first eight hex digits of the SHA-256 of the keys, sorted, one
// a line. It stands in the label, since an undo takes everything else (I69).
func SlotsName(keys []string) string {
	if !slices.IsSorted(keys) {
		keys = slices.Sorted(slices.Values(keys))
	}
	sum := sha256.Sum256([]byte(strings.Join(keys, "\n")))
	return hex.EncodeToString(sum[:slotsLength/2])
}

// Torn says that no write of ours has left mark and annotations as they are: the mark is a digest, and neither recorded nor
// attempted. An undo rewinds annotations and leaves labels (I9, I44), or somebody else has written or removed one of them
// (I54, I55).
func (r Record) Torn() bool {
	return r.Mark != None && r.Mark != Unpinned && !r.Mark.Same(r.Recorded) && !r.Mark.Is(r.State.Attempted())
}

// toldField is in each state that has a Told.
const toldField = `"told":`

// ReadCounters reads the target's counters from its home. Warnings are as in Read.
func (k Keys) ReadCounters(target string, annotations map[string]string) (TargetCounters, []error) {
	if !k.CountAny(annotations) { // as on most workloads
		return TargetCounters{}, nil
	}
	var warnings []error
	failures, err := ParseCount(annotations[k.Failures(target)])
	if err != nil {
		warnings = append(warnings, fmt.Errorf("%s is read as absent: %w", k.Failures(target), err))
	}
	since, err := ParseTime(annotations[k.FailingSince(target)])
	if err != nil {
		warnings = append(warnings, fmt.Errorf("%s is read as absent: %w", k.FailingSince(target), err))
	}
	counters := TargetCounters{Failures: failures, LastError: annotations[k.LastError(target)], FailingSince: since}
	if text := annotations[k.State(target)]; strings.Contains(text, toldField) { // of one that does not parse Read warns
		state, _ := ParseState(text)
		counters.Told = state.Told
	}
	return counters, warnings
}
