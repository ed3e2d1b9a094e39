package status

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// left are the keys of ours in a namespace, and on which resources.
type left struct{ labels, annotations, resources map[string]bool }

// removal are the commands that remove all that is ours from the workloads that a selector selects, two a namespace. The label by
// which they are selected goes last.
func removal(keys annotate.Keys, workloads []workload.Labelled, selector string) []string {
	namespaces := map[string]left{}
	for _, w := range workloads {
		in, known := namespaces[w.Namespace]
		if !known {
			in = left{map[string]bool{}, map[string]bool{}, map[string]bool{}}
			namespaces[w.Namespace] = in
		}
		labels, annotations := keys.Own(w.Labels, w.Annotations)
		in.resources[w.Resource()] = true
		for _, key := range labels {
			in.labels[key] = true
		}
		for _, key := range annotations {
			in.annotations[key] = true
		}
	}
	var commands []string
	for _, namespace := range slices.Sorted(maps.Keys(namespaces)) {
		in := namespaces[namespace]
		for _, one := range []struct {
			verb string
			keys map[string]bool
		}{{"annotate", in.annotations}, {"label", in.labels}} {
			if len(one.keys) == 0 {
				continue
			}
			commands = append(commands, fmt.Sprintf("kubectl %s -n %s %s -l '%s' %s-", one.verb, namespace,
				strings.Join(slices.Sorted(maps.Keys(in.resources)), ","), selector, strings.Join(slices.Sorted(maps.Keys(one.keys)), "- ")))
		}
	}
	return commands
}
