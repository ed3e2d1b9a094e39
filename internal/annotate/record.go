package annotate

import (
	"errors"
	"fmt"
)

// Record is what is remembered of one target on one workload.
type Record struct {
	Mark     Content
	Recorded Content
	State    State
	// Rewound says that the annotations are of another time than the mark, as an undo leaves them.
	Rewound bool
}

// TargetCounters is what is remembered once for a target, on its home.
type TargetCounters struct {
	Failures  int
	LastError string
}

// Read reads a target's record from a workload's labels and annotations. A value that does not parse reads
// as absent and yields a warning that names its key.
//
// Where the mark is a digest, and neither the attempted nor the recorded one, an undo has rewound the annotations (I9,
// I44): they read as absent, and the mark's digest as recorded. Of an unpinned slot, what its pods run is recorded.
func (k Keys) Read(target string, labels, annotations map[string]string) (Record, []error) {
	var warnings []error
	warn := func(key string, err error) {
		if err != nil && !errors.As(err, new(NewerStateError)) { // that one stops the workload (NewerState)
			warnings = append(warnings, fmt.Errorf("%s is read as absent: %w", key, err))
		}
	}
	var record Record
	var err error
	record.Mark, err = ParseMark(labels[k.Mark(target)])
	warn(k.Mark(target), err)
	record.Recorded, err = ParseContent(annotations[k.Recorded(target)])
	warn(k.Recorded(target), err)
	record.State, err = ParseState(annotations[k.State(target)])
	warn(k.State(target), err)
	if record.Mark != None && record.Mark != Unpinned && !record.Mark.Same(record.Recorded) && !record.Mark.Is(record.State.Attempted()) {
		record = Record{Mark: record.Mark, Recorded: record.Mark, Rewound: true}
	}
	return record, warnings
}

// ReadCounters reads the target's counters from its home. Warnings are as in Read.
func (k Keys) ReadCounters(target string, annotations map[string]string) (TargetCounters, []error) {
	failures, err := ParseCount(annotations[k.Failures(target)])
	shared := TargetCounters{Failures: failures, LastError: annotations[k.LastError(target)]}
	if err != nil {
		return shared, []error{fmt.Errorf("%s is read as absent: %w", k.Failures(target), err)}
	}
	return shared, nil
}
