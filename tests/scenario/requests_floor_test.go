package scenario_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
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
			workloads.Label("tracebloc.io/"+name+"-digest", label(digest)),
			workloads.Annotation("tracebloc.io/last-refreshed-"+name+"-digest", digest))
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
// host share one connection, over HTTP/2; over HTTP/1.1, where one serves one request at a time, there are as many as requests at
// once, and a few that were opened for a request that then took one that had come free. Nothing is kept from tick to tick.
func TestTheRequestFloor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		images int
		hosts  []counted
		atOnce int // over HTTP/1.1
	}{
		{1, []counted{hub}, 0}, {3, []counted{hub, ghcr, gitlab}, 0}, {60, []counted{hub, ghcr}, 0}, {200, []counted{hub}, 0},
		{200, []counted{hub, ghcr, gitlab}, 0}, {60, []counted{hub}, 4},
	} {
		t.Run(fmt.Sprintf("%d images on %d registries, %d", c.images, len(c.hosts), c.atOnce), func(t *testing.T) {
			t.Parallel()
			s := fleet(t, c.images, c.hosts)
			most, proto := 1, "HTTP/2.0"
			if c.atOnce > 0 {
				most, proto = 2*c.atOnce, "HTTP/1.1"
				s.Site.Proxy.Intercept(true)
				s.Setenv("CONCURRENCY", strconv.Itoa(c.atOnce))
			}
			for range 2 {
				requireOutcomes(t, s.Tick(), 0, "unchanged")
				for _, call := range s.Site.Front.Calls(nil) {
					assert.Equal(t, proto, call.Proto, call.Path)
				}
				for _, one := range c.hosts {
					assert.LessOrEqual(t, len(s.Site.Proxy.Connects(one.host)), most, "connections to %s", one.host)
					tokens := max(most, asked(s, one.tokens, registries.Token))
					assert.LessOrEqual(t, len(s.Site.Proxy.Connects(one.tokens)), tokens, "connections to %s", one.tokens)
				}
				requireFloor(t, s, c.images, c.hosts)
			}
		})
	}
}

// A tag that has moved costs one GET by its digest, once for all who use it, where the platforms are named; the digest in use is
// asked for where they are not. One image of it is read, and its configuration, for the name of the build. The ticks after ask for
// nothing of it.
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
			assert.Equal(t, 1, asked(s, "", registries.Blob))
			assert.Equal(t, 1+1+1+more+2, asked(s, ""))

			s.Settle(workloads.Deployment("jobs"), workloads.Deployment("other"))
			requireQuiet(t, s)
			assert.Equal(t, 1+1+1, asked(s, ""))
		})
	}
}

