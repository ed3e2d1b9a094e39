package scenario_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// tick CODE [OUTCOME [CAUSE [TEXT...]]] runs a tick, which ends so for every workload of every target, with these texts in its
// messages. What it has put there and seen through is settled when it goes on.
func (s *script) tick(args []string) {
	s.ended(s.Tick(), args)
	for _, d := range s.deployed {
		// The controller of a StatefulSet leaves alone a pod that never became Ready, and those below a partition.
		outcome := append(slices.Clone(args), "", "")[1]
		if d.kind() != "StatefulSet" && slices.Contains([]string{"adopted", "refreshed", "reapplied", "rolled-back", "unchanged"}, outcome) {
			s.Settle(d.Object)
		}
	}
}

// stays CODE OUTCOME [CAUSE [TEXT...]] is two ticks that put nothing anywhere; where nothing is counted the second one writes nothing.
func (s *script) stays(args []string) {
	s.Forget()
	s.tick(args)
	s.patches([]string{"0"})
	s.Forget()
	s.tick(args)
	s.patches([]string{"0"})
	if !slices.Contains([]string{"failed", "skipped", "waiting"}, args[1]) {
		s.writes([]string{"0"})
	}
}

// plan is tick for a plan.
func (s *script) plan(args []string) { s.ended(s.Run("plan"), args) }

// status [ARGUMENT...] runs status, whose table is what is printed.
func (s *script) status(args []string) {
	s.printed = s.Run(append([]string{"status", "-o", "table"}, args...)...).Stdout
}

// finish is tick for the one that was started.
func (s *script) finish(args []string) {
	s.ended(s.running.Finish(), args)
	s.running = nil
}

// eight is eight ticks at once.
func (s *script) eight(args []string) {
	for _, result := range eightAtOnce(s.t, s.Scenario) {
		s.ended(result, args)
	}
}

// choose COMMAND[/TARGET] CODE OUTCOME[,OUTCOME...] [TEXT...] is approve, skip or retry, which ends so on the target's workloads, with
// these texts in its messages. Its commands of kubectl are followed by follow.
func (s *script) choose(args []string) {
	command, target, _ := strings.Cut(args[0]+"/ingestor", "/")
	target, _, _ = strings.Cut(target, "/")
	s.last = s.Run(command, target)
	s.message = ""
	s.equal(args[1], strconv.Itoa(s.last.ExitCode), "exit code: %s%s", s.last.Stdout, s.last.Stderr)
	var outcomes []string
	for _, change := range s.last.Report.Changes {
		outcomes = append(outcomes, change.Outcome)
		s.message += change.Message + ";\n" + change.Kubectl + ";\n"
	}
	s.equal(args[2], strings.Join(outcomes, ","), "%s", s.message)
	for _, text := range args[3:] {
		s.contains(true, s.message, text)
	}
}

func (s *script) ended(result *product.Result, args []string) {
	s.last, s.message, s.printed = result, "", result.Stdout
	s.equal(args[0], strconv.Itoa(result.ExitCode), "exit code: %s", result.Stderr)
	if result.Report == nil {
		return
	}
	wanted := append(slices.Clone(args[1:]), "", "")
	for _, target := range result.Report.Targets {
		for _, w := range target.Workloads {
			s.message += w.Message + "\n"
			if len(args) > 1 {
				s.equal(wanted[:2], []string{w.Outcome, w.Cause}, "%s on %s %s: %s", target.Name, w.Kind, w.Name, w.Message)
			}
		}
		s.message += target.Message + "\n"
	}
	for _, text := range args[min(3, len(args)):] {
		s.contains(true, s.message, text)
	}
}

func (s *script) contains(yes bool, text, part string) {
	if yes {
		assert.Contains(fails{s.TestScript}, text, part)
	} else {
		assert.NotContains(fails{s.TestScript}, text, part)
	}
}

func (s *script) equal(want, got any, what string, args ...any) {
	assert.Equal(fails{s.TestScript}, want, got, append([]any{what}, args...)...)
}

