package scenario_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
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
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, before, after := behindTag(t, ingestor, c.live, c.latest, c.line)
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

// What the digest in use offers is asked of a registry that still has it.
func TestADigestInUseThatIsGoneAsksForNothing(t *testing.T) {
	t.Parallel()
	s, before, after := behindTag(t, ingestor, registries.Index("a", "linux/amd64", "linux/arm64"), image("b"))
	require.NoError(t, s.Site.Delete("ghcr.io/tracebloc/ingestor@"+before))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, after, live(s))
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

// What containerd pulls is rolled out, though it is not spelled as the specification has it.
func TestManifestsThatNodesPull(t *testing.T) {
	t.Parallel()
	child := func(digest, architecture string) string {
		return fmt.Sprintf(`{"mediaType":%q,"size":2,"digest":%q,"platform":{"os":"linux","architecture":%q}}`, types.OCIManifestSchema1, digest, architecture)
	}
	good := child(digestOf("one"), "amd64")
	for name, c := range map[string]struct {
		served, written types.MediaType
		children        string
	}{
		"a docker list as an OCI index":        {types.OCIImageIndex, types.DockerManifestList, good},
		"an OCI index as a docker list":        {types.DockerManifestList, types.OCIImageIndex, good},
		"an entry by sha512 beside a good one": {types.OCIImageIndex, types.OCIImageIndex, good + "," + child("sha512:"+strings.Repeat("ab", 64), "arm64")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, _ := behindTag(t, ingestor, image("a"), image("b"), "platforms: [linux/amd64]")
			body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"artifactType":"application/x","manifests":[%s]}`, c.written, c.children)
			digest := digestOf(body)
			inject(s, func(c registries.Call) bool {
				return ofManifests("ghcr.io")(c) && (c.Reference == "0.3" || c.Reference == digest)
			}, faultinject.Reply(http.StatusOK, body, "Content-Type", string(c.served), "Docker-Content-Digest", digest, "Content-Length", fmt.Sprint(len(body))))
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
			assert.Equal(t, digest, live(s))
		})
	}
	t.Run("a gzip that nobody asked for", func(t *testing.T) {
		t.Parallel()
		s, _, after := behindTag(t, ingestor, image("a"), image("b"), "platforms: [linux/amd64]")
		inject(s, registries.At("ghcr.io", registries.Get), func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header().Set("Content-Encoding", "gzip")
			faultinject.Edit(func(body []byte) []byte {
				var folded bytes.Buffer
				into := gzip.NewWriter(&folded)
				_, _ = into.Write(body) // into memory
				_ = into.Close()
				return folded.Bytes()
			})(w, r, next)
		})
		requireOutcome(t, s.Tick(), 0, "refreshed", "")
		assert.Equal(t, after, live(s))
	})
}

// What a registry's policy, or the storage behind it, withholds by digest alone stops the rollout, and says who.
func TestWhatIsWithheldByDigest(t *testing.T) {
	t.Parallel()
	const policy = `{"errors":[{"code":"PROJECTPOLICYVIOLATION","message":"current image with 3 vulnerabilities cannot be pulled"}]}`
	for name, c := range map[string]struct {
		stage registries.Stage
		do    faultinject.Action
		says  []string
	}{
		"a policy": {registries.Get, faultinject.Reply(http.StatusPreconditionFailed, policy), []string{
			"is withheld: the registry ghcr.io answered 412 (PROJECTPOLICYVIOLATION)", "the policy changed",
		}},
		"the storage of a configuration": {registries.Blob, redirect("https://" + cdnHost + "/blob?sig=secret"), []string{
			"the storage " + cdnHost + ", to which the registry sends, answered 403", "allow egress to " + cdnHost + ":443",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			single := registries.Image
			s, before, _ := behindTag(t, ingestor, single("a", "linux/amd64"), single("b", "linux/amd64"), "platforms: [linux/amd64]")
			s.Site.Front.Handle(cdnHost, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "denied", http.StatusForbidden) }))
			inject(s, registries.At("ghcr.io", c.stage), c.do)
			failed := requireOutcome(t, s.Tick(), 0, "skipped", "forbidden")
			for _, text := range c.says {
				assert.Contains(t, failed.Message, text)
			}
			assert.NotContains(t, failed.Message, "secret")
			assert.Equal(t, before, live(s))
			assert.Empty(t, slotWrites(s, "deployments", "jobs"))
		})
	}
}
