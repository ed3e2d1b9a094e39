package scenario_test

import (
	"flag"
	"fmt"
	"net/http"
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
// is lost, nothing held is touched, nothing new is put there outside of the window and, in notify, nothing that no person has approved,
// and nothing is recorded that never worked. Once the surroundings are quiet, nothing is rolled any
// more, and all is fresh, left to a person, or loud; a digest that no pod spoke against is used a day after its trouble is over;
// and a good digest leads out of everything.
func TestRandomSequences(t *testing.T) {
	t.Parallel()
	if *sequences == 0 {
		*sequences = map[bool]int{false: 4, true: 12}[environment.Race]
	}
	for n := range *sequences {
		seed := *firstSeed + uint64(n)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newRandomRun(t, seed)
			w.ticks()
			for range randomEvents {
				w.happens()
				if w.rng.IntN(4) > 0 {
					w.ticks()
				}
			}
			w.registryUp()
			w.window(false)
			w.quiet("the surroundings are quiet", func(l *randomWorkload, outcome product.Workload) bool {
				return w.fresh(l) || w.leftToAPerson(l, outcome) || outcome.Cause != ""
			})
			w.heal()
			w.later(25)
			w.quiet("a day later", func(l *randomWorkload, outcome product.Workload) bool {
				return w.fresh(l) || w.leftToAPerson(l, outcome) || outcome.Cause != "" && (w.published[w.latest].blamed || w.notify && w.published[l.before].blamed)
			})
			for _, l := range w.workloads {
				l.held = false
				w.kubectl("label", l.path(), hold+"-")
				w.scale(l, 2)
			}
			w.publish(randomBuilds[0])
			for _, l := range w.workloads {
				w.approve(l)
			}
			w.later(25)
			w.quiet("a good digest", func(l *randomWorkload, outcome product.Workload) bool {
				return w.fresh(l) && outcome.Outcome == "unchanged"
			})
		})
	}
}

// ticks runs one tick, or two at once, or one that is killed.
func (w *randomRun) ticks() {
	w.begin()
	switch w.rng.IntN(6) {
	case 0:
		run := w.Start()
		select {
		case <-time.After(time.Duration(w.rng.IntN(600)) * time.Millisecond):
			_ = run.Signal(syscall.SIGKILL) // it may have ended
		case <-run.Ended():
		}
		result := run.Finish()
		w.note("a tick, killed: %t", result.ExitCode < 0)
		if result.ExitCode < 0 {
			w.check()
		} else {
			w.check(result)
		}
	case 1:
		w.note("two ticks at once")
		one, other := w.Start(), w.Start()
		w.check(one.Finish(), other.Finish())
	default:
		w.check(w.Run())
	}
}

// begin notes how things are before ticks.
func (w *randomRun) begin() {
	for _, l := range w.workloads {
		l.before = l.digestIn(look(w.Scenario, l.kind, l.name))
		l.ticked[l.before] = true
	}
	w.Forget()
}

// check looks at what ticks have said and done.
func (w *randomRun) check(completed ...*product.Result) {
	for _, result := range completed {
		require.NotNil(w.t, result.Report, "%s", result.Stderr)
		w.checkReport(result.ExitCode, result.Report.Target("ingestor"))
	}
	for _, l := range w.workloads {
		w.checkObject(l, len(completed))
		if len(completed) > 0 {
			l.unseen = false
			l.seen = w.latest
		}
	}
}

func (w *randomRun) checkReport(exit int, target product.Target) {
	w.note("tick: exit %d, %s %d/%d", exit, target.Cause, target.Failures, target.Threshold)
	for _, l := range w.workloads {
		outcome := target.Workload(l.name)
		w.note("  %s: %s %s %q", l.name, outcome.Outcome, outcome.Cause, outcome.Message)
		switch {
		case exit != 0 && exit != 1:
			w.broken(l, "exit code %d", exit)
		case outcome.Outcome == "held" && !l.held && !l.unseen && !l.manual[w.latest] && w.unblock == nil:
			w.broken(l, "held, and no person has thrown out %s", w.latest)
		case outcome.Outcome == "deferred" && !w.closed:
			w.broken(l, "deferred, and the window is open")
		case outcome.Outcome == "pending" && (!w.notify || l.awaited == w.latest):
			w.broken(l, "waits for a person, who has approved %s", w.latest)
		case target.Digest != "" && target.Digest != w.latest:
			w.broken(l, "latest is said to be %s", target.Digest)
		}
		if exit == 0 && !w.fresh(l) && !w.leftToAPerson(l, outcome) && outcome.Outcome != "deferred" {
			if l.stale++; l.stale > mostStale {
				w.broken(l, "green for %d ticks, and not fresh", l.stale)
			}
		}
	}
}

