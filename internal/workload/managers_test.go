package workload_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// factsOf is what decisions are told of the image of web, with these owners.
func factsOf(t *testing.T, owners ...metav1.ManagedFieldsEntry) decide.Slot {
	t.Helper()
	o, _, img := owned(t, owners...)
	return o.Facts(keys, [][]workload.Place{{{Slot: img}}}, time.Time{}).Slots[0][0]
}

// Who is a person: kubectl's commands that update, except client-side apply, which is how deployments are scripted, and
// consoles. Whoever is unknown is a deployer.
func TestPeopleAreToldFromDeployers(t *testing.T) {
	t.Parallel()
	for _, manager := range []string{
		"kubectl", "kubectl-set", "kubectl-edit", "kubectl-patch", "kubectl-annotate", "kubectl-create", "kubectl-rollout", "k9s",
		"Mozilla", "Opera", "Chrome", "Safari", "node-fetch", "OpenLens", "dashboard", "headlamp-server", "rancher",
	} {
		slot := decide.Slot{Key: "web", Image: true, Live: "unpinned", Person: manager}
		assert.Equal(t, slot, factsOf(t, update(manager, 1, itsImage)))
		slot.Person, slot.Deployer, slot.Appliers = "", manager, []string{manager}
		assert.Equal(t, slot, factsOf(t, apply(manager, 1, itsImage)), "by server-side apply")
	}
	for _, manager := range []string{
		"kubectl-client-side-apply", "helm", "argocd-controller", "kustomize-controller", "kubectlx", "rancher-agent", "mozilla",
	} {
		assert.Equal(t, decide.Slot{Key: "web", Image: true, Live: "unpinned", Deployer: manager}, factsOf(t, update(manager, 1, itsImage)))
	}
	assert.Equal(t, decide.Slot{Key: "web", Image: true, Live: "unpinned", Ours: true}, factsOf(t, update(ours, 1, itsImage)))
	assert.False(t, factsOf(t, update(ours, 1, records)).Ours, "our labels are no claim on a slot")
}

// Whose change it was says the newest claim; in the same second, a person's.
func TestTheNewestClaimSaysWhoChangedASlot(t *testing.T) {
	t.Parallel()
	helm := func(second int64) metav1.ManagedFieldsEntry { return apply("helm", second, hadBoth) }
	person := func(second int64) metav1.ManagedFieldsEntry { return update("kubectl-set", second, itsImage) }
	for name, c := range map[string]struct {
		owners []metav1.ManagedFieldsEntry
		person bool
	}{
		"the person's is newer":           {[]metav1.ManagedFieldsEntry{person(2), helm(1)}, true},
		"the deployer's is newer":         {[]metav1.ManagedFieldsEntry{helm(2), person(1)}, false},
		"in one second, the person first": {[]metav1.ManagedFieldsEntry{person(1), helm(1)}, true},
		"in one second, the person last":  {[]metav1.ManagedFieldsEntry{helm(1), person(1)}, true},
		"an entry without a time is old":  {[]metav1.ManagedFieldsEntry{person(0), helm(1)}, false},
		"ours says nothing":               {[]metav1.ManagedFieldsEntry{helm(1), update(ours, 2, itsImage)}, false},
		"of another field":                {[]metav1.ManagedFieldsEntry{helm(1), update("kubectl-set", 2, hasNames)}, false},
		"two deployers":                   {[]metav1.ManagedFieldsEntry{apply("argocd", 1, itsImage), helm(2)}, false},
	} {
		facts := factsOf(t, c.owners...)
		assert.Equal(t, map[bool]string{true: "kubectl-set"}[c.person], facts.Person, name)
		assert.Equal(t, map[bool]string{false: "helm"}[c.person], facts.Deployer, name)
	}
}

// What was read of managedFields is kept, and nobody who is handed it can change it.
func TestFactsAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	o, _, img := owned(t, apply("helm", 1, hadBoth))
	places := [][]workload.Place{{{Slot: img}}}
	o.Facts(keys, places, time.Time{}).Slots[0][0].Appliers[0] = "somebody"
	assert.Equal(t, []string{"helm"}, o.Facts(keys, places, time.Time{}).Slots[0][0].Appliers)
}

// Records that are ours, or that nobody claims, are not listed. Who wrote the pod template last is a person only where that
// was not before we wrote.
func TestWhoHasWrittenTheRecords(t *testing.T) {
	t.Parallel()
	const label = `"f:metadata":{"f:labels":{"f:p/t-digest":{}}}`
	const annotation = `"f:metadata":{"f:annotations":{"f:p/last-refreshed-t-digest":{}}}`
	const template = `"f:spec":{"f:template":{"f:metadata":{"f:annotations":{"f:x":{}}}}}`
	argo, helm, nobody := decide.Writer{Manager: "argocd"}, decide.Writer{Manager: "helm"}, decide.Writer{}
	type entries = []metav1.ManagedFieldsEntry
	for name, c := range map[string]struct {
		owners entries
		mark   any // who wrote it; nil: we did
		last   decide.Writer
	}{
		"ours":                       {entries{update(ours, 5, label), update("helm", 1, template)}, nil, helm},
		"ours, and another's too":    {entries{update(ours, 5, label), update("argocd", 6, label)}, nil, nobody},
		"another's":                  {entries{update(ours, 5, annotation), update("argocd", 6, label)}, argo, nobody},
		"a person's":                 {entries{update("kubectl-label", 6, label)}, decide.Writer{Manager: "kubectl-label", Person: true}, nobody},
		"nobody's":                   {nil, nobody, nobody},
		"a person since we wrote":    {entries{update(ours, 5, label), update("kubectl", 5, template)}, nil, decide.Writer{Manager: "kubectl", Person: true}},
		"a person before we wrote":   {entries{update(ours, 5, label), update("kubectl", 4, template)}, nil, decide.Writer{Manager: "kubectl"}},
		"our own template is not it": {entries{update(ours, 5, template), update("helm", 1, template)}, nobody, helm},
	} {
		facts := made(t, deployment(func(d *appsv1.Deployment) {
			d.Labels, d.Annotations = map[string]string{"p/t-digest": "x", "other/x": "x"}, map[string]string{"p/last-refreshed-t-digest": "x"}
			d.ManagedFields = c.owners
		})).Facts(keys, nil, time.Time{})
		writer, foreign := facts.Writers["p/t-digest"]
		assert.Equal(t, c.mark != nil, foreign, name)
		if foreign {
			assert.Equal(t, c.mark, writer, name)
		}
		assert.Equal(t, c.last, facts.LastWriter, name)
		assert.NotContains(t, facts.Writers, "other/x", name)
	}
}
