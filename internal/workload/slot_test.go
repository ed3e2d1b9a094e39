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
	"github.com/tracebloc/image-refresh/internal/workload"
)

const ingestor = "ghcr.io/tracebloc/ingestor:0.3"

// find is one call of Find: what the workload looks like, and what the configuration says.
type find struct {
	pod    corev1.PodSpec
	follow string // the target's image
	pin    bool   // pin: digest
	entry  config.Workload

	cause   failure.Cause // where it cannot be worked with
	says    string        // that the failure's message holds
	key     string
	init    bool
	follows string
	live    annotate.Content
	missing bool
	left    bool
	writes  string // into the slot, for a digest of b's
}

func pod(containers ...corev1.Container) corev1.PodSpec {
	return corev1.PodSpec{Containers: containers}
}

func withInit(spec corev1.PodSpec, containers ...corev1.Container) corev1.PodSpec {
	spec.InitContainers = containers
	return spec
}

func (f find) check(t *testing.T) {
	t.Helper()
	of := target(t, f.follow)
	of.DigestOnly = f.pin
	read := object(t, config.Deployment, f.pod)
	slot, problem := read.Find(of, f.entry)
	if f.cause != failure.None {
		require.NotNil(t, problem)
		assert.Equal(t, f.cause, problem.Cause, problem.Message)
		assert.Contains(t, problem.Message, "Deployment tracebloc/stg-jobs-manager: ")
		assert.Contains(t, problem.Message, f.says)
		return
	}
	if problem != nil {
		require.Fail(t, problem.Message)
	}
	assert.Equal(t, f.key, slot.Key())
	assert.Equal(t, f.init, slot.Init)
	assert.Equal(t, f.follows, slot.Follows.String())
	assert.Equal(t, f.live, slot.Live)
	assert.Equal(t, f.missing, slot.Missing)
	assert.Equal(t, f.left, slot.Left)
	list := "containers"
	if f.init {
		list = "initContainers"
	}
	name, env, _ := strings.Cut(f.key, "/")
	want := map[string]any{"name": name, "image": f.writes}
	if env != "" {
		want = map[string]any{"name": name, "env": []any{map[string]any{"name": env, "value": f.writes}}}
	}
	sent := patch(t, read, workload.Change{Slots: []workload.SlotChange{{Slot: slot, Digest: digest("b")}}})
	assert.Equal(t, map[string]any{"template": map[string]any{"spec": map[string]any{list: []any{want}}}}, sent["spec"])
}

func run(t *testing.T, cases map[string]find) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.check(t)
		})
	}
}

// at is a slot's expected image mode: container api, following the target.
func at(containers corev1.PodSpec, live annotate.Content) find {
	return find{
		pod: containers, follow: ingestor, entry: config.Workload{Container: "api"},
		key: "api", follows: ingestor, live: live, writes: ingestor + "@" + string(digest("b")),
	}
}

