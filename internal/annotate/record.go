package annotate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/image"
)

// Record is what is remembered of one target on one workload.
type Record struct {
	Mark     Content
	Slots    string // names the slots that the mark was written for (SlotsName); empty: those of today
	Recorded Content
	Build    image.Build // of what is recorded, where that is a digest and it is known
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
	if record.Recorded.Digest() != "" && HasBuild(annotations) {
		record.Build, err = parseBuild(annotations[k.Build(target)])
		warn(k.Build(target), err)
	}
	record.State, err = ParseState(annotations[k.State(target)])
	warn(k.State(target), err)
	return record, warnings
}

// HasBuild says whether any annotation may say which build is recorded, of whichever target.
func HasBuild(annotations map[string]string) bool {
	for key := range annotations {
		if strings.HasSuffix(key, buildSuffix) {
			return true
		}
	}
	return false
}

// parseBuild reads the annotation that says which build is recorded; the zero value where it is not there. The error does not
// repeat its text.
func parseBuild(text string) (build image.Build, err error) {
	if text != "" && json.Unmarshal([]byte(text), &build) != nil {
		return image.Build{}, fmt.Errorf("not the JSON of a build, %d characters", len(text))
	}
	return build, nil
}

// FormatBuild is which build is recorded, as the annotation holds it; empty where that is not known.
func FormatBuild(build image.Build) string {
	if build == (image.Build{}) {
		return ""
	}
	text, _ := json.Marshal(build) // of strings
	return string(text)
}

// BuildOf is which build a digest is, as far as that is remembered.
func (r Record) BuildOf(digest Content) image.Build {
	attempt := Attempt{}
	if r.State.Attempt != nil {
		attempt = *r.State.Attempt
	}
	for _, known := range []struct {
		digest Content
		build  image.Build
	}{
		{r.Recorded, r.Build}, {Of(attempt.Digest), attempt.Build}, {Of(r.State.Passed), r.State.PassedBuild}, {r.State.Left, r.State.LeftBuild},
	} {
		if digest != None && digest.Same(known.digest) && known.build != (image.Build{}) {
			return known.build
		}
	}
	return image.Build{}
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
