package workload

import (
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"github.com/tracebloc/image-refresh/internal/config"
)

// Ownership of a slot is read from managedFields, never from the last-applied annotation. After our
// patch the server has given the slot's claim to us; ReturnOwnership gives it to the Apply managers that had it.

// path is the slot's field as managedFields spells it.
func (o *Object) path(slot Slot) fieldpath.Path {
	path := fieldpath.MakePathOrDie("spec")
	if o.Kind == config.CronJob {
		path = append(path, fieldpath.MakePathOrDie("jobTemplate", "spec")...)
	}
	list := "containers"
	if slot.Init {
		list = "initContainers"
	}
	path = append(path, fieldpath.MakePathOrDie("template", "spec", list, byName(slot.Container))...)
	if slot.Env == "" {
		return append(path, fieldpath.MakePathOrDie("image")...)
	}
	return append(path, fieldpath.MakePathOrDie("env", byName(slot.Env), "value")...)
}

func byName(name string) *value.FieldList {
	return &value.FieldList{{Name: "name", Value: value.NewValueInterface(name)}}
}

// claimsOn lists who owns the slot.
func (o *Object) claimsOn(slot Slot) []claim {
	o.reading.Lock()
	defer o.reading.Unlock()
	known, read := o.claimed[slot.Key()]
	if !read {
		known = o.claimsOnPath(o.path(slot))
		if o.claimed == nil {
			o.claimed = map[string][]claim{}
		}
		o.claimed[slot.Key()] = known
	}
	return slices.Clone(known)
}

// claimsOnPath lists who owns a field.
func (o *Object) claimsOnPath(path fieldpath.Path) []claim {
	var claims []claim
	for _, of := range o.entries() {
		if of.fields.Has(path) {
			claims = append(claims, of.claim)
		}
	}
	return claims
}

// Appliers are the managers that own the slot by server-side apply, to be noted before a patch takes it.
func (o *Object) Appliers(slot Slot) []string {
	names := []string{}
	for _, claim := range o.claimsOn(slot) {
		if claim.apply {
			names = append(names, claim.manager)
		}
	}
	return names
}

// Claimed says whether we own the slot: our patch has taken it, and it has not been given back.
func (o *Object) Claimed(slot Slot) bool {
	return slices.ContainsFunc(o.claimsOn(slot), func(c claim) bool { return c.manager == FieldManager })
}

// Taken is a slot that an Apply manager has rendered and that another manager has taken since.
type Taken struct {
	Applier, Owner string
}

// TakenFrom lists who applied the slot's container, or variable, and no longer owns the slot itself: their next
// apply fails with a conflict where it sets another value. What we have taken ourselves is not listed:
// the next tick returns it.
func (o *Object) TakenFrom(slot Slot) []Taken {
	var taken []Taken
	claims := o.claimsOn(slot)
	path := o.path(slot)
	for _, entry := range o.Meta.ManagedFields {
		set, err := fields(entry)
		applied := entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == ""
		if err != nil || !applied || set.Has(path) || !set.Has(path[:len(path)-1]) {
			continue
		}
		for _, claim := range claims {
			if claim.manager != FieldManager {
				taken = append(taken, Taken{Applier: entry.Manager, Owner: claim.manager})
			}
		}
	}
	return taken
}

// ReturnOwnership is the merge patch that moves our claim on each slot to the Apply managers listed for it, by
// Slot.Key; to nobody where none is listed. It touches managedFields only. It is nil where we claim nothing.
func (o *Object) ReturnOwnership(slots []Slot, owners map[string][]string) ([]byte, error) {
	var ours []Slot
	for _, slot := range slots {
		if o.Claimed(slot) {
			ours = append(ours, slot)
		}
	}
	if len(ours) == 0 {
		return nil, nil
	}
	entries := make([]metav1.ManagedFieldsEntry, 0, len(o.Meta.ManagedFields)+1)
	given := map[string]bool{}
	for _, entry := range o.Meta.ManagedFields {
		set, err := fields(entry)
		if err != nil {
			entries = append(entries, entry)
			continue
		}
		changed := false
		for _, slot := range ours {
			switch {
			case entry.Manager == FieldManager:
				changed = true
				set = set.Difference(o.fieldsOf(slot))
			case entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == "" && slices.Contains(owners[slot.Key()], entry.Manager):
				changed = true
				given[entry.Manager+" "+slot.Key()] = true
				set = set.Union(fieldpath.NewSet(o.path(slot)))
			}
		}
		if changed {
			if set.Empty() {
				continue
			}
			if err := store(&entry, set); err != nil {
				return nil, err
			}
		}
		entries = append(entries, entry)
	}
	recreatedEntries, err := o.recreatedEntries(ours, owners, given)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": o.Meta.ResourceVersion, "managedFields": append(entries, recreatedEntries...),
	}})
}

// fieldsOf is all that we may own of a slot: the field itself and, where we added the variable, its list item.
func (o *Object) fieldsOf(slot Slot) *fieldpath.Set {
	path := o.path(slot)
	if slot.Env == "" {
		return fieldpath.NewSet(path)
	}
	item := path[:len(path)-1].Copy()
	return fieldpath.NewSet(path, item, append(item.Copy(), fieldpath.MakePathOrDie("name")...))
}

// recreatedEntries are new entries for Apply managers that owned nothing but the slot: the server dropped their entry
// when our patch took it.
func (o *Object) recreatedEntries(slots []Slot, owners map[string][]string, given map[string]bool) ([]metav1.ManagedFieldsEntry, error) {
	var entries []metav1.ManagedFieldsEntry
	sets := map[string]*fieldpath.Set{}
	var names []string
	for _, slot := range slots {
		for _, manager := range owners[slot.Key()] {
			if given[manager+" "+slot.Key()] {
				continue
			}
			if sets[manager] == nil {
				sets[manager] = fieldpath.NewSet()
				names = append(names, manager)
			}
			sets[manager].Insert(o.path(slot))
		}
	}
	for _, manager := range names {
		entry := metav1.ManagedFieldsEntry{
			Manager: manager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: o.Group() + "/v1", FieldsType: "FieldsV1",
		}
		if err := store(&entry, sets[manager]); err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

func fields(entry metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	set := &fieldpath.Set{}
	if entry.FieldsV1 == nil {
		return set, nil
	}
	if err := set.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
		return nil, fmt.Errorf("managedFields of %s: %w", entry.Manager, err)
	}
	return set, nil
}

func store(entry *metav1.ManagedFieldsEntry, set *fieldpath.Set) error {
	raw, err := set.ToJSON()
	if err != nil {
		return fmt.Errorf("managedFields of %s: %w", entry.Manager, err)
	}
	entry.FieldsV1 = metav1.NewFieldsV1(string(raw))
	return nil
}