func TestFindInImageMode(t *testing.T) {
	t.Parallel()
	live := annotate.Of(digest("a"))
	pinned := ingestor + "@" + string(digest("a"))
	with := func(f find, change func(*find)) find {
		change(&f)
		return f
	}
	run(t, map[string]find{
		"a tag":            at(pod(container("api", ingestor)), annotate.Unpinned),
		"a digest":         at(pod(container("api", pinned)), live),
		"a digest, no tag": at(pod(container("api", "ghcr.io/tracebloc/ingestor@"+string(digest("a")))), live),
		"pin: digest": with(at(pod(container("api", pinned)), live), func(f *find) {
			f.pin, f.writes = true, "ghcr.io/tracebloc/ingestor@"+string(digest("b"))
		}),
		"an init container": with(at(withInit(pod(container("web", "nginx")), container("api", pinned)), live), func(f *find) { f.init = true }),
		"no container named: the only one": with(at(pod(container("api", pinned)), live), func(f *find) {
			f.entry.Container = ""
		}),
		"no container named: the only one that runs it": with(
			at(pod(container("web", "nginx:1"), container("api", pinned), container("odd", "::")), live), func(f *find) { f.entry.Container = "" }),
		"no container named: an init container runs it": with(
			at(withInit(pod(container("web", "nginx:1")), container("api", pinned)), live), func(f *find) { f.entry.Container, f.init = "", true }),
		"no container named: of two that run it, the one with the tag": with(
			at(pod(container("old", "ghcr.io/tracebloc/ingestor:0.2"), container("api", pinned)), live), func(f *find) { f.entry.Container = "" }),
		"no container named: two run it": {
			pod: withInit(pod(container("api", ingestor)), container("migrate", ingestor)), follow: ingestor,
			cause: failure.SlotInvalid, says: "2 of its containers can be meant (api, migrate)",
		},
		"no container named: two of three run it": {
			pod: pod(container("web", "nginx"), container("api", ingestor), container("b", ingestor)), follow: ingestor,
			cause: failure.SlotInvalid, says: "2 of its containers can be meant",
		},
		"no container named: none runs it, and there is one (I41)": {
			pod: pod(container("api", "nginx:1")), follow: ingestor, cause: failure.SlotMismatch, says: "docker.io/library/nginx:1",
		},
		"no container named: none of several runs it (I41)": {
			pod: pod(container("api", "nginx:1"), container("web", "nginx:1")), follow: ingestor,
			cause: failure.SlotMismatch, says: "none of its containers (api, web)",
		},
		"a container that is not there": {
			pod: pod(container("web", ingestor)), follow: ingestor, entry: config.Workload{Container: "api"},
			cause: failure.WorkloadMissing, says: `no container "api", only web`,
		},
		"another tag (I41)": {
			pod: pod(container("api", "ghcr.io/tracebloc/ingestor:0.4")), follow: ingestor, entry: config.Workload{Container: "api"},
			cause: failure.SlotMismatch, says: "ingestor:0.4, and the target follows " + ingestor,
		},
		"another tag, pinned (I41)": {
			pod: pod(container("api", "ghcr.io/tracebloc/ingestor:0.4@"+string(digest("a")))), follow: ingestor, cause: failure.SlotMismatch,
		},
		"another repository (I41)": {
			pod: pod(container("api", "ghcr.io/tracebloc/other:0.3")), follow: ingestor, cause: failure.SlotMismatch,
		},
		"another host (I41)": {
			pod: pod(container("api", "harbor.example.com/tracebloc/ingestor:0.3")), follow: ingestor, cause: failure.SlotMismatch,
		},
		"no tag is another tag (I41)": {
			pod: pod(container("api", "ghcr.io/tracebloc/ingestor")), follow: ingestor, cause: failure.SlotMismatch,
		},
		"imagePullPolicy Never (I89)": func() find {
			f := find{pod: pod(container("api", ingestor)), follow: ingestor, cause: failure.SlotInvalid, says: "imagePullPolicy Never"}
			f.pod.Containers[0].ImagePullPolicy = corev1.PullNever
			return f
		}(),
		"imagePullPolicy Never of another container": func() find {
			f := at(pod(container("api", ingestor), container("web", "nginx")), annotate.Unpinned)
			f.pod.Containers[1].ImagePullPolicy = corev1.PullNever
			return f
		}(),
		"no image reference": {
			pod: pod(container("api", "Not An Image")), follow: ingestor, entry: config.Workload{Container: "api"}, cause: failure.SlotInvalid,
		},
		"no image at all": {
			pod: pod(container("api", "")), follow: ingestor, entry: config.Workload{Container: "api"}, cause: failure.SlotInvalid,
		},
	})
}

func TestFindFollowsTheContainersOwnReference(t *testing.T) {
	t.Parallel()
	own := at(pod(container("api", "nginx:1.27@"+string(digest("a"))), container("web", "nginx:1.27")), annotate.Of(digest("a")))
	own.follow, own.follows, own.writes = "", "docker.io/library/nginx:1.27", "nginx:1.27@"+string(digest("b"))
	only := own
	only.pod, only.entry.Container = pod(own.pod.Containers[0]), ""
	untagged := only
	untagged.pod, untagged.follows, untagged.live = pod(container("api", "nginx")), "docker.io/library/nginx:latest", annotate.Unpinned
	untagged.writes = "nginx:latest@" + string(digest("b"))
	run(t, map[string]find{
		"a container that is named": own,
		"the only container":        only,
		"no tag is latest":          untagged,
		"two containers": {
			pod: own.pod, cause: failure.SlotInvalid, says: "2 of its containers can be meant (api, web): name one",
		},
		"a container and an init container": {
			pod: withInit(only.pod, container("init", "nginx")), cause: failure.SlotInvalid, says: "2 of its containers",
		},
		"a digest alone names no tag": {
			pod: pod(container("api", "nginx@"+string(digest("a")))), cause: failure.SlotInvalid, says: "no tag to follow",
		},
	})
}

// However docker.io is spelled in the configuration and in the container, it is the same repository, and the
// container's spelling stays.
func TestFindKnowsEverySpellingOfDockerHub(t *testing.T) {
	t.Parallel()
	spellings := []string{"nginx", "library/nginx", "docker.io/nginx", "docker.io/library/nginx", "index.docker.io/library/nginx", "index.docker.io/nginx"}
	for _, configured := range spellings {
		for _, used := range spellings {
			f := at(pod(container("api", used+":1@"+string(digest("a")))), annotate.Of(digest("a")))
			f.follow, f.follows, f.writes = configured+":1", "docker.io/library/nginx:1", used+":1@"+string(digest("b"))
			f.check(t)
		}
	}
	f := at(pod(container("api", "harbor.example.com:8443/a/b:1")), annotate.Unpinned)
	f.follow, f.follows = "harbor.example.com:8443/a/b:1", "harbor.example.com:8443/a/b:1"
	f.writes = "harbor.example.com:8443/a/b:1@" + string(digest("b"))
	f.check(t)
}

