package workload_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// binding binds a target of this name to containers.
func binding(t *testing.T, name, follows string, containers ...string) workload.Binding {
	t.Helper()
	bound := workload.Binding{Target: target(t, follows)}
	bound.Target.Name = name
	for _, container := range containers {
		bound.Entries = append(bound.Entries, config.Workload{Container: container})
	}
	return bound
}

// causes are the problems of places, none for a slot that can be worked with.
func causes(places [][]workload.Place) [][]failure.Cause {
	all := make([][]failure.Cause, len(places))
	for at := range places {
		for _, place := range places[at] {
			cause := failure.None
			if place.Problem != nil {
				cause = place.Problem.Cause
			}
			all[at] = append(all[at], cause)
		}
	}
	return all
}

// A slot follows one target, once, and a target one image: neither of two is more right than the other.
func TestLocateFindsEachSlotOnce(t *testing.T) {
	t.Parallel()
	const other = "nginx:1.2"
	o := object(t, config.Deployment, pod(container("api", ingestor), container("web", ingestor), container("proxy", other)))
	for name, c := range map[string]struct {
		bindings []workload.Binding
		want     [][]failure.Cause
	}{
		"one slot each":                 {[]workload.Binding{binding(t, "a", ingestor, "api"), binding(t, "b", ingestor, "web")}, [][]failure.Cause{{""}, {""}}},
		"two slots of one":              {[]workload.Binding{binding(t, "a", ingestor, "api", "web")}, [][]failure.Cause{{"", ""}}},
		"two targets, one slot":         {[]workload.Binding{binding(t, "a", ingestor, "api"), binding(t, "b", ingestor, "api")}, [][]failure.Cause{{failure.SlotInvalid}, {failure.SlotInvalid}}},
		"one target, one slot, twice":   {[]workload.Binding{binding(t, "a", ingestor, "api", "api")}, [][]failure.Cause{{failure.SlotInvalid, failure.SlotInvalid}}},
		"three, and the third is fine":  {[]workload.Binding{binding(t, "a", ingestor, "api"), binding(t, "b", ingestor, "api", "web")}, [][]failure.Cause{{failure.SlotInvalid}, {failure.SlotInvalid, ""}}},
		"one target follows two images": {[]workload.Binding{binding(t, "a", "", "api", "proxy")}, [][]failure.Cause{{"", failure.SlotMismatch}}},
		"no such container":             {[]workload.Binding{binding(t, "a", ingestor, "none"), binding(t, "b", ingestor, "web")}, [][]failure.Cause{{failure.WorkloadMissing}, {""}}},
	} {
		assert.Equal(t, c.want, causes(o.Locate(c.bindings)), name)
	}
	places := o.Locate([]workload.Binding{binding(t, "a", ingestor, "api"), binding(t, "b", ingestor, "api")})
	assert.Contains(t, places[0][0].Problem.Message, "target a and target b mean the same slot api")
}

// Facts are an object in plain values.
func TestFactsAreTheObjectInPlainValues(t *testing.T) {
	t.Parallel()
	d := deployment(func(d *appsv1.Deployment) {
		d.Labels, d.Annotations = map[string]string{"l": "1"}, map[string]string{"a": "2"}
		d.Spec.Paused = true
		d.Spec.Template.Spec = pod(container("api", ingestor), container("web", "docker.io/tracebloc/ingestor:prod@"+string(digest("a"))))
		d.Status.Conditions[1] = gaveUp(time.Unix(100, 0))
		d.Status.UpdatedReplicas = 1
	})
	o, err := workload.New(d)
	require.NoError(t, err)
	bindings := []workload.Binding{binding(t, "x", "", "none"), binding(t, "y", "", "web")}
	places := o.Locate(bindings)
	facts := o.Facts(annotate.NewKeys("p"), places, time.Unix(99, 0))
	assert.Equal(t, decide.Object{
		Namespace: "tracebloc", Labels: d.Labels, Annotations: d.Annotations, Paused: true, Rollout: o.Rollout(time.Unix(99, 0)),
		Slots:   [][]decide.Slot{{{Problem: places[0][0].Problem}}, {{Key: "web", Image: true, Live: annotate.Of(digest("a"))}}},
		Writers: map[string]decide.Writer{},
	}, facts)
	assert.NotEmpty(t, facts.Rollout.Failure)
	assert.Empty(t, o.Facts(annotate.NewKeys("p"), places, time.Unix(100, 0)).Rollout.Failure, "a report that is as old as that is about the rollout before")
}

