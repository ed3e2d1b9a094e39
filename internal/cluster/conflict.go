package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/pause"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// MaxConflicts is how often a workload that keeps changing is read and decided again: ticks and controllers write several times
// within a second.
const MaxConflicts = 12

// CalmDown lets a fight over an object calm down. It says whether to go on: not where the context has ended.
func CalmDown(ctx context.Context) bool {
	return pause.For(ctx, time.Duration(20+rand.IntN(180))*time.Millisecond) //nolint:gosec // jitter, no secret
}

// KeepsChanging is the failure of a write that has met MaxConflicts conflicts.
func KeepsChanging(ref workload.Ref) *failure.Error {
	return &failure.Error{
		Cause: failure.API, Message: fmt.Sprintf("%s changed %d times while it was to be written to", ref, MaxConflicts),
		Fix: "find out what keeps writing to it (kubectl get -o yaml --show-managed-fields)",
	}
}
