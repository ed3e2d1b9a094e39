package workload

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// Change is one write to a workload: slots, labels and annotations together, so that a digest and what is
// remembered of it are never apart (I35).
type Change struct {
	Slots       []SlotChange
	Labels      map[string]string // empty value: remove
	Annotations map[string]string // empty value: remove
}

// SlotChange puts a digest into a slot.
type SlotChange struct {
	Slot   Slot
	Digest image.Digest
}

// Empty says whether there is nothing to write.
func (c Change) Empty() bool {
	return len(c.Slots) == 0 && len(c.Labels) == 0 && len(c.Annotations) == 0
}

// OnlyTidies says whether the change does nothing but remove what is no longer true, and set a label that is for people alone:
// failing to do so is a warning (I12).
func (c Change) OnlyTidies(forPeople string) bool {
	for _, values := range []map[string]string{c.Labels, c.Annotations} {
		for key, value := range values {
			if value != "" && key != forPeople {
				return false
			}
		}
	}
	return len(c.Slots) == 0
}

// AppliedTo says whether an object bears the labels and annotations of the change. One that changes slots brings its
// intent along (I35), so it need not look at these: somebody may have changed them again.
func (c Change) AppliedTo(o *Object) bool {
	return len(c.Labels)+len(c.Annotations) > 0 && bears(o.Meta.Labels, c.Labels) && bears(o.Meta.Annotations, c.Annotations)
}

// Lost says what of the change an object does not hold, which the API server returned for it: labels, annotations and slots.
// Something between us and what is stored has taken it out (I82). It is nil where the object holds everything. Another spelling of
// the same image is what was written.
func (c Change) Lost(o *Object) *failure.Error {
	var lost []string
	for _, of := range []struct {
		what            string
		stored, written map[string]string
	}{{"label", o.Meta.Labels, c.Labels}, {"annotation", o.Meta.Annotations, c.Annotations}} {
		for _, key := range slices.Sorted(maps.Keys(of.written)) {
			if of.stored[key] != of.written[key] {
				lost = append(lost, of.what+" "+key)
			}
		}
	}
	for _, change := range c.Slots {
		if have := o.text(change.Slot); !sameImage(have, change.Slot.write(change.Digest)) {
			lost = append(lost, fmt.Sprintf("slot %s, which holds %q then", change.Slot.Key(), failure.Clean(have)))
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return &failure.Error{
		Cause: failure.Contested, Message: fmt.Sprintf("an admission webhook or policy changes what is written to %s (%s)", o.Ref, strings.Join(lost, "; ")),
		Fix: "find it (kubectl get mutatingwebhookconfigurations) and have it leave our keys and slots alone",
	}
}

// text is what a slot holds, as it is.
func (o *Object) text(slot Slot) string {
	for _, container := range slices.Concat(o.Pod.Containers, o.Pod.InitContainers) {
		switch found := variables(container, slot.Env); {
		case container.Name != slot.Container:
		case slot.Env == "":
			return container.Image
		case len(found) > 0:
			return found[len(found)-1].Value
		}
	}
	return ""
}

// sameImage says whether two texts mean the same digest, of the same repository where they name one.
func sameImage(one, other string) bool {
	one, other = strings.Trim(one, blanksAndQuotes), strings.Trim(other, blanksAndQuotes)
	have, isReference := parseLoosely(one)
	want, wantReference := parseLoosely(other)
	if !isReference || !wantReference {
		return strings.EqualFold(one, other)
	}
	return have.Name() == want.Name() && have.Digest == want.Digest
}

func bears(stored, values map[string]string) bool {
	for key, value := range values {
		if stored[key] != value {
			return false
		}
	}
	return true
}

// StrategicMerge is the change as a strategic merge patch against the object as it was read: the server
// refuses it with a conflict where the object has changed since.
func (c Change) StrategicMerge(read *Object) ([]byte, error) {
	return c.patch(read.Kind, map[string]any{"resourceVersion": read.Meta.ResourceVersion})
}

// Unguarded is the change as StrategicMerge has it, of whatever version of the object: for a dry run, which overwrites nothing.
func (c Change) Unguarded(kind config.Kind) ([]byte, error) { return c.patch(kind, map[string]any{}) }

func (c Change) patch(kind config.Kind, metadata map[string]any) ([]byte, error) {
	if len(c.Labels) > 0 {
		metadata["labels"] = nullable(c.Labels)
	}
	if len(c.Annotations) > 0 {
		metadata["annotations"] = nullable(c.Annotations)
	}
	patch := map[string]any{"metadata": metadata}
	if len(c.Slots) > 0 {
		patch["spec"] = c.spec(kind)
	}
	return json.Marshal(patch)
}

// Manifest is the change of the slots as a strategic merge patch that somebody else may apply: it names the
// object, its namespace where ref does, and knows nothing of its version nor of our records.
func (c Change) Manifest(ref Ref) map[string]any {
	metadata := map[string]any{"name": ref.Name}
	if ref.Namespace != "" {
		metadata["namespace"] = ref.Namespace
	}
	return map[string]any{
		"apiVersion": ref.Group() + "/v1", "kind": string(ref.Kind), "metadata": metadata, "spec": c.spec(ref.Kind),
	}
}

// spec is the part of a workload that holds the changed slots, and nothing else.
func (c Change) spec(kind config.Kind) map[string]any {
	pod := map[string]any{}
	containers, initContainers := c.containers(false), c.containers(true)
	if len(containers) > 0 {
		pod["containers"] = containers
	}
	if len(initContainers) > 0 {
		pod["initContainers"] = initContainers
	}
	template := map[string]any{"template": map[string]any{"spec": pod}}
	if kind == config.CronJob {
		template = map[string]any{"jobTemplate": map[string]any{"spec": template}}
	}
	return template
}

// containers are the changed containers of one list, each once.
func (c Change) containers(init bool) []map[string]any {
	var containers []map[string]any
	byName := map[string]map[string]any{}
	for _, change := range c.Slots {
		slot := change.Slot
		if slot.Init != init {
			continue
		}
		container, known := byName[slot.Container]
		if !known {
			container = map[string]any{"name": slot.Container}
			byName[slot.Container] = container
			containers = append(containers, container)
		}
		value := slot.write(change.Digest)
		if slot.Env == "" {
			container["image"] = value
			continue
		}
		env, _ := container["env"].([]map[string]string)
		container["env"] = append(env, map[string]string{"name": slot.Env, "value": value})
	}
	return containers
}

func nullable(values map[string]string) map[string]any {
	out := make(map[string]any, len(values))
	for key, value := range values {
		out[key] = nil
		if value != "" {
			out[key] = value
		}
	}
	return out
}
