package scenario_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// manifestsRead is how many manifests tell what runs, by how a node names it: the index names its manifests, and each of these
// its configuration.
var manifestsRead = map[string]int{"containerd, a manifest of the index": 1, "containerd, loaded from a file": 2, "CRI-O (I70)": 2}

// Installed beside an application on bare tags whose pods run what the tags mean, nothing restarts, however nodes name what
// they run (I70), and nothing is ever contested (Q20). What runs is recorded.
func TestQ20I70InstalledBesideABareTagNothingRestarts(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
		for name, form := range imageForms {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				b := bareOf(t, kind, form)
				digest := b.install(registries.Index("first", "linux/arm64", "linux/amd64"))
				manifests := b.Site.Front.Calls(registries.At("ghcr.io", registries.Get, registries.Blob))
				assert.Len(t, manifests, manifestsRead[name], "no more is read than it takes to know what runs")
				before := rollouts(t, b.Scenario, kind, "jobs")
				b.requireRecords("", digest)
				b.requireUnchanged(4)
				b.requireRecords("", digest)
				b.requireRollouts(before)

				second := b.Push(ingestor, registries.Index("second", "linux/arm64", "linux/amd64"))
				b.tick(0, "refreshed", "")
				b.requireRecords(second, second)
				b.tick(0, "unchanged", "")
				assert.Empty(t, b.API.Requests(apiproxy.Verb("list", "pods")), "no pods are read of a slot that is pinned")
			})
		}
	}
}

// I26: a node starts a pod with another build than the tag means now, as it does where it has an older one and the pull
// policy is IfNotPresent. Also one that has it from the beginning.
func TestI26ABareTagIsPinnedWhenAPodStartsAnythingElse(t *testing.T) {
	t.Parallel()
	b := bareOf(t, "StatefulSet", pulledAs)
	digest := b.install(image("first"), workloads.Replicas(2))
	b.requireUnchanged(1)
	b.pull(image("older"))
	b.restart()
	b.tick(0, "refreshed", "")
	b.requireRecords(digest, digest)
	assert.Len(t, b.pods(), 2)
	for _, pod := range b.pods() {
		assert.Equal(t, ingestor+"@"+digest, pod.Spec.Containers[0].Image)
	}
}

// Where nothing runs nothing restarts, and where pods may not be read it is not known what runs: pinned in the second tick, as
// is asked for with pinAtOnce, and where a gate may keep out what the tag will mean.
func TestABareTagIsPinnedInTheSecondTick(t *testing.T) {
	t.Parallel()
	noPods := slices.DeleteFunc(harness.Rules(), func(rule rbacv1.PolicyRule) bool { return slices.Contains(rule.Resources, "pods") })
	for name, c := range map[string]struct {
		kind    string
		options []workloads.Option
		rules   []rbacv1.PolicyRule
		line    string
		ends    string // what the tick that pins is told of
		unknown bool   // what runs
	}{
		"scaled to zero":       {options: []workloads.Option{workloads.Replicas(0)}, ends: "waiting", unknown: true},
		"a CronJob":            {kind: "CronJob", ends: "refreshed", unknown: true},
		"pods may not be read": {rules: noPods, ends: "refreshed", unknown: true},
		"pinAtOnce":            {line: "pinAtOnce: true", ends: "refreshed"},
		"platforms (I67)":      {line: "platforms: [linux/amd64]", ends: "refreshed"},
		"a minimum age, I67":   {line: "minAge: 24h", ends: "refreshed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bareOf(t, "Deployment", pulledAs, c.line)
			if c.rules != nil {
				b.Grant(b.Namespace, c.rules...)
			}
			if c.kind != "" {
				b.kind = c.kind
				b.follow()
			}
			digest := b.install(image("first"), c.options...)
			known := digest
			if c.unknown {
				known = "unpinned"
			}
			b.requireRecords("", known)
			b.tick(0, c.ends, "")
			if c.ends == "waiting" {
				assert.Equal(t, ingestor+"@"+digest, workloads.Image(b.now(), "api"))
				return
			}
			b.requireRecords(digest, digest)
			b.tick(0, "unchanged", "")
			assert.Empty(t, b.API.Writes())
		})
	}
}

// I16: pods that could not be read are not none. The workload fails, and nothing is patched.
func TestI16PodsThatCouldNotBeReadPinNothing(t *testing.T) {
	t.Parallel()
	b := bareOf(t, "Deployment", pulledAs)
	b.install(image("first"))
	stop := b.API.Inject(apiproxy.Fault{Match: apiproxy.Verb("list", "pods"), Do: apiproxy.Refuse(400, metav1.StatusReasonBadRequest, "not today")})
	b.tick(1, "failed", "api")
	assert.Empty(t, b.API.Writes())
	stop()
	b.requireUnchanged(1)
}

