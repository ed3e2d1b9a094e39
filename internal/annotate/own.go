package annotate

import (
	"maps"
	"slices"
	"strings"
)

// Targets are those whose marks a workload carries, in order.
func (k Keys) Targets(labels map[string]string) []string {
	var targets []string
	for key, value := range labels {
		name, is := strings.CutPrefix(key, k.Prefix())
		if target, isMark := strings.CutSuffix(name, markSuffix); is && isMark && isOfMark(value) {
			targets = append(targets, target)
		}
	}
	slices.Sort(targets)
	return targets
}

// Own are all keys under this prefix that the program, or a person for it, has set on a workload, in order.
func (k Keys) Own(labels, annotations map[string]string) (ownLabels, ownAnnotations []string) {
	for _, target := range k.Targets(labels) {
		ownLabels = append(ownLabels, k.Mark(target))
	}
	for _, key := range []string{k.Condition(), k.Hold(), k.Approve(), k.Skip()} {
		if _, there := labels[key]; there {
			ownLabels = append(ownLabels, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, is := strings.CutPrefix(key, k.Prefix())
		if target, _ := annotated(name, annotations[key]); is && (target != "" || key == k.SkipStreak()) {
			ownAnnotations = append(ownAnnotations, key)
		}
	}
	return ownLabels, ownAnnotations
}

// Counting are the targets whose counters stand in a workload's annotations, in order.
func (k Keys) Counting(annotations map[string]string) []string {
	var targets []string
	for key, value := range annotations {
		name, is := strings.CutPrefix(key, k.Prefix())
		if target, isCounter := annotated(name, value); is && isCounter && !slices.Contains(targets, target) {
			targets = append(targets, target)
		}
	}
	slices.Sort(targets)
	return targets
}
