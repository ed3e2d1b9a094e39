package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// oldDigest served before, newDigest is what the slots hold now.
var (
	oldDigest = "sha256:" + strings.Repeat("a", 64)
	newDigest = "sha256:" + strings.Repeat("b", 64)
)

const repository = "ghcr.io/tracebloc/api"

// pods are made of a pod of Deployment stg-api that has just been given to a kubelet, and of what happened to it then.
type happened func(*corev1.Pod)

func podOf(what ...happened) corev1.Pod {
	yes := true
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "tracebloc", Name: "stg-api-5d4c8-a", Labels: map[string]string{"app": "api", "pod-template-hash": "5d4c8"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "stg-api-5d4c8", UID: "rs", Controller: &yes}},
		},
		Spec: corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{
			{Name: "api", Image: repository + ":1@" + newDigest, Env: []corev1.EnvVar{{Name: "WORKER_DIGEST", Value: newDigest}}},
		}},
		Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: "api"}}},
	}
	for _, step := range append([]happened{
		condition(corev1.PodScheduled, true), condition(corev1.PodReadyToStartContainers, true), condition(corev1.PodInitialized, true),
		condition(corev1.ContainersReady, false), condition(corev1.PodReady, false), waits("ContainerCreating", ""),
	}, what...) {
		step(&pod)
	}
	return pod
}

func condition(kind corev1.PodConditionType, holds bool, words ...string) happened {
	return func(pod *corev1.Pod) {
		new := corev1.PodCondition{Type: kind, Status: map[bool]corev1.ConditionStatus{true: corev1.ConditionTrue, false: corev1.ConditionFalse}[holds]}
		if len(words) == 2 {
			new.Reason, new.Message = words[0], words[1]
		}
		if known := conditionOf(pod, kind); known != nil {
			*known = new
			return
		}
		pod.Status.Conditions = append(pod.Status.Conditions, new)
	}
}

// api changes the status of the container api; of names that of another, which a webhook has put beside it.
func api(change func(*corev1.ContainerStatus)) happened { return of("api", change) }

func of(name string, change func(*corev1.ContainerStatus)) happened {
	return func(pod *corev1.Pod) {
		for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
			for i := range statuses {
				if statuses[i].Name == name {
					change(&statuses[i])
				}
			}
		}
	}
}

func waits(reason, message string) happened {
	return api(func(s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	})
}

func runs(started, ready bool) func(*corev1.ContainerStatus) {
	return func(s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		s.Started, s.Ready = &started, ready
	}
}

func exited(code int32, reason, message string) func(*corev1.ContainerStatus) {
	return func(s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}}
		s.Ready = false
	}
}

func exitedBefore(code int32, reason, message string) func(*corev1.ContainerStatus) {
	return func(s *corev1.ContainerStatus) {
		s.RestartCount++
		s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}
	}
}

// loops is a container that its kubelet starts again and again.
func loops(code int32, reason, message string) func(*corev1.ContainerStatus) {
	return func(s *corev1.ContainerStatus) {
		exitedBefore(code, reason, message)(s)
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: "CrashLoopBackOff", Message: "back-off 5m0s restarting failed container=api pod=stg-api-5d4c8-a_tracebloc(u)",
		}}
	}
}

func all(what ...happened) happened {
	return func(pod *corev1.Pod) {
		for _, step := range what {
			step(pod)
		}
	}
}

func fine() happened {
	return all(api(runs(true, true)), condition(corev1.ContainersReady, true), condition(corev1.PodReady, true))
}

func leaving() happened {
	return func(pod *corev1.Pod) { pod.DeletionTimestamp = &metav1.Time{Time: time.Now()} }
}

func ended(phase corev1.PodPhase, reason, message string) happened {
	return func(pod *corev1.Pod) {
		pod.Status.Phase, pod.Status.Reason, pod.Status.Message = phase, reason, message
	}
}

func named(name string) happened { return func(pod *corev1.Pod) { pod.Name = name } }

