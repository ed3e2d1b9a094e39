package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// What a new digest must offer: the platforms that are named, or those that the digest in use offers.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	const both, arm = "platforms: [linux/amd64, linux/arm64]", "platforms: [linux/arm64]"
	const amd64, arm64, win17, win20 = "linux/amd64", "linux/arm64", "windows/amd64:10.0.17763.1", "windows/amd64:10.0.20348.2"
	index, single := registries.Index, registries.Image
	for name, c := range map[string]struct {
		live, latest registries.Content
		line         string
		lacks        string // empty: it is rolled out
		gone         bool   // the registry no longer has what is in use, which then asks for nothing
	}{
		"as many":                         {live: index("a", amd64, arm64), latest: index("b", arm64, amd64)},
		"one more":                        {live: index("a", amd64), latest: index("b", amd64, "linux/s390x")},
		"named, and there":                {live: index("a", amd64), latest: index("b", amd64, arm64), line: both},
		"named, and not there":            {live: index("a", amd64), latest: index("b", amd64), line: both, lacks: arm64},
		"named ones alone decide":         {live: index("a", amd64), latest: index("b", arm64), line: arm},
		"a single one, by its config":     {live: single("a", amd64), latest: single("b", amd64)},
		"a single one of another":         {live: single("a", amd64), latest: single("b", arm64), lacks: amd64},
		"an index, then a single one":     {live: index("a", amd64, arm64), latest: single("b", amd64), lacks: arm64},
		"a single one, then an index":     {live: single("a", arm64), latest: index("b", amd64), lacks: arm64},
		"in Docker's formats":             {live: single("a", amd64).AsDocker(), latest: index("b", amd64).AsDocker()},
		"in Docker's, and one less":       {live: index("a", amd64, arm64).AsDocker(), latest: single("b", amd64).AsDocker(), lacks: arm64},
		"as ko writes it":                 {live: registries.KoIndex("a", amd64), latest: registries.KoIndex("b", amd64)},
		"another variant":                 {live: index("a", "linux/arm/v7"), latest: index("b", "linux/arm/v6"), lacks: "linux/arm/v7"},
		"one Windows build less (I90)":    {live: index("a", win17, win20), latest: index("b", win20), lacks: "windows(10.0.17763)/amd64"},
		"one less, of a single one (I90)": {live: single("a", win17), latest: single("b", win20), lacks: "windows(10.0.17763)/amd64"},
		"an attestation is none":          {live: index("a", amd64).WithAttestation(), latest: index("b", amd64)},
		"one less, and attested (I24)":    {live: index("a", amd64, arm64), latest: index("b", amd64).WithAttestation(), lacks: arm64},
		"one less than what is gone":      {live: index("a", amd64, arm64), latest: index("b", amd64), gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, before, after := behindTag(t, ingestor, c.live, c.latest, c.line)
			if c.gone {
				require.NoError(t, s.Site.Delete("ghcr.io/tracebloc/ingestor@"+before))
			}
			if c.lacks == "" {
				requireOutcome(t, s.Tick(), 0, "refreshed", "")
				assert.Equal(t, after, live(s))
				return
			}
			failed := requireOutcome(t, s.Tick(), 0, "skipped", "platform-missing")
			assert.Contains(t, failed.Message, "lacks "+c.lacks+" ")
			assert.Contains(t, failed.Message, ingestor+"@"+after[:19])
			assert.Equal(t, before, live(s))
			assert.Empty(t, slotWrites(s, "deployments", "jobs"))
		})
	}
}

// I24: a gate has refused a digest, and a deployer puts it there all the same. That is not fresh: it goes on counting, is not
// recorded, and is not put there again once the deployer has taken it away. A person may choose it.
func TestI24WhatAGateRefusedIsNotFreshWhoeverPutsItThere(t *testing.T) {
	t.Parallel()
	s, before, refused := behindTag(t, ingestor, registries.Index("a", "linux/amd64", "linux/arm64"), image("b"))
	deployer := func(digest string) {
		s.Patch(harness.Argo, s.Deployment("jobs"), set(digest))
		s.Settle(workloads.Deployment("jobs"))
		s.Forget()
	}
	requireOutcome(t, s.Tick(), 0, "skipped", "platform-missing")
	deployer(refused)
	again := requireOutcome(t, s.Tick(), 0, "skipped", "platform-missing")
	assert.Contains(t, again.Message, "lacks linux/arm64 ")
	requireOutcome(t, s.Tick(), 1, "failed", "platform-missing")
	assert.Equal(t, before, s.Deployment("jobs").Annotations[recorded])
	deployer(before)
	requireOutcome(t, s.Tick(), 1, "failed", "platform-missing")
	assert.Empty(t, slotWrites(s, "deployments", "jobs"))
	assert.Equal(t, before, live(s))

	s.Kubectl("set", "env", "deployment/jobs", slot+"="+refused)
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	assert.Equal(t, refused, s.Deployment("jobs").Annotations[recorded])
	requireQuietOnceSettled(t, s, workloads.Deployment("jobs"))
}

// A platform that is missing and a registry that cannot be asked are one streak, which ends in a tick with neither.
func TestAMissingPlatformSharesTheStreak(t *testing.T) {
	t.Parallel()
	s, before, _ := behindTag(t, ingestor, registries.Index("a", "linux/amd64", "linux/arm64"), image("b"))
	requireOutcome(t, s.Tick(), 0, "skipped", "platform-missing")
	unblock := s.Site.Proxy.Refuse("ghcr.io", 403)
	requireOutcome(t, s.Tick(), 0, "skipped", "proxy")
	unblock()
	result := s.Tick()
	requireOutcome(t, result, 1, "failed", "platform-missing")
	assert.Equal(t, 3, result.Report.Target("ingestor").Failures)
	assert.Regexp(t, `^platform-missing: .*linux/arm64`, s.Deployment("jobs").Annotations[lastError])
	assert.Len(t, eventsOf(s, "ResolveFailing"), 1)
	assert.Equal(t, before, live(s))

	third := s.Push(ingestor, registries.Index("c", "linux/amd64", "linux/arm64"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	requireRolled(t, s, "jobs", third, 2)
	assert.NotContains(t, s.Deployment("jobs").Annotations, failures)
	assert.NotContains(t, s.Deployment("jobs").Annotations, lastError)
}
