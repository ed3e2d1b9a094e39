package scenario_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// I8, I9: a person sets another digest, in each way that kubectl has. It is held until the tag moves.
func TestI9WhatAPersonSetsIsHeld(t *testing.T) {
	t.Parallel()
	for name, hand := range map[string]func(s *harness.Scenario, digest string){
		"kubectl set env": func(s *harness.Scenario, digest string) {
			s.Kubectl("set", "env", "deployment/jobs", slot+"="+digest)
		},
		"kubectl patch": func(s *harness.Scenario, digest string) {
			s.Kubectl("patch", "deployment/jobs", "-p", set(digest))
		},
		"kubectl edit": func(s *harness.Scenario, digest string) {
			s.Patch(harness.Person, s.Deployment("jobs"), set(digest))
		},
		"kubectl replace": func(s *harness.Scenario, digest string) {
			file := filepath.Join(s.Dir, "replace.json")
			d := s.Deployment("jobs")
			workloads.Template(d).Spec.Containers[0].Env[0].Value = digest
			d.ResourceVersion, d.ManagedFields = "", nil
			require.NoError(t, os.WriteFile(file, asJSON(t, d), 0o600))
			s.Kubectl("replace", "-f", file)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, _ := refreshedOnce(t)
			chosen := s.Push("ghcr.io/tracebloc/ingestor:hotfix", image("hotfix"))
			hand(s, chosen)
			requireHeld(t, s, chosen)
			requireMovesOn(t, s)
		})
	}
}

// I9 in image mode, on each kind, with the real kubectl set image.
func TestI9SetImageIsHeld(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			first := s.Push(ingestor, image("first"))
			s.Deploy(build(kind, "jobs", workloads.Container("api", ingestor+"@"+first)))
			s.Configure("targets:\n" + targetOf("ingestor", ingestor, entry(kind, "jobs", "")))
			requireOutcomes(t, s.Tick(), 0, "adopted")
			s.Push(ingestor, image("second"))
			requireOutcomes(t, s.Tick(), 0, "refreshed")
			for _, chosen := range []string{ingestor + "@" + first, ingestor} { // a digest, and a bare tag
				s.Kubectl("set", "image", kind+"/jobs", "api="+chosen)
				s.Settle(look(s, kind, "jobs"))
				for range 2 {
					requireOutcomes(t, s.Tick(), 0, "held")
					assert.Equal(t, chosen, workloads.Image(look(s, kind, "jobs"), "api"))
				}
			}
			third := s.Push(ingestor, image("third"))
			requireOutcomes(t, s.Tick(), 0, "refreshed")
			assert.Equal(t, ingestor+"@"+third, workloads.Image(look(s, kind, "jobs"), "api"))
			s.Settle(look(s, kind, "jobs"))
			requireQuiet(t, s)
		})
	}
}

// I8: kubectl is also how deployments are scripted: what kubectl apply reverts is a deployer's, and re-applied.
func TestI8WhatKubectlAppliesIsReapplied(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"client-side": nil, "server-side": {"--server-side", "--force-conflicts"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, first, second := refreshedOnce(t)
			file := filepath.Join(s.Dir, "jobs.json")
			require.NoError(t, os.WriteFile(file, asJSON(t, jobs(first)), 0o600))
			s.Kubectl(append([]string{"apply", "-f", file}, flags...)...)
			s.Settle(workloads.Deployment("jobs"))
			require.Equal(t, first, live(s))
			requireOutcome(t, s.Tick(), 0, "reapplied", "")
			requireRolled(t, s, "jobs", second, 4)
			assert.Empty(t, eventsOf(s, "RefreshHeld"))
		})
	}
}

