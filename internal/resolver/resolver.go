// Package resolver asks registries what they serve: the digest behind a tag, and what a digest holds. It asks as
// the pods do (from the same mirrors, with the same credentials, matched as the kubelet matches them), for all
// images of a tick side by side, with no more requests than that takes: a HEAD an image, a ping and a token a
// registry, a proof a credential.
//
// The Resolver knows which images are asked for where (endpoint, plan), with which credentials (plan), and what counts where
// several places and accounts were asked (walk). A host is one registry: its handshake (ping), its tokens (token), what it
// makes of an account (login), and one question to it (ask), which is for a tag, for what a digest holds, or for which build it is (tag, body, build).
// Where nobody is served, a cloud's registry is asked as the pod (identity).
// What came of it is a problem in plain values, and a sentence (message) last.
//
// What fails is recognised from types and statuses as one of the causes of package failure, with the host and the
// stage that failed. Secrets stay inside: no password, token or Authorization value reaches a log line, an error
// or a message, and neither does the query of a URL or the body of an answer.
package resolver

import (
	"context"
	"sync"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver/dockerconfig"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// Resolver asks registries for the length of one tick, and remembers for as long what they said. It is made by
// New and may be used from several goroutines.
type Resolver struct {
	options      Options
	registries   map[string]image.Registry // by hostKey
	dockerConfig *dockerconfig.File
	network      wire.Options
	inFlight     chan struct{} // images asked for at once
	inClear      sync.Map      // hosts that were asked without TLS

	mu       sync.Mutex
	hosts    map[string]*host
	read     map[string]*secrets // by the secrets' names
	answered map[string]answered // by query
	unused   map[string]bool     // entries of the configuration that are for no image
}

// answered is where the digest of a query came from.
type answered struct {
	Manifest
	endpoint endpoint
}

// New makes a Resolver.
func New(o Options) *Resolver {
	r := &Resolver{
		options:      o,
		registries:   map[string]image.Registry{},
		dockerConfig: dockerconfig.Read(o.DockerConfig),
		inFlight:     make(chan struct{}, o.Concurrency),
		hosts:        map[string]*host{},
		read:         map[string]*secrets{},
		answered:     map[string]answered{},
	}
	r.network = wire.Options{
		Timeout: o.Timeout, Concurrency: o.Concurrency, Logger: o.Logger, UserAgent: o.UserAgent, AllowHTTP: r.allowHTTP,
		Large: make(chan struct{}, 1),
	}
	for _, registry := range o.Registries {
		r.registries[hostKey(registry.Host)] = registry
	}
	return r
}

// Resolve answers every query, in the order given, side by side as far as the concurrency allows. Each has its own time,
// and no failure of one stops another. What several of them need is asked for once.
func (r *Resolver) Resolve(ctx context.Context, queries []Query) []Answer {
	r.plan(ctx, queries)
	answers := make([]Answer, len(queries))
	var group sync.WaitGroup
	for _, i := range interleave(queries) {
		group.Go(func() { answers[i] = r.resolve(ctx, queries[i]) })
	}
	group.Wait()
	if r.options.Check {
		r.awaitIdentities(ctx)
	}
	r.noteUnused(ctx, queries)
	return answers
}

// resolve answers one query in the time that one image has, which starts when its turn comes.
func (r *Resolver) resolve(ctx context.Context, q Query) Answer {
	ctx, release, p := r.turn(ctx)
	ring := r.keyring(ctx, q)
	s := &subject{query: q, ring: ring}
	if p != nil {
		return Answer{Failure: r.failure(s, p), Warnings: unusableWarnings(q, ring)}
	}
	defer release()
	if q.Image.Tag == "" {
		return Answer{Failure: r.failure(s, &problem{cause: failure.SlotInvalid})}
	}
	if len(ring.spoilt()) > 0 {
		return Answer{Failure: spoiltFailure(q, ring)}
	}
	places := endpoints(q.Image, r.registries)
	got, out := r.walk(ctx, places, ring, r.tagOf(q))
	s.outcome = out
	answer := Answer{Warnings: append(unusableWarnings(q, ring), r.warnings(q, ring, out)...)}
	if out.problem != nil {
		answer.Failure = r.failure(s, out.problem)
		return answer
	}
	answer.Digest, answer.Quota = got.Digest, got.Quota
	if lag := r.lag(ctx, q, ring, got, out); lag != nil {
		answer.Warnings = append(answer.Warnings, lag)
	}
	r.mu.Lock()
	r.answered[q.key()] = answered{Manifest: got, endpoint: out.at}
	r.mu.Unlock()
	return answer
}

func (r *Resolver) tagOf(q Query) visit {
	return func(ctx context.Context, e endpoint, who credential.Credential) (Manifest, *problem) {
		return r.host(e.host).tag(ctx, e.repository, who, q.Image.Tag)
	}
}

// turn waits for a free slot and starts the clock of one image.
func (r *Resolver) turn(ctx context.Context) (context.Context, func(), *problem) {
	if ctx.Err() == nil {
		select {
		case r.inFlight <- struct{}{}:
			ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
			ctx, _ = wire.WithProgress(ctx)
			return ctx, func() { cancel(); <-r.inFlight }, nil
		case <-ctx.Done():
		}
	}
	p := unanswered(wire.Ended(ctx))
	if p.Kind != wire.Interrupted {
		p.detail = unasked
	}
	return ctx, func() {}, p
}
