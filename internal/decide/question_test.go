package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// Which facts raise the question whether latest may be rolled out: those where that decides, and no others.
func TestQuestions(t *testing.T) {
	t.Parallel()
	asked := []decide.Question{{Kind: decide.MayRollOut, Digest: digestB}}
	inPlaceOfRecorded := []decide.Question{{Kind: decide.MayRollOut, Digest: digestB, Live: digestA}}
	for name, c := range map[string]struct {
		in   decide.Input
		want []decide.Question
	}{
		"a digest that is new here":               {input(unasked), asked},
		"answered already":                        {input(), nil},
		"only another digest is answered":         {input(unasked, func(in *decide.Input) { in.Answers = mayRollOut(digestC, nil) }), asked},
		"an empty slot":                           {input(unasked, live(annotate.None)), inPlaceOfRecorded},
		"a tag, of which it is known what ran":    {input(unasked, live(annotate.Unpinned), record(annotate.Unpinned, a)), inPlaceOfRecorded},
		"notify: whether it could be":             {input(unasked, notify), asked},
		"an attempt to unblock what is stuck":     {input(unasked, unsettled, streak(7)), asked},
		"in place of a rollout of ours":           {input(ours(0), latest(digestC), unasked), []decide.Question{{Kind: decide.MayRollOut, Digest: digestC}}},
		"a person has changed it, and it moved":   {input(unasked, record(c, c), person("kubectl")), asked},
		"what is latest already":                  {input(latest(digestA), unasked), nil},
		"latest is unknown":                       {input(unknown), nil},
		"recorded here: it has been":              {input(unasked, record(b, b), deployer("helm")), nil},
		"attempted here: it has been":             {input(unasked, attempt(annotate.Attempt{Digest: digestB})), nil},
		"left here: it has been":                  {input(unasked, func(in *decide.Input) { in.Record.State.Left = b }), nil},
		"rejected here":                           {input(unasked, rejected(b, annotate.ByFailure)), nil},
		"held":                                    {input(unasked, held), nil},
		"too young":                               {input(unasked, func(in *decide.Input) { in.Policy.MinAge = time.Hour }), nil},
		"not settled, and not ours":               {input(unasked, unsettled), nil},
		"first observation":                       {input(unasked, func(in *decide.Input) { in.Record = annotate.Record{} }), nil},
		"a person has just changed it":            {input(unasked, record(b, b), person("kubectl")), nil},
		"the slot cannot be worked with":          {input(unasked, func(in *decide.Input) { in.Slots = []decide.Slot{problem(failure.SlotInvalid)} }), nil},
		"an empty slot, notify: it is not filled": {input(unasked, live(annotate.None), notify), nil},
		"an empty slot, and latest is rejected":   {input(unasked, live(annotate.None), rejected(b, annotate.ByFailure)), nil},
	} {
		assert.Equal(t, c.want, decide.Questions(c.in), name)
	}
}

// Pods are asked why they are not ready where a rollout of ours has failed, once, and nowhere else.
func TestConclusionQuestions(t *testing.T) {
	t.Parallel()
	hangs := setRollout(decide.Rollout{Fresh: 1, Available: 2})
	asked, stillThere := []decide.Question{whyNotReady}, []decide.Question{{Kind: decide.StillServed, Digest: digestA}}
	for name, c := range map[string]struct {
		in   decide.Input
		wait decide.Wait
		want []decide.Question
	}{
		"it hangs":                              {input(ours(0), hangs), waited(), asked},
		"its controller gave up":                {input(ours(0), setRollout(decide.Rollout{Fresh: 2, Failure: "ProgressDeadlineExceeded"})), waited(), asked},
		"another tick has counted it meanwhile": {input(ours(1), hangs, read(failedBefore(0))), waited(), asked},
		"answered already":                      {input(ours(0), hangs, pullFailed), waited(), nil},
		"A would be restored":                   {input(ours(2), hangs, podsSay(crashing)), waited(), stillThere},
		"A may be restored with another target": {input(ours(0), hangs, pullFailed), waited(joint), stillThere},
		"A would be restored, and it is there":  {input(ours(2), hangs, podsSay(crashing), isServed(digestA, true)), waited(), nil},
		"the slots held the same":               {input(ours(2), hangs, podsSay(crashing), live(b, b), stoodBefore(a, a)), waited(), stillThere},
		"what fails is the other slot's":        {input(ours(2), hangs, podsSay(crashing), live(b, b), stoodBefore(b, a)), waited(), stillThere},
		"nothing is restored: ROLLBACK=false":   {input(ours(2), hangs, podsSay(crashing), noRollback), waited(), nil},
		"nothing is restored: not blamed":       {input(ours(2), hangs, podsSay(decide.PodProblems{})), waited(), nil},
		"nothing is restored: counted already":  {input(ours(2), hangs, podsSay(crashing), read(failedBefore(1))), waited(), nil},
		"settled":                               {input(ours(0), settled), waited(), nil},
		"no replica runs it":                    {input(ours(0), noReplica), waited(), nil},
		"it goes on":                            {input(ours(0), setRollout(decide.Rollout{Fresh: 2, Available: 2})), waited(), nil},
		"OnDelete":                              {input(ours(0), awaitsDelete), waited(), nil},
		"told to end":                           {input(ours(0), hangs), waited(interrupted), nil},
		"held meanwhile":                        {input(ours(0), hangs, held), waited(), nil},
		"somebody has replaced it":              {input(ours(0), hangs, live(a), deployer("helm")), waited(), nil},
		"another tick has recorded it":          {input(live(b), record(b, b), hangs), waited(), nil},
		"the slot went away":                    {input(ours(0), hangs, func(in *decide.Input) { in.Slots = []decide.Slot{problem(failure.SlotInvalid)} }), waited(), nil},
	} {
		assert.Equal(t, c.want, decide.ConclusionQuestions(c.in, c.wait), name)
	}
}

// Answers grow by one, and whoever holds the answers of before has these still.
func TestAnswersWithOneMore(t *testing.T) {
	t.Parallel()
	before := mayRollOut(digestB, nil)
	more := before.With(whyNotReady, decide.Answer{Pods: decide.PodProblems{MayHangOnDigest: true}})
	assert.Len(t, before, 1)
	assert.Len(t, more, 2)
	assert.True(t, more[whyNotReady].Pods.MayHangOnDigest)
	assert.Len(t, decide.Answers(nil).With(whyNotReady, decide.Answer{}), 1)
}
