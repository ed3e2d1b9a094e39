package scenario_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// fresh makes a scenario with n Deployments that are fresh, each with an image of its own, docker.io's and ghcr.io's
// in turn, and lets one tick adopt them. extra is more for each target.
func fresh(t *testing.T, s *harness.Scenario, n int, extra string) {
	t.Helper()
	var config strings.Builder
	config.WriteString("targets:\n")
	var deployed []workloads.Object
	for i := range n {
		reference := fmt.Sprintf("%s/tracebloc/app-%d:1", []string{"docker.io", "ghcr.io"}[i%2], i)
		digest := s.Push(reference, registries.Index(reference, "linux/amd64"))
		name := fmt.Sprintf("app-%d", i)
		deployed = append(deployed, workloads.Deployment(name, workloads.Container("app", reference+"@"+digest)))
		fmt.Fprintf(&config, "  - {name: %s, image: %q, workloads: [{kind: Deployment, name: %s}]%s}\n", name, reference, name, extra)
	}
	s.Configure(config.String())
	s.Deploy(deployed...)
	harness.RequireExit(t, 0, s.Tick())
	s.Settle(deployed...) // adopting has bumped the generations, for a moment
	s.Forget()
}

// mountedAccounts mounts a pull secret with an account at each of the two registries, which targets name by the text that
// is returned.
func mountedAccounts(t *testing.T, s *harness.Scenario) (extra string) {
	t.Helper()
	puller := login{"puller", "hunter2-of-both-registries"}
	for _, registry := range []*registries.Registry{s.Site.DockerHub, s.Site.GHCR} {
		registry.AddAccount(puller.user, puller.password)
	}
	mount(t, s, "puller", entries{"docker.io": puller, "ghcr.io": puller})
	return ", pullSecrets: [puller]"
}

// phases counts how many requests waited for another one's answer, one after the other: each costs a round trip,
// however fast the machine is. Every request is held for a while, so that those which need not wait for each other
// overlap.
type phases struct {
	mu    sync.Mutex
	spans []span
}

type span struct{ from, to time.Time }

// held is long against what starts apart only because the machine is busy.
const held = 500 * time.Millisecond

func (p *phases) hold(w http.ResponseWriter, r *http.Request, next http.Handler) {
	began := time.Now()
	faultinject.Delay(held)(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.spans = append(p.spans, span{began, time.Now()})
		p.mu.Unlock()
		next.ServeHTTP(w, r)
	}))
}

// count is the length of the longest row of spans in which none overlaps the next.
func (p *phases) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortFunc(p.spans, func(a, b span) int { return a.to.Compare(b.to) })
	n, end := 0, time.Time{}
	for _, s := range p.spans {
		if s.from.After(end) {
			n, end = n+1, s.to
		}
	}
	return n
}

// An unchanged tick asks no more than it must: each workload is read once, each image costs one HEAD, each registry a ping and a
// token, each credential one proof, and nothing is written. It takes at most eight round trips, however many images there are, up
// to the concurrency: the reads, and then at each registry, side by side, the way through the proxy, the ping, the proof, the
// token, the HEADs.
func TestBudgetOfAnUnchangedTick(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		images  int
		account bool
	}{
		"3 images":               {images: 3},
		"8 images with accounts": {images: 8, account: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			extra, proofs := "", 0
			if c.account {
				extra, proofs = mountedAccounts(t, s), 2
			}
			fresh(t, s, c.images, extra)
			var seen phases
			s.API.Inject(apiproxy.Fault{Do: seen.hold})
			s.Site.Front.Inject(registries.Fault{Do: seen.hold})
			s.Site.Proxy.Inject(registries.ProxyFault{Do: seen.hold})
			requireOutcomes(t, s.Tick(), 0, "unchanged")
			assert.Len(t, s.API.Requests(apiproxy.Verb("get", "deployments")), c.images)
			assert.Len(t, s.API.Requests(nil), c.images, "requests to the API server")
			assert.Len(t, s.Site.Front.Calls(registries.At("", registries.Head)), c.images)
			assert.Len(t, s.Site.Front.Calls(nil), c.images+2*2+proofs, "a HEAD an image, a ping and a token a registry, a proof a credential")
			assert.Len(t, s.Site.Proxy.Connects(""), 3, "one connection a host")
			assert.LessOrEqual(t, seen.count(), 8)
			assert.Greater(t, seen.count(), 3, "every request is counted")
		})
	}
}

// maxBinary is what the program may weigh as it is shipped.
const maxBinary = 29_000_000

func TestBudgetOfTheBinary(t *testing.T) {
	if environment.Race {
		return // the race detector is not shipped
	}
	info, err := os.Stat(environment.Binary)
	require.NoError(t, err)
	assert.LessOrEqual(t, info.Size(), int64(maxBinary))
}
