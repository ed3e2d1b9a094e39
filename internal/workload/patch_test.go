package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// everything changes two slots of one container, one of another and one of an init container.
func everything(t *testing.T, kind config.Kind) (*workload.Object, workload.Change) {
	t.Helper()
	of := target(t, ingestor)
	read := object(t, kind, withInit(
		pod(container("api", ingestor, variable("A", ""), variable("B", "")), container("web", ingestor)), container("migrate", ingestor)))
	change := workload.Change{
		Labels:      map[string]string{"tracebloc.io/ingestor-digest": annotate.Mark(digest("b")), "old": ""},
		Annotations: map[string]string{"tracebloc.io/ingestor-refresh-state": `{"version":1}`, "tracebloc.io/refresh-skip-streak": ""},
	}
	for _, entry := range []config.Workload{
		{Container: "api", Env: "A"}, {Container: "migrate"}, {Container: "web"}, {Container: "api", Env: "B"}, {Container: "api"},
	} {
		slot, problem := read.Find(of, entry)
		require.Nil(t, problem)
		change.Slots = append(change.Slots, workload.SlotChange{Slot: slot, Digest: digest("b")})
	}
	return read, change
}

func TestStrategicMergeIsExactlyTheChange(t *testing.T) {
	t.Parallel()
	b := string(digest("b"))
	metadata := `"metadata":{"annotations":{"tracebloc.io/ingestor-refresh-state":"{\"version\":1}","tracebloc.io/refresh-skip-streak":null},` +
		`"labels":{"old":null,"tracebloc.io/ingestor-digest":"` + annotate.Mark(digest("b")) + `"},"resourceVersion":"42"}`
	template := `{"template":{"spec":{` +
		`"containers":[{"env":[{"name":"A","value":"` + b + `"},{"name":"B","value":"` + b + `"}],"image":"` + ingestor + "@" + b + `","name":"api"},` +
		`{"image":"` + ingestor + "@" + b + `","name":"web"}],` +
		`"initContainers":[{"image":"` + ingestor + "@" + b + `","name":"migrate"}]}}}`
	for _, kind := range config.Kinds() {
		spec := template
		if kind == config.CronJob {
			spec = `{"jobTemplate":{"spec":` + template + `}}`
		}
		read, change := everything(t, kind)
		body, err := change.StrategicMerge(read)
		require.NoError(t, err)
		assert.Equal(t, `{`+metadata+`,"spec":`+spec+`}`, string(body), kind)
	}
}

// Every write is guarded by the version that its decision was made on, and touches nothing that it does not change.
func TestStrategicMergeIsGuardedAndSmall(t *testing.T) {
	t.Parallel()
	read, full := everything(t, config.Deployment)
	initOnly := `{"initContainers":[{"image":"` + ingestor + "@" + string(digest("b")) + `","name":"migrate"}]}`
	for want, change := range map[string]workload.Change{
		`{"metadata":{"resourceVersion":"42"}}`:                                               {},
		`{"metadata":{"labels":{"a":"b"},"resourceVersion":"42"}}`:                            {Labels: map[string]string{"a": "b"}},
		`{"metadata":{"annotations":{"a":null},"resourceVersion":"42"}}`:                      {Labels: map[string]string{}, Annotations: map[string]string{"a": ""}},
		`{"metadata":{"annotations":{"a":"<&>\n\""},"resourceVersion":"42"}}`:                 {Annotations: map[string]string{"a": "<&>\n\""}},
		`{"metadata":{"resourceVersion":"42"},"spec":{"template":{"spec":` + initOnly + `}}}`: {Slots: full.Slots[1:2]},
	} {
		body, err := change.StrategicMerge(read)
		require.NoError(t, err)
		assert.JSONEq(t, want, string(body))
	}
}

// A change is in an object that bears all that it sets, and nothing that it removes; what else is there does not count.
func TestChangeIsAppliedToWhatBearsIt(t *testing.T) {
	t.Parallel()
	labels, annotations := map[string]string{"l": "1", "other": "x"}, map[string]string{"a": "1", "other": "x"}
	for name, c := range map[string]struct {
		change workload.Change
		want   bool
	}{
		"nothing":                {workload.Change{}, false},
		"a label":                {workload.Change{Labels: map[string]string{"l": "1"}}, true},
		"an annotation":          {workload.Change{Annotations: map[string]string{"a": "1"}}, true},
		"both":                   {workload.Change{Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "1"}}, true},
		"one of both":            {workload.Change{Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "2"}}, false},
		"another value":          {workload.Change{Labels: map[string]string{"l": "2"}}, false},
		"another key":            {workload.Change{Labels: map[string]string{"a": "1"}}, false},
		"removed":                {workload.Change{Annotations: map[string]string{"gone": ""}}, true},
		"to be removed":          {workload.Change{Annotations: map[string]string{"a": ""}}, false},
		"removed, and one is it": {workload.Change{Annotations: map[string]string{"gone": "", "a": "1"}}, true},
	} {
		o := object(t, config.Deployment, pod())
		o.Meta.Labels, o.Meta.Annotations = labels, annotations
		assert.Equal(t, c.want, c.change.AppliedTo(o), name)
	}
}