func (w *randomRun) checkObject(l *randomWorkload, completed int) {
	o := look(w.Scenario, l.kind, l.name)
	live, record := l.digestIn(o), o.GetAnnotations()[recorded]
	build, known := w.published[record]
	patches := len(slices.DeleteFunc(slotWrites(w.Scenario, strings.ToLower(l.kind)+"s", l.name), func(write apiproxy.Request) bool {
		return write.Status == http.StatusConflict // as often as the controller writes on a busy machine
	}))
	switch {
	case live != l.before && l.held:
		w.broken(l, "a held slot was changed from %s to %s", l.before, live)
	case live != l.before && live == l.undone:
		w.broken(l, "a person has thrown out %s", live)
	case live != l.before && w.closed && !l.ticked[live] && !l.others[live]:
		w.broken(l, "%s is new, and the window is closed", live)
	case live != l.before && w.notify && !l.approved[live] && !l.approved[l.before]: // else it was taken back
		w.broken(l, "nobody has approved %s", live)
	case live != l.before && live == l.skipped:
		w.broken(l, "a person has skipped %s", live)
	case w.published[live].name == "":
		w.broken(l, "nobody has published %q", live)
	case record != "" && !known:
		w.broken(l, "nobody has published %s, which is recorded", record)
	case build.blamed && !l.others[record]:
		w.broken(l, "recorded, and never worked: %s", record)
	case patches > 2*max(completed, 1)+2:
		w.broken(l, "%d patches in one tick", patches)
	}
	memory := o.GetAnnotations()[state]
	if strings.Contains(memory, `{"digest":"`+l.awaited+`","by":`) { // it is rejected
		l.awaited = ""
	}
	if live == record && !strings.Contains(memory, `"attempt":`) && o.GetLabels()[approveLabel] != label(live) {
		delete(l.approved, live)
		if l.awaited == live {
			l.awaited = ""
		}
	}
}

// quiet runs ticks until nothing changes any more, and requires that each workload is in order then.
func (w *randomRun) quiet(since string, inOrder func(*randomWorkload, product.Workload) bool) {
	w.note("from here on: %s", since)
	for _, l := range w.workloads {
		l.stale = 0
	}
	same := 0
	for range quietTicks {
		w.deleteStuckPods()
		w.begin()
		result := w.Run()
		w.check(result)
		same++
		for _, l := range w.workloads {
			outcome := result.Report.Target("ingestor").Workload(l.name)
			if !inOrder(l, outcome) || result.ExitCode == 0 && outcome.Cause != "" || slotPatches(w.Scenario) > 0 {
				same = 0
			}
		}
		if same == 3 {
			return
		}
	}
	w.broken(w.workloads[0], "%s, and it or the other is not in order after %d ticks, or rolled again and again", since, quietTicks)
}

// fresh tells whether a slot holds latest, and all that runs does.
func (w *randomRun) fresh(l *randomWorkload) bool {
	o := look(w.Scenario, l.kind, l.name)
	return l.digestIn(o) == w.latest && workloads.Settled(o)
}

// leftToAPerson tells whether an outcome leaves a workload to somebody for good reason.
func (w *randomRun) leftToAPerson(l *randomWorkload, outcome product.Workload) bool {
	return outcome.Outcome == "held" && (l.held || l.manual[w.latest]) || outcome.Outcome == "pending"
}

// deleteStuckPods does for a StatefulSet what the messages ask for.
func (w *randomRun) deleteStuckPods() {
	pods := w.Client.CoreV1().Pods(w.Namespace)
	list, err := pods.List(w.t.Context(), metav1.ListOptions{})
	require.NoError(w.t, err)
	for _, pod := range list.Items {
		owner := metav1.GetControllerOf(&pod)
		if owner != nil && owner.Kind == "StatefulSet" && !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}) {
			_ = pods.Delete(w.t.Context(), pod.Name, metav1.DeleteOptions{}) // it may be gone
		}
	}
}
