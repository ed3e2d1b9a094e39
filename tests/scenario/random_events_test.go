package scenario_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// randomBuild is what may be published under the tag, by what becomes of pods that run it.
type randomBuild struct {
	name      string
	behaviour fakenode.Behaviour
	blamed    bool // its pods speak against it, once they ran
}

var randomBuilds = []randomBuild{
	{"good", fakenode.Ready(), false},
	{"good", fakenode.Ready(), false},
	{"good", fakenode.Ready(), false},
	{"crashing", crash(), true},
	{"never ready", fakenode.Stuck(), true},
	{"gone", fakenode.Failing("ErrImagePull", "manifest unknown: not found"), true},
	{"throttled", fakenode.Failing("ErrImagePull", "429 Too Many Requests"), false},
	{"unschedulable", fakenode.Pending("0/2 nodes have the GPU"), false},
	{"starting", fakenode.Starting(), false},
	{"without volumes", fakenode.WithoutVolumes(), false},
}

// randomRun is a scenario in which anything happens, in an order that a seed chooses.
type randomRun struct {
	*harness.Scenario
	t       *testing.T
	rng     *rand.Rand
	history []string

	mu        sync.Mutex
	published map[string]randomBuild // by digest
	digests   []string               // in the order of their publication
	latest    string
	workloads []*randomWorkload

	unblock func() // the registry, while it is down
	atHour  func(float64)
	hours   float64
	entries string // the target's workloads, as the configuration has them
	closed  bool   // the window
	notify  bool
}

// randomWorkload is a workload of such a scenario, with what its surroundings know of it.
type randomWorkload struct {
	kind, name string
	env        bool
	held       bool   // by the label
	before     string // what the slot held before the last tick
	// undone is what a person has thrown out, and what no tick may put there until the tag moves.
	undone string
	// unseen tells that no tick has seen the person's change yet.
	unseen bool
	// seen is latest as the last tick has seen it.
	seen string
	// manual are all digests that persons may have thrown out at any time, others those that somebody else has put there.
	manual, others map[string]bool
	// ticked are all digests that were in the slot when ticks began, approved those that a person has approved and none has recorded since.
	ticked, approved map[string]bool
	// awaited is latest where it is approved and has come to no end, and skipped where a person has skipped it.
	awaited, skipped string
	// stale counts green ticks in a row since anything happened in which it was not fresh.
	stale int
}

func (l *randomWorkload) path() string { return strings.ToLower(l.kind) + "/" + l.name }

// object is the workload with a digest in its slot.
func (l *randomWorkload) object(digest string, options ...workloads.Option) workloads.Object {
	if l.env {
		options = append(options, workloads.Container("api", jobsManager), workloads.Env("api", slot, digest))
	} else {
		options = append(options, workloads.Container("api", ingestor+"@"+digest))
	}
	return build(l.kind, l.name, options...)
}

// digestIn is the digest in the slot.
func (l *randomWorkload) digestIn(o workloads.Object) string {
	if l.env {
		value, _ := workloads.EnvValue(o, "api", slot)
		return value
	}
	_, digest, _ := strings.Cut(workloads.Image(o, "api"), "@")
	return digest
}

func newRandomRun(t *testing.T, seed uint64) *randomRun {
	t.Helper()
	w := &randomRun{Scenario: environment.Scenario(t), t: t, rng: rand.New(rand.NewPCG(seed, 0)), published: map[string]randomBuild{}}
	w.WithoutPlan() // what happens in mid-tick no plan predicts
	for _, threshold := range []string{"RESOLVE_FAILURE_THRESHOLD", "ROLLOUT_FAILURE_THRESHOLD", "UNSETTLED_THRESHOLD", "CONTESTED_THRESHOLD"} {
		w.Setenv(threshold, "2")
	}
	w.Setenv("ROLLOUT_TIMEOUT", "1s")
	w.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		w.mu.Lock()
		defer w.mu.Unlock()
		for digest, build := range w.published {
			if fakenode.Runs(pod, digest) {
				return build.behaviour
			}
		}
		return fakenode.Ready()
	})
	w.publish(randomBuilds[0])
	w.notify = w.rng.IntN(3) == 0
	w.note("mode notify: %t", w.notify)
	for i, name := range []string{"one", "two"} {
		l := &randomWorkload{
			kind: []string{"Deployment", "Deployment", "StatefulSet", "DaemonSet"}[w.rng.IntN(4)], name: name, env: w.rng.IntN(2) == 0,
			manual: map[string]bool{}, others: map[string]bool{w.latest: true}, ticked: map[string]bool{}, approved: map[string]bool{},
		}
		options, keys := []workloads.Option{workloads.Replicas(int32(1 + w.rng.IntN(3)))}, []string{}
		if w.rng.IntN(3) == 0 {
			options = append(options, workloads.Recreate())
		}
		object := l.object(w.latest, options...)
		if i == 0 {
			require.NoError(t, w.Apply(harness.Helm, object))
		} else {
			w.Create(object)
		}
		w.Settle(object)
		if l.env {
			keys = append(keys, "env: "+slot)
		}
		w.entries += entry(l.kind, l.name, "api", keys...)
		w.workloads = append(w.workloads, l)
		w.note("%s, env %t, Recreate %t", l.path(), l.env, len(options) > 1)
	}
	w.configure()
	w.atHour = playClock(w.Scenario)
	return w
}

