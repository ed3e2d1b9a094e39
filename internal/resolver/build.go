package resolver

import (
	"context"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/image"
)

// pullsToSpare is how many pulls must be left for one to be spent on the name of a build: nodes have their own to make.
const pullsToSpare = 10

// Build says which build a digest is, once Inspect has read it: by the annotations of the index or else, with two requests more at
// most, by those of an image in it, or by the labels of that image's configuration. On which platform pods run is not known: of the
// platforms given, or of all if none is, that image is for linux/amd64 or, where there is none for that, the first one. It is for
// people alone, so that what keeps it from being read is no failure: the build is unknown then, and a line at level debug says why.
// A registry that did not answer is not asked for another one.
func (r *Resolver) Build(ctx context.Context, q Query, digest image.Digest, platforms []image.Platform) image.Build {
	got, err := r.byDigest(ctx, q, digest, func(ctx context.Context, e endpoint, who credential.Credential) (Manifest, *problem) {
		got, p := r.host(e.host).body(ctx, e.repository, who, digest)
		if p != nil {
			return got, p
		}
		more, p := r.host(e.host).build(ctx, e.repository, who, got, platforms)
		if p != nil {
			r.options.Logger.DebugContext(ctx, "which build it is could not be read", "image", q.Image.String(), "digest", string(digest), "cause", string(p.cause))
		}
		got.Build = got.Build.Or(more)
		return got, nil
	})
	if err != nil { // it has been read, so the time is over
		return image.Build{}
	}
	return got.Build
}

// build reads which build an index is from one of its images, unless the index says so, or names none.
func (h *host) build(ctx context.Context, repository string, who credential.Credential, of Manifest, platforms []image.Platform) (image.Build, *problem) {
	if of.Build.Named() || len(of.images) == 0 || of.Quota.Known && of.Quota.Remaining < pullsToSpare || h.noBuilds.Load() {
		return image.Build{}, nil
	}
	one := likeliest(of.images, platforms)
	if !one.platform.Known() { // it has been read already, for its platform
		return image.Build{}, nil
	}
	got, p := h.builds.do(ctx, bodyKey{repository, image.Digest(one.String()), who.Identity()}, h.timeout, func(ctx context.Context) (image.Build, *problem) {
		return h.readBuild(ctx, repository, who, one.Hash)
	})
	if p != nil && !p.denied() {
		h.noBuilds.Store(true)
	}
	return got, p
}

// likeliest is the image that is the most likely to run where one of these platforms does.
func likeliest(images []child, platforms []image.Platform) child {
	return slices.MinFunc(images, func(a, b child) int { return a.distance(platforms) - b.distance(platforms) })
}

// distance is how far an image is from being that one.
func (c child) distance(platforms []image.Platform) int {
	of := []image.Platform{c.platform}
	distance := 0
	if len(image.Missing(platforms, of)) == len(platforms) && len(platforms) > 0 {
		distance += 2
	}
	if len(image.Missing([]image.Platform{{OS: "linux", Architecture: "amd64"}}, of)) > 0 {
		distance++
	}
	return distance
}

// readBuild reads an image's manifest and, where that does not say it, its configuration. That the registry does not answer counts
// for nothing: it is no reason not to ask it for anything else.
func (h *host) readBuild(ctx context.Context, repository string, who credential.Credential, digest v1.Hash) (image.Build, *problem) {
	in := h.registry.Repo(repository)
	var manifest *remote.Descriptor
	ask := func(unreadable detail, q question) (answer, *problem) {
		return h.authorized(ctx, needs{repository: repository}, who, unreadable, q.request())
	}
	got, p := ask(otherDigest, func(o ...remote.Option) (err error) {
		manifest, err = remote.Get(in.Digest(digest.String()), o...)
		return err
	})
	if p != nil {
		return image.Build{}, p
	}
	found, _ := parseManifest(manifest.Manifest, got.Header.Get("Content-Type"))
	if found.build.Named() || found.config == nil {
		return found.build, nil
	}
	var config []byte
	_, p = ask(badConfig, blobInto(&config, in.Digest(found.config.Digest.String())))
	return found.build.Or(buildOfConfig(config)), p
}
