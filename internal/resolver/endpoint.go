package resolver

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/tracebloc/image-refresh/internal/image"
)

// endpoint is one place where an image may be asked for.
type endpoint struct {
	host       string // as references and credentials name it
	repository string // with the mirror's path in front
	via        string // as messages call it: the host, or the mirror with its path
	mirror     bool
}

// name is what credentials are matched by: a mirror's own name, never that of what it mirrors.
func (e endpoint) name() string { return e.host + "/" + e.repository }

// endpoints lists where an image is asked for, in order: the mirrors of its registry, then the registry itself
// where the configuration does not say otherwise. A mirror serves the whole repository name under its own
// path, library/ included.
func endpoints(ref image.Reference, registries map[string]image.Registry) []endpoint {
	config, configured := registries[hostKey(ref.Host)]
	var all []endpoint
	for _, mirror := range config.Mirrors {
		host, repository, _ := strings.Cut(mirror+"/"+ref.Repository, "/")
		all = append(all, endpoint{host: host, repository: repository, via: mirror, mirror: true})
	}
	if !configured || config.Fallback || len(all) == 0 {
		all = append(all, endpoint{host: ref.Host, repository: ref.Repository, via: ref.Host})
	}
	return all
}

// noteUnused finds the entries of the configuration that none of the images is asked with, and says so once: one that is
// misspelt looks like one that works. Docker Hub is docker.io, whatever its API's host is called.
func (r *Resolver) noteUnused(ctx context.Context, queries []Query) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unused != nil || len(queries) == 0 {
		return
	}
	r.unused = map[string]bool{}
	for key := range r.registries {
		r.unused[key] = true
	}
	for _, q := range queries {
		delete(r.unused, hostKey(q.Image.Host))
		for _, e := range endpoints(q.Image, r.registries) {
			delete(r.unused, hostKey(e.host))
		}
	}
	r.inClear.Range(func(key, _ any) bool {
		delete(r.unused, key.(string)) // a token endpoint's
		return true
	})
	if r.options.Check {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(r.unused)) {
		r.options.Logger.WarnContext(ctx, unusedText(key))
	}
}

// hostKey is the spelling by which registries are told apart: lower case, and one name for Docker Hub.
func hostKey(host string) string {
	host = strings.ToLower(host)
	if host == "index.docker.io" {
		return "docker.io"
	}
	return host
}

// address is where a registry is asked: Docker Hub's API has a host of its own.
func address(host string) string {
	if hostKey(host) == "docker.io" {
		return "registry-1.docker.io"
	}
	return host
}
