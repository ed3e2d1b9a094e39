package scenario_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// Each file of testdata/script holds histories of one promise, in the language of testscript with the commands below: what is
// deployed and pushed, what pods, people and deployers do, and what each tick makes of it. Every section of a file ("-- name --")
// is a test of its own that begins with the lines above the first section. "-- for name | $one | $other --" begins a table, a
// line a test; what is done with each stands below it, after "-- do --". "-- $kind = Deployment DaemonSet --" is a test a value.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, h := range histories(string(text)) {
				t.Run(h.name, func(t *testing.T) {
					t.Parallel()
					h.run(t, filepath.Base(file))
				})
			}
		})
	}
}

// history is a section of a file with the lines before the first one, each on the line where it stands in the file.
type history struct{ name, script string }

func histories(text string) (all []history) {
	lines := strings.SplitAfter(text, "\n")
	isHeader := func(line string) bool { return strings.HasPrefix(line, "-- ") && strings.HasSuffix(line, " --\n") }
	first := slices.IndexFunc(lines, isHeader)
	if first < 0 {
		return []history{{"all", text}}
	}
	head := strings.Join(lines[:first], "")
	for at := first; at < len(lines); {
		end := at + 1
		for end < len(lines) && !isHeader(lines[end]) {
			end++
		}
		name := strings.TrimSuffix(strings.TrimPrefix(lines[at], "-- "), " --\n")
		columns, isTable := strings.CutPrefix(name, "for ")
		rows := []string{name}
		if variable, values, isList := strings.Cut(name, " = "); isList {
			columns, rows = "name | "+variable, nil
			for value := range strings.FieldsSeq(values) {
				rows = append(rows, value+" | "+value)
			}
		}
		if isTable {
			rows = lines[at+1 : end]
			at = end // "-- do --"
			for end = at + 1; end < len(lines) && !isHeader(lines[end]); {
				end++
			}
		}
		script := head + strings.Repeat("\n", at-first+1) + strings.Join(lines[at+1:end], "")
		for _, row := range rows {
			cells := strings.Split(strings.TrimSpace(row), " | ")
			h := history{cells[0], script}
			for i, column := range strings.Split(columns, " | ")[1:] {
				h.script = strings.ReplaceAll(h.script, column, cells[i+1])
			}
			all = append(all, h)
		}
		at = end
	}
	return all
}

// run runs a history in a test of its own.
func (h history) run(t *testing.T, name string) {
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, []byte(h.script), 0o600))
	s := &script{Scenario: environment.Scenario(t), t: t, builds: map[string]registries.Content{}}
	testscript.RunT(inPlace{t}, testscript.Params{
		Files: []string{file},
		Cmds:  s.commands(),
		Setup: func(env *testscript.Env) error {
			env.Setenv("tag", ingestor)
			env.Setenv("slot", slot)
			env.Setenv("namespace", s.Namespace)
			return nil
		},
	})
}

// inPlace runs a script in the test that it is given, and not in one below it.
type inPlace struct{ *testing.T }

func (t inPlace) Run(_ string, script func(testscript.T)) { script(t) }
func (inPlace) Parallel()                                 {}
func (inPlace) Verbose() bool                             { return testing.Verbose() }

// script is a script under way.
type script struct {
	*harness.Scenario
	*testscript.TestScript
	t *testing.T

	deployed []*deployment
	targets  []scriptTarget
	builds   map[string]registries.Content // by digest
	nodes    nodes
	byHand   bool            // what is deployed is by kubectl
	unblock  func()          // ends what block or api has begun
	clock    func(float64)   // the API server's, once it is played
	running  *harness.Run    // what start has started
	last     *product.Result // of the last run
	inbox    *inbox          // of the service that notifications go to, once there is one
	deaf     func()          // ends that it refuses them
	message  string          // of all workloads and targets in the last result, or of the last check or warning
	printed  string          // by the last run, or the last kubectl
}

// deployment is a workload, and the slots in it.
type deployment struct {
	workloads.Object
	slots []place
}

// place is a slot: a container, and the variable in env mode.
type place struct{ container, variable string }

