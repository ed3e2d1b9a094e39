package scenario_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// The hosts of docker.io, and one to which it may redirect, as registries do to where their blobs are.
const (
	hubHost   = "registry-1.docker.io"
	hubTokens = "auth.docker.io"
	cdnHost   = "cdn.example.com"
)

// cell is the world of one field of the fault table: a Deployment whose variable holds the digest that a tag of
// docker.io means or, at the stage "index", has meant until now.
type cell struct {
	*harness.Scenario
	t     *testing.T
	stage string
	// image is what the target follows, lines are further lines of it.
	image string
	lines string
	// The message names the host, has the phrases of the stage, and says what to do.
	host    string
	phrases []string
	says    string
}

// stagePhrase is how a message names a stage.
var stagePhrase = map[string]string{
	"name": "resolving the name", "connect": "connecting", "proxy": "the proxy", "TLS": "TLS",
	"ping": "the registry's /v2/ endpoint", "token": "the token endpoint", "manifest": "the manifest", "index": "the manifest",
}

// strike plays one field of the table.
func strike(t *testing.T, field cellOf, follow bool) {
	c, digest := struck(t, field)
	c.requireCounted(field.cause, digest, 1, 3)
	if follow {
		c.Setenv("RESOLVE_FAILURE_THRESHOLD", "2")
		c.requireCounted(field.cause, digest, 2, 2)
	}
	for _, call := range c.Site.Front.Calls(nil) {
		assert.True(t, call.TLS, "plain HTTP to %s%s", call.Host, call.Path)
	}
}

// struck makes the world of one field, with its trouble in it.
func struck(t *testing.T, field cellOf) (c *cell, digest string) {
	t.Helper()
	s, digest := onTag(t, jobsManager)
	c = &cell{Scenario: s, t: t, stage: field.stage, image: jobsManager, host: hubHost, phrases: []string{stagePhrase[field.stage]}}
	if c.stage == "token" {
		c.host = hubTokens
	}
	if c.stage == "index" {
		s.Push(jobsManager, image("second"))
	}
	troubles[field.trouble](c)
	s.Configure("targets:\n" + targetOf("ingestor", c.image, entry("Deployment", "jobs", "api", "env: "+slot)) + c.lines)
	s.Forget()
	return c, digest
}

// onTag makes a scenario in which a Deployment, scaled to zero, holds the digest that a tag means, and was adopted.
func onTag(t *testing.T, reference string) (s *harness.Scenario, digest string) {
	t.Helper()
	return onTagWith(t, reference, 0)
}

// runsTag is the same with a replica, so that what is put there is rolled out.
func runsTag(t *testing.T, reference string) (s *harness.Scenario, digest string) {
	t.Helper()
	return onTagWith(t, reference, 1)
}

func onTagWith(t *testing.T, reference string, replicas int32) (s *harness.Scenario, digest string) {
	t.Helper()
	s = environment.Scenario(t)
	digest = s.Push(reference, image("first"))
	s.Deploy(jobs(digest, workloads.Label(mark, label(digest)), workloads.Annotation(recorded, digest), workloads.Replicas(replicas)))
	return s, digest
}

// requireCounted runs a tick that fails for the cell's trouble, for the count-th time.
func (c *cell) requireCounted(cause, digest string, count, threshold int) {
	c.t.Helper()
	exit, outcome := 0, "skipped"
	if count == threshold {
		exit, outcome = 1, "failed"
	}
	result := c.Tick()
	failed := requireOutcome(c.t, result, exit, outcome, cause)
	assert.Contains(c.t, failed.Message, c.host)
	assert.Contains(c.t, failed.Message, c.says)
	for _, phrase := range c.phrases {
		assert.Contains(c.t, failed.Message, phrase)
	}
	target := result.Report.Target("ingestor")
	assert.Equal(c.t, cause, target.Cause)
	assert.Equal(c.t, count, target.Failures)
	assert.Equal(c.t, threshold, target.Threshold)
	d := c.Deployment("jobs")
	assert.Equal(c.t, string(rune('0'+count)), d.Annotations[failures])
	if count == threshold {
		assert.True(c.t, strings.HasPrefix(d.Annotations[lastError], cause+": "), d.Annotations[lastError])
		assert.Contains(c.t, d.Annotations[lastError], c.host)
	} else {
		assert.NotContains(c.t, d.Annotations, lastError)
	}
	assert.Equal(c.t, digest, live(c.Scenario), "the slot is untouched")
	assert.Empty(c.t, slotWrites(c.Scenario, "deployments", "jobs"))
	assert.Equal(c.t, 1, workloads.Revision(d))
}

