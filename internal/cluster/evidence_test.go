package cluster

import (
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

// verdicts are what a row of the table gives.
type verdicts string

const (
	evidenceOfACrash verdicts = "evidence crashed"
	evidence         verdicts = "evidence"
	hangsOnDigest    verdicts = "may hang"
	allReady         verdicts = "all ready"
)

// judged is a row: the pods, or the Deployment, and what they say of the digest.
type judged struct {
	pods   []corev1.Pod
	want   verdicts
	says   string // one of the reasons
	object func(*appsv1.Deployment)
}

// judge asserts what the pods say about a slot, beside another target, about which nothing is asked.
func (j judged) judge(t *testing.T, slot workload.Slot) {
	t.Helper()
	d := deployment("1", 1)
	if j.object != nil {
		j.object(d)
	}
	object := read(t, d)
	var own []corev1.Pod
	for _, pod := range j.pods {
		if object.Owns(&pod) {
			own = append(own, pod)
		}
	}
	got := diagnose(object, []workload.PodQuery{{}, {Digest: image.Digest(newDigest), Slots: []workload.Slot{slot}}}, own)
	assert.Equal(t, []bool{false, strings.HasPrefix(string(j.want), "evidence")}, got.Evidence, "evidence")
	assert.Equal(t, []bool{false, j.want == evidenceOfACrash}, got.Crashed, "crashed")
	assert.Equal(t, j.want == hangsOnDigest, got.MayHangOnDigest, "may hang on the digest")
	assert.Equal(t, j.want == allReady, got.AllReady, "all ready")
	assert.False(t, got.Unreadable)
	said := strings.Join(got.Reasons, "\n")
	assert.Contains(t, said, j.says)
	assert.NotEmpty(t, said, "a message never ends in ()")
}

func judgeAll(t *testing.T, slot workload.Slot, rows map[string]judged) {
	t.Helper()
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row.judge(t, slot)
		})
	}
}

// What a container did, and what looks alike and is another's doing: another pod's, another container's, another digest's.
func TestEvidenceIsWhatTheOwnContainerDid(t *testing.T) {
	t.Parallel()
	injected := corev1.ContainerStatus{Name: "istio-init"}
	looping(1, "Error", "")(&injected)
	judgeAll(t, workload.Slot{Container: "api"}, map[string]judged{
		"it crashes again and again": {pods: one(crashes), want: evidenceOfACrash,
			says: "pod stg-api-5d4c8-a on node-1: api: CrashLoopBackOff: back-off 5m0s, last exit code 1"},
		"it has crashed for the first time":      {pods: one(exits(2, "Error")), want: evidenceOfACrash, says: "api: Error, exit code 2"},
		"it exits, with nothing wrong":           {pods: one(loops(0, "Completed", "")), want: evidenceOfACrash, says: "last exit code 0"},
		"it has just exited, with nothing wrong": {pods: one(exits(0, "Completed")), want: evidenceOfACrash, says: "api: Completed, exit code 0"},
		"it is killed for its memory":            {pods: one(loops(137, "OOMKilled", "")), want: evidenceOfACrash, says: "last exit code 137 (OOMKilled)"},
		"its liveness probe kills it":            {pods: one(loops(143, "Error", "")), want: evidenceOfACrash},
		"it is past its startup probe":           {pods: one(runs(true, false)), want: evidence, says: "api: running, not ready"},
		"one of two pods crashes":                {pods: append(one(serves), podOf(named("b"), crashes)), want: evidenceOfACrash, says: "pod b"},
		"its kubelet has forgotten how":          {pods: one(waits(crashLoop, "")), want: evidenceOfACrash},

		"I79: its startup probe has not passed":  {pods: one(runs(false, false)), says: "api: running, its startup probe has not passed"},
		"I79: nor after a restart":               {pods: one(runs(false, false), api(exitedBefore))},
		"whether it has started is not known":    {pods: one(runs(false, false), api(func(s *corev1.ContainerStatus) { s.Started = nil }))},
		"I86: it exited once, and is ready now":  {pods: one(serves, api(exitedBefore))},
		"I81: what a webhook put beside it does": {pods: one(runs(true, true), sidecar(looping(1, "Error", ""))), says: "istio-proxy: CrashLoopBackOff"},
		"I81: an injected init container crashes": {pods: one(waits("PodInitializing", ""), condition(corev1.PodInitialized, false), func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "istio-init"}}
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{injected}
		}), says: "istio-init: CrashLoopBackOff"},
		"I84: a canary's pods crash":     {pods: one(crashes, ofOwner("ReplicaSet", "stg-api-canary-5d4c8")), says: "it has no pods"},
		"I84: a hook's Job fails":        {pods: one(exits(1, "Error"), ofOwner("Job", "migrate")), says: "it has no pods"},
		"a pod that nobody owns crashes": {pods: one(crashes, func(p *corev1.Pod) { p.OwnerReferences = nil })},
		"I51: the pod that crashes is an old one": {pods: one(crashes, old),
			says: "pod stg-api-5d4c8-a on node-1 (of another digest): api: CrashLoopBackOff"},
		"a policy gave the pod another digest": {pods: one(old, runs(true, false)), says: "no pod has the new digest yet"},
		"a policy gave the pod another repository": {pods: one(crashes, func(p *corev1.Pod) {
			p.Spec.Containers[0].Image = "mirror.example.com/ghcr/tracebloc/api@" + newDigest
		}), want: evidenceOfACrash},
	})
}

