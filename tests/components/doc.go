// Package components builds the servers of a real cluster (etcd, the Kubernetes control plane, kubectl) from their Go modules, once,
// into the user's cache folder: $IMAGE_REFRESH_CACHE, else $XDG_CACHE_HOME, else ~/.cache. Each component's versions are pinned by
// a module of its own beside this one (tests/etcd, tests/kubernetes/v1.36 and v1.34), so that neither the product nor the tests
// require Kubernetes itself.
//
// A cold build takes minutes and says so on the way; a warm one is a stat. Two processes that want the same component build it once.
package components
