// Package pause waits for a time, or until a context ends.
package pause

import (
	"context"
	"time"
)

// For waits, and says whether it could to the end: not where the context ends first.
func For(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
