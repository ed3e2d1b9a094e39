package tick

import (
	"context"
	"slices"
	"sync"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
)

// Signature says whether a digest of a target that verifies is signed.
type Signature struct {
	Image   image.Reference
	Digest  image.Digest
	Latest  bool           // it is what the tag means; else it is in use
	Signer  string         // the fingerprint of the key
	Failure *failure.Error // why there is no signer
}

// signatures asks, side by side, who has signed what is latest and what is in use, where a target verifies: each digest once.
func (t *tick) signatures(ctx context.Context, p plan) []Signature {
	var found []Signature
	var via []resolver.Query
	var keys []int // the target whose keys
	for at, w := range t.workloads {
		for i, binding := range w.bindings {
			latest := p.latest[at][i].Digest
			if len(binding.Target.Keys) == 0 || p.steps[at] == nil || latest == "" {
				continue
			}
			query := p.via(place{at, i})
			for _, digest := range append([]image.Digest{latest}, digestsIn(p.readings[at], i)...) {
				one := Signature{Image: query.Image, Digest: digest, Latest: digest == latest}
				if !slices.Contains(found, one) {
					found, via, keys = append(found, one), append(via, query), append(keys, w.target[i])
				}
			}
		}
	}
	var all sync.WaitGroup
	for i := range found {
		all.Go(func() {
			key, err := t.Registry.Signed(ctx, via[i], found[i].Digest, t.targets[keys[i]].Keys)
			if found[i].Failure = failure.Of(err, failure.BadResponse); err == nil {
				found[i].Signer = key.Fingerprint()
			}
		})
	}
	all.Wait()
	return found
}
