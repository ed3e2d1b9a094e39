// Package harness gives a scenario test its environment: a real API server with real controllers, docker.io and ghcr.io behind
// an egress proxy, and the program under test as a process. A scenario asserts what an operator could see, the exit code, the
// objects and the requests, and never the text of a log.
//
// The tests of a package share one Environment, which TestMain starts with Main. Each test makes a Scenario, which has a
// namespace, registries, an API proxy and a service account of its own, so tests run in parallel: it pushes images, deploys
// workloads, configures the program, ticks, and asserts. tests/scenario has them.
//
// What breaks is chosen at four places: pods (Behave), the API server (API.Inject), registries (Site.Front.Inject) and the way
// to them (Site.Proxy). What was asked of each is recorded there, and Forget starts the count anew.
package harness
