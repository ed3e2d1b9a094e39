package chart

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/workloads"
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

// guarded are the workloads that those targets name, and one that none does. One has more of everything than one sees.
func guarded() []workloads.Object {
	var many []workloads.Option
	for i := range 30 {
		name := fmt.Sprintf("c%d", i)
		many = append(many, workloads.Container(name, "x"))
		for j := range 100 {
			many = append(many, workloads.Env(name, fmt.Sprintf("V%d", j), strings.Repeat("v", 100)))
		}
	}
	many = append(many, workloads.Env("c7", "DIGEST", ""))
	return []workloads.Object{
		workloads.Deployment("api", workloads.Replicas(1), workloads.Label("app", "x"), workloads.Annotation("note", "x"),
			workloads.Label("tracebloc.io/ingestor-digest", "x"), workloads.Label("tracebloc.io/old-digest", "x"), workloads.Label("tracebloc.io/refresh-hold", "true"),
			workloads.Label("tracebloc.io/refresh-skip", zeros[:12]), workloads.Label("tracebloc.io/refresh-approve", zeros[:12]),
			workloads.Annotation("tracebloc.io/last-refreshed-ingestor-digest", "x"),
			workloads.Container("api", "manager:prod"), workloads.Env("api", "LEVEL", "info"), workloads.Env("api", "DIGEST", ""),
			workloads.Env("api", "LATER", "$(DIGEST)"), workloads.Container("sidecar", "manager:prod"), workloads.Env("sidecar", "DIGEST", "")),
		workloads.Deployment("own", workloads.InitContainer("init", "ghcr.io/tracebloc/ingestor:0.3"),
			workloads.Container("own", "localhost:5000/own@sha256:"+zeros)),
		workloads.StatefulSet("store", workloads.Container("store", "index.docker.io/library/manager")),
		workloads.DaemonSet("agent", workloads.Container("a", "ghcr.io/tracebloc/ingestor:0.3@sha256:"+zeros),
			workloads.Container("b", "ghcr.io/tracebloc/other:0.3")),
		workloads.CronJob("job", workloads.Container("job", "x")),
		workloads.Deployment("big", many...),
		workloads.Deployment("other", workloads.Container("api", "manager:prod"), workloads.Env("api", "DIGEST", "")),
	}
}

// What a patch runs into, by the message of the rule.
const (
	noObject    = "nothing but the workloads that its targets name"
	noMetadata  = "no metadata but its own labels and annotations"
	noField     = "nothing of a workload but the slots of its targets"
	noContainer = "nothing of a container but the slots of its targets"
	noImage     = "nothing of an image but the digest"
	noVariable  = "no variable but those that hold a slot"
	noEvent     = "no Events but its own"
)

