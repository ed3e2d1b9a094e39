//go:build e2e && linux

package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/workloads"
)

// I24: an install-time digest lacked arm64; pods failed with "no match for platform". Here it is the node's own platform.
func TestI24AReleaseLacksTheNodesPlatform(t *testing.T) {
	t.Parallel()
	s, first := installed(t, "platform", "resolveFailureThreshold: 2\nrolloutFailureThreshold: 1\n")
	s.push("web", "serve", "web 2", "linux/arm64")
	require.Equal(t, "platform-missing", s.tick(0).workload("web").Cause)
	message := s.tick(1).message
	assert.Contains(t, message, "platform-missing")
	assert.Contains(t, message, "linux/amd64")
	require.Contains(t, s.events("web"), "ResolveFailing")
	s.holds("web", first, 1, "web 1")

	// Somebody insists, and tells the chart that arm64 is all that is needed. Now the kubelet has to say it.
	insisting := strings.Replace(s.target("web"), "    workloads:", "    platforms: [linux/arm64]\n    workloads:", 1)
	s.helm("helm upgrade image-refresh ./chart --values values.yaml", "targets:\n"+insisting+"rolloutFailureThreshold: 1\n"+byHand)
	message = s.tick(1, "web rolled-back").message
	assert.Regexp(t, "ErrImagePull|ImagePullBackOff", message)
	assert.Contains(t, message, "no match for platform")
	assert.Subset(t, s.events("web"), []string{"RolloutFailed", "RolledBack"})
	s.holds("web", first, 3, "web 1")
}

// I39: a single replica is stopped before the new one starts. The deadline ends the rollout between the third crash, after some 30
// to 40 s, and the fourth, 40 s later: its reason is CrashLoopBackOff then.
func TestI39AReleaseCrashes(t *testing.T) {
	t.Parallel()
	s, first := installed(t, "crash", "", workloads.Recreate(), workloads.ProgressDeadline(50))
	s.push("web", "crash", "no such database")
	assert.Contains(t, s.tick(1, "web rolled-back").message, "CrashLoopBackOff")
	assert.Subset(t, s.events("web"), []string{"RolloutFailed", "RolledBack"})
	s.holds("web", first, 3, "web 1")
	third := s.push("web", "serve", "web 3")
	s.tick(0, "web refreshed")
	s.holds("web", third, 4, "web 3")
}
