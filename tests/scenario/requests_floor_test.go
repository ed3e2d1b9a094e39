package scenario_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// counted is a registry whose requests are counted: where references, requests for manifests and requests for tokens go.
type counted struct{ name, host, tokens string }

var (
	hub    = counted{"docker.io", hubHost, hubTokens}
	ghcr   = counted{"ghcr.io", "ghcr.io", "ghcr.io"}
	gitlab = counted{"registry.gitlab.com", "registry.gitlab.com", "gitlab.com"}
)

// perToken is how many repositories one token is asked for at most.
const perToken = 50

// fleet makes a scenario with a Deployment whose variables hold the digests of so many images, each with a target of its own,
// spread evenly over the registries; all are adopted and fresh. Further lines are given to each target in turn.
func fleet(t *testing.T, images int, hosts []counted, lines ...string) *harness.Scenario {
	t.Helper()
	s := environment.Scenario(t)
	store := registries.NewStore(t.Context())
	s.Site.Add(gitlab.name, store, registries.NewGitLab(store, http.StatusForbidden), gitlab.host, gitlab.tokens)
	options := []workloads.Option{workloads.Container("api", "registry.invalid/api:1"), workloads.Replicas(0)}
	config := "targets:\n"
	for i := range images {
		name, variable := fmt.Sprintf("image-%03d", i), fmt.Sprintf("IMAGE_%03d", i)
		reference := hosts[i%len(hosts)].name + "/tracebloc/" + name + ":prod"
		digest := s.Push(reference, image("first"))
		options = append(options, workloads.Env("api", variable, digest),
			workloads.Label("tracebloc.io/"+name+"-digest", label(digest)), workloads.Annotation("tracebloc.io/last-refreshed-"+name+"-digest", digest))
		var more []string
		if len(lines) > 0 {
			more = append(more, lines[i%len(lines)])
		}
		config += targetOf(name, reference, entry("Deployment", "jobs", "api", "env: "+variable), more...)
	}
	s.Deploy(workloads.Deployment("jobs", options...))
	s.Configure(config)
	s.Forget()
	return s
}

// requireFloor asserts what so many images on so many registries cost at least and at most, and forgets it.
func requireFloor(t *testing.T, s *harness.Scenario, images int, hosts []counted) {
	t.Helper()
	total := 0
	for i, one := range hosts {
		here := (images + len(hosts) - 1 - i) / len(hosts)
		batches := (here + perToken - 1) / perToken
		assert.Equal(t, here, asked(s, one.host, registries.Head), "HEADs at %s", one.name)
		assert.Equal(t, 1, asked(s, one.host, registries.Ping), "pings of %s", one.name)
		assert.Equal(t, batches, asked(s, one.tokens, registries.Token), "tokens of %s", one.name)
		total += here + 1 + batches
	}
	assert.Equal(t, total, asked(s, ""), "and no other request")
	assert.Len(t, s.API.Requests(nil), 1, "one read of the workload")
	heads := map[string]int{}
	for _, call := range s.Site.Front.Calls(registries.At("", registries.Head)) {
		heads[call.Path]++
	}
	assert.Len(t, heads, images, "each image once")
	s.Forget()
}

// A tick in which nothing has changed costs a HEAD an image, a ping a registry and a token for fifty images. Requests to one
// host share one connection, over HTTP/2. Nothing is kept from one tick to the next.
func TestTheRequestFloor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		images int
		hosts  []counted
	}{{1, []counted{hub}}, {3, []counted{hub, ghcr, gitlab}}, {60, []counted{hub, ghcr}}, {200, []counted{hub}}, {200, []counted{hub, ghcr, gitlab}}} {
		t.Run(fmt.Sprintf("%d images on %d registries", c.images, len(c.hosts)), func(t *testing.T) {
			t.Parallel()
			s := fleet(t, c.images, c.hosts)
			for range 2 {
				requireOutcomes(t, s.Tick(), 0, "unchanged")
				for _, call := range s.Site.Front.Calls(nil) {
					assert.Equal(t, "HTTP/2.0", call.Proto, call.Path)
				}
				for _, one := range c.hosts {
					assert.Len(t, s.Site.Proxy.Connects(one.host), 1, "connections to %s", one.host)
					assert.LessOrEqual(t, len(s.Site.Proxy.Connects(one.tokens)), asked(s, one.tokens, registries.Token), "connections to %s", one.tokens)
				}
				requireFloor(t, s, c.images, c.hosts)
			}
		})
	}
}

// Over HTTP/1.1, where a connection serves one request at a time, there are as many as requests at once; a few more may
// have been opened for a request that then took one that had come free.
func TestConnectionsAreReusedOverHTTP1(t *testing.T) {
	t.Parallel()
	const images, atOnce = 60, 4
	s := fleet(t, images, []counted{hub})
	s.Site.Proxy.Intercept(true)
	s.Setenv("CONCURRENCY", strconv.Itoa(atOnce))
	requireOutcomes(t, s.Tick(), 0, "unchanged")
	assert.LessOrEqual(t, len(s.Site.Proxy.Connects(hubHost)), 2*atOnce)
	assert.LessOrEqual(t, len(s.Site.Proxy.Connects(hubTokens)), 2*atOnce)
	requireFloor(t, s, images, []counted{hub})
}

// A tag that has moved costs one GET by its digest, once for all who use it, where the platforms are named; the digest in use is
// asked for where they are not. The ticks after ask for neither.
func TestWhatAChangeCosts(t *testing.T) {
	t.Parallel()
	for line, more := range map[string]int{"platforms: [linux/amd64]": 1, "mode: apply": 2} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			s, before, after := behindTag(t, ingestor, image("a"), image("b"))
			s.Deploy(workloads.Deployment("other", workloads.Container("main", ingestor+"@"+before),
				workloads.Label(mark, label(before)), workloads.Annotation(recorded, before)))
			s.Configure("targets:\n" + targetOf("ingestor", ingestor,
				entry("Deployment", "jobs", "api", "env: "+slot)+entry("Deployment", "other", ""), line))
			requireOutcomes(t, s.Tick(), 0, "refreshed")
			assert.Len(t, s.Site.Front.Calls(ofDigest(after)), 1)
			assert.Len(t, s.Site.Front.Calls(ofDigest(before)), more-1)
			assert.Equal(t, 1+1+1+more, asked(s, ""))

			s.Settle(workloads.Deployment("jobs"), workloads.Deployment("other"))
			requireQuiet(t, s)
			assert.Equal(t, 1+1+1, asked(s, ""))
		})
	}
}

// I18: a registry that answers nothing costs a few images their time, not all of them; and no more are asked for at once than
// CONCURRENCY says.
func TestI18ASilentRegistryIsGivenUp(t *testing.T) {
	t.Parallel()
	const images, atOnce = 40, 4
	s := fleet(t, images, []counted{hub})
	s.Setenv("CONCURRENCY", strconv.Itoa(atOnce))
	s.Setenv("RESOLVE_TIMEOUT", "2s")
	inject(s, registries.At(hubHost, registries.Head), faultinject.Hang())
	result := s.Tick()
	requireOutcomes(t, result, 0, "skipped")
	given := 0
	for _, target := range result.Report.Targets {
		assert.Equal(t, "timeout", target.Cause)
		if strings.Contains(target.Message, "did not answer for 3 images before it") {
			given++
		}
	}
	assert.LessOrEqual(t, images-given, 2*atOnce, "those that were asked for before the third had no answer")
	assert.LessOrEqual(t, asked(s, hubHost, registries.Head), 2*atOnce)
}