// outcome TARGET[/WORKLOAD] OUTCOME [CAUSE] is how the last run ended for one workload, or cause and count of the target itself.
func (s *script) outcome(args []string) {
	name, workload, named := strings.Cut(args[0], "/")
	target := s.last.Report.Target(name)
	ended := target.Cause + " " + strconv.Itoa(target.Failures)
	if named {
		w := target.Workload(workload)
		ended = w.Outcome + " " + w.Cause
	}
	s.equal(strings.Join(args[1:], " "), strings.TrimSpace(ended), args[0])
}

// check CODE CHECK STATUS SUBJECT [TEXT...] runs check, which has one line like this, and writes nothing.
func (s *script) check(args []string) {
	s.message = requireCheck(s.t, check(s.t, s.Scenario, s.number(args[0])), args[1], args[2], args[3]).Message
	for _, text := range args[4:] {
		s.contains(true, s.message, text)
	}
}

// warned TEXT is the only warning of its kind in the last run, which is then the message.
func (s *script) warned(args []string) {
	var found []string
	for text := range strings.Lines(s.last.Stderr) {
		var line struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(text), &line); err == nil && line.Level == "WARN" && strings.Contains(line.Msg, args[0]) {
			found = append(found, line.Msg)
		}
	}
	s.equal(1, len(found), "once a tick: %v", found)
	s.message = found[0]
}

// took SECONDS is how long the last run may have taken.
func (s *script) took(args []string) {
	assert.Less(fails{s.TestScript}, s.last.Duration, time.Duration(s.number(args[0]))*time.Second)
}

// counted N is how many failures in a row the target has, in the last result and on the first workload.
func (s *script) counted(args []string) {
	s.equal(args[0], strconv.Itoa(s.last.Report.Target("ingestor").Failures), "failures")
	s.annotation([]string{"failures", strings.TrimPrefix(args[0], "0")})
}

func (s *script) now(d *deployment) workloads.Object { return look(s.Scenario, d.kind(), d.GetName()) }

// holds is what a slot holds.
func (d *deployment) holds(now workloads.Object, p place) string {
	if p.variable == "" {
		return workloads.Image(now, p.container)
	}
	value, _ := workloads.EnvValue(now, p.container, p.variable)
	return value
}

// live [KIND/NAME] VALUE... is what the slots hold: one value for all, or one for each.
func (s *script) live(args []string) {
	d, args := s.pick(args)
	now := s.now(d)
	for p, value := range d.values(args) {
		s.equal(value, d.holds(now, p), "the slot %v", p)
	}
}

// recorded [KIND/NAME] DIGEST
func (s *script) recorded(args []string) {
	d, args := s.pick(args)
	s.annotation([]string{d.kind() + "/" + d.GetName(), "recorded", args[0]})
}

// mark [KIND/NAME] DIGEST|unpinned [SLOT...] is the mark, with the slots that it was written for where they are said.
func (s *script) mark(args []string) {
	d, args := s.pick(args)
	got := s.now(d).GetLabels()[mark]
	if len(args) > 1 {
		s.equal(labelFor(args[0], args[1:]...), got, "the mark")
		return
	}
	want := args[0]
	if want != "unpinned" && want != "" {
		want = label(want)
	}
	s.equal(want, contentOf(got), "the mark")
}

// records [KIND/NAME] VALUE... is what slots hold, with mark and record that say so: slots that differ are together unpinned.
func (s *script) records(args []string) {
	d, values := s.pick(args)
	s.live(args)
	digest := values[0]
	if digest != values[len(values)-1] {
		digest = "unpinned"
	}
	name := d.kind() + "/" + d.GetName()
	s.mark([]string{name, digest})
	s.recorded([]string{name, digest})
}

// holds VALUE MARK RECORDED says each of the three of a workload with one slot.
func (s *script) holds(args []string) {
	s.live(args[:1])
	s.mark(args[1:2])
	s.recorded(args[2:3])
}

