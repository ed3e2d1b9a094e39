package workload_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/workload"
)

const ours = workload.FieldManager

// What managers own of a Deployment with two slots: the variable DIGEST of the container api, and the image of web.
var (
	hadBoth  = inPod(apiOwns(`{".":{},"f:name":{},"f:value":{}}`), webOwns(`{".":{},"f:image":{},"f:name":{}}`))
	hadImage = inPod(webOwns(`{"f:image":{},"f:name":{}}`))
	hasNone  = inPod(apiOwns(`{".":{},"f:name":{}}`), webOwns(`{".":{},"f:name":{}}`))
	hasNames = inPod(webOwns(`{"f:name":{}}`))
	ofValue  = inPod(apiOwns(`{"f:value":{}}`))
	itsImage = inPod(webOwns(`{"f:image":{}}`))
	slots    = inPod(apiOwns(`{"f:value":{}}`), webOwns(`{"f:image":{}}`))
	records  = `"f:metadata":{"f:annotations":{"f:p/t-refresh-state":{}},"f:labels":{"f:p/t-digest":{}}}`
)

// owned is that Deployment with these owners, and its slots.
func owned(t *testing.T, owners ...metav1.ManagedFieldsEntry) (o *workload.Object, digest, image workload.Slot) {
	t.Helper()
	o = object(t, config.Deployment, pod(container("api", "nginx", env("DIGEST", string(digestA))), container("web", ingestor)), owners...)
	return o, find(t, o, ingestor, config.Workload{Container: "api", Env: "DIGEST"}), find(t, o, ingestor, config.Workload{Container: "web"})
}

// sub is an entry for a subresource.
func sub(name string, entry metav1.ManagedFieldsEntry) metav1.ManagedFieldsEntry {
	entry.Subresource = name
	return entry
}

func broken(manager, text string) metav1.ManagedFieldsEntry {
	entry := apply(manager, 1, "")
	entry.FieldsV1 = metav1.NewFieldsV1(text)
	return entry
}

// Ownership is given back to exactly the managers that are noted, as the server would have written it; nothing else changes.
func TestOwnershipIsGivenBackToWhoHadIt(t *testing.T) {
	t.Parallel()
	type entries = []metav1.ManagedFieldsEntry
	both, ourBoth := map[string][]string{"api/DIGEST": {"helm"}, "web": {"helm"}}, update(ours, 9, records+","+slots)
	controller := sub("status", update("kube-controller-manager", 3, `"f:status":{"f:replicas":{}}`))
	for name, c := range map[string]struct {
		before entries
		owners map[string][]string
		after  entries // none: there is nothing to give back
	}{
		"to Helm 4": {
			entries{controller, apply("helm", 1, hasNone), ourBoth}, both, entries{controller, apply("helm", 1, hadBoth), update(ours, 9, records)},
		},
		"to nobody: Helm 3 owns by Update": {
			entries{update("helm", 1, hasNone), ourBoth}, map[string][]string{"api/DIGEST": {}},
			entries{update("helm", 1, hasNone), update(ours, 9, records)},
		},
		"to two, each its own slot": {
			entries{apply("helm", 1, inPod(apiOwns(`{"f:name":{}}`))), apply("kubectl", 2, hasNames), ourBoth},
			map[string][]string{"api/DIGEST": {"helm"}, "web": {"kubectl"}},
			entries{apply("helm", 1, inPod(apiOwns(`{"f:name":{},"f:value":{}}`))), apply("kubectl", 2, hadImage), update(ours, 9, records)},
		},
		"to two that share a slot": {
			entries{apply("helm", 1, hasNone), apply("kubectl", 2, hasNames), ourBoth},
			map[string][]string{"api/DIGEST": {"helm"}, "web": {"helm", "kubectl"}},
			entries{apply("helm", 1, hadBoth), apply("kubectl", 2, hadImage), update(ours, 9, records)},
		},
		"to one that updates too": {
			entries{update("helm", 1, hasNone), apply("helm", 2, hasNone), ourBoth}, both,
			entries{update("helm", 1, hasNone), apply("helm", 2, hadBoth), update(ours, 9, records)},
		},
		"to those whose entries the server has dropped": {
			entries{ourBoth}, map[string][]string{"api/DIGEST": {"b", "a"}, "web": {"a"}},
			entries{update(ours, 9, records), apply("b", 0, ofValue), apply("a", 0, slots)},
		},
		"to one that has an entry for a subresource": {
			entries{sub("scale", apply("helm", 1, `"f:spec":{"f:replicas":{}}`)), ourBoth}, both,
			entries{sub("scale", apply("helm", 1, `"f:spec":{"f:replicas":{}}`)), update(ours, 9, records), apply("helm", 0, slots)},
		},
		"of a variable that we added": {
			entries{update(ours, 9, records+","+inPod(apiOwns(`{".":{},"f:name":{},"f:value":{}}`)))}, nil, entries{update(ours, 9, records)},
		},
		"an entry of ours that is empty goes, one that does not parse stays": {
			entries{broken("strange", `["no set"]`), update(ours, 9, itsImage)}, nil, entries{broken("strange", `["no set"]`)},
		},
		"we own no slot": {before: entries{controller, apply("helm", 1, hadBoth), update(ours, 9, records)}, owners: both},
	} {
		o, env, img := owned(t, c.before...)
		body, err := o.ReturnOwnership([]workload.Slot{env, img}, c.owners)
		require.NoError(t, err, name)
		if c.after == nil {
			assert.Nil(t, body, name)
			continue
		}
		want, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": "42", "managedFields": c.after}})
		require.NoError(t, err, name)
		assert.JSONEq(t, string(want), string(body), name)
		o, env, img = owned(t, c.after...)
		body, err = o.ReturnOwnership([]workload.Slot{env, img}, c.owners)
		require.NoError(t, err, name)
		assert.Nil(t, body, "%s: once is enough", name)
	}

	o, _, img := owned(t, apply("helm", 1, hasNone), update(ours, 9, slots))
	body, err := o.ReturnOwnership([]workload.Slot{img}, both)
	require.NoError(t, err)
	assert.Contains(t, string(body), `\"DIGEST\"}":{"f:value":{}}`, "another target's slot is its own business")
	assert.NotContains(t, string(body), `{"f:image":{}}`)
}

