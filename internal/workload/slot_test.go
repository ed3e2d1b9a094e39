package workload_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// found is what Find makes of a pod: a slot, or why there is none.
type found struct {
	pod  corev1.PodSpec
	live annotate.Content
	how  string // what else is so of the slot: init, left

	cause failure.Cause // why there is none
	says  string        // that the message holds
}

// check asserts what an entry means: key names the slot, follows what it follows, and writes what is put there for digest B.
func (f found) check(t *testing.T, of config.Target, entry config.Workload, key, follows, writes string) {
	t.Helper()
	slot, problem := object(t, config.Deployment, f.pod).Find(of, entry)
	if f.cause != failure.None {
		require.NotNil(t, problem)
		assert.Equal(t, f.cause, problem.Cause, problem.Error())
		assert.Contains(t, problem.Error(), "Deployment tracebloc/stg-jobs-manager: ")
		assert.Contains(t, problem.Error(), f.says)
		return
	}
	require.Nil(t, problem)
	assert.Equal(t, key, slot.Key())
	assert.Equal(t, follows, slot.Follows.String())
	assert.Equal(t, writes, slot.Value(digestB))
	assert.Equal(t, f.live, slot.Live)
	assert.Equal(t, strings.Contains(f.how, "init"), slot.Init)
	assert.Equal(t, strings.Contains(f.how, "left"), slot.Left)
}

// all checks them in one test each.
func all(t *testing.T, of config.Target, entry config.Workload, key, follows, writes string, rows map[string]found) {
	t.Helper()
	for name, row := range rows {
		t.Run(name, func(t *testing.T) { row.check(t, of, entry, key, follows, writes) })
	}
}

// none is no slot, for this reason.
func none(cause failure.Cause, says string, pod corev1.PodSpec) found {
	return found{pod: pod, cause: cause, says: says}
}

// never is a pod whose first container is never pulled.
func never(spec corev1.PodSpec) corev1.PodSpec {
	spec.Containers[0].ImagePullPolicy = corev1.PullNever
	return spec
}

const unpinned = annotate.Unpinned

var live = annotate.Of(digestA)

func TestASlotInAnImage(t *testing.T) {
	t.Parallel()
	writes := ingestor + "@" + string(digestB)
	invalid, mismatch := failure.SlotInvalid, failure.SlotMismatch
	api := func(image string) corev1.PodSpec { return pod(container("api", image)) }
	all(t, target(t, ingestor), config.Workload{Container: "api"}, "api", ingestor, writes, map[string]found{
		"a tag":                  {pod: api(ingestor), live: unpinned},
		"a digest":               {pod: api(pinned(ingestor)), live: live},
		"a digest, no tag":       {pod: api(pinned("ghcr.io/tracebloc/ingestor")), live: live},
		"an init container":      {pod: withInit(pod(container("web", "nginx")), container("api", pinned(ingestor))), live: live, how: "init"},
		"no container":           none(failure.WorkloadMissing, `no container "api", only web`, pod(container("web", ingestor))),
		"I41: another tag":       none(mismatch, "ingestor:0.4, and the target follows "+ingestor, api("ghcr.io/tracebloc/ingestor:0.4")),
		"I41: no tag is another": none(mismatch, "", api("ghcr.io/tracebloc/ingestor")),
		"I41: another name":      none(mismatch, "", api("ghcr.io/tracebloc/other:0.3")),
		"I41: another host":      none(mismatch, "", api("harbor.example.com/tracebloc/ingestor:0.3")),
		"I89: never pulled":      none(invalid, "imagePullPolicy Never", never(api(ingestor))),
		"I89: another one's":     {pod: never(pod(container("web", "nginx"), container("api", ingestor))), live: unpinned},
		"no reference":           none(invalid, "", api("Not An Image")),
	})
	all(t, target(t, ingestor), config.Workload{}, "api", ingestor, writes, map[string]found{
		"unnamed: the only one":         {pod: api(pinned(ingestor)), live: live},
		"unnamed: one runs it":          {pod: pod(container("web", "nginx"), container("api", ingestor), container("x", "::")), live: unpinned},
		"unnamed: an init one runs it":  {pod: withInit(pod(container("web", "nginx")), container("api", ingestor)), live: unpinned, how: "init"},
		"unnamed: the one with the tag": {pod: pod(container("old", "ghcr.io/tracebloc/ingestor:0.2"), container("api", ingestor)), live: unpinned},
		"unnamed: two run it":           none(invalid, "2 of its containers can be meant (api, init)", withInit(api(ingestor), container("init", ingestor))),
		"I41: unnamed: it does not":     none(mismatch, "docker.io/library/nginx:1", api("nginx:1")),
		"I41: unnamed: none does":       none(mismatch, "none of its containers (api, web)", pod(container("api", "nginx:1"), container("web", "nginx:1"))),
	})
	digestOnly := target(t, ingestor)
	digestOnly.DigestOnly = true
	found{pod: api(pinned(ingestor)), live: live}.check(t, digestOnly, config.Workload{}, "api", ingestor, "ghcr.io/tracebloc/ingestor@"+string(digestB))
}