// rolled [KIND/NAME] DIGEST N: a digest is live, recorded, marked and settled, in so many rollouts.
func (s *script) rolled(args []string) {
	d, rest := s.pick(args)
	s.Settle(d.Object)
	s.records(args[:len(args)-1])
	s.revisions([]string{d.kind() + "/" + d.GetName(), rest[1]})
}

// revisions [KIND/NAME] N counts the rollouts, the first one included.
func (s *script) revisions(args []string) {
	d, args := s.pick(args)
	s.equal(args[0], strconv.Itoa(rollouts(s.t, s.Scenario, d.kind(), d.GetName())), "rollouts")
}

// keys are short names of annotations.
var keys = map[string]string{
	"state": state, "failures": failures, "last-error": lastError, "streak": streak, "recorded": recorded, "failing-since": failingSince,
}

func (s *script) key(name string) string {
	if key := keys[name]; key != "" {
		return key
	}
	return name
}

// annotation [KIND/NAME] KEY VALUE: empty where it is not there.
func (s *script) annotation(args []string) {
	d, args := s.pick(args)
	s.equal(args[1], s.now(d).GetAnnotations()[s.key(args[0])], args[0])
}

// label [KIND/NAME] KEY VALUE: empty where it is not there.
func (s *script) label(args []string) {
	d, args := s.pick(args)
	s.equal(args[1], s.now(d).GetLabels()["tracebloc.io/"+args[0]], args[0])
}

// condition [KIND/NAME] VALUE is the label that says how the targets on a workload are.
func (s *script) condition(args []string) {
	d, args := s.pick(args)
	s.label([]string{d.kind() + "/" + d.GetName(), "refresh", args[0]})
}

// since [KIND/NAME] HOURS: on this home it is noted that the target has failed since so many hours by the played clock, and the last
// result says the same.
func (s *script) since(args []string) {
	d, args := s.pick(args)
	noted := s.now(d).GetAnnotations()[failingSince]
	at, err := time.Parse(time.RFC3339, noted)
	s.Check(err)
	hours, err := strconv.ParseFloat(args[0], 64)
	s.Check(err)
	assert.WithinDuration(fails{s.TestScript}, time.Now().Add(time.Duration(hours*float64(time.Hour))), at, 20*time.Minute)
	s.equal(noted, s.last.Report.Target("ingestor").FailingSince, "failingSince")
	s.contains(true, s.message, "; failing since "+noted+" (see ")
}

// noted [KIND/NAME] KEY TEXT... are parts of an annotation.
func (s *script) noted(args []string) (text string, wanted []string) {
	d, args := s.pick(args)
	return s.now(d).GetAnnotations()[s.key(args[0])], args[1:]
}

// owners MANAGER/OPERATION... own the first slot.
func (s *script) owners(args []string) {
	d := s.deployed[0]
	p := d.slots[0]
	got := workloads.ImageOwners(s.now(d), p.container)
	if p.variable != "" {
		got = workloads.EnvOwners(s.now(d), p.container, p.variable)
	}
	assert.ElementsMatch(fails{s.TestScript}, args, got)
}

// events REASON|any N [TEXT]: one of those with this reason has the text.
func (s *script) events(args []string) {
	found := len(s.Events())
	if args[0] != "any" {
		notes := eventsOf(s.Scenario, args[0])
		found = len(notes)
		s.contains(true, strings.Join(notes, "\n"), strings.Join(args[2:], " "))
	}
	s.equal(args[1], strconv.Itoa(found), "Events")
}

// writes N are the program's writes since forget.
func (s *script) writes(args []string) {
	s.equal(s.number(args[0]), len(s.API.Writes()), "%v", s.API.Writes())
}

// patches N are those that changed a slot. None means that none was tried.
func (s *script) patches(args []string) {
	found := slotPatches(s.Scenario)
	if args[0] == "0" {
		found = len(s.API.Requests(isSlotPatch))
	}
	s.equal(args[0], strconv.Itoa(found), "patches")
}

// wrote TEXT... are parts of the patch that changed the slot.
func (s *script) wrote(wanted []string) (string, []string) {
	patches := s.API.Requests(isSlotPatch)
	s.equal(1, len(patches), "patches")
	return string(patches[0].Body), wanted
}

