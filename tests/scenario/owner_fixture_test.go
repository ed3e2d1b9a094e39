package scenario_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
)

// kubectlApply applies YAML as a field manager, by server-side apply and never by force.
func kubectlApply(t *testing.T, s *harness.Scenario, fieldManager, yaml string) {
	t.Helper()
	file := filepath.Join(s.Dir, "apply.yaml")
	require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600))
	s.Kubectl("apply", "--server-side", "--field-manager="+fieldManager, "-f", file)
}

// onlySlots is the part of a workload of any kind that holds nothing but slots of its container "api".
func onlySlots(kind, name string, slots ...string) string {
	pod := "{template: {spec: {containers: [{name: api, " + strings.Join(slots, ", ") + "}]}}}"
	version, spec := "apps/v1", pod
	if kind == "CronJob" {
		version, spec = "batch/v1", "{jobTemplate: {spec: "+pod+"}}"
	}
	return "---\napiVersion: " + version + "\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
}

func envSlot(digest string) string { return "env: [{name: " + slot + ", value: \"" + digest + "\"}]" }

// untouched is an object as the API server stores it, without what a refresh may change: the values of slots,
// our labels and annotations and our claims on them, and what the controllers keep.
func untouched(t *testing.T, object map[string]any) map[string]any {
	t.Helper()
	delete(object, "status")
	metadata := object["metadata"].(map[string]any)
	delete(metadata, "generation")
	delete(metadata, "resourceVersion")
	for _, field := range []string{"labels", "annotations"} {
		values, _ := metadata[field].(map[string]any)
		for key := range values {
			if strings.HasPrefix(key, "tracebloc.io/") || key == "deployment.kubernetes.io/revision" || key == "deprecated.daemonset.template.generation" {
				delete(values, key)
			}
		}
		if len(values) == 0 {
			delete(metadata, field)
		}
	}
	others := []any{}
	for _, entry := range metadata["managedFields"].([]any) {
		claim := entry.(map[string]any)
		switch claim["manager"] {
		case "image-refresh":
			requireOursOnly(t, claim)
			continue
		case "kube-controller-manager":
			delete(claim, "time") // it writes the status, and a Deployment's revision
			if claim["subresource"] == "status" {
				continue
			}
		}
		others = append(others, claim)
	}
	metadata["managedFields"] = others
	return object
}

// requireOursOnly asserts that an entry of managedFields claims our labels and annotations, and nothing else.
func requireOursOnly(t *testing.T, claim map[string]any) {
	t.Helper()
	assert.Equal(t, "Update", claim["operation"])
	fields := claim["fieldsV1"].(map[string]any)
	require.Len(t, fields, 1, "claims: %v", fields)
	for kind, keys := range fields["f:metadata"].(map[string]any) {
		require.Contains(t, []string{"f:labels", "f:annotations"}, kind)
		for key := range keys.(map[string]any) {
			assert.True(t, key == "." || strings.HasPrefix(key, "f:tracebloc.io/"), "we claim %s %s", kind, key)
		}
	}
}

// without replaces text, a slot's value, wherever a string holds it.
func without(value any, text ...string) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = without(v[key], text...)
		}
	case []any:
		for i := range v {
			v[i] = without(v[i], text...)
		}
	case string:
		for _, part := range text {
			if v == part {
				return "a slot's value"
			}
		}
	}
	return value
}

// everything is every workload of the namespace, field by field, but for what a refresh may change: the given
// values of slots among it.
func everything(t *testing.T, s *harness.Scenario, slots ...string) map[string]any {
	t.Helper()
	var list struct{ Items []map[string]any }
	output := s.Kubectl("get", "deployments,statefulsets,daemonsets,cronjobs", "-o", "json", "--show-managed-fields")
	require.NoError(t, json.Unmarshal([]byte(output), &list))
	found := map[string]any{}
	for _, object := range list.Items {
		found[object["kind"].(string)] = without(untouched(t, object), slots...)
	}
	require.NotEmpty(t, found)
	return found
}
