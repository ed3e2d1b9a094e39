package scenario_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

const jobsManager = "docker.io/tracebloc/jobs-manager:prod"

var kinds = []string{"Deployment", "StatefulSet", "DaemonSet", "CronJob"}

// build makes a workload of a kind.
func build(kind, name string, options ...workloads.Option) workloads.Object {
	switch kind {
	case "StatefulSet":
		return workloads.StatefulSet(name, options...)
	case "DaemonSet":
		return workloads.DaemonSet(name, options...)
	case "CronJob":
		return workloads.CronJob(name, options...)
	}
	return workloads.Deployment(name, options...)
}

// look reads a workload of a kind as it is now.
func look(s *harness.Scenario, kind, name string) workloads.Object {
	switch kind {
	case "StatefulSet":
		return s.StatefulSet(name)
	case "DaemonSet":
		return s.DaemonSet(name)
	case "CronJob":
		return s.CronJob(name)
	}
	return s.Deployment(name)
}

// rollouts counts the templates that a workload has had, the first one included. A CronJob counts none.
func rollouts(t *testing.T, s *harness.Scenario, kind, name string) int {
	t.Helper()
	switch kind {
	case "Deployment":
		return workloads.Revision(s.Deployment(name))
	case "CronJob":
		return 0
	}
	list, err := s.Client.AppsV1().ControllerRevisions(s.Namespace).List(t.Context(), metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/name=" + name,
	})
	require.NoError(t, err)
	newest := int64(0)
	for _, revision := range list.Items {
		newest = max(newest, revision.Revision)
	}
	return int(newest)
}

// entry is a workload of a target in the configuration.
func entry(kind, name, container string, more ...string) string {
	text := fmt.Sprintf("      - {kind: %s, name: %s", kind, name)
	if container != "" {
		text += ", container: " + container
	}
	return strings.Join(append([]string{text}, more...), ", ") + "}\n"
}

// targetOf is a target of the configuration; more are further lines of it.
func targetOf(name, image string, entries string, more ...string) string {
	text := "  - name: " + name + "\n"
	if image != "" {
		text += "    image: " + image + "\n"
	}
	for _, line := range more {
		text += "    " + line + "\n"
	}
	return text + "    workloads:\n" + entries
}

// manager makes a scenario with workloads that run an image, which one target "ingestor" follows in image mode,
// and adopts them.
func manager(t *testing.T, reference string, objects ...workloads.Object) *harness.Scenario {
	t.Helper()
	s := environment.Scenario(t)
	s.Deploy(objects...)
	entries := ""
	for _, object := range objects {
		entries += entry(object.GetObjectKind().GroupVersionKind().Kind, object.GetName(), "")
	}
	s.Configure("targets:\n" + targetOf("ingestor", reference, entries))
	requireOutcomes(t, s.Tick(), 0, "adopted")
	return s
}

// requireOutcomes asserts the exit code, and the outcome of every workload of every target.
func requireOutcomes(t *testing.T, result *product.Result, exit int, outcome string) {
	t.Helper()
	harness.RequireExit(t, exit, result)
	for _, target := range result.Report.Targets {
		require.NotEmpty(t, target.Workloads)
		for _, workload := range target.Workloads {
			assert.Equal(t, outcome, workload.Outcome, "%s on %s %s: %s", target.Name, workload.Kind, workload.Name, workload.Message)
		}
	}
}

// outcomeOf asserts one target's outcome on one workload.
func outcomeOf(t *testing.T, result *product.Result, target, name, outcome, cause string) product.Workload {
	t.Helper()
	workload := result.Report.Target(target).Workload(name)
	assert.Equal(t, outcome, workload.Outcome, "%s on %s: %s", target, name, workload.Message)
	assert.Equal(t, cause, workload.Cause)
	return workload
}

// requireQuiet asserts that a tick finds everything fresh and writes nothing.
func requireQuiet(t *testing.T, s *harness.Scenario) {
	t.Helper()
	s.Forget()
	requireOutcomes(t, s.Tick(), 0, "unchanged")
	assert.Empty(t, s.API.Writes(), "an unchanged tick writes nothing")
}

// slotWrites are the program's writes to a slot of an object.
func slotWrites(s *harness.Scenario, resource, name string) []apiproxy.Request {
	var found []apiproxy.Request
	for _, write := range s.API.Requests(apiproxy.Write(resource, name)) {
		if strings.Contains(string(write.Body), `"template"`) && strings.Contains(string(write.Body), `ontainers":`) {
			found = append(found, write)
		}
	}
	return found
}

// asJSON is an object as kubectl reads it from a file.
func asJSON(t *testing.T, object workloads.Object) []byte {
	t.Helper()
	text, err := json.Marshal(object)
	require.NoError(t, err)
	return text
}

// label is the mark of a digest, as earlier releases wrote it: one for whatever slots there are.
func label(digest string) string { return strings.TrimPrefix(digest, "sha256:")[:40] }

// labelFor is the mark of a digest, or "unpinned", in slots, named as a container or as container/variable.
func labelFor(content string, slots ...string) string {
	slices.Sort(slots)
	sum := sha256.Sum256([]byte(strings.Join(slots, "\n")))
	if content != "unpinned" {
		content = label(content)
	}
	return content + "." + hex.EncodeToString(sum[:4])
}

// contentOf is what a mark says, without the slots that it was written for.
func contentOf(mark string) string {
	content, _, _ := strings.Cut(mark, ".")
	return content
}

// image is an index for the one platform that these tests use.
func image(build string) registries.Content { return registries.Index(build, "linux/amd64") }

// partitioned is a StatefulSet that keeps pods below an ordinal on their old revision.
func partitioned(partition int32, name string, options ...workloads.Option) *appsv1.StatefulSet {
	set := workloads.StatefulSet(name, options...)
	set.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{
		Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &partition},
	}
	return set
}