// What is read for its name alone keeps nothing waiting for long, and says nothing of the registry: where its storage cannot be
// reached, it is asked for once at a time, everything is rolled out all the same, and the registry is asked for anything else. Nor is
// a pull spent on it that nodes need.
func TestNothingDependsOnTheNameOfABuild(t *testing.T) {
	t.Parallel()
	const images, atOnce = 8, 4
	for name, c := range map[string]struct {
		stage registries.Stage
		do    faultinject.Action
		blobs int
	}{
		"a storage that hangs":    {registries.Blob, faultinject.Hang(), atOnce},
		"few pulls that are left": {registries.Get, faultinject.Header("Ratelimit-Remaining", "9;w=21600"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const named = "platforms: [linux/amd64]"
			s := fleet(t, images, []counted{hub}, named, named+"\n    mode: notify")
			for i := range images {
				s.Push(fmt.Sprintf("%s/tracebloc/image-%03d:prod", hub.name, i), image("second"))
			}
			s.Setenv("CONCURRENCY", strconv.Itoa(atOnce))
			s.Setenv("RESOLVE_TIMEOUT", "2s")
			inject(s, registries.At(hubHost, c.stage), c.do)
			result := s.Tick()
			for i := range images {
				outcome := []string{"waiting", "pending"}[i%2] // of no replica, and of a person
				outcomeOf(t, result, fmt.Sprintf("image-%03d", i), "jobs", outcome, "")
			}
			blobs := asked(s, "", registries.Blob)
			assert.LessOrEqual(t, blobs, c.blobs)
			assert.Equal(t, c.blobs > 0, blobs > 0)
			assert.Equal(t, images+blobs, asked(s, hubHost, registries.Get))
			assert.Equal(t, images+images/2, asked(s, hubHost, registries.Head), "and whether it still has what is in use")
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

// firstScope grants the first of several scopes alone, as some registries do.
func firstScope(w http.ResponseWriter, r *http.Request, next http.Handler) {
	query := r.URL.Query()
	query["scope"] = query["scope"][:1]
	r.URL.RawQuery = query.Encode()
	next.ServeHTTP(w, r)
}

// insteadOf401 answers with another status where the server says 401.
func insteadOf401(status int) faultinject.Action {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		if answer.Code == http.StatusUnauthorized {
			w.WriteHeader(status)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// A registry that does not give one token for several images is asked for one each: nothing is said of an image before it was
// asked for with a token of its own.
func TestOneTokenEachWhereARegistryWantsIt(t *testing.T) {
	t.Parallel()
	several, every := func(scopes int) bool { return scopes > 1 }, func(int) bool { return true }
	reply := func(status int) faultinject.Action { return faultinject.Reply(status, "") }
	for name, c := range map[string]struct {
		images        int
		broken        func(scopes int) bool // token requests for so many
		token, head   faultinject.Action
		tokens, heads int
		account       string // the pull secret, if there is one
	}{
		"400 to several":      {3, several, reply(400), nil, 1 + 3, 3, ""},
		"401 to several":      {3, several, reply(401), nil, 1 + 3, 3, ""},
		"403 to several":      {3, several, reply(403), nil, 1 + 3, 3, ""},
		"404 to several":      {3, several, reply(404), nil, 1 + 3, 3, ""},
		"500 to several":      {3, several, reply(500), nil, 3 + 3, 3, ""},
		"the first one alone": {3, every, firstScope, nil, 1 + 2, 3 + 2, ""},
		// Some answer so for what a token was not granted for.
		"the first one, or 403": {3, every, firstScope, insteadOf401(403), 1 + 2, 3 + 2, ""},
		"the first one, or 404": {3, every, firstScope, insteadOf401(404), 1 + 2, 3 + 2, ""},
		// An account that is refused by itself is none that is dead.
		"401 to none or several": {3, func(scopes int) bool { return scopes != 1 }, reply(401), nil, 1 + 1 + 3, 3, "puller"},

		"a 429 is not split":               {3, several, reply(429), nil, 1, 0, ""},
		"no token for several":             {3, several, faultinject.Reply(200, "{}"), nil, 1, 0, ""},
		"trouble is asked about once more": {30, every, reply(503), nil, 3 + 3, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fleet(t, c.images, []counted{hub}, "pullSecrets: ["+c.account+"]")
			hubAccount(t, s, "puller")
			inject(s, func(call registries.Call) bool { return call.Stage == registries.Token && c.broken(len(call.Scopes)) }, c.token)
			if c.head != nil {
				inject(s, registries.At(hubHost, registries.Head), c.head)
			}
			outcome := "unchanged"
			if c.heads == 0 {
				outcome = "skipped"
			}
			requireOutcomes(t, s.Tick(), 0, outcome)
			assert.Equal(t, 1, asked(s, hubHost, registries.Ping))
			assert.Equal(t, c.tokens, asked(s, hubTokens, registries.Token))
			assert.Equal(t, c.heads, asked(s, hubHost, registries.Head))
		})
	}
}

// ghcr.io gives no token at all where one of the images is not there: the others are not the worse for it.
func TestOneImageThatIsNotThereCostsTheOthersATokenEach(t *testing.T) {
	t.Parallel()
	s := fleet(t, 3, []counted{ghcr})
	s.Site.GHCR.SetPrivate("tracebloc/image-001", true)
	result := s.Tick()
	outcomeOf(t, result, "image-000", "jobs", "unchanged", "")
	outcomeOf(t, result, "image-001", "jobs", "skipped", "unauthorized")
	outcomeOf(t, result, "image-002", "jobs", "unchanged", "")
	assert.Equal(t, 1, asked(s, "ghcr.io", registries.Ping))
	assert.Equal(t, 1+3, asked(s, "ghcr.io", registries.Token))
	assert.Equal(t, 2, asked(s, "ghcr.io", registries.Head))
}
