package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// everything changes two variables and the image of one container, the image of another, and that of an init container.
func everything(t *testing.T, kind config.Kind) (*workload.Object, workload.Change) {
	t.Helper()
	o := object(t, kind, withInit(
		pod(container("api", ingestor, env("A", ""), env("B", "")), container("web", ingestor)), container("migrate", ingestor)))
	change := workload.Change{
		Labels:      map[string]string{"p/ingestor-digest": annotate.Mark(digestB), "old": ""},
		Annotations: map[string]string{"p/ingestor-refresh-state": `{"version":1}`, "p/refresh-skip-streak": ""},
	}
	for _, entry := range []config.Workload{
		{Container: "api", Env: "A"}, {Container: "migrate"}, {Container: "web"}, {Container: "api", Env: "B"}, {Container: "api"},
	} {
		change.Slots = append(change.Slots, workload.SlotChange{Slot: find(t, o, ingestor, entry), Digest: digestB})
	}
	return o, change
}

// A patch is guarded by the version that its decision was made on, and holds nothing but the change.
func TestAPatchIsExactlyTheChange(t *testing.T) {
	t.Parallel()
	image, value := `"image":"`+ingestor+"@"+string(digestB)+`"`, `"value":"`+string(digestB)+`"`
	template := `{"template":{"spec":{` +
		`"containers":[{"env":[{"name":"A",` + value + `},{"name":"B",` + value + `}],` + image + `,"name":"api"},` +
		`{` + image + `,"name":"web"}],"initContainers":[{` + image + `,"name":"migrate"}]}}}`
	for _, kind := range config.Kinds() {
		spec := template
		if kind == config.CronJob {
			spec = `{"jobTemplate":{"spec":` + template + `}}`
		}
		o, change := everything(t, kind)
		body, err := change.StrategicMerge(o)
		require.NoError(t, err)
		assert.Equal(t, `{"metadata":{"annotations":{"p/ingestor-refresh-state":"{\"version\":1}","p/refresh-skip-streak":null},`+
			`"labels":{"old":null,"p/ingestor-digest":"`+annotate.Mark(digestB)+`"},"resourceVersion":"42"},"spec":`+spec+`}`, string(body), kind)
	}
	const version = `{"metadata":{"resourceVersion":"42"}`
	o, full := everything(t, config.Deployment)
	for want, change := range map[string]workload.Change{
		version + `}`: {},
		`{"metadata":{"labels":{"a":"b"},"resourceVersion":"42"}}`:                                       {Labels: map[string]string{"a": "b"}},
		`{"metadata":{"annotations":{"a":null},"resourceVersion":"42"}}`:                                 {Labels: map[string]string{}, Annotations: map[string]string{"a": ""}},
		`{"metadata":{"annotations":{"a":"<&>\n\""},"resourceVersion":"42"}}`:                            {Annotations: map[string]string{"a": "<&>\n\""}},
		version + `,"spec":{"template":{"spec":{"initContainers":[{` + image + `,"name":"migrate"}]}}}}`: {Slots: full.Slots[1:2]},
	} {
		body, err := change.StrategicMerge(o)
		require.NoError(t, err)
		assert.JSONEq(t, want, string(body))
	}
}

// Whether there is nothing to write, or only what is no longer true is removed; and whether an object with the label l, the
// annotation a, and others, bears the change.
func TestWhatAChangeIs(t *testing.T) {
	t.Parallel()
	type values = map[string]string
	_, full := everything(t, config.Deployment)
	for name, c := range map[string]struct {
		change                  workload.Change
		empty, removes, isBorne bool
	}{
		"nothing":              {workload.Change{}, true, true, false},
		"a label":              {workload.Change{Labels: values{"other": "x"}}, false, false, true},
		"a label for people":   {workload.Change{Labels: values{"l": "1"}}, false, true, true},
		"an annotation":        {workload.Change{Annotations: values{"a": "1"}}, false, false, true},
		"both":                 {workload.Change{Labels: values{"l": "1"}, Annotations: values{"a": "1"}}, false, false, true},
		"another value":        {workload.Change{Labels: values{"other": "2"}}, false, false, false},
		"removed":              {workload.Change{Annotations: values{"gone": ""}}, false, true, true},
		"to be removed":        {workload.Change{Annotations: values{"a": ""}}, false, true, false},
		"removed, and one set": {workload.Change{Annotations: values{"gone": "", "a": "1"}}, false, false, true},
		"a slot":               {workload.Change{Slots: full.Slots}, false, false, false},
		"a slot, and removed":  {workload.Change{Slots: full.Slots, Labels: values{"gone": ""}}, false, false, true},
	} {
		o := object(t, config.Deployment, pod())
		o.Meta.Labels, o.Meta.Annotations = values{"l": "1", "other": "x"}, values{"a": "1", "other": "x"}
		assert.Equal(t, c.empty, c.change.Empty(), name)
		assert.Equal(t, c.removes, c.change.OnlyTidies("l"), name)
		assert.Equal(t, c.isBorne, c.change.AppliedTo(o), name)
	}
}

// What the API server answers may not be what was written.
func TestI82WhatIsLostOfAChange(t *testing.T) {
	t.Parallel()
	after := func(image, value string) *workload.Object {
		o := object(t, config.Deployment, pod(container("api", "nginx:1", env("DIGEST", value)), container("web", image)))
		o.Meta.Labels, o.Meta.Annotations = map[string]string{"l": "1"}, map[string]string{"a": "1"}
		return o
	}
	before, a, b := after("nginx:1", ""), string(digestA), string(digestB)
	writes := func(entry config.Workload) workload.Change {
		return workload.Change{
			Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "1", "gone": ""},
			Slots: []workload.SlotChange{{Slot: find(t, before, "nginx:1", entry), Digest: digestB}},
		}
	}
	image, digest := config.Workload{Container: "web"}, config.Workload{Container: "api", Env: "DIGEST"}
	reference := digest
	reference.Reference = true
	for entry, texts := range map[config.Workload]map[string]bool{ // is it what was written?
		image: {
			"nginx:1@" + b: true, "nginx@" + b: true, "docker.io/library/nginx:1@" + b: true,
			"nginx:1@" + a: false, "nginx:1": false, "mirror.example.com/nginx:1@" + b: false, "": false,
		},
		digest:    {b: true, ` "` + b + `" `: true, a: false, "": false, "nginx@" + b: false},
		reference: {"nginx@" + b: true, "docker.io/nginx:1@" + b: true, b: false, "redis@" + b: false},
	} {
		for text, kept := range texts {
			lost := writes(entry).Lost(after(text, text))
			assert.Equal(t, kept, lost == nil, text)
			if !kept {
				assert.Contains(t, lost.Message, "(slot "+find(t, before, "nginx:1", entry).Key())
			}
		}
	}
	dropped := after("nginx:1@"+b, "")
	dropped.Meta.Labels, dropped.Meta.Annotations = nil, map[string]string{"gone": "x"}
	assert.Contains(t, writes(image).Lost(dropped).Message, "(label l; annotation a; annotation gone)")
}
