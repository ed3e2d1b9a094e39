package cluster

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// aboutAPI asks about the new digest in the image of the container api.
func aboutAPI() []workload.PodQuery {
	return []workload.PodQuery{{Digest: image.Digest(newDigest), Slots: []workload.Slot{{Container: "api"}}}}
}

func listOf(pods ...corev1.Pod) corev1.PodList {
	return corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: pods}
}

const podsCall = "GET /api/v1/namespaces/tracebloc/pods?labelSelector=app%3Dapi&limit=100"

// crashing and throttled are what an API server 1.36 answers about a pod, and a kubelet 1.36 over containerd 2 says of it, but
// for what nobody reads.
const (
	crashing = `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"812"},"items":[{"metadata":{"name":"stg-api-6c7d9f8b5-2xk4p",
 "generateName":"stg-api-6c7d9f8b5-","namespace":"tracebloc","uid":"0f4e","labels":{"app":"api","pod-template-hash":"6c7d9f8b5"},
 "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"stg-api-6c7d9f8b5","uid":"77aa","controller":true,"blockOwnerDeletion":true}]},
 "spec":{"containers":[{"name":"api","image":"ghcr.io/tracebloc/api:1@DIGEST"}],"restartPolicy":"Always","nodeName":"node-1"},
 "status":{"phase":"Running","conditions":[
  {"type":"PodReadyToStartContainers","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-03-01T10:00:02Z"},
  {"type":"Initialized","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-03-01T10:00:00Z"},
  {"type":"Ready","status":"False","lastProbeTime":null,"lastTransitionTime":"2026-03-01T10:00:00Z","reason":"ContainersNotReady","message":"containers with unready status: [api]"},
  {"type":"ContainersReady","status":"False","lastProbeTime":null,"lastTransitionTime":"2026-03-01T10:00:00Z","reason":"ContainersNotReady","message":"containers with unready status: [api]"},
  {"type":"PodScheduled","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-03-01T10:00:00Z"}],
  "hostIP":"10.0.0.7","startTime":"2026-03-01T10:00:00Z","containerStatuses":[{"name":"api",
   "state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off 2m40s restarting failed container=api pod=stg-api-6c7d9f8b5-2xk4p_tracebloc(0f4e)"}},
   "lastState":{"terminated":{"exitCode":1,"reason":"Error","startedAt":"2026-03-01T10:03:10Z","finishedAt":"2026-03-01T10:03:11Z","containerID":"containerd://5b"}},
   "ready":false,"restartCount":5,"image":"ghcr.io/tracebloc/api@DIGEST","imageID":"ghcr.io/tracebloc/api@DIGEST","containerID":"containerd://5b","started":false}],
  "qosClass":"BestEffort"}}]}`
	pullState = `{"waiting":{"reason":"ImagePullBackOff","message":"Back-off pulling image \"ghcr.io/tracebloc/api:1@DIGEST\": ErrImagePull: failed to pull and unpack image \"ghcr.io/tracebloc/api@DIGEST\": failed to resolve reference \"ghcr.io/tracebloc/api@DIGEST\": SAYS"}},
   "lastState":{},"ready":false,"restartCount":0,"image":"ghcr.io/tracebloc/api:1@DIGEST","imageID":"","started":false}],`
)

// pulled is the list with a container that could not be pulled in place of the one that crashed.
func pulled(says string) string {
	before, after, _ := strings.Cut(crashing, `{"waiting":{"reason":"CrashLoopBackOff"`)
	_, after, _ = strings.Cut(after, `"started":false}],`)
	return strings.ReplaceAll(before, `"phase":"Running"`, `"phase":"Pending"`) + strings.ReplaceAll(pullState, "SAYS", says) + after
}

func TestPodProblemsFromWhatAnAPIServerAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer       string
		begins, ends string // the one reason
		want         decide.PodProblems
	}{
		"a crash": {
			crashing, "CrashLoopBackOff: back-off 2m40s, last exit code 1", "",
			decide.PodProblems{Evidence: []bool{true}, Crashed: []bool{true}},
		},
		"a manifest that is gone": {
			pulled("ghcr.io/tracebloc/api@DIGEST: not found"), "ImagePullBackOff: Back-off pulling", ": not found",
			decide.PodProblems{Evidence: []bool{true}, Crashed: []bool{false}},
		},
		"I71: a throttled node": {
			pulled("429 Too Many Requests"), "ImagePullBackOff: Back-off pulling", ": 429 Too Many Requests",
			decide.PodProblems{Evidence: []bool{false}, Crashed: []bool{false}, MayHangOnDigest: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = fmt.Fprint(w, strings.ReplaceAll(c.answer, "DIGEST", newDigest))
			}, func(t *testing.T, s *standIn) {
				got := s.client.PodProblems(context.Background(), read(t, "1", 0), aboutAPI())
				require.Len(t, got.Reasons, 1)
				assert.True(t, strings.HasPrefix(got.Reasons[0], "pod stg-api-6c7d9f8b5-2xk4p on node-1: api: "+c.begins), got.Reasons[0])
				assert.True(t, strings.HasSuffix(got.Reasons[0], c.ends), got.Reasons[0])
				got.Reasons = nil
				assert.Equal(t, c.want, got)
				assert.Equal(t, []string{podsCall}, s.called())
			})
		})
	}
}

