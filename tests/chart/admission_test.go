package chart

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/tracebloc/image-refresh/tests/cluster"
)

// confined are targets with every sort of slot.
const confined = `
admissionPolicy: {enabled: true}
serviceAccount: {create: false, name: confined}
targets:
  - name: ingestor
    image: ghcr.io/tracebloc/ingestor:0.3
    workloads:
      - {kind: Deployment, name: api, container: api, env: DIGEST}
      - {kind: Deployment, name: big, env: DIGEST}
      - {kind: CronJob, name: job, env: REFERENCE, envValue: reference}
      - {kind: DaemonSet, name: agent}
      - {kind: Deployment, name: own, container: init}
  - name: manager
    image: docker.io/library/manager:prod
    workloads:
      - {kind: Deployment, name: api, container: api}
      - {kind: StatefulSet, name: store, container: store}
  - name: own
    workloads:
      - {kind: Deployment, name: own, container: own}
`

// guarded are the workloads that those targets name, and one that none does.
const guarded = `
{kind: Deployment, metadata: {name: api, labels: {app: x, tracebloc.io/old-digest: x, tracebloc.io/refresh-hold: "true"}, annotations: {note: x, tracebloc.io/last-refreshed-ingestor-digest: x}}, spec: {replicas: 1, template: {spec: {
  containers: [{name: api, image: "manager:prod", env: [{name: LEVEL, value: info}, {name: DIGEST, value: ""}, {name: LATER, value: "$(DIGEST)"}]}, {name: sidecar, image: "manager:prod", env: [{name: DIGEST, value: ""}]}]}}}}
---
{kind: Deployment, metadata: {name: own}, spec: {template: {spec: {initContainers: [{name: init, image: "ghcr.io/tracebloc/ingestor:0.3"}], containers: [{name: own, image: "localhost:5000/own@sha256:$Z"}]}}}}
---
{kind: StatefulSet, metadata: {name: store}, spec: {template: {spec: {containers: [{name: store, image: "index.docker.io/library/manager"}]}}}}
---
{kind: DaemonSet, metadata: {name: agent}, spec: {template: {spec: {containers: [{name: a, image: "ghcr.io/tracebloc/ingestor:0.3@sha256:$Z"}, {name: b, image: "ghcr.io/tracebloc/other:0.3"}]}}}}
---
{kind: CronJob, metadata: {name: job}, spec: {schedule: "* * * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: job, image: x}]}}}}}}
---
{kind: Deployment, metadata: {name: other}, spec: {template: {spec: {containers: [{name: api, image: "manager:prod", env: [{name: DIGEST, value: ""}]}]}}}}
`

// What a patch runs into, by the message of the rule.
const (
	noObject    = "nothing but the workloads that its targets name"
	noMetadata  = "no metadata but its own labels and annotations"
	noField     = "nothing of a workload but the slots of its targets"
	noContainer = "nothing of a container but the slots of its targets"
	noImage     = "nothing of an image but the digest"
	noVariable  = "no variable but those that hold a slot"
)

