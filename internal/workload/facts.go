package workload

import (
	"fmt"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// Binding is a target on a workload: what the configuration says of the two.
type Binding struct {
	Target  config.Target
	Entries []config.Workload // of the target, those that mean this workload
	Mark    string            // the key of the target's mark
}

// Place is where an entry's slot is, or why it cannot be worked with.
type Place struct {
	Slot    Slot // meaningless where there is a problem
	Problem *failure.Error
}

// Locate finds the slots of every binding, by entry.
func (o *Object) Locate(bindings []Binding) [][]Place {
	places := make([][]Place, len(bindings))
	claimed := map[string]*Place{}
	owner := map[string]string{}
	for at, binding := range bindings {
		places[at] = make([]Place, len(binding.Entries))
		for i, entry := range binding.Entries {
			place := &places[at][i]
			place.Slot, place.Problem = o.Find(binding.Target, entry)
			if place.Problem == nil && place.Slot.Untagged && !binding.Target.DigestOnly && o.Meta.Labels[binding.Mark] == "" {
				place.Problem = o.failure(failure.SlotMismatch, "add the tag to have it followed, or set the target's pin to digest",
					"container %s runs %s by a digest alone, which is its owner's pin",
					place.Slot.Container, place.Slot.Follows.Name())
			}
			key := place.Slot.Key()
			if place.Problem == nil {
				if first, double := claimed[key]; double { // neither is more right than the other
					place.Problem = o.failure(failure.SlotInvalid, "take one of the two entries out: a slot follows one target, once",
						"target %s and target %s mean the same slot %s",
						owner[key], binding.Target.Name, key)
					first.Problem = place.Problem
				} else {
					claimed[key], owner[key] = place, binding.Target.Name
				}
			}
			if first := places[at][0]; place.Problem == nil && i > 0 && first.Problem == nil && place.Slot.Follows.String() != first.Slot.Follows.String() {
				place.Problem = o.failure(failure.SlotMismatch, "give each a target of its own",
					"target %s follows %s in one container and %s in another",
					binding.Target.Name, first.Slot.Follows, place.Slot.Follows)
			}
		}
	}
	return places
}

// Slots are the slots of every binding; none of one that cannot be worked with.
func Slots(places [][]Place) [][]Slot {
	slots := make([][]Slot, len(places))
	for at := range places {
		for _, place := range places[at] {
			if place.Problem == nil {
				slots[at] = append(slots[at], place.Slot)
			}
		}
	}
	return slots
}

// Facts is the object in plain values, as decisions take it. A controller's report of failure that is not newer than stale
// is ignored, as in Rollout.
func (o *Object) Facts(keys annotate.Keys, places [][]Place, stale time.Time) decide.Object {
	object := decide.Object{
		Namespace: o.Namespace, Labels: o.Meta.Labels, Annotations: o.Meta.Annotations,
		Paused: o.Paused, HeldBy: o.heldBy(keys.Hold()), Rollout: o.Rollout(stale), Slots: make([][]decide.Slot, len(places)),
	}
	object.Writers, object.LastWriter = o.recordFacts(keys)
	for at := range places {
		object.Slots[at] = make([]decide.Slot, 0, len(places[at]))
		for _, place := range places[at] {
			object.Slots[at] = append(object.Slots[at], o.slotFacts(place))
		}
	}
	return object
}

// recordFacts says who has written our records, and who the pod template.
func (o *Object) recordFacts(keys annotate.Keys) (writers map[string]decide.Writer, last decide.Writer) {
	o.reading.Lock()
	defer o.reading.Unlock()
	if o.records == nil {
		o.records, o.last = o.writers(keys.Prefix()), o.lastWriter()
	}
	return o.records, o.last
}

// Contents are what the slots of each binding hold together; nothing where one cannot be worked with. Nobody's claims are
// read for it, which is most of what Facts costs.
func Contents(places [][]Place) []annotate.Content {
	contents := make([]annotate.Content, len(places))
	for at := range places {
		slots := make([]decide.Slot, 0, len(places[at]))
		for _, place := range places[at] {
			if place.Problem != nil {
				slots = nil
				break
			}
			slots = append(slots, decide.Slot{Live: place.Slot.Live, Left: place.Slot.Left})
		}
		contents[at] = decide.Together(slots)
	}
	return contents
}

// slotFacts says what a slot holds, and who claims it.
func (o *Object) slotFacts(place Place) decide.Slot {
	if place.Problem != nil {
		return decide.Slot{Problem: place.Problem}
	}
	slot := decide.Slot{Key: place.Slot.Key(), Live: place.Slot.Live, Left: place.Slot.Left, Image: place.Slot.Env == ""}
	claims := o.claimsOn(place.Slot)
	for _, claim := range claims {
		slot.Ours = slot.Ours || claim.manager == FieldManager
		if claim.apply {
			slot.Appliers = append(slot.Appliers, claim.manager)
		}
	}
	switch last, found := newest(claims); {
	case !found:
	case last.person():
		slot.Person = last.manager
	default:
		slot.Deployer = last.manager
	}
	return slot
}

// Change is a decision's change with the slots as they are on this object.
func (o *Object) Change(change decide.Change, places [][]Place) Change {
	out := Change{Labels: change.Labels, Annotations: change.Annotations}
	for _, slot := range change.Slots {
		out.Slots = append(out.Slots, SlotChange{Slot: places[slot.Binding][slot.Slot].Slot, Digest: slot.Digest})
	}
	return out
}

// Progress is how far the rollout is, for people.
func (o *Object) Progress() string {
	return fmt.Sprintf("%d of %d updated, %d available", o.status.updated, o.status.mustUpdate, o.status.available)
}