// holding is a pod that holds another digest, in its image and its variable.
func holding(digest string) happened {
	return func(pod *corev1.Pod) {
		pod.Spec.Containers[0].Image = repository + ":1@" + digest
		pod.Spec.Containers[0].Env[0].Value = digest
	}
}

func sidecar(change func(*corev1.ContainerStatus)) happened {
	return func(pod *corev1.Pod) {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "istio-proxy", Image: "istio/proxyv2:1"})
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: "istio-proxy"})
		of("istio-proxy", change)(pod)
	}
}

// inInit makes the own container an init container, ahead of which another may run.
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
		pod.Status.ContainerStatuses[0] = corev1.ContainerStatus{Name: "web", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}}
		condition(corev1.PodInitialized, false)(pod)
	}
}

func done(name string) corev1.ContainerStatus {
	s := corev1.ContainerStatus{Name: name}
	exited(0, "Completed", "")(&s)
	s.Ready = true
	return s
}

func unscheduled(message string) happened {
	return func(pod *corev1.Pod) {
		pod.Spec.NodeName = ""
		pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
		condition(corev1.PodScheduled, false, "Unschedulable", message)(pod)
	}
}

// pulls is a container whose image its kubelet could not pull.
func pulls(reason, message string) happened { return waits(reason, message) }

const pulling1 = `failed to pull and unpack image "` + repository + `@sha256:bbbb": `

// refused is what the controller was answered when it could not create pods.
func refused(message string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{
			Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: message,
		})
	}
}

// awaiting is a Deployment whose pods count after so many seconds only, two of which are ready and one of which counts.
func awaiting(seconds int32) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Spec.MinReadySeconds = seconds
		d.Status.ReadyReplicas, d.Status.AvailableReplicas = 2, 1
	}
}

// facts are what a row of the table gives, in one word each.
type facts string

const (
	evidenceOfACrash facts = "evidence crashed"
	evidence         facts = "evidence"
	hangsOnDigest    facts = "may hang"
	allReady         facts = "all ready"
	nothingAtAll     facts = ""
)