// patches are what the account asks for, each as a strategic merge patch of a workload as it was made, and the rule that
// refuses it; none for what a tick does.
var patches = []struct{ name, object, patch, refused string }{
	{"a digest in a variable", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, env: [{name: DIGEST, value: "sha256:$D"}]}]}}}}`, ""},
	{"all slots, marks and state at once", "deployments/api", `{metadata: {labels: {tracebloc.io/ingestor-digest: "1"}, annotations: {tracebloc.io/ingestor-refresh-state: "{}"}}, spec: {template: {spec: {containers: [{name: api, image: "manager:prod@sha256:$D", env: [{name: DIGEST, value: "sha256:$D"}]}]}}}}`, ""},
	{"an image by its digest alone", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, image: "manager@sha256:$D"}]}}}}`, ""},
	{"labels and annotations of ours away", "deployments/api", `{metadata: {labels: {tracebloc.io/old-digest: null}, annotations: {tracebloc.io/last-refreshed-ingestor-digest: null}}}`, ""},
	{"a first tag for an image without", "statefulsets/store", `{spec: {template: {spec: {containers: [{name: store, image: "index.docker.io/library/manager:prod@sha256:$D"}]}}}}`, ""},
	{"a slot of a DaemonSet", "daemonsets/agent", `{spec: {template: {spec: {containers: [{name: a, image: "ghcr.io/tracebloc/ingestor:0.3@sha256:$D"}]}}}}`, ""},
	{"a reference in a variable that was not there", "cronjobs/job", `{spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: job, env: [{name: REFERENCE, value: "ghcr.io/tracebloc/ingestor@sha256:$D"}]}]}}}}}}`, ""},
	{"the image that a container follows by itself", "deployments/own", `{spec: {template: {spec: {containers: [{name: own, image: "localhost:5000/own@sha256:$D"}]}}}}`, ""},
	{"an init container's image", "deployments/own", `{spec: {template: {spec: {initContainers: [{name: init, image: "ghcr.io/tracebloc/ingestor:0.3@sha256:$D"}]}}}}`, ""},
	{"a slot among very many containers and variables", "deployments/big", `{spec: {template: {spec: {containers: [{name: c7, env: [{name: DIGEST, value: "sha256:$D"}]}]}}}}`, ""},
	{"nothing", "deployments/api", `{}`, ""},

	{"a workload that no target names", "deployments/other", `{spec: {template: {spec: {containers: [{name: api, env: [{name: DIGEST, value: "sha256:$D"}]}]}}}}`, noObject},
	{"its labels", "deployments/other", `{metadata: {labels: {tracebloc.io/ingestor-digest: "1"}}}`, noObject},

	{"another label", "deployments/api", `{metadata: {labels: {app: z}}}`, noMetadata},
	{"a new label", "deployments/api", `{metadata: {labels: {tracebloc.example.com/x: z}}}`, noMetadata},
	{"a label away", "deployments/api", `{metadata: {labels: {app: null}}}`, noMetadata},
	{"a person's hold away", "deployments/api", `{metadata: {labels: {tracebloc.io/refresh-hold: null}}}`, noMetadata},
	{"a hold", "deployments/own", `{metadata: {labels: {tracebloc.io/refresh-hold: "true"}}}`, noMetadata},
	{"another annotation", "deployments/api", `{metadata: {annotations: {note: z}}}`, noMetadata},
	{"an annotation away", "deployments/api", `{metadata: {annotations: {note: null}}}`, noMetadata},
	{"a finalizer", "deployments/api", `{metadata: {finalizers: [example.com/x]}}`, noMetadata},
	{"an owner", "deployments/api", `{metadata: {ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: x, uid: x}]}}`, noMetadata},

	{"replicas", "deployments/api", `{spec: {replicas: 0}}`, noField},
	{"a strategy", "deployments/api", `{spec: {strategy: {type: Recreate, rollingUpdate: null}}}`, noField},
	{"a pause", "deployments/api", `{spec: {paused: true}}`, noField},
	{"a schedule", "cronjobs/job", `{spec: {schedule: "0 0 * * *"}}`, noField},
	{"a Job's parallelism", "cronjobs/job", `{spec: {jobTemplate: {spec: {parallelism: 9}}}}`, noField},
	{"a Job's label", "cronjobs/job", `{spec: {jobTemplate: {metadata: {labels: {x: z}}}}}`, noField},
	{"a CronJob's service account", "cronjobs/job", `{spec: {jobTemplate: {spec: {template: {spec: {serviceAccountName: admin}}}}}}`, noField},
	{"the pods' labels", "deployments/api", `{spec: {template: {metadata: {labels: {x: z}}}}}`, noField},
	{"the pods' annotations", "deployments/api", `{spec: {template: {metadata: {annotations: {tracebloc.io/x: z}}}}}`, noField},
	{"the service account", "deployments/api", `{spec: {template: {spec: {serviceAccountName: admin}}}}`, noField},
	{"a volume", "deployments/api", `{spec: {template: {spec: {volumes: [{name: x, secret: {secretName: x}}]}}}}`, noField},
	{"the host's network", "deployments/api", `{spec: {template: {spec: {hostNetwork: true}}}}`, noField},

	{"a command", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, command: [sh]}]}}}}`, noContainer},
	{"arguments", "daemonsets/agent", `{spec: {template: {spec: {containers: [{name: a, args: [x]}]}}}}`, noContainer},
	{"an init container's command", "deployments/own", `{spec: {template: {spec: {initContainers: [{name: init, command: [sh]}]}}}}`, noContainer},
	{"privileges", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, securityContext: {privileged: true}}]}}}}`, noContainer},
	{"variables from a Secret", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, envFrom: [{secretRef: {name: x}}]}]}}}}`, noContainer},
	{"one container more", "deployments/api", `{spec: {template: {spec: {containers: [{name: new, image: "manager:prod@sha256:$D"}]}}}}`, noContainer},
	{"one container less", "deployments/api", `{spec: {template: {spec: {containers: [{name: sidecar, $patch: delete}]}}}}`, noContainer},
	{"an init container", "deployments/api", `{spec: {template: {spec: {initContainers: [{name: api2, image: x}]}}}}`, noContainer},

	{"another container's image", "deployments/api", `{spec: {template: {spec: {containers: [{name: sidecar, image: "manager:prod@sha256:$D"}]}}}}`, noImage},
	{"another repository", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, image: "evil:prod@sha256:$D"}]}}}}`, noImage},
	{"the repository, spelled in another way", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, image: "docker.io/library/manager:prod@sha256:$D"}]}}}}`, noImage},
	{"another tag", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, image: "manager:dev@sha256:$D"}]}}}}`, noImage},
	{"a tag alone", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, image: "manager:dev"}]}}}}`, noImage},
	{"half a digest", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, image: "manager:prod@sha256:abc"}]}}}}`, noImage},
	{"a tag where a digest was", "deployments/own", `{spec: {template: {spec: {containers: [{name: own, image: "localhost:5000/own"}]}}}}`, noImage},
	{"a tag for an image that follows none", "deployments/own", `{spec: {template: {spec: {containers: [{name: own, image: "localhost:5000/own:1@sha256:$D"}]}}}}`, noImage},
	{"a repository that only begins like the target's", "daemonsets/agent", `{spec: {template: {spec: {containers: [{name: a, image: "ghcr.io/tracebloc/ingestor-evil:0.3@sha256:$D"}]}}}}`, noImage},
	{"an image of a workload whose slot is another one", "daemonsets/agent", `{spec: {template: {spec: {containers: [{name: b, image: "ghcr.io/tracebloc/other:0.3@sha256:$D"}]}}}}`, noImage},
	{"an image where the slot is a variable", "cronjobs/job", `{spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: job, image: "x@sha256:$D"}]}}}}}}`, noImage},

	{"another variable's value", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, env: [{name: LEVEL, value: debug}]}]}}}}`, noVariable},
	{"a new variable", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, env: [{name: LD_PRELOAD, value: x}]}]}}}}`, noVariable},
	{"a variable away", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, env: [{name: LEVEL, $patch: delete}]}]}}}}`, noVariable},
	{"the slot away", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, env: [{name: DIGEST, $patch: delete}]}]}}}}`, noVariable},
	{"the variable in another container", "deployments/api", `{spec: {template: {spec: {containers: [{name: sidecar, env: [{name: DIGEST, value: "sha256:$D"}]}]}}}}`, noVariable},
	{"no digest in the slot", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, env: [{name: DIGEST, value: "$(cat x)"}]}]}}}}`, noVariable},
	{"a digest and more in the slot", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, env: [{name: DIGEST, value: "sha256:$D\nx"}]}]}}}}`, noVariable},
	{"a reference where a digest belongs", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, env: [{name: DIGEST, value: "ghcr.io/tracebloc/ingestor@sha256:$D"}]}]}}}}`, noVariable},
	{"another repository in a reference", "cronjobs/job", `{spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: job, env: [{name: REFERENCE, value: "evil.io/ingestor@sha256:$D"}]}]}}}}}}`, noVariable},
	{"a Secret in the slot", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, env: [{name: DIGEST, value: null, valueFrom: {secretKeyRef: {name: x, key: x}}}]}]}}}}`, noVariable},
	{"another order of variables", "deployments/api", `{spec: {template: {spec: {containers: [{name: api, $setElementOrder/env: [{name: LATER}, {name: DIGEST}, {name: LEVEL}], env: [{name: DIGEST, value: "sha256:$D"}]}]}}}}`, noVariable},
}