func env(value ...corev1.EnvVar) corev1.PodSpec { return pod(container("api", "nginx", value...)) }

func TestFindInEnvMode(t *testing.T) {
	t.Parallel()
	const name = "INGESTOR_IMAGE_DIGEST"
	slot := func(spec corev1.PodSpec, live annotate.Content) find {
		return find{
			pod: spec, follow: ingestor, entry: config.Workload{Container: "api", Env: name},
			key: "api/" + name, follows: ingestor, live: live, writes: string(digest("b")),
		}
	}
	reference := func(spec corev1.PodSpec, live annotate.Content) find {
		f := slot(spec, live)
		f.entry.Reference, f.writes = true, "ghcr.io/tracebloc/ingestor@"+string(digest("b"))
		return f
	}
	unnamed := func(f find) find {
		f.entry.Container = ""
		return f
	}
	missing := func(f find) find {
		f.missing = true
		return f
	}
	invalid := func(f find, cause failure.Cause, says string) find {
		f.cause, f.says = cause, says
		return f
	}
	a := annotate.Of(digest("a"))
	from := corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{Key: "d"}}}
	envFrom := env()
	envFrom.Containers[0].EnvFrom = []corev1.EnvFromSource{{}}
	filledBeside := env(variable(name, string(digest("a"))))
	filledBeside.Containers[0].EnvFrom = []corev1.EnvFromSource{{}}
	run(t, map[string]find{
		"a digest":                slot(env(variable("A", "1"), variable(name, string(digest("a")))), a),
		"a digest beside envFrom": slot(filledBeside, a),
		"empty (I7)":              slot(env(variable(name, "")), annotate.None),
		"missing (I7)":            missing(slot(env(), annotate.None)),
		"empty, and left so": func() find {
			f := slot(env(variable(name, "")), annotate.None)
			f.entry.LeaveEmpty, f.left = true, true
			return f
		}(),
		"missing, and left so": func() find {
			f := missing(slot(env(), annotate.None))
			f.entry.LeaveEmpty, f.left = true, true
			return f
		}(),
		"filled, though it would be left empty": func() find {
			f := slot(env(variable(name, string(digest("a")))), a)
			f.entry.LeaveEmpty = true
			return f
		}(),
		"only blanks and quotes": slot(env(variable(name, ` "" `)), annotate.None),
		"in blanks":              slot(env(variable(name, " "+string(digest("a"))+"\n")), annotate.Unpinned),
		"in quotes":              slot(env(variable(name, `"`+string(digest("a"))+`"`)), annotate.Unpinned),
		"in capitals":            slot(env(variable(name, strings.ToUpper(string(digest("a"))))), annotate.Unpinned),
		"a word (I88)":           invalid(slot(env(variable(name, "0.3")), a), failure.SlotInvalid, `holds "0.3", and not a digest (envValue: digest)`),
		"a flag (I88)":           invalid(slot(env(variable(name, "--image="+string(digest("a")))), a), failure.SlotInvalid, `holds "--image=sha256:`),
		"two digests (I88)":      invalid(slot(env(variable(name, string(digest("a"))+","+string(digest("b")))), a), failure.SlotInvalid, `holds "sha256:`),
		"no whole digest (I88)":  invalid(slot(env(variable(name, "sha256:zz")), a), failure.SlotInvalid, `holds "sha256:zz"`),
		"a reference (I88)":      invalid(slot(env(variable(name, ingestor+"@"+string(digest("a")))), a), failure.SlotInvalid, `holds "`+ingestor+"@sha256:"),
		"another case":           missing(slot(env(variable(strings.ToLower(name), "x")), annotate.None)),

		"an init container": func() find {
			f := slot(withInit(pod(container("web", "nginx")), container("api", "nginx", variable(name, ""))), annotate.None)
			f.init = true
			return f
		}(),
		"imagePullPolicy Never, in env mode": func() find {
			f := slot(env(variable(name, string(digest("a")))), a)
			f.pod.Containers[0].ImagePullPolicy = corev1.PullNever
			return f
		}(),
		"unnamed: the only container":    unnamed(missing(slot(env(), annotate.None))),
		"unnamed: the one that lists it": unnamed(slot(pod(container("web", "nginx"), env(variable(name, string(digest("a")))).Containers[0]), a)),
		"unnamed: the init container lists it": func() find {
			f := unnamed(slot(withInit(pod(container("web", "nginx")), container("api", "nginx", variable(name, ""))), annotate.None))
			f.init = true
			return f
		}(),
		"unnamed: nobody lists it, one serves": unnamed(missing(slot(withInit(env(), container("init", "nginx")), annotate.None))),
		"unnamed: nobody lists it, two serve":  unnamed(invalid(find{pod: pod(container("api", "x"), container("web", "x")), follow: ingestor, entry: config.Workload{Env: name}}, failure.SlotInvalid, "2 of its containers can be meant (api, web)")),
		"unnamed: two list it": unnamed(invalid(find{
			pod: pod(container("api", "x", variable(name, "")), container("web", "x", variable(name, ""))), follow: ingestor, entry: config.Workload{Env: name},
		}, failure.SlotInvalid, "2 of its containers can be meant")),

		"from elsewhere (I40)":    invalid(slot(env(from), a), failure.SlotInvalid, "valueFrom"),
		"listed twice":            invalid(slot(env(variable(name, ""), variable(name, string(digest("a")))), a), failure.SlotInvalid, "lists INGESTOR_IMAGE_DIGEST 2 times"),
		"missing beside envFrom":  invalid(slot(envFrom, a), failure.SlotInvalid, "envFrom may set it"),
		"no such container":       invalid(slot(pod(container("web", "x")), a), failure.WorkloadMissing, `no container "api"`),
		"reference: a digest":     reference(env(variable(name, "ghcr.io/tracebloc/ingestor@"+string(digest("a")))), a),
		"reference: with its tag": reference(env(variable(name, ingestor+"@"+string(digest("a")))), a),
		"reference: a tag":        reference(env(variable(name, ingestor)), annotate.Unpinned),
		"reference: empty":        reference(env(variable(name, "")), annotate.None),
		"reference: in blanks":    reference(env(variable(name, " ghcr.io/tracebloc/ingestor@"+string(digest("a")))), annotate.Unpinned),
		"reference: in quotes":    reference(env(variable(name, `'`+ingestor+`'`)), annotate.Unpinned),
		"reference: in capitals":  reference(env(variable(name, "GHCR.IO/tracebloc/ingestor@"+strings.ToUpper(string(digest("a"))))), annotate.Unpinned),
		"reference: garbage":      invalid(reference(env(variable(name, "?!")), a), failure.SlotInvalid, `holds "?!", and not a reference by tag or digest (envValue: reference), as in ghcr.io/tracebloc/ingestor@sha256:4f53…`),
		"reference: a word":       invalid(reference(env(variable(name, "true")), a), failure.SlotInvalid, `holds "true"`),
		"reference: a URL":        invalid(reference(env(variable(name, "docker://"+ingestor)), a), failure.SlotInvalid, `holds "docker://`),
		"reference: two":          invalid(reference(env(variable(name, ingestor+" "+ingestor)), a), failure.SlotInvalid, `holds "`),
		"reference: neither tag nor digest, of the tag latest": func() find {
			f := reference(env(variable(name, "ghcr.io/tracebloc/ingestor")), annotate.Unpinned)
			f.follow, f.follows = "ghcr.io/tracebloc/ingestor", "ghcr.io/tracebloc/ingestor:latest"
			return f
		}(),
		"reference: spelled as the target spells it": func() find {
			f := reference(env(variable(name, "index.docker.io/library/nginx@"+string(digest("a")))), a)
			f.follow, f.follows, f.writes = "nginx:1", "docker.io/library/nginx:1", "nginx@"+string(digest("b"))
			return f
		}(),
		"reference: the digest that envValue digest left": invalid(reference(env(variable(name, string(digest("a")))), a), failure.SlotInvalid, `holds "sha256:`),
		"reference: another tag (I41)":                    invalid(reference(env(variable(name, "ghcr.io/tracebloc/ingestor:0.4")), a), failure.SlotMismatch, "refers to ghcr.io/tracebloc/ingestor:0.4"),
		"reference: another repository (I41)":             invalid(reference(env(variable(name, "nginx:0.3")), a), failure.SlotMismatch, "refers to docker.io/library/nginx:0.3"),
	})
}

// What the workload says is foreign: it is printed clean (I47).
func TestFindPrintsNothingForeign(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"ghcr.io/x/y:1\x1b[31m", "a\nb", strings.Repeat("a", 5000)} {
		_, problem := object(t, config.Deployment, pod(container("api", text))).Find(target(t, ingestor), config.Workload{Container: "api"})
		require.NotNil(t, problem)
		assert.NotContains(t, fmt.Sprintf("%q", problem.Message), `\`)
		assert.Less(t, len(problem.Message), 500)
	}
}
