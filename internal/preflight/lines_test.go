package preflight

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/result"
)

const digest = image.Digest("sha256:4fe8c845ed77f7fc578becc0ed8d78466293219aae2fa3632269bf48451f98ec")

func fine() Facts {
	return Facts{
		Source: "config.yaml", Targets: 1,
		Permissions: []Permission{{What: "Deployment shop/web", Verb: "get", Access: "get deployments/web in namespace shop", Allowed: true, Workload: true}},
		Registries:  []resolver.HostReport{{Host: "docker.io", Address: "registry-1.docker.io", Challenge: "bearer", TokenHost: "auth.docker.io"}},
		Images:      []Image{{Name: "docker.io/shop/web:1", Answer: resolver.Answer{Digest: digest}}},
		Slots:       []Slot{{Target: "web", Workload: "Deployment shop/web", Place: "web", Outcome: decide.Unchanged}},
	}
}

// of returns the lines of one check, without what is beside the point.
func of(f Facts, name string) []result.Check {
	var found []result.Check
	for _, line := range Lines(f) {
		if line.Name == name {
			found = append(found, line)
		}
	}
	return found
}

func one(t *testing.T, f Facts, name string) result.Check {
	t.Helper()
	found := of(f, name)
	require.Len(t, found, 1)
	return found[0]
}

func failed(stage failure.Stage, cause failure.Cause, host string) *failure.Error {
	return &failure.Error{Cause: cause, Stage: stage, Host: host, Message: "it failed"}
}

func TestLinesStandInTheOrderInWhichOneRestsOnAnother(t *testing.T) {
	t.Parallel()
	var names []string
	for _, line := range Lines(fine()) {
		names = append(names, line.Name)
	}
	assert.Equal(t, []string{
		checkConfiguration, checkServer, checkPermission, checkRegistry, checkImage, checkWorkload, checkSchedule, checkNodes,
	}, names)
}

// What fails at a host is said once, of the registry; what fails for an image is said of the image.
func TestAFailureIsSaidWhereItHappened(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		stage    failure.Stage
		cause    failure.Cause
		host     string
		registry result.Status
		image    result.Status
	}{
		{failure.StageName, failure.DNS, "registry-1.docker.io", result.Wrong, result.Unchecked},
		{failure.StageConnect, failure.ConnectionRefused, "registry-1.docker.io", result.Wrong, result.Unchecked},
		{failure.StageTLS, failure.TLS, "auth.docker.io", result.Wrong, result.Unchecked},
		{failure.StagePing, failure.Forbidden, "registry-1.docker.io", result.Wrong, result.Unchecked},
		{failure.StagePing, failure.Unauthorized, "registry-1.docker.io", result.OK, result.Wrong}, // an account, by Basic
		{failure.StageToken, failure.ServerError, "auth.docker.io", result.Wrong, result.Unchecked},
		{failure.StageToken, failure.Unauthorized, "auth.docker.io", result.OK, result.Wrong},
		{failure.StageManifest, failure.NotFound, "registry-1.docker.io", result.OK, result.Wrong},
		{failure.StageManifest, failure.ServerError, "registry-1.docker.io", result.OK, result.Wrong},
		{failure.StageConnect, failure.ConnectionRefused, "elsewhere.example.com", result.OK, result.Wrong}, // no line of its own
	} {
		f := fine()
		f.Images[0].Answer = resolver.Answer{Failure: failed(c.stage, c.cause, c.host)}
		assert.Equal(t, c.registry, one(t, f, checkRegistry).Status, "%+v", c)
		line := one(t, f, checkImage)
		assert.Equal(t, c.image, line.Status, "%+v", c)
		if c.image == result.Wrong {
			assert.Equal(t, c.cause, line.Cause)
			assert.Contains(t, line.Message.String(), "runbook.md#"+string(c.cause))
		}
	}
}

