package scenario_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

const (
	appImage    = "docker.io/tracebloc/jobs-manager:prod" // another target, in image mode
	application = "testdata/app"                          // a chart with every kind of workload, each named after its kind
)

// applicationConfig follows both slots of each workload of the application.
var applicationConfig = "targets:\n" + everyKind("ingestor", ingestor, "env: "+slot) + everyKind("manager", appImage)

// everyKind is a target of the configuration that follows the container "api" of the application's four workloads.
func everyKind(target, image string, more ...string) string {
	entries := ""
	for _, kind := range kinds {
		entries += entry(kind, strings.ToLower(kind), "api", more...)
	}
	return targetOf(target, image, entries)
}

// tool is the path of a pinned tool, which is built once for this user.
func tool(name string) (string, error) {
	install := exec.CommandContext(context.Background(), "../tools/install", name)
	install.Stderr = os.Stderr
	path, err := install.Output()
	if err != nil {
		return "", fmt.Errorf("tests/tools/install %s: %w", name, err)
	}
	return strings.TrimSpace(string(path)), nil
}

// release is an application that a real Helm has installed.
type release struct {
	*harness.Scenario
	t      *testing.T
	path   string
	owners []string // who owns a slot that Helm renders, after the program has handed it back
	slots  []string // all that slots have held
}

// forEachHelm runs a test side by side with every Helm.
func forEachHelm(t *testing.T, test func(r *release)) {
	t.Helper()
	t.Parallel()
	for helm, owners := range map[string][]string{
		"helm3": nil, // it updates: nobody is to find itself the owner of what it does not apply
		"helm4": {"helm/Apply"},
	} {
		t.Run(helm, func(t *testing.T) {
			t.Parallel()
			path, err := tool(helm)
			require.NoError(t, err)
			test(&release{Scenario: environment.Scenario(t), t: t, path: path, owners: owners})
		})
	}
}

// run runs Helm, which has to succeed, and returns what it prints. The application is settled afterwards.
func (r *release) run(args ...string) string {
	r.t.Helper()
	output := r.helm(args...)
	r.Settle(r.workloads()...)
	return output
}

func (r *release) helm(args ...string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, r.path, append(args, "--namespace", r.Namespace)...)
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.Dir, "KUBECONFIG=" + r.Cluster.Kubeconfig(),
		"HELM_CACHE_HOME=" + r.Dir, "HELM_CONFIG_HOME=" + r.Dir, "HELM_DATA_HOME=" + r.Dir,
	}
	output, err := command.CombinedOutput()
	require.NoError(r.t, err, "helm %s\n%s", strings.Join(args, " "), output)
	return string(output)
}

// install publishes a first build, and installs the application with its digest.
func (r *release) install(config string, set ...string) (digest string) {
	r.t.Helper()
	r.Configure(config)
	digest, _ = r.push("first")
	r.slots = append(r.slots, appImage)
	r.run(append([]string{"install", "app", application, "--set", "digest=" + digest}, set...)...)
	return digest
}

func (r *release) upgrade(set ...string) {
	r.t.Helper()
	r.run(append([]string{"upgrade", "app", application}, set...)...)
}

// workloads are the application's, as they are now.
func (r *release) workloads() (found []workloads.Object) {
	r.t.Helper()
	for _, kind := range kinds {
		found = append(found, look(r.Scenario, kind, strings.ToLower(kind)))
	}
	return found
}

// tick runs one tick that ends with an outcome for every slot.
func (r *release) tick(outcome string) {
	r.t.Helper()
	requireOutcomes(r.t, r.Tick(), 0, outcome)
	r.Settle(r.workloads()...)
}

// push publishes a new build of both images.
func (r *release) push(build string) (digest, reference string) {
	r.t.Helper()
	digest, reference = r.Push(ingestor, image("ingestor "+build)), appImage+"@"+r.Push(appImage, image("manager "+build))
	r.slots = append(r.slots, digest, reference)
	return digest, reference
}

// refresh publishes a new build, which a tick rolls out; nothing but slots, our records and the claims on them changes.
func (r *release) refresh(build string) (digest, reference string) {
	r.t.Helper()
	before := everything(r.t, r.Scenario, r.slots...)
	digest, reference = r.push(build)
	r.tick("refreshed")
	require.Equal(r.t, before, everything(r.t, r.Scenario, r.slots...))
	return digest, reference
}

