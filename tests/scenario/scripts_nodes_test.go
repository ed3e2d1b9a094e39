package scenario_test

import (
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tracebloc/image-refresh/tests/fakenode"
)

// nodes is what becomes of pods.
type nodes struct {
	mu      sync.Mutex
	rules   []podRule
	pulled  string               // the image ID that the next pods get by the tag; "" where nodes report none
	started map[types.UID]string // by pod
	form    string               // how they name what they run
}

// podRule is what becomes of the pods that run a digest, of a kind or on a node where these are said.
type podRule struct {
	kind, node, digest, imageID string

	behaviour fakenode.Behaviour
	first     int             // of so many pods alone, in whatever order
	taken     map[string]bool // these
}

// pods DIGEST|KIND:DIGEST|all|node [first N] BEHAVIOUR [ARG...] says what becomes of pods that run a digest, of all, or of those on
// one node, which is $node from then on; "pods ready" has all be ready again.
func (s *script) pods(args []string) {
	defer s.Behave(s.nodes.behaviour)
	s.nodes.mu.Lock()
	defer s.nodes.mu.Unlock()
	if args[0] == "ready" {
		s.nodes.rules = nil
		return
	}
	rule := podRule{digest: args[0]}
	if kind, digest, found := strings.Cut(args[0], ":"); found && isKind.MatchString(kind) {
		rule.kind, rule.digest = kind, digest
	}
	if args[0] == "node" {
		pods, err := s.Client.CoreV1().Pods(s.Namespace).List(s.t.Context(), metav1.ListOptions{})
		s.Check(err)
		rule.digest, rule.node = "all", pods.Items[0].Spec.NodeName
		s.TestScript.Setenv("node", rule.node)
	}
	rule.imageID = s.imageID(rule.digest)
	args = args[1:]
	if args[0] == "first" {
		rule.first, rule.taken = s.number(args[1]), map[string]bool{}
		for _, older := range s.nodes.rules {
			if older.digest == rule.digest && older.taken != nil {
				rule.taken = older.taken
			}
		}
		args = args[2:]
	}
	rule.behaviour = s.behaviourOf(args[0], append(args[1:], "", "", "")...)
	s.nodes.rules = slices.Insert(s.nodes.rules, 0, rule)
}

// behaviourOf is a behaviour by the name that it has in scripts.
func (s *script) behaviourOf(name string, args ...string) fakenode.Behaviour {
	if name == "ready-after" {
		age, err := time.ParseDuration(args[0])
		s.Check(err)
		return fakenode.ReadyAfter(age)
	}
	behaviour, known := map[string]fakenode.Behaviour{
		"ready": fakenode.Ready(), "restarted": fakenode.Ready().Restarted(), "stuck": fakenode.Stuck(), "crash": crash(),
		"draining": fakenode.Ready().Lingering(time.Hour), "lost": fakenode.Lost().Lingering(time.Hour), "unpullable": unpullable(),
		"creating": fakenode.Creating(), "starting": fakenode.Starting(), "no-volumes": fakenode.WithoutVolumes(),
		"evicted": fakenode.Evicted("The node was low on resource: memory."), "pending": fakenode.Pending(args[0]),
		"failing": fakenode.Failing(args[0], args[1]).Only(args[2]),
	}[name]
	if !known {
		s.Fatalf("what are %q pods?", name)
	}
	return behaviour
}

// pull DIGEST [FORM] has nodes start pods by the tag with this build from now on, and name it as a container runtime does.
func (s *script) pull(args []string) {
	s.nodes.mu.Lock()
	if s.nodes.form == "" {
		s.nodes.form, s.nodes.started = append(args, "containerd")[1], map[types.UID]string{}
	}
	s.nodes.pulled = s.imageID(args[0])
	s.nodes.mu.Unlock()
	s.Behave(s.nodes.behaviour)
}

func (n *nodes) behaviour(pod *corev1.Pod) fakenode.Behaviour {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := n.started[pod.UID]
	if id == "" && n.pulled != "" {
		id = n.pulled
		n.started[pod.UID] = id
	}
	behaviour := fakenode.Ready()
	for _, rule := range n.rules {
		if rule.of(pod, id) {
			behaviour = rule.behaviour
			break
		}
	}
	if id != "" {
		behaviour = behaviour.Running(id)
	}
	return behaviour
}

func (r podRule) of(pod *corev1.Pod, imageID string) bool {
	runs := r.digest == "all" || fakenode.Runs(pod, r.digest) || imageID != "" && imageID == r.imageID && !fakenode.Runs(pod, "@")
	if !runs || r.kind != "" && pod.OwnerReferences[0].Kind != r.kind || r.node != "" && pod.Spec.NodeName != r.node {
		return false
	}
	if len(r.taken) < r.first {
		r.taken[pod.Name] = true
	}
	return r.first == 0 || r.taken[pod.Name]
}

// imageForms are how container runtimes name a build in a pod's status.
var imageForms = map[string]func(digest, manifest, config string) string{
	"containerd":      func(digest, _, _ string) string { return "ghcr.io/tracebloc/ingestor@" + digest }, // and CRI-O until 1.27
	"a-manifest":      func(_, manifest, _ string) string { return "ghcr.io/tracebloc/ingestor@" + manifest },
	"a-configuration": func(_, _, config string) string { return config }, // loaded from a file
	"cri-o":           func(_, _, config string) string { return strings.TrimPrefix(config, "sha256:") },
	"cri-dockerd":     func(digest, _, _ string) string { return "docker-pullable://ghcr.io/tracebloc/ingestor@" + digest },
}

// imageID is how these nodes name a build.
func (s *script) imageID(digest string) string {
	content, known := s.builds[digest]
	if !known || s.nodes.form == "" {
		return ""
	}
	manifest, config, err := content.Parts()
	s.Check(err)
	return imageForms[s.nodes.form](digest, manifest, config)
}