// patches are what the account asks for, each as a strategic merge patch of a workload as it was made (deployments/api), of its
// pods' specification (deployments/api/pod), or of a container there (deployments/api/pod/api); and the rule that refuses it,
// none for what a tick does.
var patches = []struct{ name, at, patch, refused string }{
	{"a digest in a variable", "deployments/api/pod/api", `env: [{name: DIGEST, value: "sha256:$D"}]`, ""},
	{"all slots, marks and state at once", "deployments/api", `
		metadata: {labels: {tracebloc.io/ingestor-digest: "1"}, annotations: {tracebloc.io/ingestor-refresh-state: "{}"}}, spec: {template: {spec: {
		containers: [{name: api, image: "manager:prod@sha256:$D", env: [{name: DIGEST, value: "sha256:$D"}]}]}}}`, ""},
	{"an image by its digest alone", "deployments/api/pod/api", `image: "manager@sha256:$D"`, ""},
	{"labels and annotations of ours away", "deployments/api", `
		metadata: {labels: {tracebloc.io/ingestor-digest: null}, annotations: {tracebloc.io/last-refreshed-ingestor-digest: null}}`, ""},
	{"every key that a tick writes", "deployments/api", `
		metadata: {labels: {tracebloc.io/manager-digest: "1", tracebloc.io/refresh: ok}, annotations: {tracebloc.io/last-refreshed-manager-digest: x,
		tracebloc.io/last-refreshed-manager-build: x, tracebloc.io/manager-refresh-consecutive-failures: "1", tracebloc.io/manager-refresh-last-error: x,
		tracebloc.io/manager-refresh-state: x, tracebloc.io/manager-refresh-failing-since: x, tracebloc.io/refresh-skip-streak: "1"}}`, ""},
	{"a first tag for an image without", "statefulsets/store/pod/store", `image: "index.docker.io/library/manager:prod@sha256:$D"`, ""},
	{"a slot of a DaemonSet", "daemonsets/agent/pod/a", `image: "ghcr.io/tracebloc/ingestor:0.3@sha256:$D"`, ""},
	{"a reference in a variable that was not there", "cronjobs/job/pod/job", `
		env: [{name: REFERENCE, value: "ghcr.io/tracebloc/ingestor@sha256:$D"}]`, ""},
	{"the image that a container follows by itself", "deployments/own/pod/own", `image: "localhost:5000/own@sha256:$D"`, ""},
	{"an init container's image", "deployments/own/pod", `
		initContainers: [{name: init, image: "ghcr.io/tracebloc/ingestor:0.3@sha256:$D"}]`, ""},
	{"a slot among very many containers and variables", "deployments/big/pod/c7", `env: [{name: DIGEST, value: "sha256:$D"}]`, ""},
	{"nothing", "deployments/api", ``, ""},
	{"a workload that no target names", "deployments/other/pod/api", `env: [{name: DIGEST, value: "sha256:$D"}]`, noObject},
	{"its labels", "deployments/other", `metadata: {labels: {tracebloc.io/ingestor-digest: "1"}}`, noObject},
	{"another label", "deployments/api", `metadata: {labels: {app: z}}`, noMetadata},
	{"a new label", "deployments/api", `metadata: {labels: {tracebloc.example.com/x: z}}`, noMetadata},
	{"a label away", "deployments/api", `metadata: {labels: {app: null}}`, noMetadata},
	{"a person's hold away", "deployments/api", `metadata: {labels: {tracebloc.io/refresh-hold: null}}`, noMetadata},
	{"a hold", "deployments/own", `metadata: {labels: {tracebloc.io/refresh-hold: "true"}}`, noMetadata},
	{"a label of another workload's target", "deployments/api", `metadata: {labels: {tracebloc.io/own-digest: "1"}}`, noMetadata},
	{"a label of a target that is no more", "deployments/api", `metadata: {labels: {tracebloc.io/old-digest: null}}`, noMetadata},
	{"a person's approval and skip away, once they are heeded", "deployments/api", `metadata: {labels: {tracebloc.io/refresh-approve: null,
		tracebloc.io/refresh-skip: null}}`, ""},
	{"another approval", "deployments/api", `metadata: {labels: {tracebloc.io/refresh-approve: "1"}}`, noMetadata},
	{"an approval", "deployments/own", `metadata: {labels: {tracebloc.io/refresh-approve: "000000000000"}}`, noMetadata},
	{"another skip", "deployments/api", `metadata: {labels: {tracebloc.io/refresh-skip: "1"}}`, noMetadata},
	{"a skip", "deployments/own", `metadata: {labels: {tracebloc.io/refresh-skip: "000000000000"}}`, noMetadata},
	{"what a target keeps where its own workloads are not", "deployments/api", `metadata: {annotations: {tracebloc.io/own-refresh-state: "{}",
		tracebloc.io/own-refresh-consecutive-failures: "1", tracebloc.io/own-refresh-last-error: x, tracebloc.io/own-refresh-failing-since: x}}`, ""},
	{"what another installation's target keeps", "deployments/api", `metadata: {annotations: {tracebloc.io/other-refresh-state: "{}"}}`, noMetadata},
	{"an annotation of another workload's target", "deployments/api", `metadata: {annotations: {tracebloc.io/last-refreshed-own-digest: x}}`, noMetadata},
	{"an annotation of no key", "deployments/api", `metadata: {annotations: {tracebloc.io/ingestor-digest: "1"}}`, noMetadata},
	{"another annotation", "deployments/api", `metadata: {annotations: {note: z}}`, noMetadata},
	{"an annotation away", "deployments/api", `metadata: {annotations: {note: null}}`, noMetadata},
	{"a finalizer", "deployments/api", `metadata: {finalizers: [example.com/x]}`, noMetadata},
	{"an owner", "deployments/api", `metadata: {ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: x, uid: x}]}`, noMetadata},
	{"replicas", "deployments/api", `spec: {replicas: 0}`, noField},
	{"a strategy", "deployments/api", `spec: {strategy: {type: Recreate, rollingUpdate: null}}`, noField},
	{"a pause", "deployments/api", `spec: {paused: true}`, noField},
	{"a schedule", "cronjobs/job", `spec: {schedule: "0 0 * * *"}`, noField},
	{"a Job's parallelism", "cronjobs/job", `spec: {jobTemplate: {spec: {parallelism: 9}}}`, noField},
	{"a Job's label", "cronjobs/job", `spec: {jobTemplate: {metadata: {labels: {x: z}}}}`, noField},
	{"a CronJob's service account", "cronjobs/job/pod", `serviceAccountName: admin`, noField},
	{"the pods' labels", "deployments/api", `spec: {template: {metadata: {labels: {x: z}}}}`, noField},
	{"the pods' annotations", "deployments/api", `spec: {template: {metadata: {annotations: {tracebloc.io/x: z}}}}`, noField},
	{"the service account", "deployments/api/pod", `serviceAccountName: admin`, noField},
	{"a volume", "deployments/api/pod", `volumes: [{name: x, secret: {secretName: x}}]`, noField},
	{"the host's network", "deployments/api/pod", `hostNetwork: true`, noField},
	{"a command", "deployments/api/pod/api", `command: [sh]`, noContainer},
	{"arguments", "daemonsets/agent/pod/a", `args: [x]`, noContainer},
	{"an init container's command", "deployments/own/pod", `initContainers: [{name: init, command: [sh]}]`, noContainer},
	{"privileges", "deployments/api/pod/api", `securityContext: {privileged: true}`, noContainer},
	{"variables from a Secret", "deployments/api/pod/api", `envFrom: [{secretRef: {name: x}}]`, noContainer},
	{"one container more", "deployments/api/pod/new", `image: "manager:prod@sha256:$D"`, noContainer},
	{"one container less", "deployments/api/pod/sidecar", `$patch: delete`, noContainer},
	{"an init container", "deployments/api/pod", `initContainers: [{name: api2, image: x}]`, noContainer},
	{"another container's image", "deployments/api/pod/sidecar", `image: "manager:prod@sha256:$D"`, noImage},
	{"another repository", "deployments/api/pod/api", `image: "evil:prod@sha256:$D"`, noImage},
	{"the repository, spelled in another way", "deployments/api/pod/api", `image: "docker.io/library/manager:prod@sha256:$D"`, noImage},
	{"another tag", "deployments/api/pod/api", `image: "manager:dev@sha256:$D"`, noImage},
	{"a tag alone", "deployments/api/pod/api", `image: "manager:dev"`, noImage},
	{"half a digest", "deployments/api/pod/api", `image: "manager:prod@sha256:abc"`, noImage},
	{"a tag where a digest was", "deployments/own/pod/own", `image: "localhost:5000/own"`, noImage},
	{"a tag for an image that follows none", "deployments/own/pod/own", `image: "localhost:5000/own:1@sha256:$D"`, noImage},
	{"a repository that only begins like the target's", "daemonsets/agent/pod/a", `
		image: "ghcr.io/tracebloc/ingestor-evil:0.3@sha256:$D"`, noImage},
	{"an image of a workload whose slot is another one", "daemonsets/agent/pod/b", `
		image: "ghcr.io/tracebloc/other:0.3@sha256:$D"`, noImage},
	{"an image where the slot is a variable", "cronjobs/job/pod/job", `image: "x@sha256:$D"`, noImage},
	{"another variable's value", "deployments/api/pod/api", `env: [{name: LEVEL, value: debug}]`, noVariable},
	{"a new variable", "deployments/api/pod/api", `env: [{name: LD_PRELOAD, value: x}]`, noVariable},
	{"a variable away", "deployments/api/pod/api", `env: [{name: LEVEL, $patch: delete}]`, noVariable},
	{"the slot away", "deployments/api/pod/api", `env: [{name: DIGEST, $patch: delete}]`, noVariable},
	{"the variable in another container", "deployments/api/pod/sidecar", `env: [{name: DIGEST, value: "sha256:$D"}]`, noVariable},
	{"no digest in the slot", "deployments/api/pod/api", `env: [{name: DIGEST, value: "$(cat x)"}]`, noVariable},
	{"a digest and more in the slot", "deployments/api/pod/api", `env: [{name: DIGEST, value: "sha256:$D\nx"}]`, noVariable},
	{"a reference where a digest belongs", "deployments/api/pod/api", `
		env: [{name: DIGEST, value: "ghcr.io/tracebloc/ingestor@sha256:$D"}]`, noVariable},
	{"another repository in a reference", "cronjobs/job/pod/job", `
		env: [{name: REFERENCE, value: "evil.io/ingestor@sha256:$D"}]`, noVariable},
	{"a Secret in the slot", "deployments/api/pod/api", `
		env: [{name: DIGEST, value: null, valueFrom: {secretKeyRef: {name: x, key: x}}}]`, noVariable},
	{"another order of variables", "deployments/api/pod/api", `
		$setElementOrder/env: [{name: LATER}, {name: DIGEST}, {name: LEVEL}], env: [{name: DIGEST, value: "sha256:$D"}]`, noVariable},
}

