package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// What a new digest must offer: the platforms that are named, or those that the digest in use offers. I24: the digest that was put
// there lacked arm64, and pods failed with "no match for platform".
func TestI24I90Platforms(t *testing.T) {
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
		"as many":                       {live: index("a", amd64, arm64), latest: index("b", arm64, amd64)},
		"one more":                      {live: index("a", amd64), latest: index("b", amd64, "linux/s390x")},
		"named, and there":              {live: index("a", amd64), latest: index("b", amd64, arm64), line: both},
		"named, and not there":          {live: index("a", amd64), latest: index("b", amd64), line: both, lacks: arm64},
		"named ones alone decide":       {live: index("a", amd64), latest: index("b", arm64), line: arm},
		"a single one, by its config":   {live: single("a", amd64), latest: single("b", amd64)},
		"a single one of another":       {live: single("a", amd64), latest: single("b", arm64), lacks: amd64},
		"an index, then a single one":   {live: index("a", amd64, arm64), latest: single("b", amd64), lacks: arm64},
		"a single one, then an index":   {live: single("a", arm64), latest: index("b", amd64), lacks: arm64},
		"in Docker's formats":           {live: single("a", amd64).AsDocker(), latest: index("b", amd64).AsDocker()},
		"in Docker's, and one less":     {live: index("a", amd64, arm64).AsDocker(), latest: single("b", amd64).AsDocker(), lacks: arm64},
		"as ko writes it":               {live: registries.KoIndex("a", amd64), latest: registries.KoIndex("b", amd64)},
		"another variant":               {live: index("a", "linux/arm/v7"), latest: index("b", "linux/arm/v6"), lacks: "linux/arm/v7"},
		"one Windows build less":        {live: index("a", win17, win20), latest: index("b", win20), lacks: "windows(10.0.17763)/amd64"},
		"another, of a single one":      {live: single("a", win17), latest: single("b", win20), lacks: "windows(10.0.17763)/amd64"},
		"an attestation is none":        {live: index("a", amd64).WithAttestation(), latest: index("b", amd64)},
		"one less, and attested":        {live: index("a", amd64, arm64), latest: index("b", amd64).WithAttestation(), lacks: arm64},
		"one less than in what is gone": {live: index("a", amd64, arm64), latest: index("b", amd64), gone: true},
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
			requireFailing(t, s.Tick(), 0, "platform-missing", "lacks "+c.lacks+" ", ingestor+"@"+after[:19])
			requireUntouched(t, s, before)
		})
	}
}

// I31: a registry answered 429; the updater fell back from HEAD to GET, and drained the quota of the whole site. It is asked
// again when it says so, where that is within the time for one image, and never by the GET that costs a pull.
func TestI31WhenA429SaysHowLongToWait(t *testing.T) {
	t.Parallel()
	after := func(wait string) faultinject.Action { return faultinject.Reply(429, "", "Retry-After", wait) }
	ghcr := func(wait string) faultinject.Action { // in the message alone
		return faultinject.Reply(429, `{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: `+wait+`, allowed: 44000/minute"}]}`)
	}
	for name, c := range map[string]struct {
		stage registries.Stage
		do    faultinject.Action
		waits float64 // so many seconds at least; negative: for another tick
	}{
		"the token endpoint, not now":          {registries.Token, after("0"), 0},
		"ghcr.io's token endpoint, not now":    {registries.Token, ghcr("285.47µs"), 0},
		"ghcr.io's token endpoint, not today":  {registries.Token, ghcr("24h"), -1},
		"ping, not now":                        {registries.Ping, after("0"), 0},
		"ping, not today":                      {registries.Ping, after("86400"), -1},
		"manifest, in a second":                {registries.Head, after("1"), 1},
		"manifest, without a word":             {registries.Head, faultinject.Reply(429, ""), -1},
		"manifest, with a date":                {registries.Head, after("Fri, 31 Dec 1999 23:59:59 GMT"), 0},
		"manifest, with a date to come":        {registries.Head, after("Wed, 31 Dec 2098 23:59:59 GMT"), -1},
		"manifest by digest, not now":          {registries.Get, after("0"), 0},
		"manifest by digest, not today":        {registries.Get, after("86400"), -1},
		"manifest by digest, ghcr.io's answer": {registries.Get, ghcr("24h"), -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, before, latest := behindTag(t, ingestor, image("first"), image("second"))
			s.Site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", c.stage), Times: 1, Do: c.do})
			result := s.Tick()
			calls := s.Site.Front.Calls(registries.At("ghcr.io", c.stage))
			if c.waits >= 0 {
				requireOutcome(t, result, 0, "refreshed", "")
				assert.Equal(t, latest, live(s))
				require.GreaterOrEqual(t, len(calls), 2)
				assert.GreaterOrEqual(t, calls[1].Time.Sub(calls[0].Time).Seconds(), c.waits)
				return
			}
			requireFailing(t, result, 0, "rate-limited", "ghcr.io")
			assert.Len(t, calls, 1, "not asked again")
			assert.True(t, c.stage == registries.Get || asked(s, "ghcr.io", registries.Get) == 0, "no pull is spent")
			assert.Equal(t, "1", s.Deployment("jobs").Annotations[failures])
			requireUntouched(t, s, before)
		})
	}
}

// A rollout that could not pull is not started: docker.io says how many pulls are left. What has not changed needs no pull.
func TestQuota(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		latest  string
		left    int
		header  string // in place of what the registry says, where set
		pulls   int
		outcome string
	}{
		"none left":                   {"second", 0, "", 0, "skipped"},
		"one left, which this is":     {"second", 1, "", 1, "skipped"},
		"two left, for two manifests": {"second", 2, "", 2, "skipped"},
		"enough":                      {"second", 3, "", 2, "refreshed"},
		"no limit":                    {"second", -1, "", 2, "refreshed"},
		"a header that is no number":  {"second", 50, "none;w=21600", 2, "refreshed"},
		"nothing has changed":         {"first", 0, "", 0, "unchanged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, before, latest := behindTag(t, jobsManager, image("first"), image(c.latest))
			s.Site.DockerHub.LimitPulls(c.left)
			s.WithoutPlan() // a plan pulls as well
			if c.header != "" {
				inject(s, ofManifests(hubHost), faultinject.Header("Ratelimit-Remaining", c.header))
			}
			result := s.Tick()
			assert.Equal(t, c.pulls, asked(s, hubHost, registries.Get))
			if c.outcome != "skipped" {
				requireOutcome(t, result, 0, c.outcome, "")
				assert.Equal(t, latest, live(s))
				return
			}
			requireFailing(t, result, 0, "rate-limited", "docker.io/tracebloc/jobs-manager@sha256:", hubHost)
			assert.Equal(t, "1", s.Deployment("jobs").Annotations[failures])
			requireUntouched(t, s, before)
			s.Site.DockerHub.LimitPulls(100)
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
		})
	}
}
