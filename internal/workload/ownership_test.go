package workload_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// The slots of the tests: a container's variable and another one's image, in a Deployment.
const (
	envKey = "api/INGESTOR_IMAGE_DIGEST"
	imgKey = "web"
)

// owned is a Deployment with both slots and these owners.
func owned(t *testing.T, entries ...metav1.ManagedFieldsEntry) *workload.Object {
	t.Helper()
	d := &appsv1.Deployment{ObjectMeta: meta(), Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: pod(
		container("api", "nginx", variable("INGESTOR_IMAGE_DIGEST", string(digest("a")))), container("web", ingestor),
	)}}}
	d.ManagedFields = entries
	o, err := workload.New(d)
	require.NoError(t, err)
	return o
}

func slots(t *testing.T, o *workload.Object) (env, img workload.Slot) {
	t.Helper()
	env, problem := o.Find(target(t, ingestor), config.Workload{Container: "api", Env: "INGESTOR_IMAGE_DIGEST"})
	require.Nil(t, problem)
	img, problem = o.Find(target(t, ingestor), config.Workload{Container: "web"})
	require.Nil(t, problem)
	return env, img
}

// owner is an entry of managedFields as the API server writes it, with a time that no other entry has.
func owner(manager string, operation metav1.ManagedFieldsOperationType, fields string) metav1.ManagedFieldsEntry {
	at := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, len(fields)%60, 0, time.UTC))
	entry := metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, APIVersion: "apps/v1", Time: &at, FieldsType: "FieldsV1"}
	entry.FieldsV1 = metav1.NewFieldsV1(fields)
	return entry
}

func apply(manager, fields string) metav1.ManagedFieldsEntry {
	return owner(manager, metav1.ManagedFieldsOperationApply, fields)
}

func update(manager, fields string) metav1.ManagedFieldsEntry {
	return owner(manager, metav1.ManagedFieldsOperationUpdate, fields)
}

// inPod are the fields of a Deployment's pod spec.
func inPod(fields ...string) string {
	return `"f:spec":{"f:template":{"f:spec":{"f:containers":{` + strings.Join(fields, ",") + `}}}}`
}

func api(variable string) string {
	return `"k:{\"name\":\"api\"}":{".":{},"f:env":{".":{},"k:{\"name\":\"INGESTOR_IMAGE_DIGEST\"}":` + variable + `},"f:image":{},"f:name":{}}`
}

func web(fields string) string { return `"k:{\"name\":\"web\"}":` + fields }

// The fields of the tests.
var (
	helmAll    = `{"f:metadata":{"f:labels":{"f:app":{}}},` + inPod(api(`{".":{},"f:name":{},"f:value":{}}`), web(`{".":{},"f:image":{},"f:name":{}}`)) + `}`
	helmRest   = `{"f:metadata":{"f:labels":{"f:app":{}}},` + inPod(api(`{".":{},"f:name":{}}`), web(`{".":{},"f:name":{}}`)) + `}`
	oursMeta   = `{"f:metadata":{"f:annotations":{".":{},"f:tracebloc.io/ingestor-refresh-state":{}},"f:labels":{"f:tracebloc.io/ingestor-digest":{}}}}`
	oursClaims = `{"f:metadata":{"f:annotations":{".":{},"f:tracebloc.io/ingestor-refresh-state":{}},"f:labels":{"f:tracebloc.io/ingestor-digest":{}}},` +
		inPod(`"k:{\"name\":\"api\"}":{"f:env":{"k:{\"name\":\"INGESTOR_IMAGE_DIGEST\"}":{"f:value":{}}}}`, web(`{"f:image":{}}`)) + `}`
	status = `{"f:metadata":{"f:annotations":{"f:deployment.kubernetes.io/revision":{}}},"f:status":{"f:availableReplicas":{},"f:conditions":{".":{},"k:{\"type\":\"Available\"}":{".":{},"f:status":{}}}}}`
)

func controller() metav1.ManagedFieldsEntry {
	entry := update("kube-controller-manager", status)
	entry.Subresource = "status"
	return entry
}

// returned sends ReturnOwnership's patch as the API server would take it: it returns the object with the new entries.
func returned(t *testing.T, o *workload.Object, owners map[string][]string) *workload.Object {
	t.Helper()
	sent := entriesReturned(t, o, owners)
	if sent == nil {
		return o
	}
	return owned(t, sent...)
}

// entriesReturned returns the entries of ReturnOwnership's patch, nil where there is none.
func entriesReturned(t *testing.T, o *workload.Object, owners map[string][]string) []metav1.ManagedFieldsEntry {
	t.Helper()
	env, img := slots(t, o)
	body, err := o.ReturnOwnership([]workload.Slot{env, img}, owners)
	require.NoError(t, err)
	if body == nil {
		return nil
	}
	var sent struct {
		Metadata struct {
			ResourceVersion string                      `json:"resourceVersion"`
			ManagedFields   []metav1.ManagedFieldsEntry `json:"managedFields"`
		} `json:"metadata"`
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&sent), "it touches metadata only")
	assert.Equal(t, "42", sent.Metadata.ResourceVersion)
	return sent.Metadata.ManagedFields
}