// A target without an image follows the container's own.
func TestASlotThatFollowsItsContainer(t *testing.T) {
	t.Parallel()
	own := pod(container("api", pinned("nginx:1.27")))
	two := pod(container("api", "nginx:1.27"), container("web", "nginx:1.27"))
	follows, writes := "docker.io/library/nginx:1.27", "nginx:1.27@"+string(digestB)
	all(t, target(t, ""), config.Workload{Container: "api"}, "api", follows, writes, map[string]found{"named": {pod: two, live: unpinned}})
	all(t, target(t, ""), config.Workload{}, "api", follows, writes, map[string]found{
		"the only one":          {pod: own, live: live},
		"one of two":            none(failure.SlotInvalid, "2 of its containers can be meant (api, web); name one", two),
		"or an init container":  none(failure.SlotInvalid, "2 of its containers", withInit(own, container("init", "nginx"))),
		"a digest names no tag": none(failure.SlotInvalid, "no tag to follow", pod(container("api", pinned("nginx")))),
	})
	found{pod: pod(container("api", "nginx")), live: unpinned}.check(t, target(t, ""), config.Workload{},
		"api", "docker.io/library/nginx:latest", "nginx:latest@"+string(digestB))
}

func TestASlotInAVariable(t *testing.T) {
	t.Parallel()
	a, invalid := string(digestA), failure.SlotInvalid
	holds := func(values ...string) corev1.PodSpec {
		api := container("api", "nginx", env("OTHER", "1"))
		for _, value := range values {
			api.Env = append(api.Env, env("DIGEST", value))
		}
		return pod(api)
	}
	from := func(spec corev1.PodSpec) corev1.PodSpec {
		spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{}}
		return spec
	}
	elsewhere := holds("")
	elsewhere.Containers[0].Env[1].ValueFrom = &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{Key: "d"}}
	lists := func(name, value string) corev1.Container { return container(name, "x", env("DIGEST", value)) }
	entry := config.Workload{Container: "api", Env: "DIGEST"}
	all(t, target(t, ingestor), entry, "api/DIGEST", ingestor, string(digestB), map[string]found{
		"a digest":                {pod: holds(a), live: live},
		"a digest beside envFrom": {pod: from(holds(a)), live: live},
		"never pulled":            {pod: never(holds(a)), live: live},
		"I7: empty":               {pod: holds("")},
		"I7: missing":             {pod: holds()},
		"in another case":         {pod: pod(container("api", "nginx", env("digest", "x")))},
		"blanks and quotes":       {pod: holds(` "" `)},
		"in blanks":               {pod: holds(" " + a + "\n"), live: unpinned},
		"in quotes":               {pod: holds(`"` + a + `"`), live: unpinned},
		"in capitals":             {pod: holds(strings.ToUpper(a)), live: unpinned},
		"an init container":       {pod: withInit(pod(container("web", "nginx")), lists("api", "")), how: "init"},
		"I88: a word":             none(invalid, `holds "0.3", and not a digest (envValue: digest)`, holds("0.3")),
		"I88: a flag":             none(invalid, `holds "--image=sha256:`, holds("--image="+a)),
		"I88: no whole digest":    none(invalid, `holds "sha256:zz"`, holds("sha256:zz")),
		"I88: a reference":        none(invalid, `holds "`+ingestor+"@sha256:", holds(pinned(ingestor))),
		"I40: from elsewhere":     none(invalid, "valueFrom", elsewhere),
		"listed twice":            none(invalid, "lists DIGEST 2 times", holds("", a)),
		"missing beside envFrom":  none(invalid, "envFrom may set it", from(holds())),
		"no such container":       none(failure.WorkloadMissing, `no container "api"`, pod(container("web", "x"))),
	})
	entry.LeaveEmpty = true
	all(t, target(t, ingestor), entry, "api/DIGEST", ingestor, string(digestB), map[string]found{
		"left empty": {pod: holds(""), how: "left"}, "left missing": {pod: holds(), how: "left"}, "not empty": {pod: holds(a), live: live},
	})
	all(t, target(t, ingestor), config.Workload{Env: "DIGEST"}, "api/DIGEST", ingestor, string(digestB), map[string]found{
		"unnamed: the only container":    {pod: holds()},
		"unnamed: the one that lists it": {pod: pod(container("web", "nginx"), lists("api", a)), live: live},
		"unnamed: an init one lists it":  {pod: withInit(pod(container("web", "nginx")), lists("api", "")), how: "init"},
		"unnamed: one serves":            {pod: withInit(holds(), container("init", "nginx"))},
		"unnamed: two serve":             none(invalid, "2 of its containers can be meant (api, web)", pod(container("api", "x"), container("web", "x"))),
		"unnamed: two list it":           none(invalid, "2 of its containers can be meant", pod(lists("api", ""), lists("web", ""))),
	})
	mismatch, reference := failure.SlotMismatch, config.Workload{Container: "api", Env: "DIGEST", Reference: true}
	bare := "ghcr.io/tracebloc/ingestor"
	all(t, target(t, ingestor), reference, "api/DIGEST", ingestor, bare+"@"+string(digestB), map[string]found{
		"reference: a digest":         {pod: holds(pinned(bare)), live: live},
		"reference: with its tag":     {pod: holds(pinned(ingestor)), live: live},
		"reference: a tag":            {pod: holds(ingestor), live: unpinned},
		"reference: empty":            {pod: holds("")},
		"reference: in blanks":        {pod: holds(" " + pinned(bare)), live: unpinned},
		"reference: in capitals":      {pod: holds("GHCR.IO/tracebloc/ingestor@" + strings.ToUpper(a)), live: unpinned},
		"I41: reference: another tag": none(mismatch, "refers to ghcr.io/tracebloc/ingestor:0.4", holds("ghcr.io/tracebloc/ingestor:0.4")),
		"I41: reference: another":     none(mismatch, "refers to docker.io/library/nginx:0.3", holds("nginx:0.3")),
		"reference: garbage": none(invalid,
			`holds "?!", and not a reference by tag or digest (envValue: reference), as in ghcr.io/tracebloc/ingestor@sha256:4f53…`, holds("?!")),
		"reference: a word":         none(invalid, `holds "true"`, holds("true")),
		"reference: a URL":          none(invalid, `holds "docker://`, holds("docker://"+ingestor)),
		"reference: a digest alone": none(invalid, `holds "sha256:`, holds(a)),
	})
	found{pod: holds(bare), live: unpinned}.check(t, target(t, bare), reference, "api/DIGEST", bare+":latest", bare+"@"+string(digestB))
	found{pod: holds(pinned("index.docker.io/library/nginx")), live: live}.check(t, target(t, "nginx:1"), reference,
		"api/DIGEST", "docker.io/library/nginx:1", "nginx@"+string(digestB))
}

// What the workload says is foreign: it is printed clean.
func TestI47AProblemPrintsNothingForeign(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"ghcr.io/x/y:1\x1b[31m", "a\nb", strings.Repeat("a", 5000)} {
		_, problem := object(t, config.Deployment, pod(container("api", text))).Find(target(t, ingestor), config.Workload{Container: "api"})
		require.NotNil(t, problem)
		assert.NotContains(t, fmt.Sprintf("%q", problem.Message), `\`)
		assert.Less(t, len(problem.Message), 500)
	}
}
