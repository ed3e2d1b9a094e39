package cluster

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// refused is what the controller was answered when it could not create pods.
func refused(message string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{
			Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: message,
		})
	}
}

// minReady is a Deployment whose pods count after half an hour only, two of which are ready and one of which counts.
func minReady(d *appsv1.Deployment) {
	d.Spec.MinReadySeconds, d.Status.ReadyReplicas, d.Status.AvailableReplicas = 1800, 2, 1
}

func minReadyAndQuota(d *appsv1.Deployment) {
	minReady(d)
	refused("exceeded quota")(d)
}

// judged is a row: the pods, or the Deployment, and what they say of the digest.
type judged struct {
	pods   []corev1.Pod
	want   string // "evidence", "crash", "may hang", "all ready"; empty: nothing speaks against the digest
	says   string // one of the reasons
	object func(*appsv1.Deployment)
}

// row is what one pod says.
func row(want, says string, what ...happened) judged {
	return judged{pods: one(what...), want: want, says: says}
}

// judgeAll asserts what pods say about a slot, beside another target, about which nothing is asked.
func judgeAll(t *testing.T, slot workload.Slot, rows map[string]judged) {
	t.Helper()
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deployment("1", 1)
			if row.object != nil {
				row.object(d)
			}
			object := read(t, d)
			own := slices.DeleteFunc(row.pods, func(pod corev1.Pod) bool { return !object.Owns(&pod) })
			got := diagnose(object, []workload.PodQuery{{}, {Digest: image.Digest(newDigest), Slots: []workload.Slot{slot}}}, own)
			assert.Equal(t, []bool{false, row.want == "evidence" || row.want == "crash"}, got.Evidence, "evidence")
			assert.Equal(t, []bool{false, row.want == "crash"}, got.Crashed, "crashed")
			assert.Equal(t, row.want == "may hang", got.MayHangOnDigest, "may hang on the digest")
			assert.Equal(t, row.want == "all ready", got.AllReady, "all ready")
			assert.False(t, got.Unreadable)
			said := strings.Join(got.Reasons, "\n")
			assert.Contains(t, said, row.says)
			assert.NotEmpty(t, said, "a message never ends in ()")
		})
	}
}

// What a container did, and what looks alike and is another's doing: another pod's, another container's, another digest's.
func TestEvidenceIsWhatTheOwnContainerDid(t *testing.T) {
	t.Parallel()
	injected := func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{{Name: "istio-init"}}
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "istio-init"}}
		looping(1, "Error")(&p.Status.InitContainerStatuses[0])
		condition("Initialized", false)(p)
	}
	mirrored := func(p *corev1.Pod) { p.Spec.Containers[0].Image = "mirror.example.com/ghcr/tracebloc/api@" + newDigest }
	judgeAll(t, workload.Slot{Container: "api"}, map[string]judged{
		"it crashes again and again":        row("crash", "pod stg-api-5d4c8-a on node-1: api: CrashLoopBackOff: back-off 5m0s", crashes),
		"it has crashed for the first time": row("crash", "api: Error, exit code 2", exits(2, "Error")),
		"it exits, with nothing wrong":      row("crash", "last exit code 0", loops(0, "Completed")),
		"it is killed for its memory":       row("crash", "last exit code 137 (OOMKilled)", loops(137, "OOMKilled")),
		"it is past its startup probe":      row("evidence", "api: running, not ready", runs(true, false)),
		"one of two pods crashes":           {append(one(serves), podOf(named("b"), crashes)), "crash", "pod b", nil},
		"its kubelet has forgotten how":     row("crash", "", waits(crashLoop, "")),

		"I79: its startup probe has not passed":   row("", "api: running, its startup probe has not passed", runs(false, false)),
		"I79: nor after a restart":                row("", "", runs(false, false), api(exitedBefore)),
		"whether it has started is not known":     row("", "", runs(false, false), api(func(s *corev1.ContainerStatus) { s.Started = nil })),
		"I86: it exited once, and is ready now":   row("", "", serves, api(exitedBefore)),
		"I81: what a webhook put beside it does":  row("", "istio-proxy: CrashLoopBackOff", runs(true, true), sidecar(looping(1, "Error"))),
		"I81: an injected init container":         row("", "istio-init: CrashLoopBackOff", waits("PodInitializing", ""), injected),
		"I84: a canary's pods crash":              row("", "it has no pods", crashes, ofOwner("ReplicaSet", "stg-api-canary-5d4c8")),
		"I84: a hook's Job fails":                 row("", "it has no pods", exits(1, "Error"), ofOwner("Job", "migrate")),
		"a pod that nobody owns crashes":          row("", "", crashes, func(p *corev1.Pod) { p.OwnerReferences = nil }),
		"I51: the pod that crashes is an old one": row("", "on node-1 (of another digest): api: CrashLoopBackOff", crashes, old),
		"a policy gave the pod another digest":    row("", "no pod has the new digest yet", old, runs(true, false)),
		"a policy gave it another repository":     row("crash", "", crashes, mirrored),
	})
}

