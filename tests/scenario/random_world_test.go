package scenario_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// builds are what may be published under the tag, by what becomes of pods that run it.
var builds = []struct {
	name      string
	behaviour fakenode.Behaviour
	blamed    bool // its pods speak against it, once they ran
}{
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

// randomWorld is a scenario in which anything happens, in an order that a seed chooses.
type randomWorld struct {
	*harness.Scenario
	t       *testing.T
	rng     *rand.Rand
	objects dynamic.Interface
	story   []string // what has happened

	mu         sync.Mutex
	behaviours map[string]fakenode.Behaviour // by digest

	digests []string          // in the order of their publication
	is      map[string]int    // digest to its place in builds
	name    map[string]string // what tells builds apart
	latest  string
	loads   []*randomLoad

	unblock func() // the registry, while it is down
	atHour  func(float64)
	hours   float64
}

// randomLoad is a workload of that world, with what its surroundings know of it.
type randomLoad struct {
	kind, name string
	env        bool
	held       bool // by the label
	replicas   int
	// thrown is what a person has thrown out, and what no tick may put there until the tag moves.
	thrown string
	// unseen tells that no tick has seen the person's change yet.
	unseen bool
	// seen is latest as the last tick has seen it.
	seen string
	// hands are all digests that persons may have thrown out at any time, others those that somebody else has put there.
	hands, others map[string]bool
	// stale counts green ticks in a row since anything happened in which it was not fresh.
	stale int
}

func newRandomWorld(t *testing.T, seed uint64) *randomWorld {
	t.Helper()
	w := &randomWorld{
		Scenario: environment.Scenario(t), t: t, rng: rand.New(rand.NewPCG(seed, 0)),
		behaviours: map[string]fakenode.Behaviour{}, is: map[string]int{}, name: map[string]string{},
	}
	var err error
	w.objects, err = dynamic.NewForConfig(w.Cluster.Config())
	require.NoError(t, err)
	w.WithoutPlan() // what happens in mid-tick no plan predicts
	for key, value := range map[string]string{
		"RESOLVE_FAILURE_THRESHOLD": "2", "ROLLOUT_FAILURE_THRESHOLD": "2", "UNSETTLED_THRESHOLD": "2", "CONTESTED_THRESHOLD": "2", "ROLLOUT_TIMEOUT": "1s",
	} {
		w.Setenv(key, value)
	}
	w.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		w.mu.Lock()
		defer w.mu.Unlock()
		for digest, behaviour := range w.behaviours {
			if fakenode.Runs(pod, digest) {
				return behaviour
			}
		}
		return fakenode.Ready()
	})
	w.publish(0)
	entries := ""
	for i, name := range []string{"one", "two"} {
		l := &randomLoad{
			kind: []string{"Deployment", "Deployment", "StatefulSet", "DaemonSet"}[w.rng.IntN(4)], name: name, env: w.rng.IntN(2) == 0, replicas: 1 + w.rng.IntN(3),
			hands: map[string]bool{}, others: map[string]bool{w.latest: true},
		}
		options := []workloads.Option{workloads.Replicas(int32(l.replicas))}
		if w.rng.IntN(3) == 0 {
			options = append(options, workloads.Recreate())
		}
		object := w.object(l, w.latest, options...)
		if i == 0 {
			require.NoError(t, w.Apply(harness.Helm, object))
		} else {
			w.Create(object)
		}
		w.Settle(object)
		more := []string{}
		if l.env {
			more = append(more, "env: "+slot)
		}
		entries += entry(l.kind, l.name, "api", more...)
		w.loads = append(w.loads, l)
		w.say("%s %s, env %t, %d replicas, Recreate %t", l.kind, l.name, l.env, l.replicas, len(options) > 1)
	}
	w.Configure("targets:\n" + targetOf("ingestor", ingestor, entries))
	w.atHour = playClock(w.Scenario)
	return w
}

