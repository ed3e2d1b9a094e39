package choice

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/workload"
)

var (
	digestA, digestB, digestC = digestOf("a"), digestOf("b"), digestOf("c")
	keys                      = annotate.NewKeys("tracebloc.io")
)

func digestOf(letter string) image.Digest {
	return image.Digest("sha256:" + strings.Repeat(letter, 64))
}

// facts are those of a Deployment that runs A, in a notify target whose latest is B, with changes.
func facts(changes ...func(*Facts)) Facts {
	f := Facts{
		Ref: workload.Ref{Kind: config.Deployment, Namespace: "shop", Name: "web"}, Target: "api", Notify: true, Latest: digestB,
		Live: annotate.Of(digestA), Record: annotate.Record{Mark: annotate.Of(digestA), Recorded: annotate.Of(digestA)},
	}
	for _, change := range changes {
		change(&f)
	}
	return f
}

func apply(f *Facts)          { f.Notify = false }
func held(f *Facts)           { f.Held = true }
func live(f *Facts)           { f.Live = annotate.Of(digestB) }
func bareRunsLatest(f *Facts) { f.Live, f.Record.Recorded = annotate.Unpinned, annotate.Of(digestB) }
func pins(f *Facts)           { f.PinsBareTags = true }
func approved(f *Facts)       { f.Approved = string(annotate.DigitsOf(digestB)) }
func skipped(f *Facts)        { f.Skipped = string(annotate.DigitsOf(digestB))[:12] }
func approvedBefore(f *Facts) { f.Approved = string(annotate.DigitsOf(digestC)) }
func skipsGarbage(f *Facts)   { f.Skipped = "true" }
func skippedBefore(f *Facts)  { f.Skipped = string(annotate.DigitsOf(digestC)) }
func besideLatestC(f *Facts)  { f.Others = []image.Digest{digestC} }
func besideUnknown(f *Facts)  { f.Others = []image.Digest{""} }
func besideLatestA(f *Facts)  { f.Others = []image.Digest{digestA} }
func isCronJob(f *Facts)      { f.Ref.Kind = config.CronJob }
func remembers(f *Facts)      { f.Remembers = true }
func returning(f *Facts)      { f.Returning = true }
func heeded(f *Facts)         { f.Record.State.Approved = digestB }
func rejected(by annotate.Rejecter) func(*Facts) {
	return func(f *Facts) {
		f.Remembers, f.Record.State.Rejected = true, []annotate.Rejection{{Digest: annotate.Of(digestB), By: by}}
	}
}

func TestAChoiceOnAWorkload(t *testing.T) {
	t.Parallel()
	const on, again, already = "-n shop deployment web ", "run it again after the next tick", " already"
	digits := strings.Repeat("b", 40)
	approves, skips := "label --overwrite "+on+"tracebloc.io/refresh-approve="+digits, "label --overwrite "+on+"tracebloc.io/refresh-skip="+digits
	forgets := "annotate " + on + "tracebloc.io/api-refresh-state-"
	for name, c := range map[string]struct {
		choice  Choice
		facts   Facts
		outcome Outcome
		kubectl string // the command that does the same
		says    string
	}{
		"approve":                              {Approve, facts(), Changed, approves, "sha256:bbbbbbbbbbbb is approved: the next tick rolls it out"},
		"approve, another was":                 {Approve, facts(approvedBefore), Changed, approves, ""},
		"approve where it is held":             {Approve, facts(held), Changed, approves, "no longer held"},
		"approve again":                        {Approve, facts(approved), Unchanged, "", already},
		"approve what a tick has heeded":       {Approve, facts(heeded), Unchanged, "", already},
		"approve what was to be skipped":       {Approve, facts(approved, skipped), Changed, approves + " tracebloc.io/refresh-skip-", ""},
		"approve it beside an unknown":         {Approve, facts(approved, skipped, besideUnknown), Changed, approves + " tracebloc.io/refresh-skip-", ""},
		"approve beside a skip of another":     {Approve, facts(skippedBefore), Changed, approves, ""},
		"approve what failed":                  {Approve, facts(rejected(annotate.ByFailure)), Changed, approves, ""},
		"approve in apply":                     {Approve, facts(apply), Refused, "", "target api is in mode apply"},
		"approve what is live":                 {Approve, facts(live), Unchanged, "", already},
		"approve what a bare tag runs":         {Approve, facts(bareRunsLatest), Unchanged, "", already},
		"approve what a bare tag is pinned to": {Approve, facts(bareRunsLatest, pins), Changed, approves, ""},
		"approve over another target's":        {Approve, facts(approvedBefore, besideLatestC), Refused, "", again},
		"approve over what may be another's":   {Approve, facts(approvedBefore, besideUnknown), Refused, "", again},
		"approve over what no target serves":   {Approve, facts(approvedBefore, besideLatestA), Changed, approves, ""},

		"skip":                      {Skip, facts(apply), Changed, skips, "sha256:bbbbbbbbbbbb is skipped"},
		"skip in notify":            {Skip, facts(), Changed, skips, ""},
		"skip over garbage":         {Skip, facts(skipsGarbage, besideUnknown), Changed, skips, ""},
		"skip over another's":       {Skip, facts(skippedBefore, besideLatestC), Refused, "", again},
		"skip again":                {Skip, facts(skipped), Unchanged, "", already},
		"skip what a tick heeded":   {Skip, facts(rejected(annotate.ByPerson)), Unchanged, "", already},
		"skip what failed":          {Skip, facts(rejected(annotate.ByFailure)), Changed, skips, ""},
		"skip what was approved":    {Skip, facts(skipped, approved), Changed, "label --overwrite " + on + "tracebloc.io/refresh-approve- tracebloc.io/refresh-skip=" + digits, ""},
		"skip what is live":         {Skip, facts(live), Refused, "", "to take it out: kubectl rollout undo " + on},
		"skip what a bare tag runs": {Skip, facts(bareRunsLatest, pins), Refused, "", "kubectl rollout undo " + on},
		"skip what a CronJob runs":  {Skip, facts(live, isCronJob), Refused, "", "kubectl edit -n shop cronjob web"},

		"retry":                       {Retry, facts(remembers), Changed, forgets, "the next tick tries again"},
		"retry what was rejected":     {Retry, facts(rejected(annotate.ByFailure)), Changed, forgets, "the rejection of sha256:bbbbbbbbbbbb"},
		"retry where nothing is":      {Retry, facts(), Unchanged, "", "no state to remove"},
		"retry what is to be skipped": {Retry, facts(skipped), Unchanged, "", "kubectl label " + on + "tracebloc.io/refresh-skip-"},
		"retry in a tick's write":     {Retry, facts(remembers, returning), Refused, "", again},
	} {
		d := c.choice.Decide(keys, c.facts)
		assert.Equal(t, c.outcome, d.Outcome, name)
		assert.Equal(t, c.kubectl, strings.TrimPrefix(d.Kubectl(c.facts.Ref), "kubectl "), name)
		assert.Contains(t, d.Message+"; "+d.Fix+" ", c.says, name)
		assert.Equal(t, c.facts.Returning, d.Again, name)
	}
}
