package scenario_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/workloads"
)

// I57: ten rollouts a tick, twelve workloads, a tag that moved each tick: two were never refreshed, green. Who has waited
// longest for a turn goes first, whatever digest was waited for.
func TestI57ATagThatMovesInEachTickReachesEveryWorkload(t *testing.T) {
	t.Parallel()
	q := queueOf(t, 12)
	var passedOver []string
	for turn := range 4 {
		q.move(turn)
		rolled, waiting := q.tick(10)
		assert.Len(t, waiting, 2)
		assert.Subset(t, rolled, passedOver, "tick %d: who had to wait goes first", turn+1)
		passedOver = waiting
	}
	q.requireOver(passedOver)
}

// I57 with one rollout a tick: each has its turn before anybody has a second one.
func TestI57NobodyHasASecondTurnBeforeTheLastOneHasHadOne(t *testing.T) {
	t.Parallel()
	const all = 3
	q := queueOf(t, all)
	q.Setenv("MAX_ROLLOUTS", "1")
	var order []string
	for turn := range 3 * all {
		q.move(turn)
		rolled, waiting := q.tick(1)
		assert.Len(t, waiting, all-1)
		if turn >= all {
			assert.Equal(t, order[turn-all:turn-all+1], rolled, "tick %d: in the order of the round before", turn+1)
		}
		order = append(order, rolled...)
	}
	first := slices.Sorted(slices.Values(order[:all]))
	assert.Equal(t, slices.Sorted(slices.Values(q.names)), first, "one turn each")
}

// I57: a target whose tag moves in each tick leaves a turn to one that stands behind it in the configuration, and whose
// tag has moved once.
func TestI57ATargetThatMovesInEachTickStarvesNoOther(t *testing.T) {
	t.Parallel()
	q := queueOf(t, 3)
	q.Setenv("MAX_ROLLOUTS", "3")
	patient := q.add("patient", "ghcr.io/tracebloc/patient:1")
	latest := q.Push("ghcr.io/tracebloc/patient:1", image("patient, second"))
	q.move(0)
	rolled, waiting := q.tick(3)
	assert.Equal(t, q.names[:3], rolled, "nobody has waited yet: as the configuration has them")
	assert.Equal(t, []string{patient}, waiting)
	q.move(1)
	rolled, waiting = q.tick(3)
	assert.Contains(t, rolled, patient)
	assert.Len(t, waiting, 1)
	assert.Equal(t, latest, q.Deployment(patient).Annotations["tracebloc.io/last-refreshed-patient-digest"])
}

// A turn that is no longer needed is given up: the tag is back where the workload is, and nothing is left of the wait.
func TestI57ATagThatIsBackEndsTheWaitForATurn(t *testing.T) {
	t.Parallel()
	q := queueOf(t, 2)
	q.Setenv("MAX_ROLLOUTS", "1")
	first := q.Deployment(q.names[0]).Annotations[recorded]
	q.move(0)
	rolled, waiting := q.tick(1)
	assert.Len(t, waiting, 1)
	require.NoError(t, q.Site.Tag(ingestor, first))
	result := q.Tick()
	outcomeOf(t, result, "ingestor", waiting[0], "unchanged", "")
	assert.NotContains(t, q.Deployment(waiting[0]).Annotations, state)
	outcomeOf(t, result, "ingestor", rolled[0], "reapplied", "")
}

// I57: a workload that waits for its turn is rolled with what is latest then, in one rollout, and its wait is over.
func TestI57WhoHasWaitedIsRolledOnce(t *testing.T) {
	t.Parallel()
	q := queueOf(t, 3)
	q.Setenv("MAX_ROLLOUTS", "1")
	var latest string
	for turn := range 3 {
		latest = q.move(turn)
		q.tick(1)
	}
	for _, name := range q.names {
		assert.Equal(t, 2, workloads.Revision(q.Deployment(name)), "%s: one rollout in three ticks", name)
	}
	q.Setenv("MAX_ROLLOUTS", "0")
	q.Tick()
	for _, name := range q.names {
		assert.Equal(t, latest, q.Deployment(name).Annotations[recorded], name)
	}
	q.requireOver(nil)
}

// Who waits for a turn is found by a plan as well: it names the same ones, and does not wait itself.
func TestI57APlanTellsWhoseTurnItIs(t *testing.T) {
	t.Parallel()
	q := queueOf(t, 3)
	q.Setenv("MAX_ROLLOUTS", "2")
	for turn := range 3 {
		q.move(turn)
		q.Forget()
		plan := q.Run("plan")
		assert.Empty(t, q.API.Writes())
		rolled, waiting := q.tick(2)
		for _, name := range rolled {
			outcomeOf(t, plan, "ingestor", name, "pending", "")
		}
		for _, name := range waiting {
			outcomeOf(t, plan, "ingestor", name, "waiting", "")
		}
		assert.Len(t, waiting, 1, "tick %d", turn+1)
	}
}