// object is a workload whose slot holds a digest.
func (w *randomWorld) object(l *randomLoad, digest string, options ...workloads.Option) workloads.Object {
	if l.env {
		options = append(options, workloads.Container("api", jobsManager), workloads.Env("api", slot, digest))
	} else {
		options = append(options, workloads.Container("api", ingestor+"@"+digest))
	}
	return build(l.kind, l.name, options...)
}

func (w *randomWorld) say(format string, arguments ...any) {
	w.story = append(w.story, fmt.Sprintf(format, arguments...))
}

// broken ends the test with all that has happened.
func (w *randomWorld) broken(l *randomLoad, format string, arguments ...any) {
	w.t.Helper()
	o := look(w.Scenario, l.kind, l.name)
	w.t.Fatalf("%s %s: %s\nlabels: %v\nannotations: %v\n%s", l.kind, l.name, w.named(fmt.Sprintf(format, arguments...)),
		w.named(fmt.Sprint(o.GetLabels())), w.named(fmt.Sprint(o.GetAnnotations())), w.named(strings.Join(w.story, "\n")))
}

// named puts names in place of digests.
func (w *randomWorld) named(text string) string {
	for digest, name := range w.name {
		text = strings.ReplaceAll(text, digest, "<"+name+">")
		text = strings.ReplaceAll(text, label(digest), "<"+name+">")
		text = strings.ReplaceAll(text, digest[:len("sha256:")+12], "<"+name+">")
	}
	return text
}

// live is the digest in a slot.
func (w *randomWorld) live(l *randomLoad) string {
	return liveIn(look(w.Scenario, l.kind, l.name), l.env)
}

func liveIn(o workloads.Object, env bool) string {
	if env {
		value, _ := workloads.EnvValue(o, "api", slot)
		return value
	}
	_, digest, _ := strings.Cut(workloads.Image(o, "api"), "@")
	return digest
}

// publish moves the tag to a new build.
func (w *randomWorld) publish(is int) {
	name := fmt.Sprintf("%s %d", builds[is].name, len(w.digests))
	digest := w.Push(ingestor, image(name))
	w.mu.Lock()
	w.behaviours[digest] = builds[is].behaviour
	w.mu.Unlock()
	w.digests, w.is[digest], w.name[digest] = append(w.digests, digest), is, name
	w.moved(digest)
}

// moved notes that the tag means another digest now.
func (w *randomWorld) moved(digest string) {
	w.latest = digest
	for _, l := range w.loads {
		l.thrown = ""
	}
}

// heal takes the trouble away that is no build's own.
func (w *randomWorld) heal() {
	w.say("what is no build's own trouble is over")
	w.mu.Lock()
	for digest, is := range w.is {
		if !builds[is].blamed {
			w.behaviours[digest] = fakenode.Ready()
		}
	}
	w.mu.Unlock()
	w.Kubelet.Refresh(w.Namespace)
}

// other is a digest that the slot does not hold.
func (w *randomWorld) other(l *randomLoad) string {
	live := w.live(l)
	for range 10 {
		if digest := w.digests[w.rng.IntN(len(w.digests))]; digest != live {
			return digest
		}
	}
	return ""
}

