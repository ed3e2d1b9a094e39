package annotate

import "slices"

// Condition is how the targets on a workload are, as its label says for people: the worst of them.
type Condition string

// The conditions.
const (
	Failing  Condition = "failing"
	Rejected Condition = "rejected"
	Waiting  Condition = "waiting"
	Held     Condition = "held"
	OK       Condition = "ok"
)

// conditions are all of them, the worst first.
var conditions = []Condition{Failing, Rejected, Waiting, Held, OK}

func (c Condition) known() bool { return slices.Contains(conditions, c) }

// WorstCondition is the worst of several conditions; empty for none.
func WorstCondition(of []Condition) Condition {
	for _, worst := range conditions {
		if slices.Contains(of, worst) {
			return worst
		}
	}
	return ""
}
