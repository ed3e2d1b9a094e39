package transport

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Quota is what docker.io says about pulls that are left. Other gateways' headers are no quota.
type Quota struct {
	Known     bool          // false also where there is no limit
	Remaining int           // manifests that may still be pulled
	Window    time.Duration // the time over which pulls are counted; 0 where it was not said
}

// Exhausted says that a pod could not pull now.
func (q Quota) Exhausted() bool { return q.Known && q.Remaining <= 0 }

// parseQuota reads ratelimit-remaining, as in "76;w=21600": manifests left, and the window in seconds. Blank or absent
// means that there is no limit for this account; garbage is taken for absent, as it is nothing to stop a rollout for.
func parseQuota(header http.Header) Quota {
	count, window, _ := strings.Cut(strings.TrimSpace(header.Get("Ratelimit-Remaining")), ";")
	seconds, said := strings.CutPrefix(strings.TrimSpace(window), "w=")
	remaining, err := strconv.ParseUint(strings.TrimSpace(count), 10, 31)
	if err != nil {
		return Quota{}
	}
	quota := Quota{Known: true, Remaining: int(remaining)}
	if length, err := strconv.ParseUint(seconds, 10, 31); said && err == nil {
		quota.Window = time.Duration(length) * time.Second
	}
	return quota
}
