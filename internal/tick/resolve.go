package tick

import (
	"context"
	"fmt"
	"slices"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/fault"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// resolve asks for every distinct pair of image and credentials once, and gives each member its answer.
func (t *tick) resolve(ctx context.Context) {
	queries := t.queries()
	if len(queries) == 0 || ctx.Err() != nil {
		return
	}
	answers := t.Registry.Resolve(ctx, queries)
	for _, answer := range answers {
		for _, warning := range answer.Warnings {
			t.Log.WarnContext(ctx, warning.Advice(), "cause", string(warning.Cause))
		}
	}
	t.assign(queries, answers)
}

// queries are the distinct pairs of image and credentials, and tell each member which are its own.
func (t *tick) queries() []resolver.Query {
	var queries []resolver.Query
	index := map[string]int{}
	for _, j := range t.jobs {
		for _, m := range j.members {
			for i, entry := range m.entries {
				if j.failure != nil || m.problems[i] != nil {
					continue
				}
				query := resolver.Query{Image: m.slots[i].Follows, PullSecrets: m.secrets(entry)}
				key := fmt.Sprint(query.Image.String(), query.PullSecrets)
				at, known := index[key]
				if !known {
					at = len(queries)
					index[key] = at
					queries = append(queries, query)
				}
				if !slices.Contains(m.queries, at) {
					m.queries = append(m.queries, at)
				}
			}
		}
	}
	return queries
}

// assign gives every target its answers.
func (t *tick) assign(queries []resolver.Query, answers []resolver.Answer) {
	for _, own := range t.targets {
		own.settleOn(queries, answers)
	}
}

// settleOn joins the answers: a target is resolved only when every credential that its workloads use resolves
// it, to one digest (I42); workloads whose own credential works go on all the same.
func (own *target) settleOn(queries []resolver.Query, answers []resolver.Answer) {
	var failures []*fault.Error
	var digests []image.Digest
	for _, m := range own.members {
		var mine []*fault.Error
		var found []image.Digest
		for _, at := range m.queries {
			answer := answers[at]
			m.via = queries[at]
			if answer.Failure != nil {
				mine = append(mine, answer.Failure)
			} else if !slices.Contains(found, answer.Digest) {
				found = append(found, answer.Digest)
			}
		}
		if len(found) > 1 {
			mine = append(mine, disagreement(own.Name, found))
		}
		m.latest.Failure = fault.Worst(mine...)
		if m.latest.Failure == nil && len(found) == 1 {
			m.latest.Digest = found[0]
		}
		failures = append(failures, mine...)
		for _, digest := range found {
			if !slices.Contains(digests, digest) {
				digests = append(digests, digest)
			}
		}
	}
	own.failure = fault.Worst(failures...)
	if own.failure == nil && own.Image != nil && len(digests) > 1 {
		own.failure = disagreement(own.Name, digests)
	}
	if own.failure == nil && len(digests) == 1 {
		own.digest = digests[0]
	}
}

func disagreement(name string, digests []image.Digest) *fault.Error {
	var texts []string
	for _, digest := range digests {
		texts = append(texts, digest.Short())
	}
	return &fault.Error{Cause: fault.BadResponse, Message: fmt.Sprintf(
		"target %s resolves to %v, depending on the credential: one registry or mirror serves another image under the tag", name, texts)}
}

// secrets are the pull secrets that a slot's pods use: the target's own, or those that the workload names; in
// env mode the target's alone, because the pods of the workload do not pull the image.
func (m *member) secrets(entry config.Workload) []credential.Name {
	if len(m.target.PullSecrets) == 0 && entry.Env == "" {
		return m.job.secretsOfPods()
	}
	var secrets []credential.Name
	for _, name := range m.target.PullSecrets {
		secrets = append(secrets, m.job.secret(name))
	}
	return secrets
}

// secretsOfPods are the pull secrets that the workload names or, where it names none, its service account.
func (j *job) secretsOfPods() []credential.Name {
	names := j.object.Secrets()
	if len(names) == 0 {
		names = j.account
	}
	var secrets []credential.Name
	for _, name := range names {
		secrets = append(secrets, j.secret(name))
	}
	return secrets
}

// secret is a pull secret where the workload's pods would look for it.
func (j *job) secret(name string) credential.Name {
	return credential.Name{Namespace: j.ref.Namespace, Name: name}
}