// requireSlots asserts what every slot of the application holds, and who owns it.
func (r *release) requireSlots(digest, reference string, envOwners, imageOwners []string) {
	r.t.Helper()
	for _, object := range r.workloads() {
		value, _ := workloads.EnvValue(object, "api", slot)
		require.Equal(r.t, digest, value, "the variable of %s", object.GetName())
		require.Equal(r.t, reference, workloads.Image(object, "api"), "the image of %s", object.GetName())
		assert.Equal(r.t, envOwners, workloads.EnvOwners(object, "api", slot), "the variable of %s", object.GetName())
		assert.Equal(r.t, imageOwners, workloads.ImageOwners(object, "api"), "the image of %s", object.GetName())
	}
}

// mayChange matches the fields that a refresh may change: our labels, annotations and claims on them, and what controllers
// keep. A claim on a slot by Update is nothing to hand back: no upgrade conflicts with it.
var mayChange = regexp.MustCompile(`^/\d+/(` + strings.Join([]string{
	`status/.*`, `metadata/(generation|resourceVersion)`, `metadata/(labels|annotations)/tracebloc\.io/.*`,
	`metadata/annotations/(deployment\.kubernetes\.io/revision|deprecated\.daemonset\.template\.generation)`,
	`metadata/managedFields/image-refresh/Update/(apiVersion|fieldsType|manager|operation|time)`,
	`metadata/managedFields/image-refresh/Update/fieldsV1/f:metadata/f:(labels|annotations)/(\.|f:tracebloc\.io/.*)`,
	`metadata/managedFields/kube-controller-manager/Update/(status/.*|time)`,
	`metadata/managedFields/helm/Update/.*/(k:\{"name":"api"\}/f:image|k:\{"name":"` + slot + `"\}/f:value)`,
}, "|") + `)$`)

// everything is every field of every workload of the namespace, but for what a refresh may change: the given values of slots
// among it, or how they end.
func everything(t *testing.T, s *harness.Scenario, slots ...string) map[string]any {
	t.Helper()
	var list struct{ Items []any }
	output := s.Kubectl("get", "deployments,statefulsets,daemonsets,cronjobs", "-o", "json", "--show-managed-fields")
	require.NoError(t, json.Unmarshal([]byte(output), &list))
	fields := map[string]any{}
	collect(fields, "", list.Items)
	maps.DeleteFunc(fields, func(path string, _ any) bool { return mayChange.MatchString(path) })
	for path, value := range fields {
		text, _ := value.(string)
		if slices.ContainsFunc(slots, func(slot string) bool { return strings.HasSuffix(text, slot) }) {
			fields[path] = "a slot's value"
		}
	}
	require.NotEmpty(t, fields)
	return fields
}

// collect lists the fields below a value by their paths. An entry of managedFields goes by its manager, since others come and go.
func collect(fields map[string]any, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			collect(fields, path+"/"+key, child)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		for i, child := range v {
			key := fmt.Sprint(i)
			if entry, _ := child.(map[string]any); entry["manager"] != nil {
				key = fmt.Sprint(entry["manager"], "/", entry["operation"])
				if entry["subresource"] != nil {
					key += fmt.Sprint("/", entry["subresource"])
				}
			}
			collect(fields, path+"/"+key, child)
		}
		return
	}
	fields[path] = value
}