// Contents are what the slots of a binding hold together, as a wait sees them.
func TestContentsAreWhatTheSlotsHoldTogether(t *testing.T) {
	t.Parallel()
	of := func(contents ...annotate.Content) []workload.Place {
		var places []workload.Place
		for _, content := range contents {
			places = append(places, workload.Place{Slot: workload.Slot{Live: content}})
		}
		return places
	}
	a, b := annotate.Of(digest("a")), annotate.Of(digest("b"))
	broken := append(of(a), workload.Place{Slot: workload.Slot{Live: a}, Problem: &failure.Error{Cause: failure.SlotInvalid}})
	assert.Equal(t, []annotate.Content{a, a, annotate.Unpinned, annotate.None, annotate.None, annotate.None},
		workload.Contents([][]workload.Place{of(a), of(a, a), of(a, b), of(a, annotate.None), broken, nil}))
}

// A decision's change names slots by binding and place; the object knows which those are.
func TestChangeKnowsItsSlots(t *testing.T) {
	t.Parallel()
	o := object(t, config.Deployment, pod(container("api", ingestor), container("web", ingestor)))
	places := o.Locate([]workload.Binding{binding(t, "a", ingestor, "api"), binding(t, "b", ingestor, "web")})
	change := o.Change(decide.Change{
		Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": ""}, Slots: []decide.SlotChange{{Binding: 1, Slot: 0, Digest: digest("b")}},
	}, places)
	assert.Equal(t, map[string]string{"l": "1"}, change.Labels)
	assert.Equal(t, map[string]string{"a": ""}, change.Annotations)
	require.Len(t, change.Slots, 1)
	assert.Equal(t, "web", change.Slots[0].Slot.Key())
	assert.Equal(t, digest("b"), change.Slots[0].Digest)
	assert.True(t, o.Change(decide.Change{}, places).Empty())
}

// Who says so on the workload itself, and since when, as far as managedFields say.
func TestFactsSayWhoHolds(t *testing.T) {
	t.Parallel()
	const hold = "tracebloc.io/refresh-hold"
	held := update("kubectl-label", `{"f:metadata":{"f:labels":{"f:`+hold+`":{}}}}`)
	pausedBy := update("kubectl-rollout", `{"f:spec":{"f:paused":{}}}`)
	later := pausedBy
	later.Manager, later.Time = "argocd\x1b", &metav1.Time{Time: pausedBy.Time.Add(time.Hour)}
	for name, c := range map[string]struct {
		label   string
		paused  bool
		entries []metav1.ManagedFieldsEntry
		want    string
	}{
		"nobody":                    {"", false, []metav1.ManagedFieldsEntry{held, pausedBy}, ""},
		"a label that says nothing": {"yes", false, []metav1.ManagedFieldsEntry{held}, ""},
		"held":                      {"true", false, []metav1.ManagedFieldsEntry{held, pausedBy}, " (by kubectl-label, since " + held.Time.UTC().Format(time.RFC3339) + ")"},
		"held and paused":           {"true", true, []metav1.ManagedFieldsEntry{pausedBy, held}, " (by kubectl-label, since " + held.Time.UTC().Format(time.RFC3339) + ")"},
		"paused":                    {"", true, []metav1.ManagedFieldsEntry{held, pausedBy}, " (by kubectl-rollout, since " + pausedBy.Time.UTC().Format(time.RFC3339) + ")"},
		"paused twice: the latest":  {"", true, []metav1.ManagedFieldsEntry{later, pausedBy}, " (by " + failure.Clean("argocd\x1b") + ", since " + later.Time.UTC().Format(time.RFC3339) + ")"},
		"nobody claims it":          {"true", true, nil, ""},
	} {
		o, err := workload.New(&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{hold: c.label}, ManagedFields: c.entries}, Spec: appsv1.DeploymentSpec{Paused: c.paused},
		})
		require.NoError(t, err)
		assert.Equal(t, c.want, o.Facts(annotate.NewKeys("tracebloc.io"), nil, time.Time{}).HeldBy, name)
	}
}