func TestClaimsAreReadForEachKind(t *testing.T) {
	t.Parallel()
	spec := `"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{"f:image":{}}},` +
		`"f:initContainers":{"k:{\"name\":\"init\"}":{"f:image":{}}}}}}`
	for _, kind := range config.Kinds() {
		fields := spec
		if kind == config.CronJob {
			fields = `"f:spec":{"f:jobTemplate":{` + spec + `}}`
		}
		pod := withInit(pod(container("api", ingestor)), container("init", ingestor))
		o := object(t, kind, pod, apply("helm", 1, fields), broken("x", `{"f:spec":`))
		for _, name := range []string{"api", "init"} {
			assert.Equal(t, []string{"helm"}, o.Appliers(find(t, o, ingestor, config.Workload{Container: name})), "%s %s", kind, name)
		}
	}
	o, _, img := owned(t, update("kubectl-set", 1, itsImage))
	assert.Equal(t, []string{}, o.Appliers(img), "none is listed as none")
}

// A deployer that applied the variable, or the container, and lost the slot to somebody else: its next apply conflicts.
func TestTakenFromNamesWhoWouldConflict(t *testing.T) {
	t.Parallel()
	taken := []workload.Taken{{Applier: "helm", Owner: "kubectl-set"}}
	for name, c := range map[string]struct {
		owners []metav1.ManagedFieldsEntry
		want   []workload.Taken
	}{
		"the deployer's still":          {[]metav1.ManagedFieldsEntry{apply("helm", 1, hadBoth)}, nil},
		"taken by a person":             {[]metav1.ManagedFieldsEntry{apply("helm", 1, hasNone), update("kubectl-set", 2, slots)}, taken},
		"taken by us, to be given back": {[]metav1.ManagedFieldsEntry{apply("helm", 1, hasNone), update(ours, 2, slots)}, nil},
		"a deployer by Update":          {[]metav1.ManagedFieldsEntry{update("helm", 1, hasNone), update("kubectl-set", 2, slots)}, nil},
		"nobody's":                      {[]metav1.ManagedFieldsEntry{apply("helm", 1, hasNone)}, nil},
	} {
		o, env, img := owned(t, c.owners...)
		assert.Equal(t, c.want, o.TakenFrom(env), name)
		assert.Equal(t, c.want, o.TakenFrom(img), name)
	}
}