// entries are managedFields as JSON, by manager.
func entries(t *testing.T, o *workload.Object) map[string]string {
	t.Helper()
	byManager := map[string]string{}
	for _, entry := range o.Meta.ManagedFields {
		raw, err := json.Marshal(entry)
		require.NoError(t, err)
		key := fmt.Sprintf("%s/%s", entry.Manager, entry.Operation)
		assert.NotContains(t, byManager, key)
		byManager[key] = string(raw)
	}
	return byManager
}

func TestClaimsSayWhoOwnsASlot(t *testing.T) {
	t.Parallel()
	broken := apply("broken", `{"f:spec":`)
	nothing := metav1.ManagedFieldsEntry{Manager: "nothing", Operation: metav1.ManagedFieldsOperationApply}
	person := update("kubectl-set", `{`+inPod(web(`{"f:image":{}}`))+`}`)
	o := owned(t, controller(), apply("helm", helmAll), broken, nothing, person, update("near", `{`+inPod(web(`{"f:name":{}}`))+`}`))
	env, img := slots(t, o)
	assert.Equal(t, ownedBy(env, []string{"helm"}), factsOf(o, env))
	also := ownedBy(img, []string{"helm"})
	also.Person, also.Deployer = "kubectl-set", "" // whose claim is the newest
	assert.Equal(t, also, factsOf(o, img))
	assert.Equal(t, []string{"helm"}, o.Appliers(img), "only server-side apply must get its claim back")
	assert.False(t, o.Claimed(img))
	assert.Equal(t, []string{}, owned(t, person).Appliers(img), "none is listed as none")
}

func TestClaimsOfEachKind(t *testing.T) {
	t.Parallel()
	inside := `{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{"f:image":{}}},"f:initContainers":{"k:{\"name\":\"init\"}":{"f:image":{}}}}}}`
	spec := withInit(pod(container("api", ingestor)), container("init", ingestor))
	job := &batchv1.CronJob{ObjectMeta: meta()}
	job.Spec.JobTemplate.Spec.Template.Spec = spec
	job.ManagedFields = []metav1.ManagedFieldsEntry{apply("helm", `{"f:spec":{"f:jobTemplate":{"f:spec":`+inside+`}}}`)}
	set := &appsv1.StatefulSet{ObjectMeta: meta()}
	set.Spec.Template.Spec = spec
	set.ManagedFields = []metav1.ManagedFieldsEntry{apply("helm", `{"f:spec":`+inside+`}`)}
	for _, of := range []any{job, set} {
		o, err := workload.New(of)
		require.NoError(t, err)
		for _, name := range []string{"api", "init"} {
			slot, problem := o.Find(target(t, ingestor), config.Workload{Container: name})
			require.Nil(t, problem)
			assert.Equal(t, []string{"helm"}, o.Appliers(slot), "%T %s", of, name)
		}
	}
}