type scriptTarget struct{ name, text string }

// commands are what a script may say, each with how many arguments it takes at least. Those on texts take a "!" for the contrary.
func (s *script) commands() map[string]func(*testscript.TestScript, bool, []string) {
	commands := map[string]func(*testscript.TestScript, bool, []string){}
	for name, c := range map[string]struct {
		least int
		do    func(args []string)
	}{
		// What happens.
		"push": {1, s.push}, "sign": {1, s.sign}, "verified": {0, s.verified}, "refuse": {2, s.refuse}, "untag": {0, s.untag}, "retag": {1, s.retag}, "block": {0, s.block}, "unblock": {0, s.unblocked},
		"deploy": {1, s.deploy}, "create": {1, s.create}, "configure": {0, s.configure}, "target": {3, s.target}, "rename": {1, s.rename},
		"setenv": {1, s.setenv}, "adopt": {0, s.adopt}, "refresh": {1, s.refresh}, "pods": {1, s.pods}, "pull": {1, s.pull},
		"person": {1, s.person}, "upgrade": {2, s.upgrade}, "patch": {2, s.patch}, "apply": {2, s.apply}, "replace": {1, s.replace},
		"overwrite": {1, s.overwrite}, "relabel": {2, s.relabel}, "strip": {0, s.strip}, "counted-ahead": {0, s.countedAhead},
		"kubectl": {1, s.kubectl}, "follow": {0, s.follow}, "undo": {0, s.undo}, "settle": {0, s.settle}, "await": {1, s.await},
		"forbid": {1, s.forbid}, "api": {1, s.api}, "clock": {1, s.playClock}, "sleep": {1, s.sleep}, "noplan": {0, s.noplan},
		// What the program does.
		"tick": {1, s.tick}, "stays": {2, s.stays}, "plan": {1, s.plan}, "status": {0, s.status}, "check": {4, s.check}, "eight": {1, s.eight}, "choose": {3, s.choose},
		"start": {0, s.start}, "finish": {1, s.finish}, "sigkill": {0, s.sigkill}, "sigterm": {0, s.sigterm}, "forget": {0, s.forget},
		"quiet": {0, s.quiet}, "held": {1, s.held}, "moves-on": {0, s.movesOn}, "not-blamed": {1, s.notBlamed}, "unproven": {2, s.unproven},
		// What is there then.
		"outcome": {2, s.outcome}, "counted": {1, s.counted}, "live": {1, s.live}, "recorded": {1, s.recorded}, "mark": {1, s.mark},
		"records": {1, s.records}, "holds": {3, s.holds}, "rolled": {2, s.rolled}, "revisions": {1, s.revisions},
		"annotation": {2, s.annotation}, "label": {2, s.label}, "condition": {1, s.condition}, "since": {1, s.since}, "owners": {1, s.owners}, "events": {2, s.events}, "writes": {1, s.writes},
		"patches": {1, s.patches}, "hook": {1, s.hook}, "sent": {1, s.sent}, "asked": {2, s.asked}, "requests": {1, s.requests}, "took": {1, s.took}, "warned": {1, s.warned},
	} {
		commands[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			s.TestScript = ts
			if neg || len(args) < c.least {
				ts.Fatalf("%s takes %d arguments or more, and no !", name, c.least)
			}
			c.do(args)
		}
	}
	for name, text := range map[string]func(args []string) (text string, wanted []string){
		"message": func(args []string) (string, []string) { return s.message, args },
		"logged":  func(args []string) (string, []string) { return s.last.Stderr, args },
		"printed": func(args []string) (string, []string) { return s.printed, args },
		"noted":   s.noted,
		"wrote":   s.wrote,
	} {
		commands[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			s.TestScript = ts
			found, wanted := text(args)
			for _, part := range wanted {
				s.contains(!neg, found, part)
			}
		}
	}
	return commands
}

// fails has testify fail the script, which names its line.
type fails struct{ *testscript.TestScript }

func (f fails) Errorf(format string, args ...any) { f.Fatalf(format, args...) }
