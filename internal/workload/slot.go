package workload

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// Slot is one place in a workload's pod template that holds a target's digest.
type Slot struct {
	Container string
	Init      bool
	Env       string           // empty: image mode
	Follows   image.Reference  // what is followed: the target's image, or the container's own reference
	Live      annotate.Content // None: the variable is empty or missing
	Untagged  bool             // in image mode: a digest, and no tag
	Left      bool             // the variable is empty or missing, and is to be left so
	write     func(image.Digest) string
}

// Key names the slot in the state: container, and the variable where there is one.
func (s Slot) Key() string {
	if s.Env == "" {
		return s.Container
	}
	return s.Container + "/" + s.Env
}

// Value is what the slot holds with the digest in it.
func (s Slot) Value(digest image.Digest) string { return s.write(digest) }

// Find locates the slot that an entry of the configuration means and reads what it holds. The error says why
// the slot cannot be worked with: decision table, row 1.
func (o *Object) Find(target config.Target, entry config.Workload) (Slot, *failure.Error) {
	container, init, err := o.container(target, entry)
	if err != nil {
		return Slot{}, err
	}
	slot := Slot{Container: container.Name, Init: init, Env: entry.Env}
	if entry.Env == "" {
		return o.imageSlot(slot, container, target)
	}
	return o.envSlot(slot, container, target, entry)
}

func (o *Object) failure(cause failure.Cause, fix, format string, args ...any) *failure.Error {
	return &failure.Error{Cause: cause, Message: o.String() + ": " + fmt.Sprintf(format, args...), Fix: fix}
}

// container finds the container that an entry names or, where it names none, the only one that can be meant.
func (o *Object) container(target config.Target, entry config.Workload) (corev1.Container, bool, *failure.Error) {
	var names []string
	var fits, all []int
	containers := append(append([]corev1.Container{}, o.Pod.Containers...), o.Pod.InitContainers...)
	for i, container := range containers {
		names = append(names, container.Name)
		all = append(all, i)
		switch {
		case entry.Container != "" && entry.Container == container.Name,
			entry.Container == "" && entry.Env != "" && len(variables(container, entry.Env)) > 0,
			entry.Container == "" && entry.Env == "" && target.Image != nil && sameRepository(container.Image, *target.Image):
			fits = append(fits, i)
		}
	}
	if entry.Container == "" && len(fits) == 0 {
		fits = all
		if entry.Env != "" { // a variable that is missing everywhere belongs to the one container that serves
			fits = all[:len(o.Pod.Containers)]
		}
	}
	if len(fits) > 1 && entry.Container == "" && entry.Env == "" && target.Image != nil {
		// Of several with the repository, the one with the tag is meant.
		if tagged := slices.DeleteFunc(slices.Clone(fits), func(i int) bool { return !follows(containers[i].Image, *target.Image) }); len(tagged) == 1 {
			fits = tagged
		}
	}
	if len(fits) == 1 {
		return containers[fits[0]], fits[0] >= len(o.Pod.Containers), nil
	}
	if entry.Container != "" {
		return corev1.Container{}, false, o.failure(failure.WorkloadMissing, "correct the target's container",
			"it has no container %q, only %s",
			entry.Container, strings.Join(names, ", "))
	}
	if entry.Env == "" && target.Image != nil && len(fits) == len(all) && !sameRepository(containers[0].Image, *target.Image) {
		return corev1.Container{}, false, o.failure(failure.SlotMismatch, "align the two: only the digest is ours",
			"none of its containers (%s) runs %s, which the target follows",
			strings.Join(names, ", "), target.Image.Name())
	}
	return corev1.Container{}, false, o.failure(failure.SlotInvalid, "name one with the target's container",
		"%d of its containers can be meant (%s)",
		len(fits), strings.Join(names, ", "))
}

func variables(container corev1.Container, name string) []corev1.EnvVar {
	var found []corev1.EnvVar
	for _, variable := range container.Env {
		if variable.Name == name {
			found = append(found, variable)
		}
	}
	return found
}

func sameRepository(text string, ref image.Reference) bool {
	own, err := image.ParseReference(text)
	return err == nil && own.Name() == ref.Name()
}

func follows(text string, ref image.Reference) bool {
	own, err := image.ParseReference(text)
	return err == nil && own.Follows(ref)
}