// asked STAGE+STAGE... N are the requests to ghcr.io since forget.
func (s *script) asked(args []string) {
	n := 0
	for stage := range strings.SplitSeq(args[0], "+") {
		n += asked(s.Scenario, "ghcr.io", registries.Stage(stage))
	}
	s.equal(args[1], strconv.Itoa(n), args[0])
}

// requests N are the reads of the API server since forget.
func (s *script) requests(args []string) {
	s.equal(s.number(args[0]), len(s.API.Reads()), "%v", s.API.Reads())
}

// quiet: a tick finds everything settled and fresh, and writes nothing.
func (s *script) quiet([]string) {
	s.settle(nil)
	s.Forget()
	s.tick([]string{"0", "unchanged"})
	s.writes([]string{"0"})
}

// held VALUE: ticks hold what a person chose, green, with one Event, and roll nothing.
func (s *script) held(args []string) {
	d := s.deployed[0]
	s.Settle(d.Object)
	before := rollouts(s.t, s.Scenario, d.kind(), d.GetName())
	for range 2 {
		s.tick([]string{"0", "held"})
		s.contains(true, s.message, "person")
		s.Settle(d.Object)
		s.records(args)
	}
	s.revisions([]string{strconv.Itoa(before)})
	s.Forget()
	s.tick([]string{"0", "held"})
	s.writes([]string{"0"})
	s.events([]string{"RefreshHeld", "1"})
}

// moves-on: what was held, rejected or contested ends when the tag moves, and later digests are not held either.
func (s *script) movesOn([]string) {
	s.Scenario.Setenv("ROLLOUT_TIMEOUT", "30s")
	for _, build := range []string{"fixed", "fixed again"} {
		digest := s.Push(ingestor, image(build))
		s.tick([]string{"0", "refreshed"})
		s.settle(nil)
		s.records([]string{digest})
		s.tick([]string{"0", "unchanged"})
	}
}

// not-blamed TEXT...: the tick, or the one that was started, is loud once nothing becomes available any more, says so much, and neither
// rejects nor takes back the digest; the next one records it once the trouble is over.
func (s *script) notBlamed(texts []string) {
	d, digest := s.deployed[0], s.Getenv("second")
	result := (*product.Result)(nil)
	if s.running != nil {
		result = s.running.Finish()
	}
	for range 8 {
		if result == nil || result.Report.Target("ingestor").Workload("jobs").Outcome == "waiting" { // further pods became available
			result = s.Tick()
		}
	}
	s.ended(result, append([]string{"1", "failed", "not-settled"}, texts...))
	s.contains(false, s.message, "()")
	s.live([]string{digest})
	s.contains(false, s.now(d).GetAnnotations()[state], "rejected")
	s.pods([]string{"ready"})
	s.settle(nil)
	s.tick([]string{"0", "unchanged"})
	s.rolled([]string{digest, "2"})
}

// unproven DIGEST RECORDED: a tick puts a digest there, green, without a wait, and proves nothing by it; further ones find nothing new.
func (s *script) unproven(args []string) {
	s.Forget()
	s.tick([]string{"0", "waiting"})
	s.took([]string{"60"})
	s.patches([]string{"1"})
	s.Forget()
	for range 3 { // one more than the threshold of what is not settled
		s.tick([]string{"0", "waiting"})
		s.took([]string{"60"})
	}
	s.writes([]string{"0"})
	s.holds([]string{args[0], args[0], args[1]})
	for _, counter := range []string{"streak", "failures", "last-error"} {
		s.annotation([]string{counter, ""})
	}
}

// sent N TEXT...: so many messages were taken so far, and the last one has these texts.
func (s *script) sent(args []string) {
	messages := s.inbox.all()
	s.equal(args[0], strconv.Itoa(len(messages)), "messages: %v", messages)
	for _, text := range args[1:] {
		s.contains(true, messages[len(messages)-1], text)
	}
}
