package cluster

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// token is our bearer token: it must not turn up in anything that is printed.
const token = "hunter2-MARKER"

// answer is what becomes of a request.
type answer = func(*http.Request) (*http.Response, error)

// server answers in place of an API server, without a network, so that a test in a bubble of time waits for nothing: these
// one after the other, and the last one for ever.
type server struct {
	answers []answer
	mu      sync.Mutex
	calls   []string // method and address of each request
	log     bytes.Buffer
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.calls = append(s.calls, r.Method+" "+r.URL.RequestURI())
	next := s.answers[min(len(s.calls), len(s.answers))-1]
	s.mu.Unlock()
	return next(r)
}

// asked is a client of a server that answers so.
func asked(t *testing.T, answers ...answer) (*Client, *server) {
	t.Helper()
	s := &server{answers: answers}
	client, err := newClient(&rest.Config{Host: "https://api.example.com", BearerToken: token, Transport: s}, "tracebloc", Options{
		Concurrency: 2, Logger: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	return client, s
}

// sends is an answer of this object, as JSON, which every API server may send; header is by key and value.
func sends(code int, object any, header ...string) answer {
	return func(r *http.Request) (*http.Response, error) {
		body, err := json.Marshal(object)
		answer := &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}
		for pair := range slices.Chunk(append(header, "Content-Type", "application/json"), 2) {
			answer.Header.Set(pair[0], pair[1])
		}
		return answer, err
	}
}

// refuses is an API server's error.
func refuses(code int32, reason metav1.StatusReason) answer {
	kind := metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	return sends(int(code), metav1.Status{TypeMeta: kind, Status: metav1.StatusFailure, Code: code, Reason: reason})
}

// hangs never answers.
func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

var ref = workload.Ref{Kind: config.Deployment, Namespace: "tracebloc", Name: "stg-api"}

// deployment is stg-api at a version, with so many of two replicas updated.
func deployment(version string, updated int32) *appsv1.Deployment {
	two := int32(2)
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{Kind: "Deployment", APIVersion: "apps/v1"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "tracebloc", Name: "stg-api", ResourceVersion: version, UID: "u"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "api"}},
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: "nginx:1"}}}},
		},
		Status: appsv1.DeploymentStatus{Replicas: 2, UpdatedReplicas: updated, AvailableReplicas: 2},
	}
}

func read(t *testing.T, object any) *workload.Object {
	t.Helper()
	got, err := workload.New(object)
	require.NoError(t, err)
	return got
}

// oldDigest served before, newDigest is what the slots hold now.
var (
	oldDigest = "sha256:" + strings.Repeat("a", 64)
	newDigest = "sha256:" + strings.Repeat("b", 64)
)

const repository = "ghcr.io/tracebloc/api"

// happened is what happened to a pod.
type happened func(*corev1.Pod)

// podOf is a pod of Deployment stg-api that has just been given to a kubelet, and what happened to it then.
func podOf(what ...happened) corev1.Pod {
	yes := true
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "tracebloc", Name: "stg-api-5d4c8-a", Labels: map[string]string{"app": "api", "pod-template-hash": "5d4c8"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "stg-api-5d4c8", UID: "rs", Controller: &yes}},
		},
		Spec: corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{
			{Name: "api", Image: repository + ":1@" + newDigest, Env: []corev1.EnvVar{{Name: "WORKER_DIGEST", Value: newDigest}}},
		}},
		Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: "api"}}},
	}
	for _, step := range append([]happened{
		condition("PodScheduled", true), condition("PodReadyToStartContainers", true), condition("Initialized", true),
		condition("ContainersReady", false), condition("Ready", false), waits("ContainerCreating", ""),
	}, what...) {
		step(&pod)
	}
	return pod
}

// one is a list of one pod.
func one(what ...happened) []corev1.Pod { return []corev1.Pod{podOf(what...)} }

// condition is one of the pod's conditions, with its reason and message.
func condition(kind corev1.PodConditionType, holds bool, words ...string) happened {
	return func(pod *corev1.Pod) {
		now := corev1.PodCondition{Type: kind, Status: map[bool]corev1.ConditionStatus{true: "True", false: "False"}[holds]}
		if len(words) == 2 {
			now.Reason, now.Message = words[0], words[1]
		}
		pod.Status.Conditions = append(slices.DeleteFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind }), now)
	}
}

