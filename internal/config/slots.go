package config

import (
	"fmt"
	"slices"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// In says what is wrong with the configuration where workloads that name no namespace are in this one, which only a
// kubeconfig may tell: an *Invalid, where two targets claim one slot that way.
func (c Config) In(namespace string) error {
	var invalid Invalid
	for _, twice := range claimedTwice(c.Targets, namespace) {
		invalid.Problems = append(invalid.Problems, twice)
	}
	if len(invalid.Problems) > 0 {
		return &invalid
	}
	return nil
}

// claimedTwice are the slots that are listed twice, where workloads that name no namespace are in this one.
func claimedTwice(targets []Target, namespace string) []problem {
	type slot struct {
		kind                            Kind
		namespace, name, container, env string
	}
	claimed := map[slot]string{}
	var problems []problem
	for i, target := range targets {
		for k, w := range target.Workloads {
			if w.Namespace == "" {
				w.Namespace = namespace
			}
			path := fmt.Sprintf("targets[%d].workloads[%d]", i, k)
			own := slot{w.Kind, w.Namespace, w.Name, w.Container, w.Env}
			first, double := claimed[own]
			switch {
			case !double:
				claimed[own] = path
			case w.Name != "" && slices.Contains(Kinds(), w.Kind): // else it is no workload yet
				problems = append(problems, problem{path: path, what: fmt.Sprintf(
					"is %s, the same slot as %s: a slot follows one target, once", w.slot(), first)})
			}
		}
	}
	return problems
}

// slot names the slot, to people.
func (w Workload) slot() string {
	name := string(w.Kind) + " " + w.Name
	if w.Container != "" {
		name += ", container " + w.Container
	}
	if w.Env != "" {
		name += ", variable " + w.Env
	}
	return failure.Clean(name)
}
