package preflight

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/result"
)

// fine are facts of which each case changes some.
func fine() Facts {
	return Facts{
		Source: "config.yaml", Targets: 1,
		Permissions: []Permission{{What: "Deployment shop/web", Verb: "get", Access: "get deployments/web", Allowed: true, Workload: true}},
		Registries:  []resolver.HostReport{{Host: "docker.io", Address: "registry-1.docker.io", Challenge: "bearer", TokenHost: "auth.docker.io"}},
		Images:      []Image{{Name: "docker.io/shop/web:1", Answer: resolver.Answer{Digest: image.Digest("sha256:" + strings.Repeat("4f", 32))}}},
		Slots:       []Slot{{Target: "web", Workload: "Deployment shop/web", Place: "web", Outcome: decide.Unchanged}},
		Schedules:   []Schedule{{Name: "refresh", Deadline: time.Hour, Longest: time.Hour}},
	}
}

// linesOfFine are its lines, in the order in which one rests on another.
var linesOfFine = []string{
	"configuration ok", "api-server ok", "permission ok", "registry ok", "image ok", "workload ok", "schedule ok", "nodes unchecked",
}

func failed(cause failure.Cause) *failure.Error {
	return &failure.Error{Cause: cause, Message: "it failed"}
}

// at is a failure at a stage, at a host.
func at(stage failure.Stage, cause failure.Cause, host string) *failure.Error {
	return &failure.Error{Cause: cause, Stage: stage, Host: host, Message: "it failed"}
}