// configure writes the configuration. While the window is closed, it opens three days later.
func (w *randomRun) configure() {
	keys := []string{"mode: " + map[bool]string{true: "notify", false: "apply"}[w.notify]}
	if w.closed {
		opens := time.Now().UTC().Add(time.Duration(w.hours)*time.Hour).AddDate(0, 0, 3)
		keys = append(keys, "window: {days: ["+opens.Format("Mon")+`], from: "00:00", to: "01:00"}`)
	}
	w.Configure("targets:\n" + targetOf("ingestor", ingestor, w.entries, keys...))
}

func (w *randomRun) window(closed bool) {
	w.note("the window is closed: %t", closed)
	w.closed = closed
	w.configure()
}

func (w *randomRun) note(format string, arguments ...any) {
	w.history = append(w.history, fmt.Sprintf(format, arguments...))
}

// broken ends the test with all that has happened, with the builds' names in place of digests.
func (w *randomRun) broken(l *randomWorkload, format string, arguments ...any) {
	w.t.Helper()
	o := look(w.Scenario, l.kind, l.name)
	text := fmt.Sprintf("%s: %s\nlabels: %v\nannotations: %v\n%s", l.path(), fmt.Sprintf(format, arguments...),
		o.GetLabels(), o.GetAnnotations(), strings.Join(w.history, "\n"))
	for digest, build := range w.published {
		for _, form := range []string{digest, label(digest), digest[:len("sha256:")+12]} {
			text = strings.ReplaceAll(text, form, "<"+build.name+">")
		}
	}
	w.t.Fatal(text)
}

// publish moves the tag to a new build.
func (w *randomRun) publish(build randomBuild) {
	build.name = fmt.Sprint(build.name, " ", len(w.digests))
	digest := w.Push(ingestor, image(build.name))
	w.mu.Lock()
	w.published[digest] = build
	w.mu.Unlock()
	w.digests = append(w.digests, digest)
	w.moved(digest)
}

// moved notes that the tag means another digest now.
func (w *randomRun) moved(digest string) {
	w.note("the tag moves to %s", digest)
	w.latest = digest
	for _, l := range w.workloads {
		l.undone, l.awaited, l.skipped = "", "", ""
	}
}

// approve and skip are what a person says of latest by a label.
func (w *randomRun) approve(l *randomWorkload) {
	w.kubectl("label", "--overwrite", l.path(), approveLabel+"="+label(w.latest))
	if l.skipped = ""; w.notify {
		l.approved[w.latest], l.undone = true, ""
	}
	if w.notify && l.digestIn(look(w.Scenario, l.kind, l.name)) != w.latest {
		l.awaited = w.latest
	}
}

func (w *randomRun) skip(l *randomWorkload) {
	w.kubectl("label", "--overwrite", l.path(), skipLabel+"="+label(w.latest))
	l.manual[w.latest] = true
	if l.digestIn(look(w.Scenario, l.kind, l.name)) != w.latest {
		l.skipped, l.awaited = w.latest, ""
	}
}

// heal takes the trouble away that is no build's own.
func (w *randomRun) heal() {
	w.note("what is no build's own trouble is over")
	w.mu.Lock()
	for digest, build := range w.published {
		if !build.blamed {
			build.behaviour = fakenode.Ready()
			w.published[digest] = build
		}
	}
	w.mu.Unlock()
	w.Kubelet.Refresh(w.Namespace)
}

