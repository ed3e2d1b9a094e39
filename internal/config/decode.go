package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// maxExpanded bounds how many nodes aliases may stand for, so that a few kilobytes cannot mean billions of
// workloads.
const maxExpanded = 50_000

// problem is what is wrong with one key of the file, and what would be right.
type problem struct {
	path string // empty: the file as a whole
	what string
}

func (p problem) Error() string {
	if p.path == "" {
		return p.what
	}
	return p.path + ": " + p.what
}

// decode decodes the file strictly; of a values file of the chart, what the chart makes the file of. What could be decoded is
// returned beside the problems; nil where nothing could be.
func decode(text []byte, values bool) (*configFile, []error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return &configFile{}, nil // empty: it is the missing targets that are the problem
	}
	if err != nil {
		return nil, []error{errors.New("is not YAML: " + failure.Clean(strings.TrimPrefix(err.Error(), "yaml: ")))}
	}
	var problems []error
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		problems = append(problems, errors.New("has more than one YAML document: only the first would count"))
	}
	decoded := new(configFile)
	var d yamlDecoder
	if values {
		d.keepOwn(document.Content[0], reflect.TypeFor[configFile]())
	}
	d.decode(document.Content[0], "", reflect.ValueOf(decoded).Elem())
	if d.expanded > maxExpanded {
		return nil, append(problems, errors.New("has aliases that stand for too much: write it out"))
	}
	for _, problem := range d.problems {
		problems = append(problems, problem)
	}
	return decoded, problems
}

// yamlDecoder decodes nodes into the structs of the file. The library's own decoder would not do: its errors
// name lines and Go types instead of keys, it takes 1.5 for 1, and it leaves items out of a list where they are
// null or wrong, so that the index of every later one is another than in the file.
type yamlDecoder struct {
	problems []problem
	within   []*yaml.Node // what the aliases around the node stand for
	expanded int          // nodes within aliases so far
}

// keepOwn leaves of a values file the keys that the file has, and refuses templates in them.
func (d *yamlDecoder) keepOwn(root *yaml.Node, file reflect.Type) {
	if root.Kind != yaml.MappingNode {
		return
	}
	var own []*yaml.Node
	for i := 0; i+1 < len(root.Content); i += 2 {
		if slices.Contains(keys(file), root.Content[i].Value) {
			own = append(own, root.Content[i], root.Content[i+1])
			d.refuseTemplates(root.Content[i+1], root.Content[i].Value)
		}
	}
	root.Content = own
}

func (d *yamlDecoder) refuseTemplates(node *yaml.Node, path string) {
	switch node.Kind {
	case yaml.SequenceNode:
		for i, item := range node.Content {
			d.refuseTemplates(item, fmt.Sprintf("%s[%d]", path, i))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			d.refuseTemplates(node.Content[i+1], path+"."+node.Content[i].Value)
		}
	case yaml.ScalarNode:
		if strings.Contains(node.Value, "{{") {
			d.add(path, "%s, a template, which Helm alone fills in: write what it stands for", is(node.Value))
		}
	case yaml.AliasNode, yaml.DocumentNode: // what an alias stands for is not followed into loops: no name holds braces
	}
}

func (d *yamlDecoder) add(path, what string, args ...any) {
	d.problems = append(d.problems, problem{path: path, what: fmt.Sprintf(what, args...)})
}

func (d *yamlDecoder) decode(node *yaml.Node, path string, into reflect.Value) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
		if slices.Contains(d.within, node) {
			d.add(path, "has an alias that stands for itself: write it out")
			return
		}
		d.within = append(d.within, node)
		defer func() { d.within = d.within[:len(d.within)-1] }()
	}
	if len(d.within) > 0 {
		if d.expanded++; d.expanded > maxExpanded {
			return
		}
	}
	if node.ShortTag() == "!!null" { // null is "left out"
		return
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	switch into.Kind() {
	case reflect.Struct:
		d.mapping(node, path, into)
	case reflect.Slice:
		d.list(node, path, into)
	case reflect.String:
		if into.SetString(node.Value); node.Kind != yaml.ScalarNode {
			d.add(path, "%s, must be text", isNode(node))
		}
	case reflect.Int:
		var number int
		if node.ShortTag() != "!!int" || node.Decode(&number) != nil {
			d.add(path, "%s, must be a whole number, at least 1", isNode(node))
		}
		into.SetInt(int64(number))
	case reflect.Bool:
		var truth bool
		if node.Decode(&truth) != nil {
			d.add(path, "%s, must be true or false", isNode(node))
		}
		into.SetBool(truth)
	default:
		d.add(path, "cannot be decoded into %s", into.Type())
	}
}

func (d *yamlDecoder) list(node *yaml.Node, path string, into reflect.Value) {
	if node.Kind != yaml.SequenceNode {
		d.add(path, "%s, must be a list", isNode(node))
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(node.Content), len(node.Content)))
	for i, item := range node.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		if item.ShortTag() == "!!null" {
			d.add(at, "is null: remove the item, or fill it in")
		}
		d.decode(item, at, into.Index(i))
	}
}

func (d *yamlDecoder) mapping(node *yaml.Node, path string, into reflect.Value) {
	known := keys(into.Type())
	if node.Kind != yaml.MappingNode {
		d.add(path, "%s, must be a mapping with keys: %s", isNode(node), strings.Join(known, ", "))
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].ShortTag() == "!!merge" { // first, whatever its place: what stands here itself wins
			d.merge(node.Content[i+1], path, into)
		}
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.ShortTag() == "!!merge" {
			continue
		}
		name := key.Value
		if key.Kind != yaml.ScalarNode {
			name = "(a key that is no plain text)"
		}
		at := strings.TrimPrefix(path+"."+failure.Clean(name), ".")
		index := slices.Index(known, name)
		switch {
		case index < 0:
			d.add(at, "is not known here: %s", meant(name, known))
		case seen[name]:
			d.add(at, "is given twice, again in line %d: keep one", key.Line)
		default:
			d.decode(value, at, into.Field(index))
		}
		seen[name] = true
	}
}

// meant says which keys there are: the one that may have been meant, or all.
func meant(name string, known []string) string {
	if near := Nearest(name, known); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?"
	}
	return "the keys are " + strings.Join(known, ", ")
}

// merge takes over what `<<` brings in: a mapping, or a list of them, of which the first wins.
func (d *yamlDecoder) merge(node *yaml.Node, path string, into reflect.Value) {
	if node.Kind != yaml.SequenceNode {
		d.decode(node, path, into)
		return
	}
	for _, item := range slices.Backward(node.Content) {
		d.decode(item, path, into)
	}
}

// keys are the keys that a mapping may have, by the index of the field that takes each.
func keys(of reflect.Type) []string {
	var names []string
	for field := range of.Fields() {
		names = append(names, field.Tag.Get("yaml"))
	}
	return names
}