// What facts come to: lines that are not those of fine facts, and what one of them says.
func TestLines(t *testing.T) {
	t.Parallel()
	const hub, tokens = "registry-1.docker.io", "auth.docker.io"
	resolves := func(failed *failure.Error) func(*Facts) {
		return func(f *Facts) { f.Images[0].Answer = resolver.Answer{Failure: failed} }
	}
	slot := func(slot Slot) func(*Facts) {
		return func(f *Facts) { slot.Target, slot.Workload, f.Slots = "web", "Deployment shop/web", []Slot{slot} }
	}
	proves := func(state resolver.ProofState, answer *failure.Error) func(*Facts) {
		return func(f *Facts) {
			f.Registries[0].Proofs = []resolver.Proof{{
				Source: credential.Name{Namespace: "shop", Name: "pull"}, Holder: "pull secret shop/pull", State: state, Failure: failed(failure.Unauthorized),
			}}
			f.Images[0].Answer.Failure = answer
		}
	}
	asked := func(permission Permission) func(*Facts) {
		return func(f *Facts) { f.Permissions = append(f.Permissions, permission) }
	}
	dryRun := func(dryRun DryRun) func(*Facts) {
		dryRun.Workload = "Deployment shop/web"
		return func(f *Facts) { f.DryRuns, f.User = []DryRun{dryRun}, "alice" }
	}
	scheduled := func(schedule Schedule) func(*Facts) {
		return func(f *Facts) { f.Schedules = []Schedule{schedule} }
	}
	quota := func(remaining int) func(*Facts) {
		return func(f *Facts) {
			f.Images[0].Answer.Quota = resolver.Quota{Known: true, Remaining: remaining, Window: 6 * time.Hour}
		}
	}
	for name, c := range map[string]struct {
		change func(*Facts)
		want   string // name and status of each other line
		says   string
	}{
		"fine": {func(*Facts) {}, "", "docker.io answers, with tokens from auth.docker.io"},

		// What fails at a host is said once, of the registry; what fails for an image is said of the image.
		"no such host":            {resolves(at(failure.StageName, failure.DNS, hub)), "registry failed, image unchecked", "(see #dns)"},
		"nobody listens":          {resolves(at(failure.StageConnect, failure.ConnectionRefused, hub)), "registry failed, image unchecked", ""},
		"TLS of the tokens' host": {resolves(at(failure.StageTLS, failure.TLS, tokens)), "registry failed, image unchecked", ""},
		"the ping is forbidden":   {resolves(at(failure.StagePing, failure.Forbidden, hub)), "registry failed, image unchecked", ""},
		"an account, by Basic":    {resolves(at(failure.StagePing, failure.Unauthorized, hub)), "image failed", "(see #unauthorized)"},
		"no tokens":               {resolves(at(failure.StageToken, failure.ServerError, tokens)), "registry failed, image unchecked", ""},
		"an account":              {resolves(at(failure.StageToken, failure.Unauthorized, tokens)), "image failed", ""},
		"no such tag":             {resolves(at(failure.StageManifest, failure.NotFound, hub)), "image failed", ""},
		"trouble with one image":  {resolves(at(failure.StageManifest, failure.ServerError, hub)), "image failed", ""},
		"a host without a line":   {resolves(at(failure.StageConnect, failure.ConnectionRefused, "cdn.example.com")), "image failed", ""},
		"pulls are left":          {quota(7), "", "7 pulls are left in 6h"},
		"no pulls are left":       {quota(0), "image failed", "(see #rate-limited)"},
		"pods could not pull":     {func(f *Facts) { f.Images[0].Pods = failed(failure.Unauthorized) }, "image failed", "which the pods of"},
		"latest is stale":         {func(f *Facts) { f.Stale = []*failure.Error{failed(failure.Stale)} }, "image failed", ""},
		"a mirror is passed over": {func(f *Facts) {
			mirror := resolver.HostReport{Failure: at(failure.StageConnect, failure.ConnectionRefused, "mirror")}
			f.Registries = append(f.Registries, mirror, resolver.HostReport{Host: "idle"})
		}, "registry warning, registry unchecked", ""},

		// What registries made of credentials.
		"accepted":         {proves(resolver.Accepted, nil), "credential ok", "pull secret shop/pull at docker.io"},
		"no verdict":       {proves(resolver.NotVerified, nil), "credential unchecked", ""},
		"dead, but public": {proves(resolver.Rejected, nil), "credential failed", ""},
		"dead":             {proves(resolver.Rejected, at(failure.StageToken, failure.Unauthorized, tokens)), "credential failed, image failed", ""},
		"its own trouble":  {proves(resolver.Rejected, at(failure.StageManifest, failure.ServerError, hub)), "credential unchecked, image failed", ""},
		"nobody is asked":  {proves(resolver.NotVerified, at(failure.StageTLS, failure.TLS, hub)), "registry failed, credential unchecked, image unchecked", ""},
		"of DOCKER_CONFIG, which pods do not have": {func(f *Facts) {
			f.Registries[0].Proofs = []resolver.Proof{{State: resolver.Accepted}}
		}, "credential ok, credential warning", ""},
		"a secret that is not there is said once": {func(f *Facts) {
			missing := Image{Answer: resolver.Answer{Warnings: []*failure.Error{failed(failure.CredentialMissing)}}}
			f.Images = append(f.Images, missing, missing)
		}, "credential failed", ""},

		// Permissions, and the API server itself.
		"may not read":     {func(f *Facts) { f.Permissions[0].Allowed = false }, "permission failed, workload unchecked", "may not get deployments/web"},
		"may not patch":    {asked(Permission{What: "Deployment shop/web", Access: "patch deployments/web", Workload: true}), "permission failed", "may not patch deployments/web"},
		"need not":         {asked(Permission{What: "Pods in shop", Access: "list pods", Without: "reasons are unknown"}), "", "reasons are unknown"},
		"one is not known": {asked(Permission{What: "Events in shop", Failure: failed(failure.API)}), "permission unchecked", ""},
		"no answer at all": {func(f *Facts) { f.Permissions[0].Failure, f.NoSchedules = failed(failure.API), failed(failure.API) },
			"api-server failed, permission unchecked, workload unchecked", ""},
		"told to end at once": {func(f *Facts) { f.Permissions, f.Slots, f.Interrupted = nil, nil, true }, "configuration failed, permission unchecked", ""},
		"the clock is behind": {func(f *Facts) { f.ClockAhead = -2 * time.Minute }, "api-server warning", "2m0s behind"},
		"the clock is fine":   {func(f *Facts) { f.ClockAhead = time.Minute }, "", ""},

		// What admission makes of a patch.
		"it is accepted":        {dryRun(DryRun{Due: true}), "admission ok", "Deployment shop/web a dry run of the next patch, as alice: accepted"},
		"none is due":           {dryRun(DryRun{}), "admission ok", "changes nothing, since none is due"},
		"it is refused":         {dryRun(DryRun{Failure: failed(failure.API)}), "admission failed", ", as alice: it failed (see #api)"},
		"it takes no dry run":   {dryRun(DryRun{Failure: failed(failure.None), Unknown: true}), "admission warning", ": it failed\n"},
		"it may not be patched": {dryRun(DryRun{Forbidden: true}), "admission unchecked", "the permission to patch is missing"},

		// Slots and schedules.
		"undecided":         {slot(Slot{Undecided: true, Failure: failed(failure.DNS)}), "workload unchecked", ""},
		"rejected":          {slot(Slot{Outcome: decide.Rejected, Failure: failed(failure.RolloutFailed)}), "workload failed", ""},
		"waiting":           {slot(Slot{Outcome: decide.Waiting, Message: "not settled"}), "workload warning", "not settled"},
		"held":              {slot(Slot{Outcome: decide.Held, Message: "by a person"}), "", "a tick would report held: by a person"},
		"gone":              {slot(Slot{Gone: failed(failure.NotFound)}), "image failed", ""},
		"it would conflict": {slot(Slot{Conflicts: []Conflict{{"api/IMAGE", "helm", "kubectl-set"}}}), "ownership warning", "kubectl-set has taken api/IMAGE"},
		"an operator's":     {slot(Slot{Controller: "Database main"}), "ownership warning", "Database main controls"},
		"a leftover":        {func(f *Facts) { f.Leftovers = []Leftover{{"web", "is not read"}} }, "workload warning", "is not read"},
		"killed early":      {scheduled(Schedule{Deadline: time.Minute, Longest: time.Hour}), "schedule failed", ""},
		"suspended":         {scheduled(Schedule{Suspended: true}), "schedule warning", ""},
		"without deadline":  {scheduled(Schedule{Longest: time.Hour}), "", ""},
		"nothing runs it":   {func(f *Facts) { f.Schedules = nil }, "schedule warning", ""},
		"may not be read":   {func(f *Facts) { f.Schedules, f.NoSchedules = nil, failed(failure.API) }, "schedule unchecked", ""},
	} {
		f := fine()
		c.change(&f)
		var all, others []string
		said := ""
		for _, line := range Lines(f) {
			all = append(all, line.Name+" "+string(line.Status))
			said += line.Subject + " " + line.Message.String() + "\n"
			if !slices.Contains(linesOfFine, all[len(all)-1]) {
				others = append(others, all[len(all)-1])
			}
		}
		assert.Equal(t, c.want, strings.Join(others, ", "), name)
		assert.Contains(t, said, c.says, name)
		if c.want == "" && name != "need not" {
			assert.Equal(t, linesOfFine, all, name)
		}
	}
	invalid := result.Check{Name: "configuration", Status: result.Wrong, Message: result.Message{Text: "one"}}
	assert.Equal(t, []result.Check{invalid}, Invalid([]string{"one"}, true, ""))
	assert.Equal(t, failure.API, Invalid([]string{"one"}, false, "")[0].Cause)
}