func (o *Object) imageSlot(slot Slot, container corev1.Container, target config.Target) (Slot, *failure.Error) {
	own, err := image.ParseReference(container.Image)
	if err != nil {
		return slot, o.failure(failure.SlotInvalid, "correct it in the chart",
			"the image of container %s is no image reference", container.Name)
	}
	slot.Follows = own
	slot.Follows.Digest = ""
	if target.Image != nil {
		slot.Follows = *target.Image
	}
	switch {
	case slot.Follows.Tag == "":
		return slot, o.failure(failure.SlotInvalid, "give the target an image",
			"the image of container %s names no tag to follow", container.Name)
	case !own.Follows(slot.Follows):
		return slot, o.failure(failure.SlotMismatch, "align the two: only the digest is ours",
			"container %s runs %s, and the target follows %s",
			container.Name, failure.Clean(own.String()), slot.Follows)
	case container.ImagePullPolicy == corev1.PullNever:
		return slot, o.failure(failure.SlotInvalid, "set it to IfNotPresent, or take the target out",
			"container %s has imagePullPolicy Never, so no node would fetch another digest",
			container.Name)
	}
	slot.Live, slot.Untagged = annotate.Unpinned, own.Tag == ""
	if own.Digest != "" {
		slot.Live = annotate.Of(own.Digest)
	}
	slot.write = func(digest image.Digest) string {
		if target.DigestOnly {
			return own.Spelled + "@" + string(digest)
		}
		return own.Spelled + ":" + slot.Follows.Tag + "@" + string(digest)
	}
	return slot, nil
}

func (o *Object) envSlot(slot Slot, container corev1.Container, target config.Target, entry config.Workload) (Slot, *failure.Error) {
	slot.Follows = *target.Image
	slot.write = func(digest image.Digest) string { return string(digest) }
	if entry.Reference {
		slot.write = func(digest image.Digest) string { return target.Image.Spelled + "@" + string(digest) }
	}
	found := variables(container, entry.Env)
	value := ""
	if len(found) > 0 {
		value = found[0].Value
	}
	bare := strings.Trim(value, blanksAndQuotes)
	switch {
	case len(found) == 0 && len(container.EnvFrom) > 0:
		return slot, o.failure(failure.SlotInvalid, "list the variable with a value, which may be empty",
			"container %s does not list %s, and its envFrom may set it",
			container.Name, entry.Env)
	case len(found) > 1:
		return slot, o.failure(failure.SlotInvalid, "list it once",
			"container %s lists %s %d times", container.Name, entry.Env, len(found))
	case len(found) == 1 && found[0].ValueFrom != nil:
		return slot, o.failure(failure.SlotInvalid, "give it a plain value, which may be empty",
			"%s of container %s comes from elsewhere (valueFrom)",
			entry.Env, container.Name)
	case bare == "":
		slot.Left = entry.LeaveEmpty
		return slot, nil
	}
	slot.Live = annotate.Unpinned
	if !entry.Reference {
		digest, err := image.ParseDigest(strings.ToLower(bare))
		if err != nil {
			return slot, o.otherForm(container, entry, value, "a digest (envValue: digest), as in sha256:4f53…")
		}
		if string(digest) == value {
			slot.Live = annotate.Of(digest)
		}
		return slot, nil
	}
	own, ok := parseLoosely(bare)
	switch {
	case ok && own.Follows(slot.Follows):
	case !ok || own.Spelled == bare: // a word of any kind would parse, as a repository of docker.io
		return slot, o.otherForm(container, entry, value, fmt.Sprintf("a reference by tag or digest (envValue: reference), as in %s@sha256:4f53…", slot.Follows.Name()))
	default:
		return slot, o.failure(failure.SlotMismatch, "align the two: only the digest is ours",
			"%s of container %s refers to %s, and the target follows %s",
			entry.Env, container.Name, failure.Clean(own.String()), slot.Follows)
	}
	if own.Digest != "" && bare == value && strings.HasSuffix(value, "@"+string(own.Digest)) {
		slot.Live = annotate.Of(own.Digest)
	}
	return slot, nil
}

// blanksAndQuotes are what a values file leaves around a text by mistake.
const blanksAndQuotes = " \t\r\n\"'`"

// parseLoosely reads a reference whatever its case. A digest alone is none, though it would parse as the repository sha256
// of docker.io.
func parseLoosely(text string) (image.Reference, bool) {
	if _, err := image.ParseDigest(strings.ToLower(text)); err == nil {
		return image.Reference{}, false
	}
	own, err := image.ParseReference(text)
	if err != nil {
		own, err = image.ParseReference(strings.ToLower(text))
	}
	return own, err == nil
}

// otherForm is the failure of a variable that would lose what it holds, which is kept nowhere (I88).
func (o *Object) otherForm(container corev1.Container, entry config.Workload, value, want string) *failure.Error {
	return o.failure(failure.SlotInvalid, "empty it, since it would be overwritten, or correct the target's env and envValue",
		"%s of container %s holds %q, and not %s",
		entry.Env, container.Name, failure.Clean(value), want)
}
