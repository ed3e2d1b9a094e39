package tick

import (
	"context"
	"fmt"
	"slices"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// resolution is what the registries said.
type resolution struct {
	queries []resolver.Query
	answers []resolver.Answer
	asked   [][][]int         // by workload and binding: which queries
	targets []decide.Target   // with their digest, or why there is none
	latest  [][]decide.Latest // by workload and binding
}

// resolve asks for every distinct pair of image and credentials once, and gives each binding its answer.
func (t *tick) resolve(ctx context.Context, readings []reading) resolution {
	queries, asked := t.queries(readings)
	if t.Preflight {
		queries = append(queries, t.unplaced(asked)...)
	}
	var answers []resolver.Answer
	if len(queries) > 0 && ctx.Err() == nil {
		answers = t.Registry.Resolve(ctx, queries)
	}
	for _, answer := range answers {
		for _, warning := range answer.Warnings {
			if !t.Preflight { // which has a line for each
				t.Log.WarnContext(ctx, t.rules.Runbook.Advice(warning), "cause", string(warning.Cause))
			}
		}
	}
	return t.agree(queries, asked, answers)
}

// queries are the distinct pairs of image and credentials, and which of them each binding asks.
func (t *tick) queries(readings []reading) (queries []resolver.Query, asked [][][]int) {
	index := map[string]int{}
	asked = make([][][]int, len(t.workloads))
	for at, w := range t.workloads {
		asked[at] = make([][]int, len(w.bindings))
		if readings[at].failure != nil {
			continue
		}
		for i, binding := range w.bindings {
			for slot, entry := range binding.Entries {
				place := readings[at].places[i][slot]
				if place.Problem != nil {
					continue
				}
				query := resolver.Query{
					Image: place.Slot.Follows, PullSecrets: secrets(w.ref, readings[at], binding, entry), WorkloadsImage: binding.Target.Image == nil,
				}
				key := fmt.Sprint(query.Image.String(), query.PullSecrets, query.WorkloadsImage)
				number, known := index[key]
				if !known {
					number = len(queries)
					index[key] = number
					queries = append(queries, query)
				}
				if !slices.Contains(asked[at][i], number) {
					asked[at][i] = append(asked[at][i], number)
				}
			}
		}
	}
	return queries, asked
}

// unplaced are the images of targets none of whose workloads could be worked with: a check asks their registries all the
// same.
func (t *tick) unplaced(asked [][][]int) []resolver.Query {
	var queries []resolver.Query
	for target, configured := range t.targets {
		places := t.places[target]
		isAsked := slices.ContainsFunc(places, func(p place) bool { return len(asked[p.workload][p.binding]) > 0 })
		if configured.Image == nil || isAsked {
			continue
		}
		query := resolver.Query{Image: *configured.Image}
		for _, name := range configured.PullSecrets {
			query.PullSecrets = append(query.PullSecrets, secretOf(t.workloads[places[0].workload].ref, name))
		}
		queries = append(queries, query)
	}
	return queries
}

// agree gives every target and every binding its answers.
func (t *tick) agree(queries []resolver.Query, asked [][][]int, answers []resolver.Answer) resolution {
	r := resolution{queries: queries, answers: answers, asked: asked, targets: slices.Clone(t.layout.rules), latest: make([][]decide.Latest, len(t.workloads))}
	for at, w := range t.workloads {
		r.latest[at] = make([]decide.Latest, len(w.bindings))
	}
	if len(answers) == 0 {
		return r
	}
	for target, configured := range t.targets {
		places := t.places[target]
		answered := make([][]decide.Latest, 0, len(places))
		for _, p := range places {
			var own []decide.Latest
			for _, query := range asked[p.workload][p.binding] {
				own = append(own, decide.Latest{Digest: answers[query].Digest, Failure: answers[query].Failure})
			}
			answered = append(answered, own)
		}
		agreed, latest := decide.Agree(r.targets[target], configured.Image != nil, answered)
		r.targets[target] = agreed
		for i, p := range places {
			r.latest[p.workload][p.binding] = latest[i]
		}
	}
	return r
}

// via is the query by which the digests of a binding are inspected: the last of its own, as pods pull.
func (r resolution) via(p place) resolver.Query {
	asked := r.asked[p.workload][p.binding]
	if len(asked) == 0 {
		return resolver.Query{}
	}
	return r.queries[asked[len(asked)-1]]
}

// secrets are the pull secrets that a slot's pods use: the target's own, or those that the workload names; in
// env mode the target's alone, because the pods of the workload do not pull the image.
func secrets(ref workload.Ref, read reading, binding workload.Binding, entry config.Workload) []credential.Name {
	if len(binding.Target.PullSecrets) == 0 && entry.Env == "" {
		return secretsOfPods(ref, read)
	}
	var names []credential.Name
	for _, name := range binding.Target.PullSecrets {
		names = append(names, secretOf(ref, name))
	}
	return names
}

// secretsOfPods are the pull secrets that the workload names or, where it names none, its service account.
func secretsOfPods(ref workload.Ref, read reading) []credential.Name {
	own := read.object.Secrets()
	if len(own) == 0 {
		own = read.account
	}
	var names []credential.Name
	for _, name := range own {
		names = append(names, secretOf(ref, name))
	}
	return names
}

// secretOf is a pull secret where the workload's pods would look for it.
func secretOf(ref workload.Ref, name string) credential.Name {
	return credential.Name{Namespace: ref.Namespace, Name: name}
}
