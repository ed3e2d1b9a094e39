package workload

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// Doubt is what may be wrong with a target's variable, for a person who plans or checks: it does not exist, so that a tick adds
// it, or its digest may be its owner's. It has no cause, and no tick acts on it; nil where there is none.
func (o *Object) Doubt(slot Slot, keys annotate.Keys, target string) *failure.Error {
	if slot.Env == "" {
		return nil
	}
	containers := slices.Concat(o.Pod.Containers, o.Pod.InitContainers)
	own := containers[slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == slot.Container })]
	var others []string
	for _, variable := range own.Env {
		if variable.Name != slot.Env {
			others = append(others, variable.Name)
		}
	}
	near := strings.Join(config.Nearest(slot.Env, others), " or ")
	switch digest := slot.Live.Digest(); {
	case len(variables(own, slot.Env)) == 0:
		return o.missing(slot, near)
	case near != "" && o.addedByUs(slot):
		return &failure.Error{
			Message: fmt.Sprintf("the variable %s of container %s is set by this program alone", slot.Env, slot.Container),
			Fix: fmt.Sprintf("did you mean %s? then correct the target's env, and remove this one: kubectl set env -n %s %s/%s -c %s %s-",
				near, o.Namespace, strings.ToLower(string(o.Kind)), o.Name, slot.Container, slot.Env),
		}
	case digest != "" && o.Meta.Labels[keys.Mark(target)] == "" && o.Meta.Annotations[keys.Recorded(target)] == "":
		return &failure.Error{
			Message: fmt.Sprintf("%s of container %s holds %s, and no record says that a program has put it there: pinned by its owner?",
				slot.Env, slot.Container, digest.Short()),
			Fix: fmt.Sprintf("if it is, take it out of the target, or set the label %s=true on the workload", keys.Hold()),
		}
	}
	return nil
}

// missing is the doubt about a variable that its container does not list.
func (o *Object) missing(slot Slot, near string) *failure.Error {
	doubt := &failure.Error{
		Message: fmt.Sprintf("container %s has no variable %s, and a tick adds it", slot.Container, slot.Env),
		Fix:     "correct the target's env, unless the application reads it",
	}
	if slot.Left {
		doubt.Message = fmt.Sprintf("container %s has no variable %s, and whenEmpty: leave leaves it so", slot.Container, slot.Env)
	}
	var holders []string
	for _, container := range slices.Concat(o.Pod.Containers, o.Pod.InitContainers) {
		if len(variables(container, slot.Env)) > 0 {
			holders = append(holders, container.Name)
		}
	}
	switch {
	case len(holders) > 0:
		doubt.Fix = fmt.Sprintf("did you mean container %s, which has it?", strings.Join(holders, " or "))
	case near != "":
		doubt.Fix = fmt.Sprintf("did you mean %s?", near)
	}
	return doubt
}

// addedByUs says whether nobody but this program claims that a variable is there, though somebody claims its container.
func (o *Object) addedByUs(slot Slot) bool {
	o.reading.Lock()
	defer o.reading.Unlock()
	others := func(path int) bool {
		full := o.path(slot)
		return slices.ContainsFunc(o.claimsOnPath(full[:len(full)-path]), func(c claim) bool { return c.manager != FieldManager })
	}
	return !others(1) && others(3)
}