// I84: what the selector matches beside the workload's own pods may be much, and come first.
func TestPodProblemsReadsOnPageByPageToABound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pages int // with only a canary's pods, before the workload's own
		gone  bool
		calls int
		found bool
	}{
		"the third page":                {pages: 2, calls: 3, found: true},
		"too many":                      {pages: 99, calls: 10},
		"a list that expires meanwhile": {pages: 2, gone: true, calls: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(w http.ResponseWriter, r *http.Request) {
				page := 0
				_, _ = fmt.Sscanf(r.URL.Query().Get("continue"), "page-%d", &page)
				if c.gone && page > 0 {
					refuse(w, http.StatusGone, metav1.StatusReasonExpired, "the continue token is too old")
					return
				}
				list := listOf(podOf(api(loops(1, "Error", "")), func(p *corev1.Pod) { p.OwnerReferences[0].Name = "stg-api-canary-5d4c8" }))
				if page == c.pages {
					list = listOf(podOf(api(loops(1, "Error", ""))))
				} else {
					list.Continue = fmt.Sprintf("page-%d", page+1)
				}
				answer(w, http.StatusOK, list)
			}, func(t *testing.T, s *standIn) {
				got := s.client.PodProblems(context.Background(), read(t, "1", 0), aboutAPI())
				assert.Equal(t, []bool{c.found}, got.Evidence)
				assert.False(t, got.Unreadable)
				assert.Len(t, s.called(), c.calls)
			})
		})
	}
}

func TestPodProblemsSayWhyThereAreNone(t *testing.T) {
	t.Parallel()
	for code, says := range map[int]string{403: "grant list on pods", 500: "could not be read"} {
		inBubble(t, func(w http.ResponseWriter, r *http.Request) {
			if code == 403 {
				refuse(w, 403, metav1.StatusReasonForbidden, "pods is forbidden")
				return
			}
			status(code)(w, r)
		}, func(t *testing.T, s *standIn) {
			d := deployment("1", 0)
			refused(`pods "x" is forbidden: violates PodSecurity "restricted:latest"`)(d)
			object, err := workload.New(d)
			require.NoError(t, err)
			problems := s.client.PodProblems(context.Background(), object, aboutAPI())
			assert.Equal(t, []bool{false}, problems.Evidence)
			assert.Equal(t, []bool{false}, problems.Crashed)
			assert.True(t, problems.Unreadable)
			assert.True(t, problems.MayHangOnDigest, "the workload itself says that")
			require.Len(t, problems.Reasons, 2)
			said := strings.Join(problems.Reasons, "\n")
			assert.Contains(t, said, says)
			assert.Contains(t, said, "violates PodSecurity")
			assert.NotContains(t, said, "MARKER")
		})
	}
}

// owned is a pod that a controller of a kind owns directly.
func owned(kind config.Kind, name string, uid types.UID, what ...happened) corev1.Pod {
	return podOf(append([]happened{func(p *corev1.Pod) {
		p.OwnerReferences[0].Kind, p.OwnerReferences[0].Name, p.OwnerReferences[0].UID = string(kind), name, uid
		p.Labels = map[string]string{"app": "api"}
	}}, what...)...)
}

// A StatefulSet's controller does not replace a pod that never became ready: it must be named. Under Parallel it does.
func TestPodProblemsNameTheStuckPodsOfAStatefulSet(t *testing.T) {
	t.Parallel()
	for policy, want := range map[appsv1.PodManagementPolicyType][]string{"": {"api-0"}, appsv1.OrderedReadyPodManagement: {"api-0"}, appsv1.ParallelPodManagement: nil} {
		object, err := workload.New(&appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "tracebloc", Name: "api", UID: "set"},
			Spec: appsv1.StatefulSetSpec{
				Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "api"}}, PodManagementPolicy: policy,
			},
		})
		require.NoError(t, err)
		list := listOf(
			owned(config.StatefulSet, "api", "set", named("api-0"), waits("ErrImagePull", ""), holding(oldDigest)),
			owned(config.StatefulSet, "api", "set", named("api-1"), fine()),
			owned(config.StatefulSet, "api", "set", named("api-2"), leaving()),
			owned(config.StatefulSet, "api", "set", named("api-3"), ended(corev1.PodFailed, "Evicted", "")),
			owned(config.StatefulSet, "api", "set", named("api-4"), api(runs(true, true)), condition(corev1.ContainersReady, true)), // its node is lost
			owned(config.StatefulSet, "api", "before", named("api-5"), waits("ErrImagePull", "")),                                   // of one that was deleted
		)
		inBubble(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, list) }, func(t *testing.T, s *standIn) {
			assert.Equal(t, want, s.client.PodProblems(context.Background(), object, aboutAPI()).NeverReady, "%s", policy)
		})
	}
}

// The pods of a CronJob are its Jobs': an empty selector would match all there are.
func TestNobodyIsAskedAboutThePodsOfACronJob(t *testing.T) {
	t.Parallel()
	inBubble(t, func(http.ResponseWriter, *http.Request) {}, func(t *testing.T, s *standIn) {
		got := s.client.PodProblems(context.Background(), &workload.Object{Ref: workload.Ref{Kind: config.CronJob}}, aboutAPI())
		assert.Equal(t, decide.PodProblems{Evidence: []bool{false}, Crashed: []bool{false}}, got)
		assert.Empty(t, s.called())
	})
}
