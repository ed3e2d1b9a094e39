// Package choice carries out what a person chooses for a target: to approve or to skip what its tag means now, or to have it tried
// again. It sets a label, or removes the state, on each workload that carries the target; what comes of that is decided by the next
// tick. Whatever it does, a line of kubectl does as well, and it prints that line.
package choice

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// Choice is what a person chooses.
type Choice string

// The choices, by the names of their commands.
const (
	Approve Choice = "approve" // latest is to be rolled out, though the target is notify only
	Skip    Choice = "skip"    // latest is to be rolled out by no tick
	Retry   Choice = "retry"   // what is remembered is forgotten: rejections, failed attempts, a contest
)

// Outcome is what became of a choice on a workload. The set is part of the contract (docs/schema/result-v1.json).
type Outcome string

// The outcomes.
const (
	Changed   Outcome = "changed"
	Unchanged Outcome = "unchanged" // it was so before
	Refused   Outcome = "refused"   // the choice would do nothing there
	Failed    Outcome = "failed"
)

// Facts is what a choice depends on, on one workload.
type Facts struct {
	Ref          workload.Ref
	Target       string
	Notify       bool           // the target is notify only
	PinsBareTags bool           // a bare tag is to be pinned though its pods run what it means
	Latest       image.Digest   // not for Retry
	Others       []image.Digest // what other targets there resolve to; empty where that is not known
	Live         annotate.Content
	Record       annotate.Record
	Held         bool // the workload is left alone, by a label or since it is paused
	Remembers    bool // the annotation with the state is there, whatever it says
	// Returning says that a tick has taken slots from managers that the state alone names, which are to get them back.
	Returning         bool
	Approved, Skipped string // the values of the two labels; empty where they are not there
}

// Decision is what is to be done on one workload. What is to be written is empty where the value is to be removed.
type Decision struct {
	Outcome             Outcome
	Message, Fix        string
	Labels, Annotations map[string]string
	// Again says that what stands in the way passes by itself within moments.
	Again bool
}

// Decide decides on one workload.
func (c Choice) Decide(keys annotate.Keys, f Facts) Decision {
	switch c {
	case Approve:
		return f.approve(keys)
	case Skip:
		return f.skip(keys)
	default:
		return f.retry(keys)
	}
}

// refused is a choice that would do nothing, and why.
func refused(fix, format string, args ...any) Decision {
	return Decision{Outcome: Refused, Message: fmt.Sprintf(format, args...), Fix: fix}
}

func unchanged(format string, args ...any) Decision {
	return Decision{Outcome: Unchanged, Message: fmt.Sprintf(format, args...)}
}

func (f Facts) approve(keys annotate.Keys) Decision {
	skipped := f.names(f.Skipped)
	switch {
	case !f.Notify:
		return refused("", "ticks roll out what is latest without an approval: target %s is in mode apply", f.Target)
	case f.runsLatest() && (f.Live.Digest() != "" || !f.PinsBareTags):
		return unchanged("%s is live already", f.Latest.Short())
	case !skipped && (f.names(f.Approved) || f.Record.State.Approved == f.Latest):
		return unchanged("%s is approved already", f.Latest.Short())
	}
	message := "%s is approved: the next tick rolls it out, unless a gate, a window or its age keeps it back"
	if f.Held {
		message = "%s is approved, and rolled out once the workload is no longer held or paused"
	}
	return f.label(keys.Approve(), f.Approved, keys.Skip(), skipped, message)
}

func (f Facts) skip(keys annotate.Keys) Decision {
	approved := f.names(f.Approved)
	switch {
	case f.runsLatest():
		return refused("to take it out: "+f.takesOut(), "%s is live, and a skip takes nothing out", f.Latest.Short())
	case !approved && (f.names(f.Skipped) || f.Record.State.RejectedBy(f.Latest) == annotate.ByPerson):
		return unchanged("%s is skipped already", f.Latest.Short())
	}
	return f.label(keys.Skip(), f.Skipped, keys.Approve(), approved, "%s is skipped: ticks wait for the next digest of the tag")
}

// label sets a label to the digits of latest, and removes the contrary one where that names latest too. What another target's
// latest is called by stays until a tick has taken it into the state.
func (f Facts) label(key, stands, contrary string, removes bool, message string) Decision {
	if digits, err := annotate.ParseDigits(stands); err == nil && !digits.Name(f.Latest) {
		for _, other := range f.Others {
			if other == "" || digits.Name(other) {
				return refused("run it again after the next tick, which takes that into the state",
					"the label %s=%s may be for another target of this workload", key, digits)
			}
		}
	}
	d := Decision{Outcome: Changed, Message: fmt.Sprintf(message, f.Latest.Short()), Labels: map[string]string{key: string(annotate.DigitsOf(f.Latest))}}
	if removes {
		d.Labels[contrary] = ""
	}
	return d
}

func (f Facts) retry(keys annotate.Keys) Decision {
	pending := ""
	if f.Skipped != "" {
		pending = fmt.Sprintf("to take back the label that skips a digest: kubectl label %s %s-", f.Ref.Kubectl(), keys.Skip())
	}
	switch {
	case !f.Remembers:
		return Decision{Outcome: Unchanged, Message: "there is no state to remove", Fix: pending}
	case f.Returning:
		d := refused("run it again after the next tick", "a tick has put a digest here, and has yet to return the slot to the manager that applied it, which the state names")
		d.Again = true
		return d
	}
	message := "the state is removed"
	if rejected := f.Record.State.Rejected; len(rejected) > 0 {
		message += ", with the rejection of " + rejected[len(rejected)-1].Digest.Short()
	}
	return Decision{Outcome: Changed, Message: message + ": the next tick tries again", Fix: pending, Annotations: map[string]string{keys.State(f.Target): ""}}
}

// names says whether the value of a label names latest.
func (f Facts) names(label string) bool {
	digits, err := annotate.ParseDigits(label)
	return err == nil && digits.Name(f.Latest)
}

// runsLatest says whether the slots hold latest or, where they hold a bare tag, their pods were found to run it.
func (f Facts) runsLatest() bool {
	return f.Live.Is(f.Latest) || f.Live == annotate.Unpinned && f.Record.Recorded.Is(f.Latest)
}

// takesOut is the command by which a person takes out what is live.
func (f Facts) takesOut() string {
	if f.Ref.Kind == config.CronJob { // it has no revisions
		return "kubectl edit " + f.Ref.Kubectl()
	}
	return "kubectl rollout undo " + f.Ref.Kubectl()
}

// Kubectl is the line that does what was decided; empty where nothing is to be done.
func (d Decision) Kubectl(ref workload.Ref) string {
	verb, values := "label --overwrite", d.Labels
	if len(values) == 0 {
		verb, values = "annotate", d.Annotations
	}
	if len(values) == 0 {
		return ""
	}
	line := "kubectl " + verb + " " + ref.Kubectl()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if line += " " + key; values[key] == "" {
			line += "-"
		} else {
			line += "=" + values[key]
		}
	}
	return line
}
