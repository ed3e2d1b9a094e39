package annotate

import (
	"slices"
	"strings"
)

// Leftovers are the keys of ours on a workload that nothing reads: they have another prefix, or are of a target that the
// configuration does not have there.
type Leftovers struct {
	Labels, Annotations []string
	Holds               []string // labels that would hold the workload under this prefix
	ByHand              []string // states that say that a person has taken a digest out
}

// Reader is what of a workload is read.
type Reader struct {
	Carries    func(target string) bool // the workload carries the target
	Configured func(target string) bool // some workload does, and its counters may stand here
	Ours       func(label string) bool  // we have written the label
}

// Leftovers finds them. A key is ours by a shape that nobody else has; the mark's, which has none, also by who wrote it.
func (k Keys) Leftovers(labels, annotations map[string]string, reader Reader) Leftovers {
	var left Leftovers
	for key, value := range labels {
		prefix, name, _ := strings.Cut(key, "/")
		target, isMark := strings.CutSuffix(name, markSuffix)
		switch {
		case key != k.Hold() && name == holdName && value == "true":
			left.Holds = append(left.Holds, key)
		case prefix != k.prefix && name == conditionName && Condition(value).known() && reader.Ours(key):
			left.Labels = append(left.Labels, key)
		case isMark && isOfMark(value) && (prefix != k.prefix || !reader.Carries(target)) && reader.Ours(key):
			left.Labels = append(left.Labels, key)
		}
	}
	for key, value := range annotations {
		prefix, name, _ := strings.Cut(key, "/")
		target, isCounter := annotated(name, value)
		if target == "" || prefix == k.prefix && (reader.Carries(target) || isCounter && reader.Configured(target)) {
			continue
		}
		left.Annotations = append(left.Annotations, key)
		if state, err := ParseState(value); err == nil && slices.ContainsFunc(state.Rejected, func(r Rejection) bool { return r.By == ByPerson }) {
			left.ByHand = append(left.ByHand, key)
		}
	}
	for _, keys := range [][]string{left.Labels, left.Annotations, left.Holds, left.ByHand} {
		slices.Sort(keys)
	}
	return left
}

// Empty says whether there are none.
func (l Leftovers) Empty() bool { return len(l.Labels)+len(l.Annotations)+len(l.Holds) == 0 }

func isOfMark(value string) bool {
	content, _, err := parseLabel(value)
	return err == nil && content != None
}

// annotated is the target that an annotation of ours is about, by the key's name, and whether it is one of its counters; empty
// where it is none of ours.
func annotated(name, value string) (target string, isCounter bool) {
	if rest, found := strings.CutPrefix(name, recordedPrefix); found {
		for _, suffix := range []string{markSuffix, buildSuffix} {
			if target, found = strings.CutSuffix(rest, suffix); found {
				return target, false
			}
		}
	}
	if target, found := strings.CutSuffix(name, stateSuffix); found {
		state, err := ParseState(value)
		return target, err == nil && !state.Empty() && state.WithoutTold().Empty() // which stands on its home
	}
	for _, suffix := range counterSuffixes {
		if target, found := strings.CutSuffix(name, suffix); found {
			return target, true
		}
	}
	return "", false
}
