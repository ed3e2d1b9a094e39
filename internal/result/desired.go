package result

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Desired is what slots should hold, for those who commit it in place of having it patched.
type Desired struct {
	Values  map[string]string // by the path of the chart's value
	Patches []map[string]any  // strategic merge patches, one a workload
	Unknown []string          // slots of which nothing is known that they should hold
	Unnamed []string          // slots for which no chart's value is named
}

const generated = "# Made by image-refresh plan: digests to commit.\n"

// WriteValues prints the digests as a values file for Helm.
func (w Desired) WriteValues(out io.Writer) error {
	root := map[string]any{}
	for _, path := range slices.Sorted(maps.Keys(w.Values)) {
		keys := strings.Split(path, ".")
		at := root
		for _, key := range keys[:len(keys)-1] {
			next, there := at[key].(map[string]any)
			if !there { // no value is beside what it holds: the configuration is refused otherwise
				next = map[string]any{}
				at[key] = next
			}
			at = next
		}
		at[keys[len(keys)-1]] = w.Values[path]
	}
	return write(out, root)
}

// WritePatches prints the digests as strategic merge patches, a document a workload, as kustomize and kubectl take
// them.
func (w Desired) WritePatches(out io.Writer) error {
	documents := make([]any, 0, len(w.Patches))
	for _, patch := range w.Patches {
		documents = append(documents, patch)
	}
	return write(out, documents...)
}

// write prints documents with the keys of each in one order, so that what did not change makes no diff.
func write(out io.Writer, documents ...any) error {
	var text bytes.Buffer
	text.WriteString(generated)
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	for _, document := range documents {
		if err := encoder.Encode(document); err != nil {
			return err
		}
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	_, err := out.Write(text.Bytes())
	return err
}