// A mirror that cannot be asked, in whose place another one answers, fails no tick.
func TestAMirrorThatIsGonePastIsAWarning(t *testing.T) {
	t.Parallel()
	f := fine()
	f.Registries = append(f.Registries, resolver.HostReport{
		Host: "mirror.example.com", Address: "mirror.example.com", Failure: failed(failure.StageConnect, failure.ConnectionRefused, "mirror.example.com"),
	}, resolver.HostReport{Host: "idle.example.com", Address: "idle.example.com"})
	lines := of(f, checkRegistry)
	require.Len(t, lines, 3)
	assert.Equal(t, result.Warning, lines[1].Status)
	assert.Equal(t, result.Unchecked, lines[2].Status)
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	source := credential.Name{Namespace: "shop", Name: "pull"}
	rejected := failed(failure.StageToken, failure.Unauthorized, "auth.docker.io")
	for _, c := range []struct {
		name  string
		state resolver.ProofState
		image *failure.Error
		want  result.Status
	}{
		{"proven", resolver.Accepted, nil, result.OK},
		{"no verdict", resolver.NotVerified, nil, result.Unchecked},
		{"dead, and the image is public", resolver.Rejected, nil, result.Wrong},
		{"dead", resolver.Rejected, failed(failure.StageToken, failure.Unauthorized, "auth.docker.io"), result.Wrong},
		{"the registry's own trouble", resolver.Rejected, failed(failure.StageManifest, failure.ServerError, "registry-1.docker.io"), result.Unchecked},
		{"the registry cannot be asked", resolver.NotVerified, failed(failure.StageTLS, failure.TLS, "registry-1.docker.io"), result.Unchecked},
	} {
		f := fine()
		f.Registries[0].Proofs = []resolver.Proof{{Source: source, Holder: "pull secret shop/pull (account robot, entry docker.io)", State: c.state, Failure: rejected}}
		if c.image != nil {
			f.Images[0].Answer = resolver.Answer{Failure: c.image}
		}
		line := one(t, f, checkCredential)
		assert.Equal(t, c.want, line.Status, c.name)
		assert.Equal(t, "pull secret shop/pull (account robot, entry docker.io) at docker.io", line.Subject)
	}

	// What DOCKER_CONFIG gives, pods do not have.
	f := fine()
	f.Registries[0].Proofs = []resolver.Proof{{Holder: "DOCKER_CONFIG's entry (account me, entry docker.io)", State: resolver.Accepted}}
	lines := of(f, checkCredential)
	require.Len(t, lines, 2)
	assert.Equal(t, result.Warning, lines[1].Status)

	// A secret that is not there is said once, however many images it is for.
	f = fine()
	missing := &failure.Error{Cause: failure.CredentialMissing, Message: "it is not mounted"}
	for range 2 {
		f.Images = append(f.Images, Image{Name: "x", Answer: resolver.Answer{Digest: digest, Warnings: []*failure.Error{missing}}})
	}
	assert.Equal(t, result.Wrong, one(t, f, checkCredential).Status)
}

func TestImages(t *testing.T) {
	t.Parallel()
	f := fine()
	f.Images[0].Answer.Quota = resolver.Quota{Known: true, Remaining: 7, Window: 6 * time.Hour}
	assert.Contains(t, one(t, f, checkImage).Message.String(), "7 pulls are left in 6h")
	f.Images[0].Answer.Quota.Remaining = 0
	line := one(t, f, checkImage)
	assert.Equal(t, result.Wrong, line.Status)
	assert.Equal(t, failure.RateLimited, line.Cause)

	f = fine()
	f.Images[0].Pods, f.Images[0].PodsOf = failed(failure.StageToken, failure.Unauthorized, "auth.docker.io"), "Deployment shop/web"
	lines := of(f, checkImage)
	require.Len(t, lines, 2)
	assert.Equal(t, result.Wrong, lines[1].Status)
	assert.Contains(t, lines[1].Message.String(), "Deployment shop/web")
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	f := fine()
	f.Permissions[0].Allowed = false
	f.Permissions = append(f.Permissions,
		Permission{What: "Deployment shop/web", Verb: "patch", Access: "patch deployments/web in namespace shop", Workload: true},
		Permission{What: "Pods in shop", Verb: "list", Access: "list pods in namespace shop", Without: "reasons are unknown"},
		Permission{What: "Events in shop", Verb: "create", Access: "create events in namespace shop", Failure: failed("", failure.API, "")},
	)
	lines := of(f, checkPermission)
	require.Len(t, lines, 3)
	assert.Equal(t, result.Wrong, lines[0].Status)
	assert.Contains(t, lines[0].Message.String(), "may not get deployments/web in namespace shop, nor patch deployments/web in namespace shop")
	assert.Equal(t, result.OK, lines[1].Status)
	assert.Contains(t, lines[1].Message.String(), "reasons are unknown")
	assert.Equal(t, result.Unchecked, lines[2].Status)
	assert.Equal(t, result.Unchecked, one(t, f, checkWorkload).Status, "a workload that may not be read")
}

