// Package e2e installs the chart on a real node, as a user does, and checks what becomes of it by what an operator can see:
// objects, Events, the exit of Jobs, termination messages. It has ticks on the CronJob's schedule and by hand, releases that roll
// out and releases that cannot, registries that refuse, a node that dies.
//
// make e2e runs it: it needs root, and Debian's containerd, runc, containernetworking-plugins, iptables, iproute2 and buildah. It
// leaves nothing behind: the test binary runs itself again in a sandbox (package sandbox), and its files are in one folder. The
// build tag e2e keeps it out of go test ./...
//
// Each suite has a namespace, applications and a release of the chart of its own, so suites run side by side. Those that break the
// node call no t.Parallel: they have the node for themselves, before the others.
package e2e
