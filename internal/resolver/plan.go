package resolver

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tracebloc/image-refresh/internal/credential"
)

// keyring is what may be asked with for a query.
type keyring struct {
	credential.Keyring
	docker   map[string]credential.Credential // by endpoint, where no secret is named
	unusable []credential.Unusable
	withheld []credential.Credential // that match the image, and stand for more hosts than its own
}

// lookup returns every credential for an endpoint, in the order in which the kubelet tries them.
func (k keyring) lookup(e endpoint) []credential.Credential {
	if c, ok := k.docker[e.name()]; ok && !c.Anonymous() {
		return []credential.Credential{c}
	}
	return slices.DeleteFunc(k.Lookup(e.name()), func(c credential.Credential) bool {
		return !e.mirror && slices.Contains(k.withheld, c)
	})
}

// spoilt says that nodes pull nothing for these pods, whatever the other secrets hold: one of those named does not parse.
func (k keyring) spoilt() bool {
	return slices.ContainsFunc(k.unusable, func(u credential.Unusable) bool {
		return u.State == credential.Malformed && u.Source != credential.Name{}
	})
}

// key identifies a query: the image and, in their order, the secrets.
func (q Query) key() string {
	return fmt.Sprintf("%s:%s\n%v\n%s", q.Image.Name(), q.Image.Tag, q.WorkloadsImage, secretsKey(q.PullSecrets))
}

func secretsKey(names []credential.Name) string {
	var parts []string
	for _, name := range names {
		parts = append(parts, name.String())
	}
	return strings.Join(parts, "\n")
}

// keyring reads what a query names once, so that a whole tick sees the same.
func (r *Resolver) keyring(ctx context.Context, q Query) keyring {
	ring, _ := r.keyrings.do(ctx, q.key(), r.options.Timeout, func(ctx context.Context) (keyring, *problem) {
		if len(q.PullSecrets) > 0 {
			found, unusable := r.store.Keyring(q.PullSecrets)
			ring := keyring{Keyring: found, unusable: unusable}
			if q.WorkloadsImage {
				ring.withheld = slices.DeleteFunc(found.Lookup(q.Image.Name()), func(c credential.Credential) bool { return !c.ManyHosts() })
			}
			return ring, nil
		}
		ring := keyring{docker: map[string]credential.Credential{}}
		for _, e := range endpoints(q.Image, r.registries) {
			one := r.fromDocker(ctx, e)
			ring.docker[e.name()] = one.credential
			if one.unusable != nil && !slices.Contains(ring.unusable, *one.unusable) {
				ring.unusable = append(ring.unusable, *one.unusable)
			}
		}
		return ring, nil
	})
	return ring
}

// dockers is what DOCKER_CONFIG has for an endpoint.
type dockers struct {
	credential credential.Credential
	unusable   *credential.Unusable
}

func (r *Resolver) fromDocker(ctx context.Context, e endpoint) dockers {
	found, _ := r.dockers.do(ctx, hostKey(e.host)+"/"+e.repository, r.options.Timeout, func(ctx context.Context) (dockers, *problem) {
		c, unusable := r.dockerConfig.For(ctx, hostKey(e.host), e.repository)
		return dockers{c, unusable}, nil
	})
	return found
}

// plan notes which repositories may be asked for as whom at which host, so that one token request can ask for
// all of them (the request floor).
func (r *Resolver) plan(ctx context.Context, queries []Query) {
	repositories := map[groupKey][]string{}
	var reading sync.WaitGroup
	for _, q := range queries {
		reading.Go(func() { r.keyring(ctx, q) })
	}
	reading.Wait()
	for _, q := range queries {
		ring := r.keyring(ctx, q)
		for _, e := range endpoints(q.Image, r.registries) {
			matching := ring.lookup(e)
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