// I68: the first refresh after the install crashed, and the slot had held a bare tag. What ran, which may be older than what
// the tag meant, is restored.
func TestI68WhatRanUnderABareTagIsRestored(t *testing.T) {
	t.Parallel()
	for name, older := range map[string]bool{"what the tag meant": false, "an older build": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bareOf(t, "Deployment", pulledAs)
			first := b.deploy(image("first"), workloads.Recreate())
			second := image("second")
			b.crash(second)
			if older {
				b.Push(ingestor, second)
			}
			b.tick(0, "adopted", "")
			b.requireRecords("", first)
			b.Push(ingestor, second)
			b.Setenv("ROLLOUT_TIMEOUT", "4s")
			b.tick(1, "rolled-back", "rollout-failed")
			b.settle()
			b.requireRecords(first, first)
			b.tick(1, "rejected", "rollout-failed")
			b.requireRollouts(3)
		})
	}
}

// An older build that the registry no longer has cannot be gone back to.
func TestWhatRanAndIsGoneIsNotRecorded(t *testing.T) {
	t.Parallel()
	b := bareOf(t, "Deployment", pulledAs)
	first := b.deploy(image("first"))
	require.NoError(t, b.Site.Delete("ghcr.io/tracebloc/ingestor@"+first))
	second := b.Push(ingestor, image("second"))
	b.tick(0, "adopted", "")
	b.requireRecords("", "unpinned")
	b.tick(0, "refreshed", "")
	b.requireRecords(second, second)
}

// Q15: adopted at zero replicas and scaled up, all run A. B comes, and crashes: A is restored, though it was never recorded
// before.
func TestQ15AdoptedAtZeroAndScaledUpWhatRanIsRestored(t *testing.T) {
	t.Parallel()
	b := bareOf(t, "Deployment", pulledAs)
	first := b.install(image("first"), workloads.Replicas(0))
	b.requireRecords("", "unpinned")
	b.Kubectl("scale", "deployment/jobs", "--replicas=2")
	b.settle()
	second := image("second")
	b.crash(second)
	b.Push(ingestor, second)
	b.Setenv("ROLLOUT_TIMEOUT", "4s")
	b.Setenv("ROLLOUT_FAILURE_THRESHOLD", "1")
	b.tick(1, "rolled-back", "rollout-failed")
	b.settle()
	b.requireRecords(first, first)
}

// I67: what a gate refuses cannot be started by a node that is new to the workload: the bare tag is pinned to what runs, and
// the refusal counts all the same.
func TestI67ABareTagIsPinnedToWhatRunsWhereLatestIsRefused(t *testing.T) {
	t.Parallel()
	b := bareOf(t, "Deployment", pulledAs, "platforms: [linux/amd64]")
	first := b.install(image("first"))
	b.Push(ingestor, registries.Index("for other nodes", "linux/arm64"))
	b.tick(0, "refreshed", "")
	b.requireRecords(first, first)
	b.tick(0, "skipped", "platform-missing")
	b.tick(1, "failed", "platform-missing")
	b.requireRecords(first, first)
	b.requireRollouts(2)
}

// Q12: pods run what a gate refuses. They go on, pinned to it, so that every node runs the one build; and the refusal stays loud,
// though live is latest, until the tag moves on.
func TestQ12ABareTagThatRunsWhatIsRefusedIsPinnedAndStaysLoud(t *testing.T) {
	t.Parallel()
	b := bareOf(t, "Deployment", pulledAs, "platforms: [linux/amd64, linux/arm64]")
	first := b.install(image("first"))
	b.tick(0, "refreshed", "")
	b.requireRecords(first, first)
	b.tick(0, "skipped", "platform-missing")
	for range 2 {
		b.tick(1, "failed", "platform-missing")
	}
	assert.Empty(t, b.API.Writes())
	second := b.Push(ingestor, registries.Index("second", "linux/amd64", "linux/arm64"))
	b.tick(0, "refreshed", "")
	b.requireRecords(second, second)
}

// What is too young is kept out in the same way, and its age goes on.
func TestI67ABareTagIsPinnedToWhatRunsWhileLatestIsTooYoung(t *testing.T) {
	t.Parallel()
	b := bareOf(t, "Deployment", pulledAs, "minAge: 8s")
	b.WithoutPlan()
	first := b.install(image("first"))
	second := b.Push(ingestor, image("second"))
	b.tick(0, "refreshed", "")
	b.requireRecords(first, first)
	assert.Contains(t, b.now().GetAnnotations()[state], second, "since when it is latest is remembered")
	b.tick(0, "deferred", "")
	time.Sleep(8 * time.Second)
	b.tick(0, "refreshed", "")
	b.requireRecords(second, second)
}