func TestReturnOwnershipLeavesNobodyButTheNotedOwners(t *testing.T) {
	t.Parallel()
	both := map[string][]string{envKey: {"helm"}, imgKey: {"helm"}}
	for name, c := range map[string]struct {
		before []metav1.ManagedFieldsEntry
		owners map[string][]string
		env    []string // who claims it afterwards
		img    []string
	}{
		"Helm 4": {
			[]metav1.ManagedFieldsEntry{controller(), apply("helm", helmRest), update("image-refresh", oursClaims)},
			both, []string{"helm"}, []string{"helm"},
		},
		"Helm 3, which owns by Update": {
			[]metav1.ManagedFieldsEntry{controller(), update("helm", helmRest), update("image-refresh", oursClaims)},
			map[string][]string{envKey: {}, imgKey: {}}, nil, nil,
		},
		"Helm 3, nothing noted": {
			[]metav1.ManagedFieldsEntry{controller(), update("helm", helmRest), update("image-refresh", oursClaims)},
			nil, nil, nil,
		},
		"two appliers, each its own slot": {
			[]metav1.ManagedFieldsEntry{apply("helm", helmRest), apply("kubectl", `{`+inPod(web(`{".":{},"f:name":{}}`))+`}`), update("image-refresh", oursClaims)},
			map[string][]string{envKey: {"helm"}, imgKey: {"kubectl"}}, []string{"helm"}, []string{"kubectl"},
		},
		"two appliers share a slot": {
			[]metav1.ManagedFieldsEntry{apply("helm", helmRest), apply("kubectl", `{`+inPod(web(`{".":{},"f:name":{}}`))+`}`), update("image-refresh", oursClaims)},
			map[string][]string{envKey: {"helm"}, imgKey: {"helm", "kubectl"}}, []string{"helm"}, []string{"helm", "kubectl"},
		},
		"an applier that owned nothing else, whose entry the server dropped": {
			[]metav1.ManagedFieldsEntry{apply("helm", helmRest), update("image-refresh", oursClaims)},
			map[string][]string{envKey: {"helm", "image-setter"}, imgKey: {"image-setter"}}, []string{"helm", "image-setter"}, []string{"image-setter"},
		},
		"an applier with the same name that updates, too": {
			[]metav1.ManagedFieldsEntry{update("kubectl", helmRest), apply("kubectl", helmRest), update("image-refresh", oursClaims)},
			map[string][]string{envKey: {"kubectl"}, imgKey: {"kubectl"}}, []string{"kubectl"}, []string{"kubectl"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := owned(t, c.before...)
			after := returned(t, before, c.owners)
			env, img := slots(t, after)
			for slot, owners := range map[*workload.Slot][]string{&env: c.env, &img: c.img} {
				facts := factsOf(after, *slot)
				assert.Equal(t, len(owners) > 0, slices.Contains(owners, facts.Deployer), "one of them was the last")
				want := ownedBy(*slot, owners)
				want.Deployer = facts.Deployer
				assert.Equal(t, want, facts)
			}

			was, is := entries(t, before), entries(t, after)
			ours := owner("image-refresh", metav1.ManagedFieldsOperationUpdate, oursMeta)
			ours.Time = before.Meta.ManagedFields[len(before.Meta.ManagedFields)-1].Time
			raw, err := json.Marshal(ours)
			require.NoError(t, err)
			assert.JSONEq(t, string(raw), is["image-refresh/Update"], "what we claim of metadata stays ours")
			for manager, entry := range was {
				if manager == "image-refresh/Update" || strings.HasSuffix(manager, "/Apply") {
					continue
				}
				assert.Equal(t, entry, is[manager], "byte for byte")
			}
			twice := returned(t, after, c.owners)
			assert.Same(t, after, twice, "nothing is left to return")
		})
	}
}

// factsOf is what decisions are told of a slot.
func factsOf(o *workload.Object, slot workload.Slot) decide.Slot {
	return o.Facts(annotate.NewKeys("p"), [][]workload.Place{{{Slot: slot}}}, time.Time{}).Slots[0][0]
}

// ownedBy are the facts of a slot that these own by server-side apply, and nobody else does.
func ownedBy(slot workload.Slot, appliers []string) decide.Slot {
	facts := decide.Slot{Key: slot.Key(), Image: slot.Env == "", Live: slot.Live, Appliers: appliers}
	if len(appliers) > 0 {
		facts.Deployer = appliers[0]
	}
	return facts
}

// An applier gets back the slot and nothing else, and so its entry is what it was before our patch.
func TestReturnOwnershipRestoresAnEntryAsItWas(t *testing.T) {
	t.Parallel()
	helm := apply("helm", helmRest)
	after := returned(t, owned(t, helm, update("image-refresh", oursClaims)), map[string][]string{envKey: {"helm"}, imgKey: {"helm"}})
	want := helm
	want.FieldsV1 = metav1.NewFieldsV1(helmAll)
	raw, err := json.Marshal(want)
	require.NoError(t, err)
	assert.JSONEq(t, string(raw), entries(t, after)["helm/Apply"])
	assert.JSONEq(t, helmRest, string(helm.FieldsV1.GetRawBytes()), "the object that was read is never changed")
}

// Whoever applies next must find an entry as the server would have written it.
func TestReturnOwnershipMakesANewEntryForAnApplierThatLostItsOwn(t *testing.T) {
	t.Parallel()
	after := returned(t, owned(t, update("image-refresh", oursClaims)), map[string][]string{envKey: {"b", "a"}, imgKey: {"a"}})
	assert.JSONEq(t, `{"manager":"b","operation":"Apply","apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{`+
		inPod(`"k:{\"name\":\"api\"}":{"f:env":{"k:{\"name\":\"INGESTOR_IMAGE_DIGEST\"}":{"f:value":{}}}}`)+`}}`, entries(t, after)["b/Apply"])
	assert.JSONEq(t, `{"manager":"a","operation":"Apply","apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{`+
		inPod(`"k:{\"name\":\"api\"}":{"f:env":{"k:{\"name\":\"INGESTOR_IMAGE_DIGEST\"}":{"f:value":{}}}}`, web(`{"f:image":{}}`))+`}}`, entries(t, after)["a/Apply"])
}