var (
	digits   = strings.Repeat("d", 64)
	spelling = strings.NewReplacer("$D", digits, "$Z", zeros)
)

// The account has every right on workloads here, so what is refused is refused by the policy.
func TestThePolicyConfinesTheAccountToSlots(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	home, account := confine(t, c)
	for _, patch := range patches {
		t.Run(patch.name, func(t *testing.T) {
			resource, name, _ := strings.Cut(patch.object, "/")
			_, err := account.Resource(workload(resource)).Namespace(home).Patch(t.Context(), name, types.StrategicMergePatchType,
				asJSON(t, patch.patch), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
			if patch.refused == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "denied request: image-refresh may change "+patch.refused)
		})
	}

	t.Run("ownership is handed back by a write of managedFields alone", func(t *testing.T) {
		deployments := account.Resource(workload("deployments")).Namespace(home)
		read, err := deployments.Get(t.Context(), "api", metav1.GetOptions{})
		require.NoError(t, err)
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": read.GetResourceVersion(), "managedFields": []any{}}})
		require.NoError(t, err)
		written, err := deployments.Patch(t.Context(), "api", types.MergePatchType, patch, metav1.PatchOptions{})
		require.NoError(t, err)
		assert.NotEqual(t, read.GetManagedFields(), written.GetManagedFields())
	})
	t.Run("no other request", func(t *testing.T) {
		dry := []string{metav1.DryRunAll}
		deployments := account.Resource(workload("deployments")).Namespace(home)
		_, err := deployments.Patch(t.Context(), "api", types.MergePatchType, []byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{DryRun: dry}, "scale")
		require.ErrorContains(t, err, noObject, "scale")
		_, err = deployments.Patch(t.Context(), "api", types.MergePatchType, []byte(`{"status":{"replicas":9}}`), metav1.PatchOptions{DryRun: dry}, "status")
		require.ErrorContains(t, err, noObject, "status")
		require.ErrorContains(t, deployments.Delete(t.Context(), "api", metav1.DeleteOptions{DryRun: dry}), noObject, "delete")
		for _, object := range objectsOf(t, guarded) {
			object.SetName("new")
			_, err := account.Resource(resourceOf(object)).Namespace(home).Create(t.Context(), object, metav1.CreateOptions{DryRun: dry})
			require.ErrorContains(t, err, noObject, "create %s", object.GetKind())
		}
	})
	t.Run("another account", func(t *testing.T) {
		administrator, err := dynamic.NewForConfig(c.Config())
		require.NoError(t, err)
		_, err = administrator.Resource(workload("deployments")).Namespace(home).Patch(t.Context(), "api", types.MergePatchType,
			[]byte(`{"spec":{"replicas":2},"metadata":{"labels":{"app":"z"}}}`), metav1.PatchOptions{})
		require.NoError(t, err)
	})
}

