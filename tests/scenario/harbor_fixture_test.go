package scenario_test

import (
	"testing"

	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
)

const harborHost = "harbor.example.com"

// startHarbor puts up a Harbor with three projects, one of them public, each with an image app:1 of the same content.
func startHarbor(t *testing.T, s *harness.Scenario) (h *registries.Harbor, digest string) {
	t.Helper()
	h = registries.NewHarbor(registries.NewStore(t.Context()), harborHost)
	s.Site.Add(harborHost, h.Store, h, harborHost)
	for project, public := range map[string]bool{"private": false, "public": true, "other": false} {
		h.AddProject(project, public)
		digest = s.Push(harborHost+"/"+project+"/app:1", registries.Image("one", "linux/amd64"))
	}
	return h, digest
}

// robot makes a robot account of a project in some state, and mounts it as a pull secret of that name.
func robot(t *testing.T, s *harness.Scenario, h *registries.Harbor, project, name string, state registries.Robot) login {
	t.Helper()
	l := login{password: "secret-of-robot-" + name}
	l.user = h.AddRobot(project, name, l.password)
	h.SetRobot(l.user, state)
	mount(t, s, name, entries{harborHost: l})
	return l
}