// A variable that we added: its list item is claimed by nobody afterwards either, as the chart left it out.
func TestReturnOwnershipOfAVariableThatWeAdded(t *testing.T) {
	t.Parallel()
	ours := `{"f:metadata":{"f:labels":{"f:tracebloc.io/ingestor-digest":{}}},` +
		inPod(`"k:{\"name\":\"api\"}":{"f:env":{"k:{\"name\":\"INGESTOR_IMAGE_DIGEST\"}":{".":{},"f:name":{},"f:value":{}}}}`) + `}`
	after := returned(t, owned(t, controller(), update("image-refresh", ours)), map[string][]string{envKey: {}})
	assert.Len(t, after.Meta.ManagedFields, 2)
	assert.Contains(t, entries(t, after)["image-refresh/Update"], `{"f:metadata":{"f:labels":{"f:tracebloc.io/ingestor-digest":{}}}}`)
}

// An entry of ours that claimed nothing but slots goes; one that does not parse stays as it is.
func TestReturnOwnershipDropsWhatIsEmptyAndKeepsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	strange := apply("strange", `["no set"]`)
	o := owned(t, strange, update("image-refresh", `{`+inPod(web(`{"f:image":{}}`))+`}`))
	after := returned(t, o, map[string][]string{imgKey: nil})
	assert.Equal(t, map[string]string{"strange/Apply": entries(t, o)["strange/Apply"]}, entries(t, after))
}

func TestReturnOwnershipIsNothingWhereWeClaimNothing(t *testing.T) {
	t.Parallel()
	o := owned(t, controller(), apply("helm", helmAll), update("image-refresh", oursMeta))
	env, img := slots(t, o)
	body, err := o.ReturnOwnership([]workload.Slot{env, img}, map[string][]string{envKey: {"other"}})
	require.NoError(t, err)
	assert.Nil(t, body)
}

// An applier's entry for a subresource is another than the one that owned the slot.
func TestReturnOwnershipLeavesEntriesOfSubresourcesAlone(t *testing.T) {
	t.Parallel()
	scale := apply("helm", `{"f:spec":{"f:replicas":{}}}`)
	scale.Subresource = "scale"
	o := owned(t, scale, update("image-refresh", oursClaims))
	after := entriesReturned(t, o, map[string][]string{envKey: {"helm"}, imgKey: {"helm"}})
	require.Len(t, after, 3)
	assert.Equal(t, scale.Subresource, after[0].Subresource)
	assert.JSONEq(t, `{"f:spec":{"f:replicas":{}}}`, string(after[0].FieldsV1.GetRawBytes()))
	assert.Empty(t, after[2].Subresource)
	assert.Equal(t, "helm", after[2].Manager)
}

// Only slots that are asked for are returned: another target's are its own business.
func TestReturnOwnershipLeavesOtherSlotsAlone(t *testing.T) {
	t.Parallel()
	o := owned(t, apply("helm", helmRest), update("image-refresh", oursClaims))
	env, img := slots(t, o)
	body, err := o.ReturnOwnership([]workload.Slot{img}, map[string][]string{envKey: {"helm"}, imgKey: {"helm"}})
	require.NoError(t, err)
	var sent struct{ Metadata metav1.ObjectMeta }
	require.NoError(t, json.Unmarshal(body, &sent))
	after := owned(t, sent.Metadata.ManagedFields...)
	assert.True(t, after.Claimed(env))
	assert.False(t, after.Claimed(img))
	assert.Empty(t, after.Appliers(env))
}

// A deployer that applied the variable, or the container, and lost the slot to somebody else: its next apply conflicts.
func TestTakenFromNamesWhoWouldConflict(t *testing.T) {
	t.Parallel()
	env, img := slots(t, owned(t))
	person := update("kubectl-set", `{`+inPod(api(`{"f:value":{}}`), web(`{"f:image":{}}`))+`}`)
	ours := update(workload.FieldManager, `{`+inPod(api(`{"f:value":{}}`), web(`{"f:image":{}}`))+`}`)
	for name, c := range map[string]struct {
		entries []metav1.ManagedFieldsEntry
		want    []workload.Taken
	}{
		"the deployer's still":          {[]metav1.ManagedFieldsEntry{apply("helm", helmAll)}, nil},
		"taken by a person":             {[]metav1.ManagedFieldsEntry{apply("helm", helmRest), person}, []workload.Taken{{Applier: "helm", Owner: "kubectl-set"}}},
		"taken by us, to be given back": {[]metav1.ManagedFieldsEntry{apply("helm", helmRest), ours}, nil},
		"a deployer by Update":          {[]metav1.ManagedFieldsEntry{update("helm", helmRest), person}, nil},
		"nobody's":                      {[]metav1.ManagedFieldsEntry{apply("helm", helmRest)}, nil},
	} {
		o := owned(t, c.entries...)
		assert.Equal(t, c.want, o.TakenFrom(env), name)
		assert.Equal(t, c.want, o.TakenFrom(img), name)
	}
}
