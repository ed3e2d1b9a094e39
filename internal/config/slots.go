package config

import "fmt"

// In says what is wrong with the configuration where workloads that name no namespace are in this one, which only a
// kubeconfig may tell: an *Invalid, where two targets claim one slot that way.
func (c Config) In(namespace string) error {
	type slot struct{ kind, namespace, name, container, env string }
	claimed := map[slot]string{}
	var problems []error
	for i, target := range c.Targets {
		for k, w := range target.Workloads {
			path := fmt.Sprintf("targets[%d].workloads[%d]", i, k)
			if w.Namespace == "" {
				w.Namespace = namespace
			}
			own := slot{string(w.Kind), w.Namespace, w.Name, w.Container, w.Env}
			if first, double := claimed[own]; double {
				problems = append(problems, fmt.Errorf("%s claims the same slot as %s, in namespace %s: a slot follows one target, once", path, first, namespace))
				continue
			}
			claimed[own] = path
		}
	}
	if len(problems) > 0 {
		return &Invalid{Problems: problems}
	}
	return nil
}
