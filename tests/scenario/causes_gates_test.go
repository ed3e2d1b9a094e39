package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// behindTag makes a scenario whose Deployment runs one image while its tag has moved to another.
func behindTag(t *testing.T, live, latest registries.Content, lines ...string) (s *harness.Scenario, before, after string) {
	t.Helper()
	s = environment.Scenario(t)
	before = s.Push(ingestor, live)
	after = s.Push(ingestor, latest)
	s.Deploy(jobs(before, workloads.Label(mark, label(before)), workloads.Annotation(recorded, before)))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "api", "env: "+slot), lines...))
	s.Forget()
	return s, before, after
}

// What a new digest must offer: the platforms that are named, or those that the digest in use offers.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	const both, arm = "platforms: [linux/amd64, linux/arm64]", "platforms: [linux/arm64]"
	index, single := registries.Index, registries.Image
	for name, c := range map[string]struct {
		live, latest registries.Content
		lines        []string
		lacks        string // empty: it is rolled out
	}{
		"as many":                         {live: index("a", "linux/amd64", "linux/arm64"), latest: index("b", "linux/arm64", "linux/amd64")},
		"one less":                        {live: index("a", "linux/amd64", "linux/arm64"), latest: index("b", "linux/amd64"), lacks: "linux/arm64"},
		"one more":                        {live: index("a", "linux/amd64"), latest: index("b", "linux/amd64", "linux/s390x")},
		"named, and there":                {live: index("a", "linux/amd64"), latest: index("b", "linux/amd64", "linux/arm64"), lines: []string{both}},
		"named, and not there":            {live: index("a", "linux/amd64"), latest: index("b", "linux/amd64"), lines: []string{both}, lacks: "linux/arm64"},
		"named ones alone decide":         {live: index("a", "linux/amd64"), latest: index("b", "linux/arm64"), lines: []string{arm}},
		"a single one, by its config":     {live: single("a", "linux/amd64"), latest: single("b", "linux/amd64")},
		"a single one of another":         {live: single("a", "linux/amd64"), latest: single("b", "linux/arm64"), lacks: "linux/amd64"},
		"an index, then a single one":     {live: index("a", "linux/amd64", "linux/arm64"), latest: single("b", "linux/amd64"), lacks: "linux/arm64"},
		"a single one, then an index":     {live: single("a", "linux/arm64"), latest: index("b", "linux/amd64"), lacks: "linux/arm64"},
		"in Docker's formats":             {live: single("a", "linux/amd64").AsDocker(), latest: index("b", "linux/amd64").AsDocker()},
		"in Docker's, and one less":       {live: index("a", "linux/amd64", "linux/arm64").AsDocker(), latest: single("b", "linux/amd64").AsDocker(), lacks: "linux/arm64"},
		"as ko writes it":                 {live: registries.KoIndex("a", "linux/amd64"), latest: registries.KoIndex("b", "linux/amd64")},
		"arm64 is arm64/v8":               {live: index("a", "linux/arm64/v8"), latest: index("b", "linux/arm64")},
		"an unset variant is any":         {live: index("a", "linux/arm/v7"), latest: index("b", "linux/arm")},
		"another variant":                 {live: index("a", "linux/arm/v7"), latest: index("b", "linux/arm/v6"), lacks: "linux/arm/v7"},
		"a patch of a Windows build":      {live: index("a", "windows/amd64:10.0.17763.1"), latest: index("b", "windows/amd64:10.0.17763.2")},
		"a Windows build of any":          {live: index("a", "windows/amd64:10.0.17763.1"), latest: index("b", "windows/amd64")},
		"another Windows build (I90)":     {live: index("a", "windows/amd64:10.0.17763.1"), latest: index("b", "windows/amd64:10.0.20348.2"), lacks: "windows(10.0.17763)/amd64"},
		"one Windows build less (I90)":    {live: index("a", "windows/amd64:10.0.17763.1", "windows/amd64:10.0.20348.2"), latest: index("b", "windows/amd64:10.0.20348.3"), lacks: "windows(10.0.17763)/amd64"},
		"one less, of a single one (I90)": {live: single("a", "windows/amd64:10.0.17763.1"), latest: single("b", "windows/amd64:10.0.20348.3"), lacks: "windows(10.0.17763)/amd64"},
		"an attestation is none":          {live: index("a", "linux/amd64").WithAttestation(), latest: index("b", "linux/amd64")},
		"nor is a new one":                {live: index("a", "linux/amd64"), latest: index("b", "linux/amd64").WithAttestation()},
		"one less, and attested":          {live: index("a", "linux/amd64", "linux/arm64"), latest: index("b", "linux/amd64").WithAttestation(), lacks: "linux/arm64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, before, after := behindTag(t, c.live, c.latest, c.lines...)
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
	s, before, refused := behindTag(t, registries.Index("a", "linux/amd64", "linux/arm64"), registries.Index("b", "linux/amd64"))
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

// What the digest in use offers is asked of a registry that still has it.
func TestADigestInUseThatIsGoneAsksForNothing(t *testing.T) {
	t.Parallel()
	s, before, after := behindTag(t, registries.Index("a", "linux/amd64", "linux/arm64"), registries.Index("b", "linux/amd64"))
	require.NoError(t, s.Site.Delete("ghcr.io/tracebloc/ingestor@"+before))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, after, live(s))
}

// A manifest is fetched for a digest that has changed, by that digest, once for all who use it, and not in the ticks after.
func TestTheGatesAskOnceAndOfAChangedDigestAlone(t *testing.T) {
	t.Parallel()
	s, before, after := behindTag(t, image("a"), image("b"), "platforms: [linux/amd64]")
	s.Deploy(workloads.Deployment("other", workloads.Container("main", ingestor+"@"+before),
		workloads.Label(mark, label(before)), workloads.Annotation(recorded, before)))
	s.Configure("targets:\n" + targetOf("ingestor", ingestor,
		entry("Deployment", "jobs", "api", "env: "+slot)+entry("Deployment", "other", ""), "platforms: [linux/amd64]"))
	requireOutcomes(t, s.Tick(), 0, "refreshed")
	gets := s.Site.Front.Calls(registries.At("ghcr.io", registries.Get, registries.Blob))
	require.Len(t, gets, 1)
	assert.Equal(t, after, gets[0].Reference)

	s.Settle(workloads.Deployment("jobs"), workloads.Deployment("other"))
	requireQuiet(t, s)
	assert.Empty(t, s.Site.Front.Calls(registries.At("ghcr.io", registries.Get, registries.Blob)))
}

// A platform that is missing and a registry that cannot be asked are one streak, which ends in a tick with neither.
func TestAMissingPlatformSharesTheStreak(t *testing.T) {
	t.Parallel()
	s, before, _ := behindTag(t, registries.Index("a", "linux/amd64", "linux/arm64"), registries.Index("b", "linux/amd64"))
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

	s.Push(ingestor, registries.Index("c", "linux/amd64", "linux/arm64"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.NotContains(t, s.Deployment("jobs").Annotations, failures)
	assert.NotContains(t, s.Deployment("jobs").Annotations, lastError)
}
