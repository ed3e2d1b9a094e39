package workload

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// FieldManager is the field manager under which this program writes
// (https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers).
const FieldManager = "image-refresh"

// PersonsManager is the field manager under which it writes what a person has chosen: a tick takes it for a person's, like those of
// kubectl's own commands.
const PersonsManager = "kubectl-image_refresh"

// claim is an entry of managedFields that owns a slot.
type claim struct {
	manager string
	apply   bool      // the operation is Apply, not Update
	at      time.Time // whole seconds; zero where the entry has none
}

// person says whether a person has made the claim: by a command of kubectl that updates, or at a console. Client-side
// apply is how deployments are scripted. Whoever is unknown is a deployer.
func (c claim) person() bool {
	switch {
	case c.apply, c.manager == "kubectl-client-side-apply":
		return false
	case c.manager == "kubectl", strings.HasPrefix(c.manager, "kubectl-"):
		return true
	}
	return console(c.manager)
}

// console says whether a field manager is a console, at which a person sits. Most name none of their own, and are known by
// what their user agent begins with: a browser's stands for every console that talks to the API server through it.
func console(manager string) bool {
	switch manager {
	case "k9s", "node-fetch", "OpenLens", "dashboard", "headlamp-server", "rancher", // and the browsers:
		"Mozilla", "Opera", "Chrome", "Safari":
		return true
	}
	return false
}

// newest is the claim of whoever has changed a slot last, ours aside; false where nobody else claims it. Several claim one
// where an Apply manager has set what stood there already. Times have whole seconds: in the same one it is a person's,
// whose choice would be lost, where a deployer's comes back with the next deployment.
func newest(claims []claim) (last claim, found bool) {
	for _, claim := range claims {
		switch {
		case claim.manager == FieldManager:
		case !found, claim.at.After(last.at), claim.at.Equal(last.at) && (claim.person() || !last.person()):
			last, found = claim, true
		}
	}
	return last, found
}

// entry is an entry of managedFields, parsed.
type entry struct {
	claim
	fields *fieldpath.Set
}

// entries are those of managedFields but for the status. One that does not parse owns nothing. Parsing is most of what an
// unchanged tick costs: it is done once.
func (o *Object) entries() []entry {
	if o.managed != nil || len(o.Meta.ManagedFields) == 0 {
		return o.managed
	}
	o.managed = make([]entry, 0, len(o.Meta.ManagedFields))
	for _, of := range o.Meta.ManagedFields {
		set, err := fields(of)
		if err != nil || of.Subresource != "" {
			continue
		}
		one := entry{claim: claim{manager: of.Manager, apply: of.Operation == metav1.ManagedFieldsOperationApply}, fields: set}
		if of.Time != nil {
			one.at = of.Time.Time
		}
		o.managed = append(o.managed, one)
	}
	return o.managed
}

// writers says who has written the labels and annotations of a prefix, but for those that are ours; nobody where nobody
// claims them.
func (o *Object) writers(prefix string) map[string]decide.Writer {
	writers := map[string]decide.Writer{}
	for of, values := range map[string]map[string]string{"labels": o.Meta.Labels, "annotations": o.Meta.Annotations} {
		for key := range values {
			if !strings.HasPrefix(key, prefix) {
				continue
			}
			var claims []claim
			ours := false
			for _, entry := range o.entries() {
				if within(entry.fields, "metadata", of).Members.Has(fieldpath.PathElement{FieldName: &key}) {
					ours = ours || entry.manager == FieldManager
					claims = append(claims, entry.claim)
				}
			}
			if !ours {
				last, _ := newest(claims)
				writers[key] = last.writer()
			}
		}
	}
	return writers
}

// within are the fields below some, by their names.
func within(set *fieldpath.Set, names ...string) *fieldpath.Set {
	for i := range names {
		set = set.WithPrefix(fieldpath.PathElement{FieldName: &names[i]})
	}
	return set
}

// lastWriter is who has written the pod template last, us aside. One who has not written since we did is no person whose
// hand it could have been.
func (o *Object) lastWriter() decide.Writer {
	path := []string{"spec", "template"}
	if o.Kind == config.CronJob {
		path = []string{"spec", "jobTemplate"}
	}
	var claims []claim
	var ours time.Time
	for _, of := range o.entries() {
		set := within(of.fields, path...)
		switch {
		case of.manager == FieldManager:
			ours = of.at
		case !set.Empty():
			claims = append(claims, of.claim)
		}
	}
	last, _ := newest(claims)
	writer := last.writer()
	writer.Person = writer.Person && !last.at.Before(ours)
	return writer
}

func (c claim) writer() decide.Writer {
	return decide.Writer{Manager: c.manager, Person: c.manager != "" && c.person()}
}

// LastManager says who set a field, by its path in managedFields, and when: the latest claim on it. The name is empty
// where nobody claims it.
func (o *Object) LastManager(path ...any) (manager string, at time.Time) {
	for _, entry := range o.Meta.ManagedFields {
		set, err := fields(entry)
		if err != nil || !set.Has(fieldpath.MakePathOrDie(path...)) || entry.Time == nil || entry.Time.Before(&metav1.Time{Time: at}) {
			continue
		}
		manager, at = entry.Manager, entry.Time.Time
	}
	return manager, at
}

// Leftovers are our keys on the workload that nothing reads. managedFields, which are most of what a workload costs, are read
// only where there may be one.
func (o *Object) Leftovers(keys annotate.Keys, carries, configured func(target string) bool) annotate.Leftovers {
	return keys.Leftovers(o.Meta.Labels, o.Meta.Annotations, annotate.Reader{Carries: carries, Configured: configured, Ours: func(label string) bool {
		manager, _ := o.LastManager("metadata", "labels", label)
		return manager == FieldManager
	}})
}

// heldBy says who holds or has paused the workload, and since when; empty where that is not known, or nobody does.
func (o *Object) heldBy(holdLabel string) string {
	held := o.Meta.Labels[holdLabel] == "true"
	if !held && !o.Paused {
		return "" // without reading managedFields, which is most of what a workload costs
	}
	manager, at := o.LastManager("spec", "paused")
	if held {
		manager, at = o.LastManager("metadata", "labels", holdLabel)
	}
	if manager == "" {
		return ""
	}
	return fmt.Sprintf(" (by %s, since %s)", failure.Clean(manager), at.UTC().Format(time.RFC3339))
}
