package resolver

import (
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
	withheld []credential.Credential          // that match the image, and stand for more hosts than its own
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

// spoilt are the secrets named that do not parse: nodes pull nothing for these pods then, whatever the others hold.
func (k keyring) spoilt() []credential.Unusable {
	return slices.DeleteFunc(slices.Clone(k.Unusable), func(u credential.Unusable) bool {
		return u.State != credential.Malformed || u.Source == credential.Name{}
	})
}

// key identifies a query: the image and, in their order, the secrets.
func (q Query) key() string {
	return fmt.Sprintf("%s:%s\n%v\n%s", q.Image.Name(), q.Image.Tag, q.WorkloadsImage, joined(q.PullSecrets))
}

// joined names secrets, in their order.
func joined(names []credential.Name) string {
	var parts []string
	for _, name := range names {
		parts = append(parts, name.String())
	}
	return strings.Join(parts, ", ")
}

// secrets are what named secrets hold, once they have been read.
type secrets struct {
	once    sync.Once
	keyring credential.Keyring
}

// secrets are what the secrets named hold, read once, so that a whole tick sees the same.
func (r *Resolver) secrets(ctx context.Context, names []credential.Name) credential.Keyring {
	key := joined(names)
	r.mu.Lock()
	of := r.read[key]
	if of == nil {
		of = &secrets{}
		r.read[key] = of
	}
	r.mu.Unlock()
	of.once.Do(func() { of.keyring = credential.Read(ctx, r.options.PullSecrets, names) })
	return of.keyring
}

// keyring is what may be asked with for a query: what the secrets hold that it names or, where it names none,
// DOCKER_CONFIG.
func (r *Resolver) keyring(ctx context.Context, q Query) keyring {
	if len(q.PullSecrets) > 0 {
		ring := keyring{Keyring: r.secrets(ctx, q.PullSecrets)}
		if q.WorkloadsImage {
			ring.withheld = slices.DeleteFunc(ring.Lookup(q.Image.Name()), func(c credential.Credential) bool { return !c.ManyHosts() })
		}
		return ring
	}
	ring := keyring{docker: map[string]credential.Credential{}}
	for _, e := range endpoints(q.Image, r.registries) {
		found, unusable := r.dockerConfig.For(ctx, hostKey(e.host), e.repository)
		ring.docker[e.name()] = found
		if unusable != nil && !slices.Contains(ring.Unusable, *unusable) {
			ring.Unusable = append(ring.Unusable, *unusable)
		}
	}
	return ring
}

// plan notes which repositories may be asked for as whom at which host, so that one token request can ask for
// all of them (the request floor).
func (r *Resolver) plan(ctx context.Context, queries []Query) {
	type account struct {
		at *host
		as credential.Identity
	}
	repositories := map[account][]string{}
	if r.dockerConfig.Helped() { // programs take their time, so side by side
		var asking sync.WaitGroup
		for _, q := range queries {
			asking.Go(func() { r.keyring(ctx, q) })
		}
		asking.Wait()
	}
	for _, q := range queries {
		ring := r.keyring(ctx, q)
		for _, e := range endpoints(q.Image, r.registries) {
			matching := ring.lookup(e)
			if len(matching) == 0 {
				matching = []credential.Credential{{}}
			}
			for _, c := range matching {
				key := account{r.host(e.host), c.Identity()}
				repositories[key] = append(repositories[key], e.repository)
			}
		}
	}
	for key, names := range repositories {
		slices.Sort(names)
		key.at.mu.Lock()
		for _, batch := range batches(slices.Compact(names)) {
			for _, name := range batch {
				key.at.groups[groupKey{key.as, name}] = batch
			}
		}
		key.at.mu.Unlock()
	}
}

// interleave orders queries, by index, so that registries take turns: one that hangs must not hold up the images of the
// others behind all of its own.
func interleave(queries []Query) []int {
	var rounds [][]int
	asked := map[string]int{}
	for i, q := range queries {
		round := asked[q.Image.Host]
		asked[q.Image.Host]++
		if round == len(rounds) {
			rounds = append(rounds, nil)
		}
		rounds[round] = append(rounds[round], i)
	}
	return slices.Concat(rounds...)
}