// A digest without a tag is its owner's pin, unless we have put or accepted it there, or the target writes no tag.
func TestADigestAloneIsItsOwnersPin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		image    string
		mark     string
		pin      bool
		mismatch bool
	}{
		"a digest alone":       {"ghcr.io/tracebloc/ingestor@" + string(digest("a")), "", false, true},
		"with our mark":        {"ghcr.io/tracebloc/ingestor@" + string(digest("a")), annotate.Mark(digest("a")), false, false},
		"with pin: digest":     {"ghcr.io/tracebloc/ingestor@" + string(digest("a")), "", true, false},
		"with a tag":           {ingestor + "@" + string(digest("a")), "", false, false},
		"of another container": {"ghcr.io/tracebloc/other@" + string(digest("a")), annotate.Mark(digest("a")), false, true},
	} {
		bound := binding(t, "ingestor", ingestor, "api")
		bound.Mark, bound.Target.DigestOnly = "mark", c.pin
		o := object(t, config.Deployment, pod(container("api", c.image)))
		o.Meta.Labels = map[string]string{"mark": c.mark}
		problem := o.Locate([]workload.Binding{bound})[0][0].Problem
		if !c.mismatch {
			assert.Nil(t, problem, name)
			continue
		}
		require.NotNil(t, problem, name)
		assert.Equal(t, failure.SlotMismatch, problem.Cause, name)
	}
}

func TestDeleting(t *testing.T) {
	t.Parallel()
	o := object(t, config.Deployment, pod(container("api", ingestor)))
	assert.Nil(t, o.Deleting())
	o.Meta.DeletionTimestamp = &metav1.Time{Time: time.Unix(0, 0)}
	require.NotNil(t, o.Deleting())
	assert.Equal(t, failure.WorkloadMissing, o.Deleting().Cause)
	assert.Contains(t, o.Deleting().Message, "it is being deleted, since 1970-01-01T00:00:00Z")
}

// Who is a person: kubectl's commands that update, except client-side apply, which is how deployments are scripted, and
// consoles. Whoever is unknown is a deployer.
func TestFactsTellPeopleFromDeployers(t *testing.T) {
	t.Parallel()
	claimed := func(entry metav1.ManagedFieldsEntry) decide.Slot {
		o := owned(t, entry)
		_, img := slots(t, o)
		return factsOf(o, img)
	}
	const image = `"k:{\"name\":\"web\"}":{"f:image":{}}`
	for _, manager := range []string{"kubectl", "kubectl-set", "kubectl-edit", "kubectl-patch", "kubectl-annotate", "kubectl-create", "kubectl-rollout",
		"k9s", "Mozilla", "Opera", "Chrome", "Safari", "node-fetch", "OpenLens", "dashboard", "headlamp-server", "rancher"} {
		byUpdate, byApply := claimed(update(manager, `{`+inPod(image)+`}`)), claimed(apply(manager, `{`+inPod(image)+`}`))
		assert.Equal(t, manager, byUpdate.Person, manager)
		assert.Empty(t, byUpdate.Deployer, manager)
		assert.Empty(t, byUpdate.Appliers, manager)
		assert.Empty(t, byApply.Person, "%s by server-side apply", manager)
		assert.Equal(t, manager, byApply.Deployer, "%s by server-side apply", manager)
		assert.Equal(t, []string{manager}, byApply.Appliers, manager)
	}
	for _, manager := range []string{"kubectl-client-side-apply", "helm", "argocd-controller", "kustomize-controller", "helm-controller", "kubectlx", "rancher-agent", "mozilla", "before-first-apply"} {
		facts := claimed(update(manager, `{`+inPod(image)+`}`))
		assert.Empty(t, facts.Person, manager)
		assert.Equal(t, manager, facts.Deployer, manager)
	}
	ours := claimed(update(workload.FieldManager, `{`+inPod(image)+`}`))
	assert.True(t, ours.Ours)
	assert.Empty(t, ours.Person+ours.Deployer)
	assert.False(t, claimed(update(workload.FieldManager, oursMeta)).Ours, "our labels are no claim on a slot")
}

// Whose change it was says the newest claim; in the same second, a person's.
func TestFactsGoByTheNewestClaim(t *testing.T) {
	t.Parallel()
	at := func(entry metav1.ManagedFieldsEntry, second int64) metav1.ManagedFieldsEntry {
		entry.Time = nil
		if second > 0 {
			entry.Time = &metav1.Time{Time: time.Unix(second, 0)}
		}
		return entry
	}
	const image = `{` + `"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{"f:image":{}}}}}}` + `}`
	helm, person, ours := apply("helm", helmAll), update("kubectl-set", image), update(workload.FieldManager, image)
	for name, c := range map[string]struct {
		entries          []metav1.ManagedFieldsEntry
		person, deployer string
	}{
		"the person's is newer":           {[]metav1.ManagedFieldsEntry{at(person, 2), at(helm, 1)}, "kubectl-set", ""},
		"the deployer's is newer":         {[]metav1.ManagedFieldsEntry{at(helm, 2), at(person, 1)}, "", "helm"},
		"in one second, the person first": {[]metav1.ManagedFieldsEntry{at(person, 1), at(helm, 1)}, "kubectl-set", ""},
		"in one second, the person last":  {[]metav1.ManagedFieldsEntry{at(helm, 1), at(person, 1)}, "kubectl-set", ""},
		"an entry without a time is old":  {[]metav1.ManagedFieldsEntry{at(person, 0), at(helm, 1)}, "", "helm"},
		"ours says nothing":               {[]metav1.ManagedFieldsEntry{at(helm, 1), at(ours, 2)}, "", "helm"},
		"two deployers":                   {[]metav1.ManagedFieldsEntry{at(helm, 1), at(apply("argocd-controller", image), 2)}, "", "argocd-controller"},
	} {
		o := owned(t, c.entries...)
		_, img := slots(t, o)
		facts := factsOf(o, img)
		assert.Equal(t, c.person, facts.Person, name)
		assert.Equal(t, c.deployer, facts.Deployer, name)
	}
}