// Pods that never got that far.
func TestI49EvidenceIsNotWhatNeverRan(t *testing.T) {
	t.Parallel()
	nowhere := podOf()
	nowhere.Spec.NodeName, nowhere.Status = "", corev1.PodStatus{}
	judgeAll(t, workload.Slot{Container: "api"}, map[string]judged{
		"unschedulable": row("", "pod stg-api-5d4c8-a: Unschedulable: 0/3 nodes", func(p *corev1.Pod) { *p = nowhere },
			condition("PodScheduled", false, "Unschedulable", "0/3 nodes are available")),
		"no volume":                            row("", "ContainerCreating, the pod waits for volumes or network", condition("PodReadyToStartContainers", false)),
		"before Kubernetes 1.29":               row("", "api: ContainerCreating", func(p *corev1.Pod) { p.Status.Conditions = nil }),
		"its init containers are at work":      row("", "api: PodInitializing", waits("PodInitializing", ""), condition("Initialized", false)),
		"a quota":                              {nil, "", "ReplicaFailure: FailedCreate: exceeded quota", refused("exceeded quota")},
		"a webhook refuses the image":          {nil, "may hang", "denied the request", refused(`webhook "x" denied the request`)},
		"the old pod drains":                   row("", "pod stg-api-5d4c8-a on node-1: still terminating", serves, old, leaving),
		"the controllers are away":             row("", "no pod has the new digest yet", serves, old),
		"no pods at all":                       {says: "it has no pods"},
		"its node has not said anything":       row("", "its node has said nothing", func(p *corev1.Pod) { p.Status = corev1.PodStatus{} }),
		"a Secret of its variables is missing": row("", `secret "db" not found`, waits("CreateContainerConfigError", `secret "db" not found`)),
		"a mount keeps it from being started":  row("", "", loops(128, "StartError", `error mounting "/x" to rootfs at "/x"`)),

		// Another build may have what is missing in this one.
		"its program is not in the image": row("may hang", "", loops(128, "StartError", `exec: "/app": stat /app: no such file or directory`)),
		"it is not in it, and just tried": row("may hang", "", waits("RunContainerError", `exec: "/app": executable file not found in $PATH`)),
		"its image will run as root":      row("may hang", "", waits("CreateContainerConfigError", "runAsNonRoot and image will run as root")),
	})
}

// Disruptions, and nodes.
func TestI50I72I87EvidenceIsNotWhatANodeDid(t *testing.T) {
	t.Parallel()
	killed := exits(137, "Error")
	preempted := condition("DisruptionTarget", true, "PreemptionByScheduler", "preempting")
	judgeAll(t, workload.Slot{Container: "api"}, map[string]judged{
		"I50: its node is lost":                 row("", "its containers are ready, and it is not: its node may be away", alone),
		"I72: drained, and on its way out":      row("", "still terminating", exits(143, "Error"), leaving),
		"I72: killed by a preemption":           row("", "DisruptionTarget: PreemptionByScheduler", killed, preempted),
		"I87: left behind by a node's shutdown": row("", "Terminated: shutdown", killed, ended("Failed", "Terminated", "shutdown")),
		"I87: evicted":                          row("", "Evicted: The node was low", killed, ended("Failed", "Evicted", "The node was low")),
		"I87: ended well with its node":         row("", "", exits(0, "Completed"), ended("Succeeded", "", "")),
		"I87: refused by its node":              row("", "UnexpectedAdmissionError", ended("Failed", "UnexpectedAdmissionError", "")),
		"its node was rebooted":                 row("", "", exits(255, "Unknown")),
		"its node lost it":                      row("", "", exits(137, "ContainerStatusUnknown")),
	})
}