// happens lets one thing happen, and says what.
func (w *randomWorld) happens() {
	l := w.loads[w.rng.IntN(len(w.loads))]
	what := strings.ToLower(l.kind) + "/" + l.name
	switch w.rng.IntN(17) {
	case 0, 1, 2, 3:
		w.publish(w.rng.IntN(len(builds)))
		w.say("the tag moves to %s", w.latest)
	case 4:
		if digest := w.digests[w.rng.IntN(len(w.digests))]; digest != w.latest {
			w.Push(ingestor, image(w.name[digest]))
			w.moved(digest)
			w.say("the tag moves back to %s", digest)
		}
	case 5, 6:
		w.person(l, what, "undo", "rollout undo "+what)
	case 7:
		if digest := w.other(l); digest != "" && l.env {
			w.person(l, what, "set", "set env "+what+" "+slot+"="+digest)
		} else if digest != "" {
			w.person(l, what, "set", "set image "+what+" api="+ingestor+"@"+digest)
		}
	case 8:
		if digest := w.other(l); digest != "" {
			w.act(l, "a person edits "+what, func() { w.Patch(harness.Person, w.object(l, ""), slotPatch(l, digest)) }, true)
		}
	case 9:
		if digest := w.other(l); digest != "" {
			w.act(l, "helm updates "+what, func() { w.Patch(harness.Helm, w.object(l, ""), slotPatch(l, digest)) }, false)
		}
	case 10:
		if digest := w.other(l); digest != "" {
			w.act(l, "argocd applies "+what, func() {
				resource := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: strings.ToLower(l.kind) + "s"}
				object := w.object(l, digest)
				_, err := w.objects.Resource(resource).Namespace(w.Namespace).Patch(w.t.Context(), l.name, "application/apply-patch+yaml",
					asJSON(w.t, object), metav1.PatchOptions{FieldManager: harness.Argo, Force: new(true)})
				require.NoError(w.t, err)
			}, false)
		}
	case 11:
		if l.held = !l.held; l.held {
			w.Kubectl("label", what, "tracebloc.io/refresh-hold=true")
		} else {
			w.Kubectl("label", what, "tracebloc.io/refresh-hold-")
		}
		w.say("%s is held: %t", what, l.held)
	case 12:
		if l.kind != "DaemonSet" {
			l.replicas = []int{0, 1, 3}[w.rng.IntN(3)]
			w.Kubectl("scale", what, fmt.Sprint("--replicas=", l.replicas))
			w.say("%s has %d replicas", what, l.replicas)
		}
	case 13:
		if w.unblock == nil {
			w.unblock = w.Site.Proxy.Refuse("ghcr.io", 403)
			w.say("the registry is down")
		} else {
			w.registryUp()
		}
	case 14:
		w.Kubectl("annotate", what, state+"-")
		l.thrown, l.seen = "", ""
		w.say("a person removes the state of %s", what)
	case 15:
		w.hours += float64(w.rng.IntN(12)) - 4
		w.atHour(w.hours)
		w.say("the clock is %.0f hours ahead", w.hours)
	case 16:
		w.heal()
	}
	for _, l := range w.loads {
		l.stale = 0
	}
}

func (w *randomWorld) registryUp() {
	if w.unblock != nil {
		w.unblock()
		w.unblock = nil
		w.say("the registry is up")
	}
}

func slotPatch(l *randomLoad, digest string) string {
	container := `"image":"` + ingestor + "@" + digest + `"`
	if l.env {
		container = `"env":[{"name":"` + slot + `","value":"` + digest + `"}]`
	}
	return `{"spec":{"template":{"spec":{"containers":[{"name":"api",` + container + `}]}}}}`
}

// person has a person run kubectl, which may refuse.
func (w *randomWorld) person(l *randomLoad, what, verb, command string) {
	w.act(l, "a person's "+verb+" of "+what, func() { w.Shell("kubectl -n "+w.Namespace+" "+command, nil, nil) }, true)
}

// act has somebody change a slot, and notes what that means to the next ticks.
func (w *randomWorld) act(l *randomLoad, who string, change func(), person bool) {
	before := look(w.Scenario, l.kind, l.name)
	change()
	after := look(w.Scenario, l.kind, l.name)
	was, is := liveIn(before, l.env), liveIn(after, l.env)
	w.say("%s: %s to %s", who, was, is)
	if was == is {
		return
	}
	l.others[is] = true
	if !person {
		if l.unseen {
			l.thrown, l.unseen = "", false
		}
		return
	}
	marked, _, _ := strings.Cut(after.GetLabels()[mark], ".")
	l.hands[w.latest], l.hands[was], l.hands[l.seen] = true, true, true
	l.unseen = true
	switch {
	case is == w.latest, label(is) == marked: // there is nothing that tells of it
		l.thrown = ""
	case after.GetAnnotations()[recorded] == "": // it was never adopted, or the undo went back to before that
		l.thrown = ""
	case label(w.latest) == marked:
		l.thrown = w.latest
	}
}
