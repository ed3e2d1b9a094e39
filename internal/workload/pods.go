package workload

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/image"
)

// PodQuery is what is asked of a workload's pods about one binding: whether they speak against a digest in its slots.
type PodQuery struct {
	Digest image.Digest // empty: nothing is asked
	Slots  []Slot
}

// PodQueries ask, by binding, about the digest that its slots hold. Nothing is asked about slots that cannot be worked with,
// or that hold no digest.
func PodQueries(places [][]Place) []PodQuery {
	queries := make([]PodQuery, len(places))
	for at, content := range Contents(places) {
		if queries[at].Digest = content.Digest(); queries[at].Digest == "" {
			continue
		}
		for _, place := range places[at] {
			queries[at].Slots = append(queries[at].Slots, place.Slot)
		}
	}
	return queries
}

// HeldIn says whether a pod holds the digest where the slot is. A webhook may have rewritten the repository: the digest
// decides. Of a variable that is listed twice the kubelet uses the last.
func (s Slot) HeldIn(pod *corev1.PodSpec, digest image.Digest) bool {
	containers := pod.Containers
	if s.Init {
		containers = pod.InitContainers
	}
	at := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == s.Container })
	if at < 0 || digest == "" {
		return false
	}
	value := containers[at].Image
	if s.Env != "" {
		listed := variables(containers[at], s.Env)
		if len(listed) == 0 {
			return false
		}
		value = listed[len(listed)-1].Value
	}
	return value == string(digest) && s.Env != "" || strings.HasSuffix(value, "@"+string(digest))
}

// Running are the IDs of the images that the pods run in these slots, each once and in order; an empty one for what does not
// say. A pod that is going, or that its node has ended, does not count, nor does a container that is not running; one that is
// meant to end counts once it has.
func Running(pods []corev1.Pod, slots []Slot) []image.ID {
	var ids []image.ID
	for i := range pods {
		pod := &pods[i]
		if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
			continue
		}
		for _, slot := range slots {
			statuses := pod.Status.ContainerStatuses
			if slot.Init {
				statuses = pod.Status.InitContainerStatuses
			}
			for _, status := range statuses {
				if status.Name == slot.Container && (status.State.Running != nil || slot.Init && status.State.Terminated != nil) {
					ids = append(ids, image.ParseID(status.ImageID))
				}
			}
		}
	}
	return image.DistinctIDs(ids)
}

// Owns says whether a pod is the workload's own. Its selector matches those of others too: a canary's, which carry its labels
// and more, or a hook's (I84). The ReplicaSets of a Deployment may not be read; their names are made of the Deployment's and
// of a hash that is a label of each pod.
func (o *Object) Owns(pod *corev1.Pod) bool {
	at := slices.IndexFunc(pod.OwnerReferences, func(r metav1.OwnerReference) bool { return r.Controller != nil && *r.Controller })
	if at < 0 {
		return false
	}
	owner := pod.OwnerReferences[at]
	if o.Kind == config.Deployment {
		hash := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
		return owner.Kind == "ReplicaSet" && hash != "" && owner.Name == o.Name+"-"+hash
	}
	return owner.Kind == string(o.Kind) && owner.Name == o.Name && owner.UID == o.Meta.UID
}

// Refusal is what the controller was answered when it could not create pods, in the words of the API server. Only a
// Deployment reports it, as its condition ReplicaFailure. The zero value is none.
type Refusal struct{ Reason, Message string }

// Refusal is why the controller could not create pods.
func (o *Object) Refusal() Refusal { return o.status.refused }

// AwaitsMinReady says for how many seconds pods must have been ready to count, where some have not been for so long; else 0.
func (o *Object) AwaitsMinReady() int32 {
	if !o.status.observed || o.status.ready <= o.status.available {
		return 0
	}
	return o.status.minReady
}

// KeepsStuckPods says whether the controller leaves a pod that never became ready where it is, whatever its template says now:
// a StatefulSet's does, unless it sees to all pods at once.
func (o *Object) KeepsStuckPods() bool { return o.Kind == config.StatefulSet && !o.status.parallel }