// happens lets one thing happen, and notes what.
func (w *randomRun) happens() {
	l := w.workloads[w.rng.IntN(len(w.workloads))]
	other := w.digests[w.rng.IntN(len(w.digests))]
	container := `"image":"` + ingestor + "@" + other + `"`
	set := "set image " + l.path() + " api=" + ingestor + "@" + other
	if l.env {
		container = `"env":[{"name":"` + slot + `","value":"` + other + `"}]`
		set = "set env " + l.path() + " " + slot + "=" + other
	}
	patch := `{"spec":{"template":{"spec":{"containers":[{"name":"api",` + container + `}]}}}}`
	switch w.rng.IntN(21) {
	case 0, 1, 2, 3:
		w.publish(randomBuilds[w.rng.IntN(len(randomBuilds))])
	case 4:
		w.Push(ingestor, image(w.published[other].name))
		w.moved(other)
	case 5, 6:
		w.act(l, "a person's undo", true, func() { w.shell("rollout undo " + l.path()) })
	case 7:
		w.act(l, "a person's set", true, func() { w.shell(set) })
	case 8:
		w.act(l, "a person's edit", true, func() { w.Patch(harness.Person, l.object(""), patch) })
	case 9:
		w.act(l, "helm's update", false, func() { w.Patch(harness.Helm, l.object(""), patch) })
	case 10:
		w.act(l, "argocd's apply", false, func() {
			path := file(w.t, w.Scenario, "apply.json", string(asJSON(w.t, l.object(other))))
			w.Kubectl("apply", "--server-side", "--force-conflicts", "--field-manager="+harness.Argo, "-f", path)
		})
	case 11:
		l.held = !l.held
		w.kubectl("label", l.path(), map[bool]string{true: hold + "=true", false: hold + "-"}[l.held])
	case 12:
		w.scale(l, w.rng.IntN(3))
	case 13:
		if w.unblock == nil {
			w.unblock = w.Site.Proxy.Refuse("ghcr.io", 403)
			w.note("the registry is down")
		} else {
			w.registryUp()
		}
	case 14:
		w.kubectl("annotate", l.path(), state+"-")
		l.undone, l.seen, l.awaited, l.skipped = "", "", "", ""
	case 15:
		w.later(float64(w.rng.IntN(12)) - 4)
	case 16:
		w.heal()
	case 17:
		w.window(!w.closed)
	case 18, 19:
		w.approve(l)
	case 20:
		w.publish(randomBuilds[0])
		w.skip(l)
	}
	for _, l := range w.workloads {
		l.stale = 0
	}
}

func (w *randomRun) later(hours float64) {
	w.hours += hours
	w.atHour(w.hours)
	w.configure()
	w.note("the clock is %.0f hours ahead", w.hours)
}

const (
	hold         = "tracebloc.io/refresh-hold"
	approveLabel = "tracebloc.io/refresh-approve"
	skipLabel    = "tracebloc.io/refresh-skip"
)

func (w *randomRun) kubectl(args ...string) {
	w.note("kubectl %s", strings.Join(args, " "))
	w.Kubectl(args...)
}

// shell runs a kubectl that may refuse.
func (w *randomRun) shell(command string) { w.Shell("kubectl -n "+w.Namespace+" "+command, nil, nil) }

func (w *randomRun) scale(l *randomWorkload, replicas int) {
	if l.kind != "DaemonSet" {
		w.kubectl("scale", l.path(), fmt.Sprint("--replicas=", replicas))
	}
}

func (w *randomRun) registryUp() {
	if w.unblock != nil {
		w.unblock()
		w.unblock = nil
		w.note("the registry is up")
	}
}

// act has somebody change a slot, and notes what that means to the next ticks.
func (w *randomRun) act(l *randomWorkload, what string, person bool, change func()) {
	was := l.digestIn(look(w.Scenario, l.kind, l.name))
	change()
	o := look(w.Scenario, l.kind, l.name)
	is, marked := l.digestIn(o), contentOf(o.GetLabels()[mark])
	w.note("%s of %s: %s to %s", what, l.path(), was, is)
	if was == is {
		return
	}
	l.others[is] = true
	if person || is == l.skipped {
		l.skipped = ""
	}
	if !person {
		if l.unseen {
			l.undone, l.unseen = "", false
		}
		return
	}
	l.manual[w.latest], l.manual[was], l.manual[l.seen] = true, true, true
	l.unseen, l.awaited = true, ""
	switch {
	case is == w.latest, label(is) == marked: // there is nothing that tells of it
		l.undone = ""
	case o.GetAnnotations()[recorded] == "": // it was never adopted, or the undo went back to before that
		l.undone = ""
	case label(w.latest) == marked:
		l.undone = w.latest
	}
}
