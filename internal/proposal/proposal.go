// Package proposal writes the targets of a configuration for what runs in a cluster: one for each tag that floats.
package proposal

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// Workload is one that runs, and the names of the pull secrets that its pods use.
type Workload struct {
	*workload.Object
	Secrets []string
}

// use is a container that runs an image.
type use struct {
	of        Workload
	container string
}

// proposal collects what floats, by the normalised reference, and what was left out.
type proposal struct {
	prefix  string // of our labels
	images  map[string]image.Reference
	uses    map[string][]use
	leftOut []string
	digests []string // variables that look like digests
}

// Write writes the targets for workloads, in an order that depends on nothing but them. A tag without a digest floats, and so
// does one with a digest that this program has put there, which its label, with this prefix, tells. Comments say what was left out.
func Write(out io.Writer, workloads []Workload, prefix string) error {
	p := proposal{prefix: prefix, images: map[string]image.Reference{}, uses: map[string][]use{}}
	sort.Slice(workloads, func(i, j int) bool { return workloads[i].Ref.String() < workloads[j].Ref.String() })
	for _, w := range workloads {
		p.add(w)
	}
	return p.write(out)
}

func (p *proposal) add(w Workload) {
	if workload.RunsThisProgram(w.Meta.Labels, w.Pod) {
		p.leave("%s is this program itself", w.Ref)
		return
	}
	if controller := w.Controller(); controller != "" {
		p.leave("%s is rendered by %s: set its image there, or have it leave the image alone", w.Ref, controller)
		return
	}
	for _, container := range slices.Concat(w.Pod.InitContainers, w.Pod.Containers) {
		p.addContainer(w, container)
	}
}

func (p *proposal) leave(format string, args ...any) {
	p.leftOut = append(p.leftOut, fmt.Sprintf(format, args...))
}

func (p *proposal) addContainer(w Workload, container corev1.Container) {
	for _, variable := range container.Env {
		p.addVariable(w, container.Name, variable)
	}
	ref, why := floating(w.Object, container, p.prefix)
	if why != "" {
		p.leave("%s, container %s: %s %s", w.Ref, container.Name, failure.Clean(container.Image), why)
		return
	}
	key := ref.String()
	if _, known := p.images[key]; !known {
		p.images[key] = ref
	}
	p.uses[key] = append(p.uses[key], use{w, container.Name})
}

// Floating are the references that a workload's containers float on, by container. What this program or an operator renders is
// not meant.
func Floating(w *workload.Object, prefix string) map[string]image.Reference {
	found := map[string]image.Reference{}
	if workload.RunsThisProgram(w.Meta.Labels, w.Pod) || w.Controller() != "" {
		return found
	}
	for _, container := range slices.Concat(w.Pod.InitContainers, w.Pod.Containers) {
		if ref, why := floating(w, container, prefix); why == "" {
			found[container.Name] = ref
		}
	}
	return found
}

// floating is the reference that a container floats on, without a digest, or why it floats on none.
func floating(w *workload.Object, container corev1.Container, prefix string) (ref image.Reference, why string) {
	ref, err := image.ParseReference(container.Image)
	switch {
	case err != nil:
		return ref, "is no image reference"
	case ref.Tag == "":
		return ref, "is pinned by a digest alone, which is its owner's"
	case ref.Digest != "" && !ours(w, ref.Digest, prefix):
		return ref, "is pinned by its owner"
	case container.ImagePullPolicy == corev1.PullNever:
		return ref, "has imagePullPolicy Never"
	}
	ref.Digest = ""
	return ref, ""
}

// ours says whether a target of ours has put a digest there.
func ours(w *workload.Object, digest image.Digest, prefix string) bool {
	for key, value := range w.Meta.Labels {
		mark, _, _ := strings.Cut(value, ".") // what follows names the slots
		if strings.HasPrefix(key, prefix+"/") && strings.HasSuffix(key, "-digest") && mark == annotate.Mark(digest) {
			return true
		}
	}
	return false
}

// addVariable proposes a variable that holds a digest: which tag it stands for is not known.
func (p *proposal) addVariable(w Workload, container string, variable corev1.EnvVar) {
	follow, form := "REPOSITORY:TAG", ""
	if ref, err := image.ParseReference(variable.Value); err == nil && ref.Digest != "" {
		follow, form = ref.Spelled+":TAG", ", envValue: reference"
	} else if _, err := image.ParseDigest(variable.Value); err != nil {
		return
	}
	p.digests = append(p.digests, fmt.Sprintf(
		"  - name: %s\n    image: %s\n    workloads:\n      - {kind: %s, namespace: %s, name: %s, container: %s, env: %s%s}",
		label(variable.Name), follow, w.Kind, w.Namespace, w.Name, container, variable.Name, form))
}

// entry is a target as it is written.
type entry struct {
	Name        string      `yaml:"name"`
	Image       yaml.Node   `yaml:"image"`
	PullSecrets []string    `yaml:"pullSecrets,omitempty,flow"`
	Workloads   []yaml.Node `yaml:"workloads"`
}

func (p *proposal) write(out io.Writer) error {
	targets := []entry{}
	names := p.names()
	for _, key := range slices.Sorted(maps.Keys(p.images)) {
		ref := p.images[key]
		target := entry{Name: names[key], PullSecrets: p.secrets(p.uses[key])}
		target.Image.SetString(ref.Spelled + ":" + ref.Tag)
		if ref.Floating {
			target.Image.LineComment = "may be another major version tomorrow: name a tag of a release line, as in :1.2"
		}
		for _, one := range p.uses[key] {
			var node yaml.Node
			if err := node.Encode(struct{ Kind, Namespace, Name, Container string }{
				string(one.of.Kind), one.of.Namespace, one.of.Name, one.container,
			}); err != nil {
				return err
			}
			node.Style = yaml.FlowStyle
			target.Workloads = append(target.Workloads, node)
		}
		targets = append(targets, target)
	}
	var text strings.Builder
	text.WriteString("# Made by image-refresh init: a target for each tag that floats. See what a tick would do: image-refresh plan -f FILE\n")
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(map[string]any{"targets": targets}); err != nil {
		return err
	}
	comment(&text, "Variables that look like digests. Where a tag stands for one, give it a name and a tag, and add it:", p.digests)
	comment(&text, "Pull secrets that these pods use, as NAMESPACE/NAME, for the chart's value pullSecrets:", p.mounts())
	comment(&text, "Left out:", p.leftOut)
	_, err := io.WriteString(out, text.String())
	return err
}

func comment(text *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(text, "\n# %s\n# %s\n", title, strings.ReplaceAll(strings.Join(lines, "\n"), "\n", "\n# "))
}

// secrets are those that all pods of a target use; none where they differ, as each workload's own are used then.
func (p *proposal) secrets(uses []use) []string {
	for _, one := range uses {
		if !slices.Equal(one.of.Secrets, uses[0].of.Secrets) {
			return nil
		}
	}
	return uses[0].of.Secrets
}

// mounts are the pull secrets of all targets.
func (p *proposal) mounts() []string {
	all := map[string]bool{}
	for _, uses := range p.uses {
		for _, one := range uses {
			for _, secret := range one.of.Secrets {
				all[one.of.Namespace+"/"+secret] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}
