package scenario_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

var (
	firstSeed = flag.Uint64("seed", 1, "the first random sequence")
	sequences = flag.Int("sequences", 0, "how many random sequences, from the first on; 0: 4, or 12 with the race detector")
)

const (
	randomEvents = 14
	quietTicks   = 14 // more than all thresholds together
	mostStale    = 9
)

// TestRandomSequences has anything happen to two workloads, in an order that a seed chooses. After each tick, no person's choice
// is lost, nothing held is touched, and nothing is recorded that never worked. Once the surroundings are quiet, nothing is rolled any
// more, and all is fresh, left to a person, or loud; a digest that no pod spoke against is used a day after its trouble is over;
// and a good digest leads out of everything.
func TestRandomSequences(t *testing.T) {
	t.Parallel()
	if *sequences == 0 {
		if *sequences = 4; environment.Race {
			*sequences = 12
		}
	}
	for n := range *sequences {
		seed := *firstSeed + uint64(n)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newRandomWorld(t, seed)
			w.ticks()
			for range randomEvents {
				w.happens()
				if w.rng.IntN(4) > 0 {
					w.ticks()
				}
			}
			w.registryUp()
			w.quiet("the surroundings are quiet", func(l *randomLoad, outcome product.Workload) bool {
				return w.fresh(l) || w.leftToAPerson(l, outcome) || outcome.Cause != ""
			})
			w.heal()
			w.later()
			w.quiet("a day later", func(l *randomLoad, outcome product.Workload) bool {
				return w.fresh(l) || w.leftToAPerson(l, outcome) || builds[w.is[w.latest]].blamed && outcome.Cause != ""
			})
			w.release()
			w.publish(0)
			w.say("the tag moves to %s", w.latest)
			w.later()
			w.quiet("a good digest", func(l *randomLoad, outcome product.Workload) bool {
				return w.fresh(l) && outcome.Outcome == "unchanged"
			})
		})
	}
}

// later is more than a day.
func (w *randomWorld) later() {
	w.hours += 25
	w.atHour(w.hours)
	w.say("25 hours later")
}

// release takes away what holds a workload, and has it run.
func (w *randomWorld) release() {
	for _, l := range w.loads {
		what := build(l.kind, l.name).GetObjectKind().GroupVersionKind().Kind + "/" + l.name
		if l.held {
			w.Kubectl("label", what, "tracebloc.io/refresh-hold-")
			l.held = false
		}
		if l.replicas == 0 {
			w.Kubectl("scale", what, "--replicas=1")
			l.replicas = 1
		}
		w.say("%s is released, with %d replicas", what, l.replicas)
	}
}

// ticks runs one tick, or two at once, or one that is killed.
func (w *randomWorld) ticks() {
	before := map[*randomLoad]string{}
	for _, l := range w.loads {
		before[l] = w.live(l)
	}
	w.Forget()
	var results []*product.Result
	switch w.rng.IntN(6) {
	case 0:
		run := w.Start()
		select {
		case <-time.After(time.Duration(w.rng.IntN(600)) * time.Millisecond):
			_ = run.Signal(syscall.SIGKILL) // it may have ended
		case <-run.Ended():
		}
		result := run.Finish()
		w.say("a tick, killed: %t", result.ExitCode < 0)
		if result.ExitCode >= 0 {
			results = append(results, result)
		}
	case 1:
		w.say("two ticks at once")
		one, other := w.Start(), w.Start()
		results = append(results, one.Finish(), other.Finish())
	default:
		results = append(results, w.Run())
	}
	for _, result := range results {
		w.check(result)
	}
	for _, l := range w.loads {
		w.checkObject(l, before[l], len(results))
	}
}

