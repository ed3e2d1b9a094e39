package resolver

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// parseQuota reads docker.io's ratelimit-remaining, as in "76;w=21600": manifests left, and the window in
// seconds. Blank or absent means that there is no limit for this account (FACTS.md, Registries); garbage is
// taken for absent, as it is nothing to stop a rollout for.
func parseQuota(header http.Header) Quota {
	count, window, _ := strings.Cut(strings.TrimSpace(header.Get("Ratelimit-Remaining")), ";")
	remaining, err := strconv.ParseUint(strings.TrimSpace(count), 10, 31)
	if err != nil {
		return Quota{}
	}
	quota := Quota{Known: true, Remaining: int(remaining)}
	if text, ok := strings.CutPrefix(strings.TrimSpace(window), "w="); ok {
		if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
			quota.Window = time.Duration(seconds) * time.Second
		}
	}
	return quota
}
