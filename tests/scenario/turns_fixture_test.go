package scenario_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// queue is a scenario with more Deployments than a tick may roll.
type queue struct {
	*harness.Scenario
	t       *testing.T
	names   []string // in the configuration's order
	targets string
}

// queueOf makes so many Deployments that run what the tag of the target "ingestor" means, and adopts them.
func queueOf(t *testing.T, deployments int) *queue {
	t.Helper()
	q := &queue{Scenario: environment.Scenario(t), t: t}
	first := q.Push(ingestor, image("first"))
	entries := ""
	for i := range deployments {
		name := fmt.Sprintf("jobs-%02d", i)
		q.Create(workloads.Deployment(name, workloads.Container("main", ingestor+"@"+first)))
		q.names = append(q.names, name)
		entries += entry("Deployment", name, "")
	}
	q.targets = "targets:\n" + targetOf("ingestor", ingestor, entries)
	q.adopt()
	return q
}

// add adds a target with a Deployment of its name, behind all others, and adopts it.
func (q *queue) add(name, reference string) string {
	q.t.Helper()
	digest := q.Push(reference, image(name+", first"))
	q.Create(workloads.Deployment(name, workloads.Container("main", reference+"@"+digest)))
	q.names = append(q.names, name)
	q.targets += targetOf(name, reference, entry("Deployment", name, ""))
	q.adopt()
	return name
}

func (q *queue) adopt() {
	q.t.Helper()
	q.Configure(q.targets)
	q.settle()
	harness.RequireExit(q.t, 0, q.Tick())
	q.settle()
}

func (q *queue) settle() {
	q.t.Helper()
	for _, name := range q.names {
		q.Settle(workloads.Deployment(name))
	}
}

// move moves the tag of "ingestor" on. The second in which somebody began to wait is over by then: that is how finely a
// wait may be told.
func (q *queue) move(turn int) (latest string) {
	q.t.Helper()
	before := time.Now().Unix()
	q.Eventually("another second", func() bool { return time.Now().Unix() > before })
	return q.Push(ingestor, image(fmt.Sprint("move ", turn)))
}

// tick runs a tick and says who was rolled and who waits, both green and uncounted. So many are rolled.
func (q *queue) tick(places int) (rolled, waiting []string) {
	q.t.Helper()
	result := q.Tick()
	harness.RequireExit(q.t, 0, result)
	for _, target := range result.Report.Targets {
		assert.Zero(q.t, target.Failures)
		for _, w := range target.Workloads {
			switch w.Outcome {
			case "refreshed":
				rolled = append(rolled, w.Name)
			case "waiting":
				waiting = append(waiting, w.Name)
				assert.NotEqual(q.t, target.Digest, w.Live)
			default:
				require.Equal(q.t, "unchanged", w.Outcome, "%s: %s", w.Name, w.Message)
			}
		}
	}
	assert.Len(q.t, rolled, places)
	q.settle()
	for _, name := range waiting {
		for _, counter := range []string{streak, failures, lastError} {
			assert.NotContains(q.t, q.Deployment(name).Annotations, counter, "uncounted")
		}
	}
	return rolled, waiting
}

// requireOver asserts that who is left is rolled in the next tick, and that nobody waits then.
func (q *queue) requireOver(left []string) {
	q.t.Helper()
	if len(left) > 0 {
		rolled, _ := q.tick(len(left))
		assert.Equal(q.t, left, rolled)
	}
	q.Forget()
	requireOutcomes(q.t, q.Tick(), 0, "unchanged")
	assert.Empty(q.t, q.API.Writes(), "nothing is left of a wait")
}