// strategic is the patch as a whole.
func strategic(t *testing.T, at, patch string) []byte {
	t.Helper()
	path := strings.Split(at, "/")
	if len(path) > 3 {
		patch = "containers: [{name: " + path[3] + ", " + patch + "}]"
	}
	if len(path) > 2 {
		patch = "spec: {template: {spec: {" + patch + "}}}"
		if path[0] == "cronjobs" {
			patch = "spec: {jobTemplate: {" + patch + "}}"
		}
	}
	patch = strings.NewReplacer("$D", strings.Repeat("d", 64), "\t", " ").Replace(patch)
	converted, err := yaml.YAMLToJSON([]byte("{" + patch + "}"))
	require.NoError(t, err, patch)
	return converted
}

// The account has every right on workloads here, so what is refused is refused by the policy.
func TestPolicyConfinesTheAccountToSlots(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	home, administrator, account := confine(t, c)
	dry := []string{metav1.DryRunAll}
	for _, patch := range patches {
		t.Run(patch.name, func(t *testing.T) {
			path := strings.Split(patch.at, "/")
			_, err := account.Resource(resource(path[0])).Namespace(home).Patch(t.Context(), path[1], types.StrategicMergePatchType,
				strategic(t, patch.at, patch.patch), metav1.PatchOptions{DryRun: dry})
			if patch.refused == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "denied request: image-refresh may change "+patch.refused)
		})
	}
	deployments := account.Resource(resource("deployments")).Namespace(home)
	t.Run("ownership is handed back by a write of managedFields alone", func(t *testing.T) {
		read, err := deployments.Get(t.Context(), "api", metav1.GetOptions{})
		require.NoError(t, err)
		patch := fmt.Sprintf(`{"metadata":{"resourceVersion":%q,"managedFields":[]}}`, read.GetResourceVersion())
		written, err := deployments.Patch(t.Context(), "api", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		require.NoError(t, err)
		require.NotEqual(t, read.GetManagedFields(), written.GetManagedFields())
	})
	t.Run("no other request", func(t *testing.T) {
		for part, patch := range map[string]string{"scale": `{"spec":{"replicas":0}}`, "status": `{"status":{"replicas":9}}`} {
			_, err := deployments.Patch(t.Context(), "api", types.MergePatchType, []byte(patch), metav1.PatchOptions{DryRun: dry}, part)
			require.ErrorContains(t, err, noObject, part)
		}
		require.ErrorContains(t, deployments.Delete(t.Context(), "api", metav1.DeleteOptions{DryRun: dry}), noObject, "delete")
		for _, object := range guarded() {
			object.SetName("new")
			require.ErrorContains(t, create(t, account, home, object, dry...), noObject, "create %T", object)
		}
	})
	t.Run("Events in another's name", func(t *testing.T) {
		event := func(controller, kind, name string) error {
			_, err := account.Resource(schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}).Namespace(home).Create(t.Context(),
				&unstructured.Unstructured{Object: map[string]any{
					"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": map[string]any{"generateName": "x"}, "eventTime": "2026-01-01T00:00:00.000000Z",
					"reportingController": controller, "reportingInstance": "x", "action": "Refresh", "reason": "x", "type": "Normal",
					"regarding": map[string]any{"kind": kind, "namespace": home, "name": name},
				}}, metav1.CreateOptions{DryRun: dry})
			return err
		}
		require.NoError(t, event("tracebloc.io/image-refresh", "Deployment", "api"))
		require.ErrorContains(t, event("kubelet", "Deployment", "api"), noEvent)
		require.ErrorContains(t, event("tracebloc.io/image-refresh", "Deployment", "other"), noEvent)
	})
	t.Run("another account", func(t *testing.T) {
		patch := []byte(`{"spec":{"replicas":2},"metadata":{"labels":{"app":"z"}}}`)
		client := administrator.Resource(resource("deployments")).Namespace(home)
		_, err := client.Patch(t.Context(), "api", types.MergePatchType, patch, metav1.PatchOptions{})
		require.NoError(t, err)
	})
}