// Pods that never got that far.
func TestI49EvidenceIsNotWhatNeverRan(t *testing.T) {
	t.Parallel()
	judgeAll(t, workload.Slot{Container: "api"}, map[string]judged{
		"unschedulable": {pods: one(func(p *corev1.Pod) {
			p.Spec.NodeName, p.Status = "", corev1.PodStatus{Phase: corev1.PodPending}
			condition(corev1.PodScheduled, false, "Unschedulable", "0/3 nodes are available")(p)
		}), says: "pod stg-api-5d4c8-a: Unschedulable: 0/3 nodes are available"},
		"no volume": {pods: one(condition(corev1.PodReadyToStartContainers, false)),
			says: "api: ContainerCreating, the pod waits for volumes or network"},
		"before Kubernetes 1.29 nothing tells a volume from a pull": {pods: one(func(p *corev1.Pod) { p.Status.Conditions = p.Status.Conditions[:1] }),
			says: "api: ContainerCreating"},
		"its init containers are at work": {pods: one(waits("PodInitializing", ""), condition(corev1.PodInitialized, false)), says: "api: PodInitializing"},
		"a quota": {object: refused(`pods "x" is forbidden: exceeded quota: compute, requested: limits.memory=2Gi`),
			says: `ReplicaFailure: FailedCreate: pods "x" is forbidden: exceeded quota: compute`},
		"a webhook that is down": {object: refused(`failed calling webhook "x": failed to call webhook: Post "https://x": context deadline exceeded`),
			says: "failed calling webhook"},
		"a webhook that cannot be reached": {object: refused(`failed calling webhook "x": failed to call webhook: Post "https://x": permission denied`)},
		"a namespace that goes":            {object: refused(`pods "x" is forbidden: unable to create new content because it is being terminated`)},
		"a service account is gone":        {object: refused(`pods "x" is forbidden: error looking up service account tracebloc/api: not found`)},
		"a webhook refuses the image": {object: refused(`admission webhook "validate.kyverno.svc-fail" denied the request: image signature`),
			want: hangsOnDigest, says: "denied the request"},
		"a policy refuses it":                              {object: refused(`pods "x" is forbidden: ValidatingAdmissionPolicy 'images' denied request: not approved`), want: hangsOnDigest},
		"the old pod drains":                               {pods: one(serves, old, leaving), says: "pod stg-api-5d4c8-a on node-1: still terminating"},
		"all are old, and serve: the controllers are away": {pods: one(serves, old), says: "no pod has the new digest yet"},
		"no pods at all":                                   {says: "it has no pods"},
		"its node has not said anything":                   {pods: one(func(p *corev1.Pod) { p.Status = corev1.PodStatus{} }), says: "its node has said nothing"},
		"a Secret of its variables is missing":             {pods: one(waits("CreateContainerConfigError", `secret "db" not found`)), says: `secret "db" not found`},
		"a mount keeps it from being started":              {pods: one(loops(128, "StartError", `error mounting "/x" to rootfs at "/x": no such file or directory`))},

		// Another build may have what is missing in this one.
		"its program is not in the image": {pods: one(loops(128, "StartError", `exec: "/app": stat /app: no such file or directory`)), want: hangsOnDigest},
		"it is not in it, and just tried": {pods: one(waits("RunContainerError", `exec: "/app": executable file not found in $PATH`)), want: hangsOnDigest},
		"its image will run as root":      {pods: one(waits("CreateContainerConfigError", "runAsNonRoot and image will run as root")), want: hangsOnDigest},
	})
}

