package resolver

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tracebloc/image-refresh/internal/credential"
)

// keyring is what a list of secrets gave.
type keyring struct {
	credential.Keyring
	unusable []credential.Unusable
}

// key identifies a query: the image and, in their order, the secrets.
func (q Query) key() string {
	return q.Image.Name() + ":" + q.Image.Tag + "\n" + secretsKey(q.PullSecrets)
}

func secretsKey(names []credential.Name) string {
	var parts []string
	for _, name := range names {
		parts = append(parts, name.String())
	}
	return strings.Join(parts, "\n")
}

// keyring reads each list of secrets once, so that a whole tick sees the same.
func (r *Resolver) keyring(names []credential.Name) keyring {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := secretsKey(names)
	if ring, ok := r.keyrings[key]; ok {
		return ring
	}
	found, unusable := r.store.Keyring(names)
	ring := keyring{Keyring: found, unusable: unusable}
	r.keyrings[key] = ring
	return ring
}

// plan notes which repositories may be asked for as whom at which host, so that one token request can ask for
// all of them (the request floor).
func (r *Resolver) plan(queries []Query) {
	repositories := map[groupKey][]string{}
	for _, q := range queries {
		ring := r.keyring(q.PullSecrets)
		for _, e := range endpoints(q.Image, r.registries) {
			matching := ring.Lookup(e.name())
			if len(matching) == 0 {
				matching = []credential.Credential{{}}
			}
			for _, c := range matching {
				key := groupKey{hostKey(e.host), c.Identity()}
				repositories[key] = append(repositories[key], e.repository)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, names := range repositories {
		slices.Sort(names)
		r.groups[key] = batches(slices.Compact(names))
	}
}

// interleave orders queries so that registries take turns: one that hangs must not hold up the images of the
// others behind all of its own.
func interleave(queries []Query) []Query {
	type ranked struct {
		Query
		rank int
	}
	count := map[string]int{}
	var order []ranked
	for _, q := range queries {
		order = append(order, ranked{q, count[q.Image.Host]})
		count[q.Image.Host]++
	}
	slices.SortStableFunc(order, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	var sorted []Query
	for _, q := range order {
		sorted = append(sorted, q.Query)
	}
	return sorted
}