// What was read of managedFields is kept, and nobody who is handed it can change it.
func TestFactsAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	o := owned(t, apply("helm", helmAll))
	_, img := slots(t, o)
	first := factsOf(o, img)
	first.Appliers[0] = "somebody"
	assert.Equal(t, []string{"helm"}, factsOf(o, img).Appliers)
}

// Records that are ours, or that nobody claims, are not listed. Who wrote the pod template last is a person only where that
// was not before we wrote.
func TestWhoHasWrittenTheRecords(t *testing.T) {
	t.Parallel()
	const mark, recorded, other = "p/t-digest", "p/last-refreshed-t-digest", "other/x"
	entry := func(manager string, second int64, raw string) metav1.ManagedFieldsEntry {
		at := metav1.NewTime(time.Unix(second, 0))
		return metav1.ManagedFieldsEntry{
			Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "apps/v1", FieldsType: "FieldsV1", Time: &at, FieldsV1: metav1.NewFieldsV1(raw),
		}
	}
	label, annotation := `{"f:metadata":{"f:labels":{"f:p/t-digest":{}}}}`, `{"f:metadata":{"f:annotations":{"f:p/last-refreshed-t-digest":{}}}}`
	template := `{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{"f:x":{}}}}}}`
	argo, helm := decide.Writer{Manager: "argocd-controller"}, decide.Writer{Manager: "helm"}
	for name, c := range map[string]struct {
		entries []metav1.ManagedFieldsEntry
		mark    decide.Writer
		foreign bool // the mark is not ours
		last    decide.Writer
	}{
		"ours":                       {[]metav1.ManagedFieldsEntry{entry("image-refresh", 5, label), entry("helm", 1, template)}, decide.Writer{}, false, helm},
		"ours, and another's too":    {[]metav1.ManagedFieldsEntry{entry("image-refresh", 5, label), entry("argocd-controller", 6, label)}, decide.Writer{}, false, decide.Writer{}},
		"another's":                  {[]metav1.ManagedFieldsEntry{entry("image-refresh", 5, annotation), entry("argocd-controller", 6, label)}, argo, true, decide.Writer{}},
		"a person's":                 {[]metav1.ManagedFieldsEntry{entry("kubectl-label", 6, label)}, decide.Writer{Manager: "kubectl-label", Person: true}, true, decide.Writer{}},
		"nobody's":                   {nil, decide.Writer{}, true, decide.Writer{}},
		"a person since we wrote":    {[]metav1.ManagedFieldsEntry{entry("image-refresh", 5, label), entry("helm", 1, template), entry("kubectl", 5, template)}, decide.Writer{}, false, decide.Writer{Manager: "kubectl", Person: true}},
		"a person before we wrote":   {[]metav1.ManagedFieldsEntry{entry("image-refresh", 5, label), entry("kubectl", 4, template)}, decide.Writer{}, false, decide.Writer{Manager: "kubectl"}},
		"our own template is not it": {[]metav1.ManagedFieldsEntry{entry("image-refresh", 5, template), entry("helm", 1, template)}, decide.Writer{}, true, helm},
	} {
		o, err := workload.New(deployment(func(d *appsv1.Deployment) {
			d.Labels, d.Annotations, d.ManagedFields = map[string]string{mark: "x", other: "x"}, map[string]string{recorded: "x"}, c.entries
		}))
		require.NoError(t, err)
		facts := o.Facts(annotate.NewKeys("p"), nil, time.Time{})
		writer, foreign := facts.Writers[mark]
		assert.Equal(t, c.mark, writer, name)
		assert.Equal(t, c.foreign, foreign, name)
		assert.Equal(t, c.last, facts.LastWriter, name)
		assert.NotContains(t, facts.Writers, other, name)
	}
}
