package resolver

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// Query asks for one image as one set of workloads pulls it.
type Query struct {
	Image image.Reference // its tag is what floats; a digest in it is ignored
	// PullSecrets are named by the workload, or by the target in their place, in that order. Where none is
	// named, DOCKER_CONFIG is looked into; where some are, it is not.
	PullSecrets []credential.Name
	// WorkloadsImage says that the workload, and not the configuration, names the image: whoever may edit it chooses
	// the host, so no entry of a pull secret is used that stands for many hosts.
	WorkloadsImage bool
}

// Answer is what came of a Query. Exactly one of Digest and Failure is set.
type Answer struct {
	Digest   image.Digest
	Failure  *failure.Error
	Warnings []*failure.Error // what fails nothing yet: a named secret that is not mounted, a dead credential that a public image hides
	Quota    Quota
}

// Manifest is what a registry serves under a tag or digest. Of a tag it was not fetched: its platforms are not known.
type Manifest struct {
	Digest    image.Digest
	Platforms []image.Platform // each once, in the order of the index
	Build     image.Build      // as far as it is known without a further request
	Quota     Quota

	images []child        // of an index, all that are images or indexes of images
	config *v1.Descriptor // of an image
}

// Quota is what a registry said about pulls that are left (docker.io: ratelimit-remaining).
type Quota = wire.Quota
