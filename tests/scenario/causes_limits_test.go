package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// ghcrBusy is ghcr.io's 429: it says in the message alone how long to wait.
func ghcrBusy(wait string) faultinject.Action {
	return faultinject.Reply(429, `{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: `+wait+`, allowed: 44000/minute"}]}`)
}

// I31: a 429 is asked again when it says so, where that is within the time for one image; it is never followed by the GET
// that costs a pull.
func TestI31WhenA429SaysHowLongToWait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stage  registries.Stage
		do     faultinject.Action
		waits  bool // for its turn
		second bool // the tag has moved, and it is the manifest that is not given
	}{
		"the token endpoint, not now":          {stage: registries.Token, do: faultinject.Reply(429, "", "Retry-After", "0"), waits: true},
		"the token endpoint, not today":        {stage: registries.Token, do: faultinject.Reply(429, "", "Retry-After", "86400")},
		"ghcr.io's token endpoint, not now":    {stage: registries.Token, do: ghcrBusy("285.47µs"), waits: true},
		"ghcr.io's token endpoint, not today":  {stage: registries.Token, do: ghcrBusy("24h")},
		"ping, not now":                        {stage: registries.Ping, do: faultinject.Reply(429, "", "Retry-After", "0"), waits: true},
		"ping, not today":                      {stage: registries.Ping, do: faultinject.Reply(429, "", "Retry-After", "86400")},
		"manifest, without a word":             {stage: registries.Head, do: faultinject.Reply(429, "")},
		"manifest, with a date":                {stage: registries.Head, do: faultinject.Reply(429, "", "Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT"), waits: true},
		"manifest, with a date to come":        {stage: registries.Head, do: faultinject.Reply(429, "", "Retry-After", "Wed, 31 Dec 2098 23:59:59 GMT")},
		"manifest, with nonsense":              {stage: registries.Head, do: faultinject.Reply(429, "", "Retry-After", "soon")},
		"manifest by digest, not now":          {stage: registries.Get, do: faultinject.Reply(429, "", "Retry-After", "0"), waits: true, second: true},
		"manifest by digest, not today":        {stage: registries.Get, do: faultinject.Reply(429, "", "Retry-After", "86400"), second: true},
		"manifest by digest, ghcr.io's answer": {stage: registries.Get, do: ghcrBusy("24h"), second: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, digest := runsTag(t, ingestor)
			s.Configure(ingestorConfig)
			outcome, asked := "unchanged", 2
			if c.second {
				outcome, asked = "refreshed", 3 // for the new digest again, and for the one in use
				s.Push(ingestor, image("second"))
			}
			s.Site.Front.Inject(registries.Fault{Match: registries.At("ghcr.io", c.stage), Times: 1, Do: c.do})
			s.Forget()
			result := s.Tick()
			calls := s.Site.Front.Calls(registries.At("ghcr.io", c.stage))
			if c.waits {
				requireOutcome(t, result, 0, outcome, "")
				assert.Len(t, calls, asked)
				return
			}
			failed := requireOutcome(t, result, 0, "skipped", "rate-limited")
			assert.Contains(t, failed.Message, "ghcr.io")
			assert.Len(t, calls, 1, "not asked again")
			if !c.second {
				assert.Empty(t, s.Site.Front.Calls(registries.At("ghcr.io", registries.Get)), "no pull is spent")
			}
			assert.Equal(t, "1", s.Deployment("jobs").Annotations[failures])
			assert.Equal(t, digest, live(s))
		})
	}
}

// A rollout that could not pull is not started: docker.io says how many pulls are left.
func TestQuota(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		left   int
		header string // in place of what the registry says, where set
		pulls  int
		held   bool
	}{
		"none left":                   {left: 0, pulls: 0, held: true},
		"one left, which this is":     {left: 1, pulls: 1, held: true},
		"two left, for two manifests": {left: 2, pulls: 2, held: true},
		"enough":                      {left: 3, pulls: 2},
		"no limit":                    {left: -1, pulls: 2},
		"a blank header":              {left: 50, header: " ", pulls: 2},
		"a header that is no number":  {left: 50, header: "none;w=21600", pulls: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, digest := runsTag(t, jobsManager)
			second := s.Push(jobsManager, image("second"))
			s.Configure("targets:\n" + targetOf("ingestor", jobsManager, entry("Deployment", "jobs", "api", "env: "+slot)))
			s.Site.DockerHub.LimitPulls(c.left)
			s.WithoutPlan() // a plan pulls as well
			if c.header != "" {
				s.Site.Front.Inject(registries.Fault{
					Match: registries.At(hubHost, registries.Head, registries.Get), Do: faultinject.Header("Ratelimit-Remaining", c.header),
				})
			}
			s.Forget()
			result := s.Tick()
			pulls := s.Site.Front.Calls(registries.At(hubHost, registries.Get))
			assert.Len(t, pulls, c.pulls)
			if !c.held {
				requireOutcome(t, result, 0, "refreshed", "")
				assert.Equal(t, second, live(s))
				return
			}
			failed := requireOutcome(t, result, 0, "skipped", "rate-limited")
			assert.Contains(t, failed.Message, "docker.io/tracebloc/jobs-manager@sha256:")
			assert.Contains(t, failed.Message, hubHost)
			assert.Equal(t, "1", s.Deployment("jobs").Annotations[failures])
			assert.Equal(t, digest, live(s))
			assert.Empty(t, slotWrites(s, "deployments", "jobs"))
			assert.Equal(t, 1, workloads.Revision(s.Deployment("jobs")))

			s.Site.DockerHub.LimitPulls(100)
			requireOutcome(t, s.Tick(), 0, "refreshed", "")
		})
	}
}

// What has not changed needs no pull: with none left it is as fresh as ever.
func TestQuotaIsOfNoConcernToWhatHasNotChanged(t *testing.T) {
	t.Parallel()
	s, _ := onTag(t, jobsManager)
	s.Configure("targets:\n" + targetOf("ingestor", jobsManager, entry("Deployment", "jobs", "api", "env: "+slot)))
	s.Site.DockerHub.LimitPulls(0)
	requireOutcome(t, s.Tick(), 0, "unchanged", "")
	require.Zero(t, s.Site.DockerHub.Pulls())
}