// confine makes the workloads, an account and the policy that the chart has for it, and waits until that is in force.
func confine(t *testing.T, c *cluster.Cluster) (home string, administrator, account dynamic.Interface) {
	t.Helper()
	home, err := c.Namespace(t.Context(), "confined")
	require.NoError(t, err)
	administrator, err = dynamic.NewForConfig(c.Config())
	require.NoError(t, err)
	for _, object := range guarded() {
		require.NoError(t, create(t, administrator, home, object))
	}
	every := rbacv1.PolicyRule{APIGroups: []string{"apps", "batch"}, Resources: []string{"*"}, Verbs: []string{"*"}}
	events := rbacv1.PolicyRule{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create"}}
	token, err := c.ServiceAccount(t.Context(), home, "confined", every, events)
	require.NoError(t, err)
	config := rest.AnonymousClientConfig(c.Config())
	config.BearerToken, config.QPS = token, -1
	account, err = dynamic.NewForConfig(config)
	require.NoError(t, err)

	flags := append(valuesFile(t, read(t, confined)), "--namespace", home, "--show-only", "templates/admissionpolicy.yaml")
	rendered := helms[0].mustTemplate(t, chartDir, flags...)
	kubectl(t, rendered, "apply", "--validate=strict", "-f", "-")
	t.Cleanup(func() { kubectl(t, rendered, "delete", "--wait=false", "-f", "-") })
	require.Eventually(t, func() bool {
		_, err := account.Resource(resource("deployments")).Namespace(home).Patch(t.Context(), "other", types.MergePatchType,
			[]byte(`{"metadata":{"labels":{"probe":"x"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), noObject)
	}, time.Minute, 50*time.Millisecond, "the policy is not in force")
	return home, administrator, account
}

func create(t *testing.T, client dynamic.Interface, home string, object workloads.Object, dry ...string) error {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	require.NoError(t, err)
	kind := resource(strings.ToLower(object.GetObjectKind().GroupVersionKind().Kind) + "s")
	options := metav1.CreateOptions{DryRun: dry}
	_, err = client.Resource(kind).Namespace(home).Create(t.Context(), &unstructured.Unstructured{Object: content}, options)
	return err
}

func resource(name string) schema.GroupVersionResource {
	group := "apps"
	if name == "cronjobs" {
		group = "batch"
	}
	return schema.GroupVersionResource{Group: group, Version: "v1", Resource: name}
}