// check looks at what a tick has said.
func (w *randomWorld) check(result *product.Result) {
	require.NotNil(w.t, result.Report, "%s", result.Stderr)
	target := result.Report.Target("ingestor")
	w.say("tick: exit %d, %s %d/%d", result.ExitCode, target.Cause, target.Failures, target.Threshold)
	for _, l := range w.loads {
		outcome := target.Workload(l.name)
		w.say("  %s: %s %s %q", l.name, outcome.Outcome, outcome.Cause, outcome.Message)
		switch {
		case result.ExitCode != 0 && result.ExitCode != 1:
			w.broken(l, "exit code %d", result.ExitCode)
		case outcome.Outcome == "held" && !l.held && !l.hands[w.latest] && w.unblock == nil:
			w.broken(l, "held, and no person has thrown out %s", w.latest)
		case target.Digest != "" && target.Digest != w.latest:
			w.broken(l, "latest is said to be %s", target.Digest)
		}
		if result.ExitCode == 0 && !w.fresh(l) && !w.leftToAPerson(l, outcome) {
			if l.stale++; l.stale > mostStale {
				w.broken(l, "green for %d ticks, and not fresh", l.stale)
			}
		}
	}
}

// checkObject looks at what ticks have done.
func (w *randomWorld) checkObject(l *randomLoad, before string, completed int) {
	o := look(w.Scenario, l.kind, l.name)
	live, record := liveIn(o, l.env), o.GetAnnotations()[recorded]
	patches := len(slotWrites(w.Scenario, strings.ToLower(l.kind)+"s", l.name))
	switch {
	case live != before && l.held:
		w.broken(l, "a held slot was changed from %s to %s", before, live)
	case live != before && live == l.thrown:
		w.broken(l, "a person has thrown out %s", live)
	case w.name[live] == "":
		w.broken(l, "nobody has published %q", live)
	case record != "" && w.name[record] == "":
		w.broken(l, "nobody has published %s, which is recorded", record)
	case record != "" && builds[w.is[record]].blamed && !l.others[record]:
		w.broken(l, "recorded, and never worked: %s", record)
	case patches > 2*max(completed, 1)+2:
		w.broken(l, "%d patches in one tick", patches)
	}
	if completed > 0 {
		l.unseen = false
		l.seen = w.latest
	}
}

// quiet runs ticks until nothing changes any more, and requires that each workload is in order then.
func (w *randomWorld) quiet(since string, inOrder func(*randomLoad, product.Workload) bool) {
	w.say("from here on: %s", since)
	for _, l := range w.loads {
		l.stale = 0
	}
	same := 0
	for range quietTicks {
		w.deleteStuckPods()
		w.Forget()
		before := map[*randomLoad]string{}
		for _, l := range w.loads {
			before[l] = w.live(l)
		}
		result := w.Run()
		w.check(result)
		done := true
		for _, l := range w.loads {
			w.checkObject(l, before[l], 1)
			outcome := result.Report.Target("ingestor").Workload(l.name)
			done = done && inOrder(l, outcome) && (result.ExitCode == 1 || outcome.Cause == "")
		}
		if same++; !done || len(w.API.Requests(isRollout)) > 0 {
			same = 0
		}
		if same == 3 {
			return
		}
	}
	for _, l := range w.loads {
		w.broken(l, "%s, and it is not in order after %d ticks, or rolled again and again", since, quietTicks)
	}
}

// isRollout matches the writes that change a slot.
func isRollout(r apiproxy.Request) bool { return isSlotPatch(r) && r.Status == 200 }

// fresh tells whether a slot holds latest, and all that runs does.
func (w *randomWorld) fresh(l *randomLoad) bool {
	o := look(w.Scenario, l.kind, l.name)
	return liveIn(o, l.env) == w.latest && workloads.Settled(o)
}

// leftToAPerson tells whether an outcome leaves a workload to somebody for good reason.
func (w *randomWorld) leftToAPerson(l *randomLoad, outcome product.Workload) bool {
	return outcome.Outcome == "held" && (l.held || l.hands[w.latest])
}

// deleteStuckPods does for a StatefulSet what the messages ask for.
func (w *randomWorld) deleteStuckPods() {
	pods := w.Client.CoreV1().Pods(w.Namespace)
	for _, l := range w.loads {
		list, err := pods.List(w.t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + l.name})
		require.NoError(w.t, err)
		for _, pod := range list.Items {
			if l.kind == "StatefulSet" && !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			}) {
				_ = pods.Delete(w.t.Context(), pod.Name, metav1.DeleteOptions{}) // it may be gone
			}
		}
	}
}
