package fakenode

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Policy says what becomes of a pod. It is called again and again, from several goroutines, whenever the pod changes or Set is
// called.
type Policy func(pod *corev1.Pod) Behaviour

// Behaviour is what becomes of a pod.
type Behaviour struct {
	kind    kind
	reason  string
	message string
	after   time.Duration
	code    int32
	linger  time.Duration
	only    string // the container that it is about; empty: all
	waits   bool   // for volumes or network
	exited  bool   // once, before
	runs    string // the ID of the image, where the reference has no digest
}

type kind int

const (
	ready kind = iota
	stuck
	waiting
	unschedulable
	completed
	starting
	lost
	evicted
)

// Ready runs the pod and makes it Ready at once, or once its readiness gates are open, which is for others to say. It is what
// happens where a test says nothing, but for pods of Jobs, which complete.
func Ready() Behaviour { return Behaviour{kind: ready} }

// ReadyAfter runs the pod and makes it Ready when it is so old.
func ReadyAfter(age time.Duration) Behaviour { return Behaviour{kind: ready, after: age} }

// Stuck runs the pod, which never becomes Ready.
func Stuck() Behaviour { return Behaviour{kind: stuck} }

// Failing leaves the pod's containers waiting for reason, as a kubelet words it: ErrImagePull, ImagePullBackOff,
// CreateContainerConfigError (the pod is Pending), CrashLoopBackOff (it runs, and restarts).
func Failing(reason, message string) Behaviour {
	return Behaviour{kind: waiting, reason: reason, message: message}
}

// Pending leaves the pod without a node, for the scheduler's reason in message.
func Pending(message string) Behaviour { return Behaviour{kind: unschedulable, message: message} }

// Starting runs the pod, whose startup probe has not passed.
func Starting() Behaviour { return Behaviour{kind: starting} }

// Creating leaves the pod on its node, where its image is being pulled.
func Creating() Behaviour { return Failing("ContainerCreating", "") }

// WithoutVolumes leaves the pod on its node, where it waits for volumes or network.
func WithoutVolumes() Behaviour {
	return Behaviour{kind: waiting, reason: "ContainerCreating", waits: true}
}

// Lost is a pod that was ready when its node went away: the controllers say that it is not.
func Lost() Behaviour { return Behaviour{kind: lost} }

// Evicted is a pod that its kubelet ends, for the reason in message.
func Evicted(message string) Behaviour { return Behaviour{kind: evicted, message: message} }

// Completed ends the pod's containers with an exit code.
func Completed(code int32) Behaviour { return Behaviour{kind: completed, code: code} }

// Only is the same behaviour of one container. The others run, and are ready.
func (b Behaviour) Only(container string) Behaviour {
	b.only = container
	return b
}

// Restarted is the same behaviour of containers that have exited once before.
func (b Behaviour) Restarted() Behaviour {
	b.exited = true
	return b
}

// Running is the same behaviour, and the kubelet reports what image the containers were started with: this one (imageID, in the
// form of some container runtime) where the reference is a tag alone, and what it says itself where it has a digest. By default
// nothing is reported.
func (b Behaviour) Running(imageID string) Behaviour {
	b.runs = imageID
	return b
}

// Lingering is the same behaviour, but the pod takes a while to terminate once it is deleted.
func (b Behaviour) Lingering(d time.Duration) Behaviour {
	b.linger = d
	return b
}

// Runs tells whether any container of the pod has text in its image or in the value of an environment variable: a digest, usually.
func Runs(pod *corev1.Pod, text string) bool {
	return slices.ContainsFunc(slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers), func(c corev1.Container) bool {
		return strings.Contains(c.Image, text) ||
			slices.ContainsFunc(c.Env, func(variable corev1.EnvVar) bool { return strings.Contains(variable.Value, text) })
	})
}

// usual is what happens where no test says otherwise.
func usual(pod *corev1.Pod) Behaviour {
	if len(pod.OwnerReferences) > 0 && pod.OwnerReferences[0].Kind == "Job" {
		return Completed(0)
	}
	return Ready()
}