// file writes a file into the folder of the scenario, and returns its path.
func file(t *testing.T, s *harness.Scenario, name, content string) string {
	t.Helper()
	path := filepath.Join(s.Dir, name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// I29: after a patch by another tool, an upgrade with Helm 4 failed on a conflict, and one with Helm 3 silently
// reverted: every upgrade succeeds, and the next tick heals what it has reverted.
func TestI29UpgradesSucceedAndTheNextTickHeals(t *testing.T) {
	forEachHelm(t, func(r *release) {
		r.Setenv("CONTESTED_THRESHOLD", "9") // more upgrades than a day has
		first := r.install(applicationConfig)
		before := everything(r.t, r.Scenario, r.slots...)
		r.tick("adopted")
		assert.Equal(r.t, before, everything(r.t, r.Scenario, r.slots...))
		digest, reference := r.refresh("second")
		r.requireSlots(digest, reference, r.owners, r.owners)

		for _, flags := range [][]string{
			{"--set", "digest=" + first},                               // unchanged values
			{"--set", "digest=" + first, "--set", "note=changed"},      // changed ones
			{"--reuse-values"},                                         // reused
			{"--reuse-values", "--set", "note=again"},                  // reused, and a change
			{"--reuse-values", "--set", "digest=" + digestOf("other")}, // another digest
		} {
			r.upgrade(flags...)
			for _, object := range r.workloads() {
				value, _ := workloads.EnvValue(object, "api", slot)
				require.NotEqual(r.t, digest, value, "%v: an upgrade sets the chart's value", flags)
				require.Equal(r.t, appImage, workloads.Image(object, "api"), flags)
			}
			r.tick("reapplied")
			r.requireSlots(digest, reference, r.owners, r.owners)
			r.tick("unchanged")
		}

		digest, reference = r.refresh("third")
		for _, revert := range [][]string{{"upgrade", "app", application, "--reuse-values"}, {"rollback", "app", "1"}} {
			r.run(revert...)
			r.tick("reapplied")
			r.requireSlots(digest, reference, r.owners, r.owners)
		}
	})
}

// I29: a chart that renders the live digest through lookup: nothing is reverted, so nothing is to be healed.
func TestI29AChartThatRendersWhatIsLive(t *testing.T) {
	forEachHelm(t, func(r *release) {
		r.install(applicationConfig, "--set", "slots=lookup")
		r.tick("adopted")
		digest, reference := r.refresh("second")
		revision := workloads.Revision(r.Deployment("deployment"))
		r.upgrade("--reuse-values")
		assert.Equal(r.t, revision, workloads.Revision(r.Deployment("deployment")), "an upgrade rolls nothing")
		r.tick("unchanged")
		r.upgrade("--reuse-values", "--set", "note=changed")
		r.tick("unchanged")
		r.requireSlots(digest, reference, r.owners, r.owners)
		r.refresh("third")
	})
}

// I29: a chart that leaves the variable out: it is filled, belongs to nobody, and survives upgrades.
func TestI29AChartThatLeavesTheSlotOut(t *testing.T) {
	forEachHelm(t, func(r *release) {
		digest := r.install("targets:\n"+everyKind("ingestor", ingestor, "env: "+slot), "--set", "slots=absent")
		r.tick("refreshed")
		imageOwners := workloads.ImageOwners(r.Deployment("deployment"), "api") // Helm: no target follows it here
		require.Len(r.t, imageOwners, 1)
		r.upgrade("--reuse-values")
		r.tick("unchanged")
		r.upgrade("--reuse-values", "--set", "note=changed")
		r.requireSlots(digest, appImage, nil, imageOwners)
		digest, _ = r.refresh("second")
		r.requireSlots(digest, appImage, nil, imageOwners)
	})
}

// slotOwners are the managers that own the slot of the Deployment "jobs".
func slotOwners(s *harness.Scenario) []string {
	return workloads.EnvOwners(s.Deployment("jobs"), "api", slot)
}

// isHandBack matches the write that changes nothing but claims.
func isHandBack(r apiproxy.Request) bool {
	return r.Verb == "patch" && strings.Contains(string(r.Body), "managedFields")
}

// appliedBy makes a scenario in which a manager has applied the Deployment "jobs", and one tick has adopted it.
func appliedBy(t *testing.T, fieldManager string) (s *harness.Scenario, digest string) {
	t.Helper()
	s = environment.Scenario(t)
	digest = s.Push(ingestor, image("first"))
	require.NoError(t, s.Apply(fieldManager, jobs(digest)))
	s.Settle(jobs(digest))
	s.Configure(ingestorConfig)
	requireOutcome(t, s.Tick(), 0, "adopted", "")
	return s, digest
}

// A manager whose entry holds the slot and nothing else: the server drops the entry when we patch, and it has
// to come back.
func TestI29AnEntryThatTheServerDroppedComesBack(t *testing.T) {
	t.Parallel()
	s, first := appliedBy(t, harness.Helm)
	require.NoError(t, s.Apply(harness.Argo, jobs(first)))
	const claim = `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{"f:env":{"k:{\"name\":\"` + slot +
		`\"}":{"f:value":{}}}}}}}}}`
	entries := s.Deployment("jobs").ManagedFields
	for i := range entries {
		if entries[i].Manager == harness.Argo {
			entries[i].FieldsV1.SetRawBytes([]byte(claim))
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"managedFields": entries}})
	require.NoError(t, err)
	s.Patch("test", s.Deployment("jobs"), string(patch))
	require.Equal(t, []string{"argocd-controller/Apply", "helm/Apply"}, slotOwners(s))

	s.Push(ingestor, image("second"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, []string{"argocd-controller/Apply", "helm/Apply"}, slotOwners(s))
	for _, entry := range s.Deployment("jobs").ManagedFields {
		if entry.Manager == harness.Argo {
			assert.JSONEq(t, claim, string(entry.FieldsV1.GetRawBytes()))
		}
	}
}