// Disruptions, and nodes.
func TestI50I72I87EvidenceIsNotWhatANodeDid(t *testing.T) {
	t.Parallel()
	killed := exits(137, "Error")
	preempted := condition(corev1.DisruptionTarget, true, "PreemptionByScheduler", "preempting to accommodate a higher priority pod")
	judgeAll(t, workload.Slot{Container: "api"}, map[string]judged{
		"I50: its node is lost":            {pods: one(alone), says: "pod stg-api-5d4c8-a on node-1: its containers are ready, and it is not: its node may be away"},
		"I72: drained, and on its way out": {pods: one(exits(143, "Error"), leaving), says: "still terminating"},
		"I72: killed by a preemption":      {pods: one(killed, preempted), says: "DisruptionTarget: PreemptionByScheduler"},
		"I87: left behind by a node's shutdown": {pods: one(killed, ended(corev1.PodFailed, "Terminated", "imminent node shutdown")),
			says: "Terminated: imminent node shutdown"},
		"I87: evicted":                  {pods: one(killed, ended(corev1.PodFailed, "Evicted", "The node was low on memory")), says: "Evicted: The node was low"},
		"I87: failed by the collector":  {pods: one(killed, ended(corev1.PodFailed, "", "")), says: "pod stg-api-5d4c8-a on node-1: Failed"},
		"I87: ended well with its node": {pods: one(exits(0, "Completed"), ended(corev1.PodSucceeded, "", ""))},
		"I87: refused by its node":      {pods: one(ended(corev1.PodFailed, "UnexpectedAdmissionError", "no healthy devices")), says: "UnexpectedAdmissionError"},
		"its node was rebooted":         {pods: one(exits(255, "Unknown"))},
		"its node lost it":              {pods: one(exits(137, "ContainerStatusUnknown"))},
	})
}

func TestI71EvidenceOfAPullIsWhatTheDigestIs(t *testing.T) {
	t.Parallel()
	const pulling = `failed to pull and unpack image "` + repository + `@sha256:bbbb": `
	judgeAll(t, workload.Slot{Container: "api"}, map[string]judged{
		"the manifest is not there": {pods: one(waits("ErrImagePull", pulling+`failed to resolve reference "x@sha256:bbbb": x@sha256:bbbb: not found`)),
			want: evidence, says: "not found"},
		"nothing fits the node":           {pods: one(waits("ErrImagePull", pulling+"no match for platform in manifest: not found")), want: evidence},
		"the node is throttled":           {pods: one(waits("ErrImagePull", pulling+"https://x/v2/y: 429 Too Many Requests")), want: hangsOnDigest},
		"and its kubelet says no more":    {pods: one(waits("ImagePullBackOff", `Back-off pulling image "`+repository+`"`)), want: hangsOnDigest},
		"I49: 6 GiB are being pulled":     {pods: one(), want: hangsOnDigest, says: "ContainerCreating, the pod has its volumes and network"},
		"I49: after init containers":      {pods: one(waits("PodInitializing", "")), want: hangsOnDigest},
		"I89: a policy of Never":          {pods: one(waits("ErrImageNeverPull", "not present with pull policy of Never")), want: hangsOnDigest},
		"I81: what is beside it":          {pods: one(runs(true, true), sidecar(waiting("ErrImagePull", "manifest unknown"))), says: "istio-proxy: ErrImagePull: manifest unknown"},
		"it crashed, and can't be pulled": {pods: one(waits("ErrImagePull", "429"), api(exitedBefore)), want: hangsOnDigest},
	})
}