// confine makes the workloads, an account and the policy that the chart has for it, and waits until that is in force.
func confine(t *testing.T, c *cluster.Cluster) (home string, account dynamic.Interface) {
	t.Helper()
	home, err := c.Namespace(t.Context(), "confined")
	require.NoError(t, err)
	administrator, err := dynamic.NewForConfig(c.Config())
	require.NoError(t, err)
	made := append(objectsOf(t, guarded), large())
	for _, object := range made {
		_, err := administrator.Resource(resourceOf(object)).Namespace(home).Create(t.Context(), object, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	all := []string{"*"}
	token, err := c.ServiceAccount(t.Context(), home, "confined", rbacv1.PolicyRule{APIGroups: []string{"apps", "batch"}, Resources: all, Verbs: all})
	require.NoError(t, err)
	config := rest.AnonymousClientConfig(c.Config())
	config.BearerToken, config.QPS = token, -1
	account, err = dynamic.NewForConfig(config)
	require.NoError(t, err)

	var given map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(confined), &given))
	flags := append(valuesFile(t, given), "--namespace", home, "--show-only", "templates/admissionpolicy.yaml")
	rendered := helms[0].mustTemplate(t, chartDir, flags...)
	kubectl(t, rendered, "apply", "--validate=strict", "-f", "-")
	t.Cleanup(func() { kubectl(t, rendered, "delete", "--wait=false", "-f", "-") })
	require.Eventually(t, func() bool {
		_, err := account.Resource(workload("deployments")).Namespace(home).Patch(t.Context(), "other", types.MergePatchType,
			[]byte(`{"metadata":{"labels":{"probe":"x"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), noObject)
	}, 30*time.Second, 50*time.Millisecond, "the policy is not in force")
	return home, account
}

// large is a Deployment with more of everything than one sees.
func large() *unstructured.Unstructured {
	var containers []any
	for i := range 30 {
		var env []any
		for j := range 100 {
			env = append(env, map[string]any{"name": fmt.Sprintf("V%d", j), "value": strings.Repeat("v", 100)})
		}
		containers = append(containers, map[string]any{"name": fmt.Sprintf("c%d", i), "image": "x", "env": env})
	}
	containers[7].(map[string]any)["env"].([]any)[50] = map[string]any{"name": "DIGEST", "value": ""}
	object := &unstructured.Unstructured{Object: map[string]any{
		"kind": "Deployment", "metadata": map[string]any{"name": "big"},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": containers}}},
	}}
	return complete(object)
}

// objectsOf reads workloads, and fills in what every one needs.
func objectsOf(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var read []*unstructured.Unstructured
	for document := range strings.SplitSeq(text, "\n---\n") {
		object := &unstructured.Unstructured{}
		require.NoError(t, json.Unmarshal(asJSON(t, document), &object.Object))
		read = append(read, complete(object))
	}
	return read
}

func complete(object *unstructured.Unstructured) *unstructured.Unstructured {
	object.SetAPIVersion("apps/v1")
	if object.GetKind() == "CronJob" {
		object.SetAPIVersion("batch/v1")
		return object
	}
	spec := object.Object["spec"].(map[string]any)
	spec["selector"] = map[string]any{"matchLabels": map[string]any{"app": object.GetName()}}
	spec["template"].(map[string]any)["metadata"] = map[string]any{"labels": map[string]any{"app": object.GetName()}}
	return object
}

func resourceOf(object *unstructured.Unstructured) schema.GroupVersionResource {
	return workload(strings.ToLower(object.GetKind()) + "s")
}

func workload(resource string) schema.GroupVersionResource {
	group := "apps"
	if resource == "cronjobs" {
		group = "batch"
	}
	return schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}
}

func asJSON(t *testing.T, text string) []byte {
	t.Helper()
	converted, err := yaml.YAMLToJSON([]byte(spelling.Replace(text)))
	require.NoError(t, err)
	return converted
}
