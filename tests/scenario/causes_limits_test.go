package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/registries"
)

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
		moved bool    // the tag has moved, and it is the manifest that is not given
	}{
		"the token endpoint, not now":          {registries.Token, after("0"), 0, false},
		"ghcr.io's token endpoint, not now":    {registries.Token, ghcr("285.47µs"), 0, false},
		"ghcr.io's token endpoint, not today":  {registries.Token, ghcr("24h"), -1, false},
		"ping, not now":                        {registries.Ping, after("0"), 0, false},
		"ping, not today":                      {registries.Ping, after("86400"), -1, false},
		"manifest, in a second":                {registries.Head, after("1"), 1, false},
		"manifest, without a word":             {registries.Head, faultinject.Reply(429, ""), -1, false},
		"manifest, with a date":                {registries.Head, after("Fri, 31 Dec 1999 23:59:59 GMT"), 0, false},
		"manifest, with a date to come":        {registries.Head, after("Wed, 31 Dec 2098 23:59:59 GMT"), -1, false},
		"manifest by digest, not now":          {registries.Get, after("0"), 0, true},
		"manifest by digest, not today":        {registries.Get, after("86400"), -1, true},
		"manifest by digest, ghcr.io's answer": {registries.Get, ghcr("24h"), -1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outcome, requests, latest := "unchanged", 2, image("first")
			if c.moved {
				outcome, requests, latest = "refreshed", 3, image("second") // for the new digest again, and for the one in use
			}
			s, digest, _ := behindTag(t, ingestor, image("first"), latest)
			s.Site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", c.stage), Times: 1, Do: c.do})
			result := s.Tick()
			calls := s.Site.Front.Calls(registries.At("ghcr.io", c.stage))
			if c.waits >= 0 {
				requireOutcome(t, result, 0, outcome, "")
				if assert.Len(t, calls, requests) {
					assert.GreaterOrEqual(t, calls[1].Time.Sub(calls[0].Time).Seconds(), c.waits)
				}
				return
			}
			failed := requireOutcome(t, result, 0, "skipped", "rate-limited")
			assert.Contains(t, failed.Message, "ghcr.io")
			assert.Len(t, calls, 1, "not asked again")
			if !c.moved {
				assert.Zero(t, asked(s, "ghcr.io", registries.Get), "no pull is spent")
			}
			assert.Equal(t, "1", s.Deployment("jobs").Annotations[failures])
			assert.Equal(t, digest, live(s))
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
			s, digest, latest := behindTag(t, jobsManager, image("first"), image(c.latest))
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
			failed := requireOutcome(t, result, 0, "skipped", "rate-limited")
			assert.Contains(t, failed.Message, "docker.io/tracebloc/jobs-manager@sha256:")
			assert.Contains(t, failed.Message, hubHost)
			assert.Equal(t, "1", s.Deployment("jobs").Annotations[failures])
			assert.Equal(t, digest, live(s))
			assert.Empty(t, slotWrites(s, "deployments", "jobs"))
			s.Site.DockerHub.LimitPulls(100)
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
		})
	}
}
