package scenario_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// A registry of the request counts: where references, requests for manifests and requests for tokens go.
type counted struct{ name, host, tokens string }

var countedRegistries = []counted{
	{"docker.io", hubHost, hubTokens}, {"ghcr.io", "ghcr.io", "ghcr.io"}, {"registry.gitlab.com", "registry.gitlab.com", "gitlab.com"},
}

// perToken is how many repositories one token is asked for at most.
const perToken = 50

// fleet makes a scenario with a Deployment whose variables hold the digests of so many images, each with a target of its
// own, spread evenly over the registries; all are adopted and fresh. Further lines are given to each target in turn.
func fleet(t *testing.T, images int, hosts []counted, lines ...string) *harness.Scenario {
	t.Helper()
	s := environment.Scenario(t)
	gitlab := registries.NewStore(t.Context())
	s.Site.Add("registry.gitlab.com", gitlab, registries.NewGitLab(gitlab, http.StatusForbidden), "registry.gitlab.com", "gitlab.com")
	options := []workloads.Option{workloads.Container("api", "registry.invalid/api:1"), workloads.Replicas(0)}
	config := "targets:\n"
	for i := range images {
		reference := fmt.Sprintf("%s/tracebloc/image-%03d:prod", hosts[i%len(hosts)].name, i)
		digest := s.Push(reference, image("first"))
		name, variable := fmt.Sprintf("image-%03d", i), fmt.Sprintf("IMAGE_%03d", i)
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

// asked counts the requests at one host: all of them, or those at one stage.
func asked(s *harness.Scenario, host string, stages ...registries.Stage) int {
	return len(s.Site.Front.Calls(registries.At(host, stages...)))
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

// loginsOf counts requests with an account.
func loginsOf(s *harness.Scenario, user string) (proofs, others int) {
	for _, call := range s.Site.Front.Calls(func(c registries.Call) bool { return c.User == user }) {
		if len(call.Scopes) == 0 && !strings.Contains(call.Path, "/manifests/") {
			proofs++
		} else {
			others++
		}
	}
	return proofs, others
}

// hubAccount makes an account of docker.io, which may pull all that is public, and mounts the pull secret of its name.
func hubAccount(t *testing.T, s *harness.Scenario, user string) {
	t.Helper()
	password := "hunter2-of-" + user
	s.Site.DockerHub.AddAccount(user, password)
	mount(t, s, user, entries{"docker.io": {user, password}})
}