// What is evidence against a digest and, above all, what is none: whose pods, whose container, and whose doing.
func TestEvidence(t *testing.T) {
	t.Parallel()
	always := corev1.ContainerRestartPolicyAlways
	for name, row := range map[string]struct {
		pods   []corev1.Pod
		object func(*appsv1.Deployment)
		env    bool // the slot is the variable
		init   bool // the slot is in an init container
		want   facts
		says   string // one of the reasons
	}{
		// What the container did.
		"it crashes again and again": {pods: []corev1.Pod{podOf(api(loops(1, "Error", "")))}, want: evidenceOfACrash,
			says: "pod stg-api-5d4c8-a on node-1: api: CrashLoopBackOff: back-off 5m0s, last exit code 1"},
		"it has crashed for the first time": {pods: []corev1.Pod{podOf(api(exited(2, "Error", "")))}, want: evidenceOfACrash, says: "api: Error, exit code 2"},
		"it exits, with nothing wrong":      {pods: []corev1.Pod{podOf(api(loops(0, "Completed", "")))}, want: evidenceOfACrash, says: "last exit code 0"},
		"it has just exited, with nothing wrong": {pods: []corev1.Pod{podOf(api(exited(0, "Completed", "")))}, want: evidenceOfACrash,
			says: "api: Completed, exit code 0"},
		"it is killed for its memory":                      {pods: []corev1.Pod{podOf(api(loops(137, "OOMKilled", "")))}, want: evidenceOfACrash, says: "last exit code 137 (OOMKilled)"},
		"its liveness probe kills it":                      {pods: []corev1.Pod{podOf(api(loops(143, "Error", "")))}, want: evidenceOfACrash},
		"it runs past its startup probe, and is not ready": {pods: []corev1.Pod{podOf(api(runs(true, false)))}, want: evidence, says: "api: running, not ready"},
		"one of two pods crashes":                          {pods: []corev1.Pod{podOf(fine()), podOf(named("b"), api(loops(1, "Error", "")))}, want: evidenceOfACrash, says: "pod b"},
		"it loops, and its kubelet has forgotten how":      {pods: []corev1.Pod{podOf(waits("CrashLoopBackOff", ""))}, want: evidenceOfACrash},

		// What is none though it looks alike.
		"I79: its startup probe has not passed": {pods: []corev1.Pod{podOf(api(runs(false, false)))}, says: "api: running, its startup probe has not passed"},
		"I79: nor after a restart":              {pods: []corev1.Pod{podOf(api(runs(false, false)), api(exitedBefore(1, "Error", "")))}},
		"whether it has started is not known":   {pods: []corev1.Pod{podOf(api(runs(false, false)), api(func(s *corev1.ContainerStatus) { s.Started = nil }))}},
		"I86: it exited once, and is ready now": {pods: []corev1.Pod{podOf(fine(), api(exitedBefore(1, "Error", "")))}},
		"I81: what a webhook put beside it crashes": {pods: []corev1.Pod{podOf(api(runs(true, true)), sidecar(loops(1, "Error", "")))},
			says: "istio-proxy: CrashLoopBackOff"},
		"I81: an injected init container crashes": {pods: []corev1.Pod{podOf(waits("PodInitializing", ""), condition(corev1.PodInitialized, false), func(p *corev1.Pod) {
			init := corev1.ContainerStatus{Name: "istio-init"}
			loops(1, "Error", "")(&init)
			p.Spec.InitContainers = []corev1.Container{{Name: "istio-init"}}
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{init}
		})}, says: "istio-init: CrashLoopBackOff"},
		"I84: a canary's pods crash": {pods: []corev1.Pod{podOf(api(loops(1, "Error", "")), func(p *corev1.Pod) {
			p.OwnerReferences[0].Name = "stg-api-canary-5d4c8"
		})}, says: "it has no pods"},
		"I84: a hook's Job, which the selector matches, fails": {pods: []corev1.Pod{podOf(api(exited(1, "Error", "")), func(p *corev1.Pod) {
			p.OwnerReferences[0].Kind, p.OwnerReferences[0].Name = "Job", "migrate"
		})}, says: "it has no pods"},
		"a pod that nobody owns crashes": {pods: []corev1.Pod{podOf(api(loops(1, "Error", "")), func(p *corev1.Pod) { p.OwnerReferences = nil })}},
		"I51: the pod that crashes holds another digest": {pods: []corev1.Pod{podOf(api(loops(1, "Error", "")), holding(oldDigest))},
			says: "pod stg-api-5d4c8-a on node-1 (of another digest): api: CrashLoopBackOff"},
		"a policy gave the pod another digest": {pods: []corev1.Pod{podOf(holding(oldDigest), api(runs(true, false)))}, says: "no pod has the new digest yet"},
		"a policy gave the pod another repository": {pods: []corev1.Pod{podOf(api(loops(1, "Error", "")), func(p *corev1.Pod) {
			p.Spec.Containers[0].Image = "mirror.example.com/ghcr/tracebloc/api@" + newDigest
		})}, want: evidenceOfACrash},

		// Pods that never got that far (I49).
		"I49: unschedulable": {pods: []corev1.Pod{podOf(unscheduled("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."))},
			says: "pod stg-api-5d4c8-a: Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."},
		"I49: no volume": {pods: []corev1.Pod{podOf(condition(corev1.PodReadyToStartContainers, false))},
			says: "api: ContainerCreating, the pod waits for volumes or network"},
		"I49: before Kubernetes 1.29 nothing tells a volume from a pull": {pods: []corev1.Pod{podOf(func(p *corev1.Pod) {
			p.Status.Conditions = p.Status.Conditions[:1]
		})}, says: "api: ContainerCreating"},
		"I49: its init containers are at work": {pods: []corev1.Pod{podOf(waits("PodInitializing", ""), condition(corev1.PodInitialized, false))},
			says: "api: PodInitializing"},
		"I49: a quota": {pods: nil, object: refused(`pods "stg-api-5d4c8-x" is forbidden: exceeded quota: compute, requested: limits.memory=2Gi, used: limits.memory=8Gi, limited: limits.memory=8Gi`),
			says: `ReplicaFailure: FailedCreate: pods "stg-api-5d4c8-x" is forbidden: exceeded quota: compute`},
		"I49: a webhook that is down": {object: refused(`Internal error occurred: failed calling webhook "mutate.kyverno.svc": failed to call webhook: Post "https://kyverno:443": context deadline exceeded`),
			says: "failed calling webhook"},
		"I49: a webhook that cannot be reached": {object: refused(`Internal error occurred: failed calling webhook "x": failed to call webhook: Post "https://x": dial tcp 10.0.0.1:443: connect: permission denied`)},
		"I49: a namespace that goes":            {object: refused(`pods "x" is forbidden: unable to create new content in namespace tracebloc because it is being terminated`)},
		"I49: a service account is gone":        {object: refused(`pods "x" is forbidden: error looking up service account tracebloc/api: serviceaccount "api" not found`)},
		"a policy refuses the image": {object: refused(`admission webhook "validate.kyverno.svc-fail" denied the request: resource Pod/tracebloc/x was blocked due to: image signature`),
			want: hangsOnDigest, says: "denied the request"},
		"a ValidatingAdmissionPolicy refuses it": {object: refused(`pods "x" is forbidden: ValidatingAdmissionPolicy 'images' with binding 'images' denied request: not approved`), want: hangsOnDigest},
		"I49: the old pod drains": {pods: []corev1.Pod{podOf(fine(), holding(oldDigest), leaving())},
			says: "pod stg-api-5d4c8-a on node-1: still terminating"},
		"the controllers are away: all are old, and serve": {pods: []corev1.Pod{podOf(fine(), holding(oldDigest))}, says: "no pod has the new digest yet"},
		"no pods at all":                       {says: "it has no pods"},
		"its node has not said anything":       {pods: []corev1.Pod{podOf(func(p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: corev1.PodPending} })}, says: "its node has said nothing"},
		"a Secret of its variables is missing": {pods: []corev1.Pod{podOf(waits("CreateContainerConfigError", `secret "db" not found`))}, says: `secret "db" not found`},

		// Disruptions, and nodes.
		"I50: its node is lost": {pods: []corev1.Pod{podOf(api(runs(true, true)), condition(corev1.ContainersReady, true))},
			says: "pod stg-api-5d4c8-a on node-1: its containers are ready, and it is not: its node may be away"},
		"I72: drained, and on its way out": {pods: []corev1.Pod{podOf(api(exited(143, "Error", "")), leaving())}, says: "still terminating"},
		"I72: killed by a preemption": {pods: []corev1.Pod{podOf(api(exited(137, "Error", "")), condition(corev1.DisruptionTarget, true, "PreemptionByScheduler", "preempting to accommodate a higher priority pod"))},
			says: "DisruptionTarget: PreemptionByScheduler"},
		"I87: left behind by a node's shutdown": {pods: []corev1.Pod{podOf(api(exited(137, "Error", "")), ended(corev1.PodFailed, "Terminated", "Pod was terminated in response to imminent node shutdown."))},
			says: "Terminated: Pod was terminated in response to imminent node shutdown."},
		"I87: evicted":                  {pods: []corev1.Pod{podOf(api(exited(137, "Error", "")), ended(corev1.PodFailed, "Evicted", "The node was low on resource: memory."))}, says: "Evicted: The node was low"},
		"I87: failed by the collector":  {pods: []corev1.Pod{podOf(api(exited(137, "Error", "")), ended(corev1.PodFailed, "", ""))}, says: "pod stg-api-5d4c8-a on node-1: Failed"},
		"I87: ended well with its node": {pods: []corev1.Pod{podOf(api(exited(0, "Completed", "")), ended(corev1.PodSucceeded, "", ""))}},
		"I87: refused by its node":      {pods: []corev1.Pod{podOf(ended(corev1.PodFailed, "UnexpectedAdmissionError", "Allocate failed due to no healthy devices"))}, says: "UnexpectedAdmissionError"},
		"its node was rebooted":         {pods: []corev1.Pod{podOf(api(exited(255, "Unknown", "")))}},
		"its node lost it":              {pods: []corev1.Pod{podOf(api(exited(137, "ContainerStatusUnknown", "The container could not be located when the pod was terminated")))}},

		// Pulls (I71).
		"the manifest is not there": {pods: []corev1.Pod{podOf(pulls("ErrImagePull", "rpc error: code = NotFound desc = "+pulling1+`failed to resolve reference "x@sha256:bbbb": x@sha256:bbbb: not found`))},
			want: evidence, says: "not found"},
		"nothing fits the node":             {pods: []corev1.Pod{podOf(pulls("ErrImagePull", pulling1+"no match for platform in manifest: not found"))}, want: evidence},
		"I71: the node is throttled":        {pods: []corev1.Pod{podOf(pulls("ErrImagePull", pulling1+"unexpected status from HEAD request to https://x/v2/y: 429 Too Many Requests"))}, want: hangsOnDigest},
		"I71: and its kubelet says no more": {pods: []corev1.Pod{podOf(pulls("ImagePullBackOff", `Back-off pulling image "`+repository+`"`))}, want: hangsOnDigest},
		"I49: 6 GiB are being pulled":       {pods: []corev1.Pod{podOf()}, want: hangsOnDigest, says: "ContainerCreating, the pod has its volumes and network"},
		"I49: after init containers":        {pods: []corev1.Pod{podOf(waits("PodInitializing", ""))}, want: hangsOnDigest},
		"I89: a policy of Never":            {pods: []corev1.Pod{podOf(pulls("ErrImageNeverPull", "Container image is not present with pull policy of Never"))}, want: hangsOnDigest},
		"I81: what is beside it cannot be pulled": {pods: []corev1.Pod{podOf(api(runs(true, true)), sidecar(func(s *corev1.ContainerStatus) {
			s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "manifest unknown"}
		}))}, says: "istio-proxy: ErrImagePull: manifest unknown"},
		"it crashed, and now cannot be pulled": {pods: []corev1.Pod{podOf(pulls("ErrImagePull", "429"), api(exitedBefore(1, "Error", "")))}, want: hangsOnDigest},

		// Starts. What has not run is no evidence.
		"its program is not in the image":     {pods: []corev1.Pod{podOf(api(loops(128, "StartError", `failed to create containerd task: runc create failed: exec: "/app": stat /app: no such file or directory`)))}, want: hangsOnDigest},
		"it is not in it, and just tried":     {pods: []corev1.Pod{podOf(waits("RunContainerError", `exec: "/app": executable file not found in $PATH`))}, want: hangsOnDigest},
		"its image will run as root":          {pods: []corev1.Pod{podOf(waits("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"))}, want: hangsOnDigest},
		"a mount keeps it from being started": {pods: []corev1.Pod{podOf(api(loops(128, "StartError", `error mounting "/var/lib/kubelet/x" to rootfs at "/x": no such file or directory`)))}},

		// Readiness that is waited for (I83).
		"I83: minReadySeconds": {pods: []corev1.Pod{podOf(fine()), podOf(named("b"), fine())}, object: awaiting(1800), want: allReady,
			says: "pods are ready, and count once they have been for minReadySeconds, 1800"},
		"I83: a readiness gate": {pods: []corev1.Pod{podOf(api(runs(true, true)), condition(corev1.ContainersReady, true), gate("target-health.elbv2.k8s.aws/x"),
			condition("target-health.elbv2.k8s.aws/x", false, "Elb.InitialHealthChecking", "Initial health checks in progress"))},
			want: allReady, says: "it waits for its readiness gate target-health.elbv2.k8s.aws/x, Elb.InitialHealthChecking: Initial health checks in progress"},
		"I83: a readiness gate, and a startup probe": {
			pods: []corev1.Pod{podOf(api(runs(false, false)), gate("x/y"))}, says: "its startup probe has not passed",
		},
		"I83: a gate that has opened, and a lost node": {pods: []corev1.Pod{podOf(api(runs(true, true)), condition(corev1.ContainersReady, true), gate("x/y"), condition("x/y", true))},
			says: "its node may be away"},
		"I83: minReadySeconds, and a pod that crashes": {pods: []corev1.Pod{podOf(fine()), podOf(named("b"), api(loops(1, "Error", "")))}, object: awaiting(1800), want: evidenceOfACrash},
		"I83: minReadySeconds, and one on a lost node": {pods: []corev1.Pod{podOf(fine()), podOf(named("b"), api(runs(true, true)), condition(corev1.ContainersReady, true))}, object: awaiting(1800)},
		"I83: minReadySeconds of old pods":             {pods: []corev1.Pod{podOf(fine(), holding(oldDigest))}, object: awaiting(1800)},
		"I83: minReadySeconds and a quota": {pods: []corev1.Pod{podOf(fine())}, object: func(d *appsv1.Deployment) {
			awaiting(1800)(d)
			refused("exceeded quota")(d)
		}},
		"ready, and the controller has not finished": {pods: []corev1.Pod{podOf(fine())}, says: "its controller has not finished"},

		// Env mode: the image is another's, the variable is ours.
		"env: it crashes with the digest in its variable": {env: true, pods: []corev1.Pod{podOf(api(loops(1, "Error", "")))}, want: evidenceOfACrash},
		"env: the variable holds a reference": {env: true, pods: []corev1.Pod{podOf(api(runs(true, false)), func(p *corev1.Pod) {
			p.Spec.Containers[0].Env[0].Value = "ghcr.io/tracebloc/worker@" + newDigest
		})}, want: evidence},
		"env: the variable holds another digest": {env: true, pods: []corev1.Pod{podOf(api(loops(1, "Error", "")), func(p *corev1.Pod) { p.Spec.Containers[0].Env[0].Value = oldDigest })}},
		"env: the last of two counts": {env: true, pods: []corev1.Pod{podOf(api(loops(1, "Error", "")), func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "WORKER_DIGEST", Value: oldDigest})
		})}},
		"env: its image is not there":         {env: true, pods: []corev1.Pod{podOf(pulls("ErrImagePull", "manifest unknown"))}, want: hangsOnDigest},
		"env: its image is being pulled":      {env: true, pods: []corev1.Pod{podOf()}, want: hangsOnDigest},
		"env: its program is not in an image": {env: true, pods: []corev1.Pod{podOf(api(loops(128, "StartError", `exec: "/app"`)))}},

		// Slots in init containers.
		"init: it fails":               {init: true, pods: []corev1.Pod{podOf(inInit(nil), api(loops(1, "Error", "")))}, want: evidenceOfACrash},
		"init: it is at its work":      {init: true, pods: []corev1.Pod{podOf(inInit(nil), api(runs(true, false)))}, says: "api: running"},
		"init: it has done it":         {init: true, pods: []corev1.Pod{podOf(inInit(nil), api(exited(0, "Completed", "")))}},
		"init: a sidecar is not ready": {init: true, pods: []corev1.Pod{podOf(inInit(&always), api(runs(true, false)))}, want: evidence},
		"init: it is being pulled":     {init: true, pods: []corev1.Pod{podOf(inInit(nil, done("first")), waits("PodInitializing", ""))}, want: hangsOnDigest},
		"init: it is not its turn": {init: true, pods: []corev1.Pod{podOf(inInit(nil, corev1.ContainerStatus{Name: "first", State: corev1.ContainerState{
			Running: &corev1.ContainerStateRunning{}}}), waits("PodInitializing", ""))}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			query := workload.PodQuery{Digest: image.Digest(newDigest), Slots: []workload.Slot{{Container: "api", Init: row.init}}}
			if row.env {
				query.Slots[0].Env = "WORKER_DIGEST"
			}
			d := deployment("1", 1)
			if row.object != nil {
				row.object(d)
			}
			object, err := workload.New(d)
			require.NoError(t, err)
			var own []corev1.Pod
			for _, pod := range row.pods {
				if object.Owns(&pod) {
					own = append(own, pod)
				}
			}
			got := diagnose(object, []workload.PodQuery{{}, query}, own) // beside another target, about which nothing is asked
			want := map[bool][]bool{true: {false, true}, false: {false, false}}
			assert.Equal(t, want[strings.HasPrefix(string(row.want), "evidence")], got.Evidence, "evidence")
			assert.Equal(t, want[row.want == evidenceOfACrash], got.Crashed, "crashed")
			assert.Equal(t, row.want == hangsOnDigest, got.MayHangOnDigest, "may hang on the digest")
			assert.Equal(t, row.want == allReady, got.AllReady, "all ready")
			assert.False(t, got.Unreadable)
			said := strings.Join(got.Reasons, "\n")
			assert.Contains(t, said, row.says)
			assert.NotEmpty(t, said, "a message never ends in ()")
		})
	}
}