// short is for troubles that end with the time for one image.
func (c *cell) short() { c.Setenv("RESOLVE_TIMEOUT", "4s") }

// request is what is asked at the stage.
func (c *cell) request() registries.Matcher {
	switch c.stage {
	case "ping":
		return registries.At(hubHost, registries.Ping)
	case "token":
		return registries.At(hubTokens, registries.Token)
	case "manifest":
		return registries.At(hubHost, registries.Head)
	default:
		return registries.At(hubHost, registries.Get)
	}
}

// throughout has whatever is asked of the registry from the stage on answered like this: what /v2/ says is not the last
// word.
func (c *cell) throughout(do faultinject.Action) {
	if c.stage == "ping" {
		c.Site.Front.Inject(registries.Fault{Match: registries.At(hubHost), Do: do})
		return
	}
	c.answer(do)
}

// answer has the request of the stage answered like this.
func (c *cell) answer(do faultinject.Action) {
	c.Site.Front.Inject(registries.Fault{Match: c.request(), Do: do})
}

// body is answer for what is wrong with a body. The answer to a HEAD has none, so there the registry omits the digest,
// and the tag is asked for by GET.
func (c *cell) body(do faultinject.Action) {
	if c.stage == "manifest" {
		c.answer(faultinject.Header("Docker-Content-Digest"))
		c.Site.Front.Inject(registries.Fault{Match: registries.At(hubHost, registries.Get), Do: do})
		return
	}
	c.answer(do)
}

// lead leads the stage to an address: it is the registry's, its proxy's, that of its token endpoint, or the one to which
// it redirects. The failure is then one of the way, with the phrase of that.
func (c *cell) lead(address, phrase string) {
	c.host = address
	c.Setenv("NO_PROXY", "127.0.0.1,localhost,.invalid")
	switch c.stage {
	case "proxy":
		c.Setenv("HTTPS_PROXY", "http://"+address)
	case "token":
		registry := hubHost
		if strings.HasPrefix(address, "127.") { // no registry elsewhere may name this machine
			registry = c.Site.Front.TLSAddr()
			c.image = registry + "/tracebloc/jobs-manager:prod"
		}
		c.Site.Front.Inject(registries.Fault{Match: registries.At(registry, registries.Ping), Do: faultinject.Reply(
			http.StatusUnauthorized, "", "WWW-Authenticate", `Bearer realm="https://`+address+`/token",service="registry.docker.io"`)})
		c.phrases = append(c.phrases, phrase)
	case "manifest", "index":
		c.answer(redirect("https://" + address + "/manifest"))
		c.phrases = []string{phrase}
	default:
		c.image = address + "/tracebloc/jobs-manager:prod"
	}
}

// name returns the host that is asked at the stage, for what is wrong with the way to that host alone.
func (c *cell) name(phrase string) string {
	switch c.stage {
	case "manifest", "index":
		c.Site.Front.Handle(cdnHost, http.NotFoundHandler())
		c.lead(cdnHost, phrase)
	case "token":
		c.phrases = append(c.phrases, phrase)
	}
	return c.host
}

// port holds a port for the length of the test.
func (c *cell) port(port *faultinject.Port, err error) string {
	require.NoError(c.t, err)
	c.t.Cleanup(func() { assert.NoError(c.t, port.Close()) })
	return port.Address
}

// redirect sends a client elsewhere.
func redirect(location string) faultinject.Action {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, location, http.StatusTemporaryRedirect)
	}
}