// Readiness that is waited for.
func TestI83AllReadyIsWhatWaitsForReadinessAlone(t *testing.T) {
	t.Parallel()
	const load corev1.PodConditionType = "target-health.elbv2.k8s.aws/x"
	judgeAll(t, workload.Slot{Container: "api"}, map[string]judged{
		"minReadySeconds": {pods: append(one(serves), podOf(named("b"), serves)), object: minReady, want: allReady,
			says: "pods are ready, and count once they have been for minReadySeconds, 1800"},
		"a readiness gate": {pods: one(alone, gate(load), condition(load, false, "Initial", "Health checks in progress")), want: allReady,
			says: "it waits for its readiness gate target-health.elbv2.k8s.aws/x, Initial: Health checks in progress"},
		"a readiness gate, and a startup probe":   {pods: one(runs(false, false), gate("x/y")), says: "its startup probe has not passed"},
		"a gate that has opened, and a lost node": {pods: one(alone, gate("x/y"), condition("x/y", true)), says: "its node may be away"},
		"minReadySeconds, and one crashes":        {pods: append(one(serves), podOf(named("b"), crashes)), object: minReady, want: evidenceOfACrash},
		"minReadySeconds, and a lost node":        {pods: append(one(serves), podOf(named("b"), alone)), object: minReady},
		"minReadySeconds of old pods":             {pods: one(serves, old), object: minReady},
		"minReadySeconds and a quota":             {pods: one(serves), object: minReadyAndQuota},
		"the controller has not finished":         {pods: one(serves), says: "its controller has not finished"},
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
		"it crashes with the digest":     {pods: one(crashes), want: evidenceOfACrash},
		"it holds a reference":           {pods: one(runs(true, false), holds("ghcr.io/tracebloc/worker@"+newDigest)), want: evidence},
		"it holds another digest":        {pods: one(crashes, holds(oldDigest))},
		"the last of two counts":         {pods: one(crashes, holds(newDigest, oldDigest))},
		"its image is not there":         {pods: one(waits("ErrImagePull", "manifest unknown")), want: hangsOnDigest},
		"its image is being pulled":      {pods: one(), want: hangsOnDigest},
		"its program is not in an image": {pods: one(loops(128, "StartError", `exec: "/app"`))},
	})
}

func TestEvidenceOfAnInitContainer(t *testing.T) {
	t.Parallel()
	always := corev1.ContainerRestartPolicyAlways
	first := corev1.ContainerStatus{Name: "first", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	done := corev1.ContainerStatus{Name: "first", Ready: true, State: corev1.ContainerState{Terminated: terminated(0, "Completed", "")}}
	judgeAll(t, workload.Slot{Container: "api", Init: true}, map[string]judged{
		"it fails":               {pods: one(inInit(nil), crashes), want: evidenceOfACrash},
		"it is at its work":      {pods: one(inInit(nil), runs(true, false)), says: "api: running"},
		"it has done it":         {pods: one(inInit(nil), exits(0, "Completed"))},
		"a sidecar is not ready": {pods: one(inInit(&always), runs(true, false)), want: evidence},
		"it is being pulled":     {pods: one(inInit(nil, done), waits("PodInitializing", "")), want: hangsOnDigest},
		"it is not its turn":     {pods: one(inInit(nil, first), waits("PodInitializing", ""))},
	})
}