// Where no answer came at all, it is the API server, once.
func TestTheAPIServerIsSaidOnce(t *testing.T) {
	t.Parallel()
	f := fine()
	f.Permissions[0].Allowed, f.Permissions[0].Failure = false, failed("", failure.API, "")
	f.NoSchedules = failed("", failure.API, "")
	assert.Equal(t, result.Wrong, one(t, f, checkServer).Status)
	assert.Equal(t, result.Unchecked, one(t, f, checkPermission).Status)
	assert.Equal(t, result.Unchecked, one(t, f, checkWorkload).Status)
	assert.Empty(t, of(f, checkSchedule))

	f.Permissions, f.Slots, f.Interrupted = nil, nil, true // told to end before anything was asked
	assert.Empty(t, of(f, checkServer))
	assert.Equal(t, result.Wrong, of(f, checkConfiguration)[1].Status)
}

func TestSlotsAndSchedules(t *testing.T) {
	t.Parallel()
	f := fine()
	f.Slots = []Slot{
		{Target: "a", Workload: "w", Undecided: true, Failure: failed("", failure.DNS, "")},
		{Target: "b", Workload: "w", Outcome: decide.Rejected, Failure: failed("", failure.RolloutFailed, "")},
		{Target: "c", Workload: "w", Outcome: decide.Waiting, Message: "not settled"},
		{Target: "d", Workload: "w", Outcome: decide.Held, Message: "by a person", Conflicts: []Conflict{{"api/IMAGE", "helm", "kubectl-set"}}},
	}
	var statuses []result.Status
	for _, line := range of(f, checkWorkload) {
		statuses = append(statuses, line.Status)
	}
	assert.Equal(t, []result.Status{result.Unchecked, result.Wrong, result.Warning, result.OK}, statuses)
	assert.Contains(t, one(t, f, checkOwnership).Message.String(), "helm applied this workload and kubectl-set has taken api/IMAGE")

	f.Slots = []Slot{{Target: "a", Workload: "w", Outcome: decide.Unchanged, Controller: "Database main (example.com/v1)"}}
	line := one(t, f, checkOwnership)
	assert.Equal(t, result.Warning, line.Status)
	assert.Contains(t, line.Message.String(), "Database main (example.com/v1) controls this workload")

	f.Schedules = []Schedule{
		{Name: "short", Deadline: time.Minute, Longest: time.Hour},
		{Name: "suspended", Suspended: true, Deadline: time.Hour, Longest: time.Hour},
		{Name: "endless", Longest: time.Hour},
	}
	statuses = nil
	for _, line := range of(f, checkSchedule) {
		statuses = append(statuses, line.Status)
	}
	assert.Equal(t, []result.Status{result.Wrong, result.Warning, result.OK}, statuses)
	f.Schedules, f.NoSchedules = nil, failed("", failure.API, "")
	assert.Equal(t, result.Unchecked, one(t, f, checkSchedule).Status)
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	lines := Invalid([]string{"one", "two"}, true)
	require.Len(t, lines, 2)
	assert.Equal(t, result.Check{Name: "configuration", Status: result.Wrong, Message: result.Message{Text: "two"}}, lines[1])
	assert.Equal(t, failure.API, Invalid([]string{"one"}, false)[0].Cause)
}