func gate(kind corev1.PodConditionType) happened {
	return func(pod *corev1.Pod) {
		pod.Spec.ReadinessGates = append(pod.Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: kind})
	}
}

// Two targets in one pod: each digest has evidence of its own.
func TestEvidenceIsByBinding(t *testing.T) {
	t.Parallel()
	pod := podOf(fine(), sidecar(loops(1, "Error", "")))
	pod.Spec.Containers[1].Image = "ghcr.io/tracebloc/proxy:1@" + oldDigest
	queries := []workload.PodQuery{
		{Digest: image.Digest(newDigest), Slots: []workload.Slot{{Container: "api"}}},
		{Digest: image.Digest(oldDigest), Slots: []workload.Slot{{Container: "istio-proxy"}}},
		{Digest: image.Digest(newDigest), Slots: []workload.Slot{{Container: "istio-proxy"}, {Container: "api", Env: "WORKER_DIGEST"}}},
	}
	got := diagnose(read(t, "1", 1), queries, []corev1.Pod{pod})
	assert.Equal(t, []bool{false, true, false}, got.Evidence)
	assert.Equal(t, []bool{false, true, false}, got.Crashed)
}

// Pods with many reasons: those that tell most come first, and each is cut. How many are told is decided with the message.
func TestReasonsThatTellMostComeFirst(t *testing.T) {
	t.Parallel()
	var pods []corev1.Pod
	for i := range 90 {
		pods = append(pods, podOf(named(fmt.Sprintf("old-%d", i)), holding(oldDigest), api(loops(int32(i+1), "Error", ""))),
			podOf(named(fmt.Sprintf("new-%02d", i)), waits("ErrImagePull", fmt.Sprintf("%d: %s", i%45, strings.Repeat("word ", 4000)))))
	}
	pods = append(pods, podOf(named("z"), api(loops(1, "Error", ""))))
	queries := []workload.PodQuery{{Digest: image.Digest(newDigest), Slots: []workload.Slot{{Container: "api"}}}}
	got := diagnose(read(t, "1", 1), queries, pods).Reasons
	require.Len(t, got, 1+45+90, "what pods say alike is one reason")
	assert.Equal(t, "pod z on node-1: api: CrashLoopBackOff: back-off 5m0s, last exit code 1", got[0])
	assert.True(t, strings.HasPrefix(got[1], "pod new-00 on node-1 and 1 more: api: ErrImagePull: 0: word"), got[1])
	for _, reason := range got {
		assert.LessOrEqual(t, len([]rune(reason)), 200)
	}
}