// A hand counts once: a person's claim stays on the slot after its meaning is gone, and must not turn a deployer's
// later revert, or a new digest, into a hold: writing the same value again does not move a claim.
func TestI44AHandCountsOnce(t *testing.T) {
	t.Parallel()
	s, first, _ := refreshedOnce(t)
	s.Kubectl("set", "env", "deployment/jobs", slot+"="+first)
	requireHeld(t, s, first)
	third := s.Push(ingestor, image("third"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	s.Patch(harness.Helm, s.Deployment("jobs"), set(first))
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "reapplied", "")
	assert.Equal(t, third, live(s))
}

// What a person took out stays out, also where the tag comes back to it; a deployer that re-renders what the
// person chose changes nothing about that.
func TestI9WhatAPersonTookOutStaysOut(t *testing.T) {
	t.Parallel()
	s, first, _ := refreshedOnce(t)
	undo(s)
	requireHeld(t, s, first)
	s.Patch(harness.Helm, s.Deployment("jobs"), `{"metadata":{"labels":{"release":"2"}}}`)
	s.Patch(harness.Helm, s.Deployment("jobs"), set(first))
	requireOutcome(t, s.Tick(), 0, "held", "")
	s.Push(ingestor, image("third"))
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	s.Push(ingestor, image("second"))
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "held", "")
	// A person who wants it back removes the state: that re-arms everything.
	s.Kubectl("annotate", "deployment/jobs", state+"-")
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
}

// The hold label: listed each tick, green, untouched whatever happens, and the target's bookkeeping goes on.
func TestTheHoldLabel(t *testing.T) {
	t.Parallel()
	s, first := adopted(t)
	s.Kubectl("label", "deployment/jobs", "tracebloc.io/refresh-hold=true")
	second := s.Push(ingestor, image("second"))
	s.Settle(workloads.Deployment("jobs"))
	s.Forget()
	for range 2 {
		held := requireOutcome(t, s.Tick(), 0, "held", "")
		assert.Contains(t, held.Message, "refresh-hold")
	}
	assert.Empty(t, s.API.Writes())
	unblock := s.Site.Proxy.Refuse("ghcr.io", 403)
	for count := 1; count <= 4; count++ {
		result := s.Tick()
		requireOutcome(t, result, 0, "held", "")
		assert.Equal(t, min(count, 3), result.Report.Target("ingestor").Failures, "bookkeeping goes on")
	}
	unblock()
	s.Patch(harness.Helm, s.Deployment("jobs"), set(""))
	s.Settle(workloads.Deployment("jobs"))
	requireOutcome(t, s.Tick(), 0, "held", "")
	assert.Empty(t, live(s), "not even an empty slot is filled")
	s.Patch(harness.Helm, s.Deployment("jobs"), set(first))
	s.Settle(workloads.Deployment("jobs"))
	s.Kubectl("label", "deployment/jobs", "tracebloc.io/refresh-hold-")
	requireOutcome(t, s.Tick(), 0, "refreshed", "")
	assert.Equal(t, second, live(s))
}

// I36: coming from the shell script: its annotations have our keys and its kubectl set env owns the slot. They are
// taken over as they are: no hold, no reset, no rollout on the first tick.
func TestI36TheShellScriptIsTakenOver(t *testing.T) {
	t.Parallel()
	for name, behind := range map[string]bool{"up to date": false, "with the tag moved on": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			installed := s.Push(ingestor, image("installed"))
			current := s.Push(ingestor, image("current"))
			s.Deploy(jobs(installed))
			s.Kubectl("set", "env", "deployment/jobs", slot+"="+current)
			s.Kubectl("annotate", "deployment/jobs", recorded+"="+current, failures+"=2",
				"tracebloc.io/refresh-skip-streak=5", "tracebloc.io/ingestor-refresh-attempts=2", lastError+"=proxy: old")
			s.Settle(workloads.Deployment("jobs"))
			require.Equal(t, []string{"kubectl-set/Update"}, workloads.EnvOwners(s.Deployment("jobs"), "api", slot))
			latest, outcome, revision := current, "unchanged", 2
			if behind {
				latest, outcome, revision = s.Push(ingestor, image("latest")), "refreshed", 3
			}
			s.Configure(ingestorConfig)
			requireOutcome(t, s.Tick(), 0, "adopted", "")
			s.Settle(workloads.Deployment("jobs"))
			d := s.Deployment("jobs")
			assert.Equal(t, current, live(s))
			assert.Equal(t, current, d.Annotations[recorded])
			assert.Equal(t, label(current), contentOf(d.Labels[mark]))
			assert.Equal(t, 2, workloads.Revision(d), "no rollout")
			assert.NotContains(t, d.Annotations, failures, "it resolves")
			assert.NotContains(t, d.Annotations, lastError)
			assert.NotContains(t, d.Annotations, streak, "it is settled")
			requireOutcome(t, s.Tick(), 0, outcome, "")
			requireRolled(t, s, "jobs", latest, revision)
			assert.Empty(t, eventsOf(s, "RefreshHeld"))
		})
	}
}
