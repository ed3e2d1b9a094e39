package scenario_test

import (
	"net/http"
	"syscall"
	"testing"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/fault"
	"github.com/tracebloc/image-refresh/tests/harness"
)

// moment is when a tick is killed: before or after the API server has carried a request out.
type moment int

const (
	before moment = iota
	after
)

// killAt runs a tick and kills it, as the kernel does, at the request that the rule picks. It says whether the
// tick came to that request; if not, it has ended by itself.
func killAt(t *testing.T, s *harness.Scenario, rule apiproxy.Fault, when moment) bool {
	t.Helper()
	started := make(chan *harness.Run, 1)
	rule.Do = func(_ http.ResponseWriter, r *http.Request, next http.Handler) {
		run := <-started
		kill := func() {
			if err := run.Signal(syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			<-run.Ended()
		}
		if when == after && r.URL.Query().Get("watch") == "" { // a watch has no end to wait for, and changes nothing
			fault.After(kill)(nowhere{}, r, next)
		} else {
			kill()
		}
		panic(http.ErrAbortHandler)
	}
	defer s.API.Inject(rule)()
	run := s.Start()
	started <- run
	return run.Finish().Signal == syscall.SIGKILL
}

// nowhere takes an answer that nobody waits for.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}
