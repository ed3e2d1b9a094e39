package scenario_test

import (
	"strconv"
	"strings"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// tick CODE [OUTCOME [CAUSE]] runs a tick, which ends so for every workload of every target.
func (s *script) tick(args []string) { s.ended(s.Tick(), args) }

// plan CODE [OUTCOME [CAUSE]] is the same of a plan.
func (s *script) plan(args []string) { s.ended(s.Run("plan"), args) }

// finish CODE [OUTCOME [CAUSE]] is the same of the tick that was started.
func (s *script) finish(args []string) { s.ended(s.running.Finish(), args) }

// eight CODE [OUTCOME [CAUSE]] is the same of eight ticks at once.
func (s *script) eight(args []string) {
	for _, result := range eightAtOnce(s.t, s.Scenario) {
		s.ended(result, args)
	}
}

func (s *script) ended(result *product.Result, args []string) {
	s.last, s.message = result, ""
	s.equal(args[0], strconv.Itoa(result.ExitCode), "exit code; %s", result.Stderr)
	if result.Report == nil {
		return
	}
	for _, target := range result.Report.Targets {
		for _, w := range target.Workloads {
			s.message += w.Message + "\n"
			if len(args) > 1 {
				ended := strings.TrimSpace(w.Outcome + " " + w.Cause)
				s.equal(strings.Join(args[1:], " "), ended, "%s on %s %s: %s", target.Name, w.Kind, w.Name, w.Message)
			}
		}
		s.message += target.Message + "\n"
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

// check CODE CHECK STATUS SUBJECT runs check, which has one line like this, and writes nothing. Its message is the last.
func (s *script) check(args []string) {
	s.message = requireCheck(s.t, check(s.t, s.Scenario, s.number(args[0])), args[1], args[2], args[3]).Message
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
var keys = map[string]string{"state": state, "failures": failures, "last-error": lastError, "streak": streak, "recorded": recorded}

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

// events REASON|any N
func (s *script) events(args []string) {
	found := len(s.Events())
	if args[0] != "any" {
		found = len(eventsOf(s.Scenario, args[0]))
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

// asked STAGE N are the requests to ghcr.io since forget.
func (s *script) asked(args []string) {
	s.equal(args[1], strconv.Itoa(asked(s.Scenario, "ghcr.io", registries.Stage(args[0]))), args[0])
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
		assert.Contains(fails{s.TestScript}, s.message, "person")
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