func TestChangeOnlyRemoves(t *testing.T) {
	t.Parallel()
	_, full := everything(t, config.Deployment)
	for name, c := range map[string]struct {
		change        workload.Change
		empty, clears bool
	}{
		"nothing":             {workload.Change{}, true, true},
		"nothing, with maps":  {workload.Change{Labels: map[string]string{}, Annotations: map[string]string{}}, true, true},
		"an annotation goes":  {workload.Change{Annotations: map[string]string{"a": ""}}, false, true},
		"a label goes":        {workload.Change{Labels: map[string]string{"a": ""}}, false, true},
		"one of them is set":  {workload.Change{Labels: map[string]string{"a": ""}, Annotations: map[string]string{"a": "", "b": "1"}}, false, false},
		"a label is set":      {workload.Change{Labels: map[string]string{"a": "1"}}, false, false},
		"a slot":              {workload.Change{Slots: full.Slots}, false, false},
		"a slot, and removal": {workload.Change{Slots: full.Slots, Labels: map[string]string{"a": ""}}, false, false},
	} {
		assert.Equal(t, c.empty, c.change.Empty(), name)
		assert.Equal(t, c.clears, c.change.OnlyRemoves(), name)
	}
}

// What the API server answers may not be what was written (I82).
func TestLost(t *testing.T) {
	t.Parallel()
	const name = "DIGEST"
	b := string(digest("b"))
	before := object(t, config.Deployment, pod(container("api", "nginx:1", variable(name, "")), container("web", "nginx:1")))
	follow := target(t, "nginx:1")
	img, problem := before.Find(follow, config.Workload{Container: "web"})
	require.Nil(t, problem)
	env, problem := before.Find(follow, config.Workload{Container: "api", Env: name})
	require.Nil(t, problem)
	reference, problem := before.Find(follow, config.Workload{Container: "api", Env: name, Reference: true})
	require.Nil(t, problem)
	after := func(image, variableHolds string) *workload.Object {
		o := object(t, config.Deployment, pod(container("api", "nginx:1", variable(name, variableHolds)), container("web", image)))
		o.Meta.Labels, o.Meta.Annotations = map[string]string{"l": "1"}, map[string]string{"a": "1"}
		return o
	}
	written := workload.Change{
		Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "1", "gone": ""},
		Slots: []workload.SlotChange{{Slot: img, Digest: digest("b")}, {Slot: env, Digest: digest("b")}},
	}
	for text, same := range map[string]bool{
		"nginx:1@" + b: true, "nginx@" + b: true, "docker.io/library/nginx:1@" + b: true,
		"nginx:1@" + string(digest("a")): false, "nginx:1": false, "mirror.example.com/nginx:1@" + b: false, "": false,
	} {
		lost := written.Lost(after(text, b))
		assert.Equal(t, same, len(lost) == 0, text)
		if !same {
			assert.Contains(t, lost[0], "slot web")
		}
	}
	for text, same := range map[string]bool{b: true, ` "` + b + `" `: true, string(digest("a")): false, "": false, "nginx@" + b: false} {
		assert.Equal(t, same, len(written.Lost(after("nginx:1@"+b, text))) == 0, text)
	}
	inReference := workload.Change{Slots: []workload.SlotChange{{Slot: reference, Digest: digest("b")}}}
	for text, same := range map[string]bool{"nginx@" + b: true, "docker.io/nginx:1@" + b: true, b: false, "redis@" + b: false} {
		assert.Equal(t, same, len(inReference.Lost(after("nginx:1", text))) == 0, text)
	}
	dropped := after("nginx:1@"+b, b)
	dropped.Meta.Labels, dropped.Meta.Annotations = nil, map[string]string{"gone": "x"}
	assert.Equal(t, []string{"label l", "annotation a", "annotation gone"}, written.Lost(dropped))
}