type status func(*corev1.ContainerStatus)

// api changes the status of the pod's own container, wherever it stands.
func api(change status) happened {
	return func(pod *corev1.Pod) {
		for _, all := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
			for i := range all {
				if all[i].Name == "api" {
					change(&all[i])
				}
			}
		}
	}
}

// waiting is a container that waits for a reason.
func waiting(reason, message string) status {
	return func(s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	}
}

func waits(reason, message string) happened { return api(waiting(reason, message)) }

func runs(started, ready bool) happened {
	return api(func(s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		s.Started, s.Ready = &started, ready
	})
}

func terminated(code int32, reason string, message ...string) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: strings.Join(message, "")}
}

func exits(code int32, reason string) happened {
	return api(func(s *corev1.ContainerStatus) {
		s.State, s.Ready = corev1.ContainerState{Terminated: terminated(code, reason)}, false
	})
}

func exitedBefore(s *corev1.ContainerStatus) {
	s.LastTerminationState.Terminated = terminated(1, "Error")
}

// looping is a container that its kubelet starts again and again.
func looping(code int32, reason string, message ...string) status {
	return func(s *corev1.ContainerStatus) {
		s.LastTerminationState.Terminated = terminated(code, reason, message...)
		waiting(crashLoop, "back-off 5m0s restarting failed container=api pod=stg-api-5d4c8-a_tracebloc(u)")(s)
	}
}

func loops(code int32, reason string, message ...string) happened {
	return api(looping(code, reason, message...))
}

func crashes(pod *corev1.Pod) { loops(1, "Error")(pod) }

// serves is a pod that is ready; alone is one whose containers are, and which is not.
func serves(pod *corev1.Pod) {
	alone(pod)
	condition("Ready", true)(pod)
}

func alone(pod *corev1.Pod) {
	runs(true, true)(pod)
	condition("ContainersReady", true)(pod)
}

func leaving(pod *corev1.Pod) { pod.DeletionTimestamp = &metav1.Time{Time: time.Now()} }

func ended(phase corev1.PodPhase, reason, message string) happened {
	return func(pod *corev1.Pod) {
		pod.Status.Phase, pod.Status.Reason, pod.Status.Message = phase, reason, message
	}
}

func named(name string) happened { return func(pod *corev1.Pod) { pod.Name = name } }

// old is a pod that holds another digest, in its image and its variable.
func old(pod *corev1.Pod) {
	pod.Spec.Containers[0].Image = repository + ":1@" + oldDigest
	pod.Spec.Containers[0].Env[0].Value = oldDigest
}

// ofOwner is a pod whose owner has this kind and name.
func ofOwner(kind, name string) happened {
	return func(pod *corev1.Pod) { pod.OwnerReferences[0].Kind, pod.OwnerReferences[0].Name = kind, name }
}

// sidecar is what a webhook has put beside the container.
func sidecar(change status) happened {
	return func(pod *corev1.Pod) {
		is := corev1.ContainerStatus{Name: "istio-proxy"}
		change(&is)
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "istio-proxy", Image: "istio/proxyv2:1"})
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, is)
	}
}

// inInit makes the own container an init container, ahead of which others may run.
func inInit(policy *corev1.ContainerRestartPolicy, before ...corev1.ContainerStatus) happened {
	return func(pod *corev1.Pod) {
		own := pod.Spec.Containers[0]
		own.RestartPolicy = policy
		for _, status := range before {
			pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: status.Name})
		}
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, own)
		pod.Spec.Containers[0] = corev1.Container{Name: "web", Image: "nginx"}
		pod.Status.InitContainerStatuses = slices.Concat(before, pod.Status.ContainerStatuses)
		pod.Status.ContainerStatuses[0] = corev1.ContainerStatus{Name: "web"}
		waiting("PodInitializing", "")(&pod.Status.ContainerStatuses[0])
		condition("Initialized", false)(pod)
	}
}

func gate(kind corev1.PodConditionType) happened {
	return func(pod *corev1.Pod) {
		pod.Spec.ReadinessGates = append(pod.Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: kind})
	}
}
