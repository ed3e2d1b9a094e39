package resolver

import (
	"log/slog"
	"time"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/image"
)

// Options is what a Resolver is made from.
type Options struct {
	Registries   []image.Registry
	PullSecrets  credential.Source
	DockerConfig string // the directory that DOCKER_CONFIG names, with config.json in it; empty for none
	// CloudIdentity has clouds' registries without an entry of their own asked with the pod's identity where nobody else is served.
	CloudIdentity bool
	Getenv        func(string) string // the variables that say which identity that is
	Timeout       time.Duration       // for one image, its retries included
	Concurrency   int                 // images asked for at once
	// Check has each origin asked beside its mirrors, to see whether they agree. What Report says is not logged.
	Check     bool
	Logger    *slog.Logger
	UserAgent string
}
