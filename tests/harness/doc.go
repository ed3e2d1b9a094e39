// Package harness gives a scenario test its environment: a real API server with real controllers, docker.io and ghcr.io behind
// an egress proxy, and the program under test as a process. A scenario asserts what an operator could see, the exit code, the
// objects and the requests, and never the text of a log.
//
// The tests of a package share one Environment, which TestMain starts with Main. Each test makes a Scenario, which has a
// namespace, registries, an API proxy and a service account of its own, so tests run in parallel:
//
//	// I1: ghcr.io was blocked by the egress proxy, docker.io was not.
//	func TestI1(t *testing.T) {
//		t.Parallel()
//		s := environment.Scenario(t)
//		old := s.Push("ghcr.io/tracebloc/ingestor:0.3", registries.Image("old", "linux/amd64"))
//		s.Deploy(workloads.Deployment("jobs",
//			workloads.Container("api", "docker.io/tracebloc/jobs:prod"),
//			workloads.Env("api", "INGESTOR_IMAGE_DIGEST", old)))
//		s.Configure(`
//	targets:
//	  - name: ingestor
//	    image: ghcr.io/tracebloc/ingestor:0.3
//	    workloads: [{kind: Deployment, name: jobs, container: api, env: INGESTOR_IMAGE_DIGEST}]`)
//		unblock := s.Site.Proxy.Refuse("ghcr.io", http.StatusForbidden)
//		for _, code := range []int{0, 0, 1, 1} {
//			harness.RequireExit(t, code, s.Tick())
//		}
//		unblock()
//		harness.RequireExit(t, 0, s.Tick())
//	}
//
// What breaks is chosen at four places: pods (Behave), the API server (API.Inject), registries (Site.Front.Inject) and the way
// to them (Site.Proxy). What was asked of each is recorded there, and Forget starts the count anew.
package harness
