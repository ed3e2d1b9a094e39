package scenario_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
)

// playClock has the API server's answers say that it is so many hours later than now, as the function that it returns is told.
func playClock(s *harness.Scenario) (at func(hours float64)) {
	var ahead atomic.Int64
	s.API.Inject(apiproxy.Fault{
		Match: func(r apiproxy.Request) bool { return r.Verb != "watch" },
		Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			faultinject.Header("Date", time.Now().Add(time.Duration(ahead.Load())).UTC().Format(http.TimeFormat))(w, r, next)
		},
	})
	return func(hours float64) { ahead.Store(int64(hours * float64(time.Hour))) }
}

// I48: one tick ran on a node whose clock was eight hours ahead. Ages are by the API server's clock, so nothing that a tick
// stores depends on the node's; and a stored time that is later than now is replaced by now, with a warning.
func TestI48AStoredTimeThatIsLaterThanNowIsReplaced(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry("Deployment", "jobs", "api", "env: "+slot), "minAge: 1h"))
	atHour := playClock(s)
	second := s.Push(ingestor, image("second"))
	atHour(8)
	requireOutcome(t, s.Tick(), 0, "deferred", "")
	atHour(0)
	ahead := s.Tick()
	requireOutcome(t, ahead, 0, "deferred", "")
	assert.Contains(t, ahead.Stderr, "later than now")
	atHour(1.1)
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, second, live(s))
}

// An API server that does not say what time it is leaves the node's clock, with a warning.
func TestAnAPIServerWithoutADateIsWarnedOf(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Settle(s.Deployment("jobs")) // a watch has a Date of its own
	s.API.Inject(apiproxy.Fault{Match: func(r apiproxy.Request) bool { return r.Verb != "watch" }, Do: faultinject.Header("Date", "")})
	result := s.Tick()
	requireOutcome(t, result, 0, "unchanged", "")
	assert.Contains(t, result.Stderr, "no Date")
}

// A check says how far the clock is off.
func TestACheckSaysHowFarTheClockIsOff(t *testing.T) {
	t.Parallel()
	s, _ := adopted(t)
	s.Settle(s.Deployment("jobs")) // a watch is not played
	playClock(s)(-8)
	result := s.Run("check")
	assert.Contains(t, result.Stdout, "8h0m")
	assert.Contains(t, result.Stdout, "ahead of the API server's")
}