func TestI71EvidenceOfAPullIsWhatTheDigestIs(t *testing.T) {
	t.Parallel()
	const pulling = `failed to pull and unpack image "` + repository + `@sha256:bbbb": `
	judgeAll(t, workload.Slot{Container: "api"}, map[string]judged{
		"the manifest is not there":       row("evidence", "not found", waits("ErrImagePull", pulling+`failed to resolve reference "x": x: not found`)),
		"nothing fits the node":           row("evidence", "", waits("ErrImagePull", pulling+"no match for platform in manifest: not found")),
		"the node is throttled":           row("may hang", "", waits("ErrImagePull", pulling+"https://x/v2/y: 429 Too Many Requests")),
		"I49: 6 GiB are being pulled":     row("may hang", "ContainerCreating, the pod has its volumes and network"),
		"I89: a policy of Never":          row("may hang", "", waits("ErrImageNeverPull", "not present with pull policy of Never")),
		"I81: what is beside it":          row("", "istio-proxy: ErrImagePull", runs(true, true), sidecar(waiting("ErrImagePull", "manifest unknown"))),
		"it crashed, and can't be pulled": row("may hang", "", waits("ErrImagePull", "429"), api(exitedBefore)),
	})
}

// Readiness that is waited for.
func TestI83AllReadyIsWhatWaitsForReadinessAlone(t *testing.T) {
	t.Parallel()
	judgeAll(t, workload.Slot{Container: "api"}, map[string]judged{
		"minReadySeconds":                  {one(serves), "all ready", "count once they have been for minReadySeconds, 1800", minReady},
		"a readiness gate":                 row("all ready", "its readiness gate x/y, Initial: Busy", alone, gate("x/y"), condition("x/y", false, "Initial", "Busy")),
		"a gate, and a startup probe":      row("", "its startup probe has not passed", runs(false, false), gate("x/y")),
		"an open gate, and a lost node":    row("", "its node may be away", alone, gate("x/y"), condition("x/y", true)),
		"minReadySeconds, and one crashes": {append(one(serves), podOf(crashes)), "crash", "", minReady},
		"minReadySeconds, and a lost node": {append(one(serves), podOf(alone)), "", "", minReady},
		"minReadySeconds of old pods":      {one(serves, old), "", "", minReady},
		"minReadySeconds and a quota":      {one(serves), "", "", minReadyAndQuota},
		"the controller has not finished":  row("", "its controller has not finished", serves),
	})
}

// In env mode the image is another's, and the variable is ours.
func TestEvidenceOfAVariable(t *testing.T) {
	t.Parallel()
	holds := func(values ...string) happened {
		return func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = nil
			for _, value := range values {
				p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "WORKER_DIGEST", Value: value})
			}
		}
	}
	judgeAll(t, workload.Slot{Container: "api", Env: "WORKER_DIGEST"}, map[string]judged{
		"it crashes with the digest":     row("crash", "", crashes),
		"it holds a reference":           row("evidence", "", runs(true, false), holds("ghcr.io/tracebloc/worker@"+newDigest)),
		"it holds another digest":        row("", "", crashes, holds(oldDigest)),
		"the last of two counts":         row("", "", crashes, holds(newDigest, oldDigest)),
		"its image is not there":         row("may hang", "", waits("ErrImagePull", "manifest unknown")),
		"its image is being pulled":      row("may hang", ""),
		"its program is not in an image": row("", "", loops(128, "StartError", `exec: "/app"`)),
	})
}

func TestEvidenceOfAnInitContainer(t *testing.T) {
	t.Parallel()
	always := corev1.ContainerRestartPolicyAlways
	first := corev1.ContainerStatus{Name: "first", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	done := corev1.ContainerStatus{Name: "first", Ready: true, State: corev1.ContainerState{Terminated: terminated(0, "Completed")}}
	judgeAll(t, workload.Slot{Container: "api", Init: true}, map[string]judged{
		"it fails":               row("crash", "", inInit(nil), crashes),
		"it is at its work":      row("", "api: running", inInit(nil), runs(true, false)),
		"it has done it":         row("", "", inInit(nil), exits(0, "Completed")),
		"a sidecar is not ready": row("evidence", "", inInit(&always), runs(true, false)),
		"it is being pulled":     row("may hang", "", inInit(nil, done), waits("PodInitializing", "")),
		"it is not its turn":     row("", "", inInit(nil, first), waits("PodInitializing", "")),
	})
}
