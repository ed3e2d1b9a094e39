// Package resolver asks registries what they serve: the digest behind a tag, and what a digest holds. It asks as
// the pods do (from the same mirrors, with the same credentials, matched as the kubelet matches them), for all
// images of a tick side by side, with no more requests than that takes: a HEAD an image, a ping and a token a
// registry, a proof a credential.
//
// What fails is recognised from types and statuses as one of the causes of package fault, with the host and the
// stage that failed. Secrets stay inside: no password, token or Authorization value reaches a log line, an error
// or a message, and neither does the query of a URL or the body of an answer.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/fault"
)

// Resolver asks registries for the length of one tick, and remembers for as long what they said. It is made by
// New and may be used from several goroutines.
type Resolver struct {
	options    Options
	registries map[string]Registry // by hostKey
	store      credential.Store
	client     *client
	clients    map[string]*client // of registries with certificates of their own
	slots      chan struct{}      // images asked for at once
	large      chan struct{}      // large bodies read at once

	pings  flights[string, challenge]
	tokens flights[tokenKey, grant]
	proofs flights[proofKey, verdict]
	tags   flights[tagKey, found]
	bodies flights[bodyKey, found]

	mu       sync.Mutex
	hosts    map[string]*host
	keyrings map[string]keyring
	groups   map[groupKey][][]string // repositories that are asked for in one token
	answered map[string]answered     // by query
	tried    map[tried]bool
}

// answered is where the digest of a query came from.
type answered struct {
	found
	endpoint endpoint
}

// New makes a Resolver. Its error names every contradiction in the options.
func New(o Options) (*Resolver, error) {
	o, problem := o.complete()
	r := &Resolver{
		options:    o,
		registries: map[string]Registry{},
		store:      credential.Store{PullSecretsDir: o.PullSecretsDir, DockerConfig: o.DockerConfig},
		clients:    map[string]*client{},
		slots:      make(chan struct{}, max(o.Concurrency, 1)),
		large:      make(chan struct{}, 1),
		hosts:      map[string]*host{},
		keyrings:   map[string]keyring{},
		groups:     map[groupKey][][]string{},
		answered:   map[string]answered{},
		tried:      map[tried]bool{},
	}
	problems := []error{problem}
	r.client = r.newClient(newTransport(o.Proxy, o.Roots, o))
	for i, registry := range o.Registries {
		key := hostKey(registry.Host)
		r.registries[key] = registry
		if registry.CAFile == "" {
			continue
		}
		roots, err := o.roots(registry.CAFile)
		if err != nil {
			problems = append(problems, fmt.Errorf("registries[%d] (%s).caFile: %s %w", i, fault.Clean(registry.Host), registry.CAFile, err))
			continue
		}
		r.clients[key] = r.newClient(newTransport(o.Proxy, roots, o))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Resolver) newClient(transport transport) *client {
	plain := func(host string) bool { return r.registries[hostKey(host)].PlainHTTP }
	return &client{transport: transport, plain: plain, large: r.large, logger: r.options.Logger, userAgent: r.options.UserAgent}
}

// Close lets go of the connections that were kept for further requests.
func (r *Resolver) Close() {
	r.client.transport.CloseIdleConnections()
	for _, c := range r.clients {
		c.transport.CloseIdleConnections()
	}
}

// Resolve answers every query, in the order given. Each distinct one is asked once, side by side with the others as
// far as the concurrency allows; each has its own time, and no failure of one stops another.
func (r *Resolver) Resolve(ctx context.Context, queries []Query) []Answer {
	distinct := map[string]*Answer{}
	var order []Query
	for _, q := range queries {
		if key := q.key(); distinct[key] == nil {
			distinct[key] = &Answer{}
			order = append(order, q)
		}
	}
	r.plan(order)
	var group sync.WaitGroup
	for _, q := range interleave(order) {
		into := distinct[q.key()]
		group.Go(func() { *into = r.resolve(ctx, q) })
	}
	group.Wait()
	answers := make([]Answer, len(queries))
	for i, q := range queries {
		answers[i] = *distinct[q.key()]
	}
	return answers
}

// resolve answers one query in the time that one image has, which starts when its turn comes.
func (r *Resolver) resolve(ctx context.Context, q Query) Answer {
	ctx, release, p := r.turn(ctx)
	ring := r.keyring(q.PullSecrets)
	if p != nil {
		return Answer{Failure: r.failure(subject{query: q, ring: ring}, p), Warnings: unusableWarnings(q, ring)}
	}
	defer release()
	if q.Image.Tag == "" {
		return Answer{Failure: r.failure(subject{query: q, ring: ring}, &problem{cause: fault.SlotInvalid, detail: noTag})}
	}
	places := endpoints(q.Image, r.registries)
	got, out := walk(ctx, r, places, ring, func(ctx context.Context, e endpoint, who account) (found, *problem) {
		return r.tag(ctx, e, who, q.Image.Tag)
	})
	answer := Answer{Warnings: append(unusableWarnings(q, ring), r.warnings(q, out)...)}
	if out.problem != nil {
		answer.Failure = r.failure(subject{query: q, ring: ring, outcome: out}, out.problem)
		return answer
	}
	answer.Digest, answer.Quota, answer.Via = got.digest, got.quota, out.at.via()
	r.mu.Lock()
	r.answered[q.key()] = answered{found: got, endpoint: out.at}
	r.mu.Unlock()
	return answer
}

// turn waits for a free slot and starts the clock of one image.
func (r *Resolver) turn(ctx context.Context) (context.Context, func(), *problem) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		p := outOfTime(ctx, step{})
		if p.detail == plain {
			p.detail = unasked
		}
		return ctx, func() {}, p
	}
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	ctx, _ = withWatch(ctx)
	return ctx, func() { cancel(); <-r.slots }, nil
}