// Q9: adopted on a bare tag, unchanged for long; a person pins an older digest: held until the tag moves.
func TestQ9APersonsPinOnABareTagIsHeld(t *testing.T) {
	t.Parallel()
	b := bareOf(t, "Deployment", pulledAs)
	older := b.Push(ingestor, image("older"))
	b.install(image("first"))
	b.requireUnchanged(2)
	b.Kubectl("set", "image", "deployment/jobs", "api="+ingestor+"@"+older)
	for range 2 {
		b.tick(0, "held", "")
		b.requireRecords(older, older)
	}
	second := b.Push(ingestor, image("second"))
	b.tick(0, "refreshed", "")
	b.requireRecords(second, second)
}

// Q10: adopted on a bare tag; an upgrade sets a digest, which crashes: the streak grows to its threshold, and is not forgotten
// in each tick.
func TestQ10AnUpgradeThatCrashesInPlaceOfABareTagIsCounted(t *testing.T) {
	t.Parallel()
	b := bareOf(t, "Deployment", pulledAs)
	bad := image("bad")
	digest := b.Push(ingestor, bad)
	b.crash(bad)
	b.install(image("first"))
	b.requireUnchanged(1)
	b.Setenv("UNSETTLED_THRESHOLD", "3")
	b.Push(ingestor, registries.Index("lacks a platform", "linux/arm64"))
	b.Patch(harness.Helm, b.now(), `{"spec":{"template":{"spec":{"containers":[{"name":"api","image":"`+ingestor+"@"+digest+`"}]}}}}`)
	b.Eventually("the rollout has begun", func() bool { return !workloads.Settled(b.now()) })
	for _, n := range []string{"1", "2"} {
		requireOutcome(t, b.Tick(), 0, "waiting", "")
		assert.Equal(t, n, b.now().GetAnnotations()[streak])
	}
	requireOutcome(t, b.Tick(), 1, "failed", "not-settled")
}

// An upgrade that renders the bare tag anew restarts the pods once. Where they run latest then, they are not restarted a second
// time; where they run anything else, it is put back, which counts.
func TestAnUpgradeToTheBareTagIsPinnedWhereItRunsAnythingElse(t *testing.T) {
	t.Parallel()
	b := bareOf(t, "Deployment", pulledAs)
	b.install(image("first"))
	second := b.Push(ingestor, image("second"))
	b.tick(0, "refreshed", "")
	render := func() {
		b.Patch(harness.Helm, b.now(), `{"spec":{"template":{"spec":{"containers":[{"name":"api","image":"`+ingestor+`"}]}}}}`)
		b.settle()
	}
	b.pull(image("first"))
	render()
	b.tick(0, "reapplied", "")
	b.requireRecords(second, second)

	b.restart()
	b.pull(image("second"))
	b.Kubectl("set", "env", "deployment/jobs", "UPGRADE=2")
	render()
	before := rollouts(t, b.Scenario, b.kind, "jobs")
	b.tick(0, "unchanged", "")
	b.requireRecords("", second)
	b.requireRollouts(before)
	b.requireUnchanged(1)
}

// In notify nothing is pinned, and what a manifest says is read once a digest, not once a tick.
func TestABareTagInNotifyIsReadOnce(t *testing.T) {
	t.Parallel()
	b := bareOf(t, "Deployment", imageForms["CRI-O (I70)"], "mode: notify")
	b.install(image("first"))
	b.requireUnchanged(2)
	b.Push(ingestor, image("second"))
	b.tick(0, "pending", "")
	b.requireRollouts(1)
}

// I73: an upgrade rendered the slot empty while a gate refuses latest: recorded fills it, and the refusal counts.
func TestI73AnEmptiedSlotIsFilledWithRecordedWhereLatestIsRefused(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Push(ingestor, registries.Index("for other nodes", "linux/arm64"))
	s.Patch(harness.Helm, jobs(""), set(""))
	s.Settle(jobs(""))
	result := s.Tick()
	requireOutcome(t, result, 0, "reapplied", "")
	assert.Equal(t, first, live(s))
	assert.Equal(t, 1, result.Report.Target("ingestor").Failures)
	assert.Equal(t, "platform-missing", result.Report.Target("ingestor").Cause)
	s.Settle(jobs(""))
	requireOutcome(t, s.Tick(), 0, "skipped", "platform-missing")
	requireOutcome(t, s.Tick(), 1, "failed", "platform-missing")
	assert.Equal(t, first, live(s))
}
