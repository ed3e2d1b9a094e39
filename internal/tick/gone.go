package tick

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// gone asks the registries, side by side, whether they still have what the tick leaves in use although something else is
// latest: a tag that has moved on leaves a digest without a tag, which retention rules remove (I61). It returns what is gone,
// by workload and binding.
func (t *tick) gone(ctx context.Context, p plan) [][]*failure.Error {
	found := make([][]*failure.Error, len(t.workloads))
	var all sync.WaitGroup
	for at, w := range t.workloads {
		found[at] = make([]*failure.Error, len(w.bindings))
		if p.steps[at] == nil {
			continue
		}
		for binding := range w.bindings {
			latest := p.latest[at][binding].Digest
			if latest == "" || p.steps[at].Decisions[binding].Rolls() {
				continue
			}
			digests := slices.DeleteFunc(digestsIn(p.readings[at], binding), func(digest image.Digest) bool { return digest == latest })
			if len(digests) > 0 {
				all.Go(func() { found[at][binding] = t.goneOf(ctx, w.ref, p.via(place{at, binding}), digests) })
			}
		}
	}
	all.Wait()
	return found
}

// goneOf is what is gone of the digests that a workload uses.
func (t *tick) goneOf(ctx context.Context, ref workload.Ref, via resolver.Query, digests []image.Digest) *failure.Error {
	for _, digest := range digests {
		if served, err := t.Registry.Serves(ctx, via, digest); err == nil && !served {
			return &failure.Error{
				Cause: failure.NotFound, Message: fmt.Sprintf("the registry no longer has %s@%s, which %s uses: a pod starts only where a node still has it", via.Image.Name(), digest, ref),
				Fix: "push it again, or let the workload move on to latest, and change its retention rule so that it keeps what is in use",
			}
		}
	}
	return nil
}

// digestsIn are the digests that the slots of a binding hold, each once.
func digestsIn(read reading, binding int) []image.Digest {
	var digests []image.Digest
	for _, place := range read.places[binding] {
		if digest := place.Slot.Live.Digest(); place.Problem == nil && digest != "" && !slices.Contains(digests, digest) {
			digests = append(digests, digest)
		}
	}
	return digests
}

// warnOfGone says what is gone.
func (t *tick) warnOfGone(ctx context.Context, p plan) {
	for at, of := range t.gone(ctx, p) {
		for _, failed := range of {
			if failed != nil {
				t.Log.WarnContext(ctx, t.rules.Runbook.Advice(failed), "cause", string(failed.Cause), "workload", t.workloads[at].ref.String())
			}
		}
	}
}
