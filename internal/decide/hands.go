package decide

import (
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/annotate"
)

// Manager is the field manager under which this program writes.
const Manager = "image-refresh"

// Claim is an entry of managedFields that owns a slot.
type Claim struct {
	Manager string
	Apply   bool // the operation is Apply, not Update
	Time    time.Time
}

// Person says whether the claim is a person's hand: kubectl's commands that update, except client-side
// apply, which is how deployments are scripted. Whoever is unknown is a deployer (FACTS.md, "Managers seen").
func (c Claim) Person() bool {
	return !c.Apply && c.Manager != "kubectl-client-side-apply" &&
		(c.Manager == "kubectl" || strings.HasPrefix(c.Manager, "kubectl-"))
}

// live joins the slots of a target into what they hold together: None where one is empty, the digest where
// all hold the same, Unpinned otherwise.
func live(slots []Slot) annotate.Pin {
	joint := annotate.None
	for i, slot := range slots {
		switch {
		case slot.Live == annotate.None:
			return annotate.None
		case i == 0:
			joint = slot.Live
		case !slot.Live.Same(joint):
			joint = annotate.Unpinned
		}
	}
	return joint
}

// changers finds who changed the slots that hold something else than the mark: the person, if one did, and
// the deployer, if one did. Each is a manager's name, empty for none.
func changers(slots []Slot, mark annotate.Pin) (person, deployer string) {
	for _, slot := range slots {
		if slot.Live.Same(mark) {
			continue
		}
		for _, claim := range slot.Claims {
			switch {
			case claim.Manager == Manager:
			case claim.Person():
				person = claim.Manager
			default:
				deployer = claim.Manager
			}
		}
	}
	return person, deployer
}
