package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tracebloc/image-refresh/internal/image"
)

// maxTargetName leaves room in an annotation key's 63 characters for what we append to the name.
const maxTargetName = 32

var (
	hostPattern   = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:[0-9]{1,5})?$`)
	mirrorPattern = regexp.MustCompile(`^[^/]+(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)
)

// validator collects every problem of a file, each with the path of its key.
type validator struct {
	env      Env
	problems []error
}

func (v *validator) add(path, what string, args ...any) {
	v.problems = append(v.problems, fmt.Errorf("%s: %s", path, fmt.Sprintf(what, args...)))
}

func (v *validator) registries(entries []registryEntry) []Registry {
	var registries []Registry
	seen := map[string]int{}
	for i, entry := range entries {
		path := fmt.Sprintf("registries[%d]", i)
		if !hostPattern.MatchString(entry.Host) {
			v.add(path+".host", "must be a registry's host, as in docker.io or harbor.example.com:8443, without a scheme or a path")
		} else if first, double := seen[entry.Host]; double {
			v.add(path+".host", "is the same as registries[%d].host: list a host once", first)
		}
		seen[entry.Host] = i
		for j, mirror := range entry.Mirrors {
			host, _, _ := strings.Cut(mirror, "/")
			if !hostPattern.MatchString(host) || !mirrorPattern.MatchString(mirror) {
				v.add(fmt.Sprintf("%s.mirrors[%d]", path, j), "must be host or host/path, as in harbor.example.com/dockerhub, without a scheme")
			}
		}
		fallback := entry.Fallback == nil || *entry.Fallback
		if !fallback && len(entry.Mirrors) == 0 {
			v.add(path+".fallback", "is false, and there are no mirrors: nothing would ever be asked")
		}
		if entry.CAFile != "" {
			if entry.PlainHTTP {
				v.add(path+".caFile", "means nothing beside plainHTTP: true: leave one of them out")
			} else if _, err := os.Stat(entry.CAFile); err != nil {
				v.add(path+".caFile", "cannot be read: mount the file, or leave the key out")
			}
		}
		registries = append(registries, Registry{
			Host: entry.Host, Mirrors: entry.Mirrors, Fallback: fallback, CAFile: entry.CAFile, PlainHTTP: entry.PlainHTTP,
		})
	}
	return registries
}

func (v *validator) targets(entries []targetEntry) []Target {
	if len(entries) == 0 {
		v.add("targets", "must name at least one target: there is nothing to keep fresh")
	}
	var targets []Target
	names, slots := map[string]int{}, map[string]string{}
	for i, entry := range entries {
		path := fmt.Sprintf("targets[%d]", i)
		if len(validation.IsDNS1123Label(entry.Name)) > 0 || len(entry.Name) > maxTargetName {
			v.add(path+".name", "must be a DNS label (lowercase letters, digits, dashes) of at most %d characters", maxTargetName)
		} else if first, double := names[entry.Name]; double {
			v.add(path+".name", "is the same as targets[%d].name: give each target its own", first)
		}
		names[entry.Name] = i
		target := Target{
			Name:        entry.Name,
			Image:       v.image(path, entry),
			Notify:      v.choice(path+".mode", entry.Mode, "apply", "notify") == "notify",
			Platforms:   v.platforms(path, entry.Platforms),
			PullSecrets: v.pullSecrets(path, entry.PullSecrets),
			DigestOnly:  v.choice(path+".pin", entry.Pin, "tag@digest", "digest") == "digest",
			Workloads:   v.workloads(path, entry, slots),
		}
		target.ResolveFailureThreshold = int(v.env.ResolveFailureThreshold)
		if own := entry.ResolveFailureThreshold; own != nil {
			target.ResolveFailureThreshold = *own
			if *own < 1 {
				v.add(path+".resolveFailureThreshold", "must be a whole number, at least 1")
			}
		}
		var err error
		if target.MinAge, err = age(entry.MinAge); err != nil {
			v.add(path+".minAge", "%s", err)
		}
		targets = append(targets, target)
	}
	return targets
}

func (v *validator) image(path string, entry targetEntry) *image.Reference {
	if entry.Image == "" {
		if slices.ContainsFunc(entry.Workloads, func(w workloadEntry) bool { return w.Env != "" }) {
			v.add(path+".image", "must name the image to follow, as in ghcr.io/example/app:1.2: only image mode may leave it out")
		}
		return nil
	}
	ref, err := image.ParseReference(entry.Image)
	switch {
	case err != nil:
		v.add(path+".image", "must be an image reference, as in ghcr.io/example/app:1.2")
	case ref.Digest != "":
		v.add(path+".image", "must not carry a digest: it is the tag that is followed")
	}
	return &ref
}

func (v *validator) choice(path, value string, choices ...string) string {
	if value == "" {
		return choices[0]
	}
	if !slices.Contains(choices, value) {
		v.add(path, "must be %s", strings.Join(choices, " or "))
	}
	return value
}

func (v *validator) platforms(path string, texts []string) []image.Platform {
	var platforms []image.Platform
	for i, text := range texts {
		platform, err := image.ParsePlatform(text)
		if err != nil {
			v.add(fmt.Sprintf("%s.platforms[%d]", path, i), "%s", err)
		}
		platforms = append(platforms, platform)
	}
	return platforms
}

func (v *validator) pullSecrets(path string, names []string) []string {
	for i, name := range names {
		if len(validation.IsDNS1123Subdomain(name)) > 0 {
			v.add(fmt.Sprintf("%s.pullSecrets[%d]", path, i), "must be the name of a Secret")
		}
	}
	return names
}

func (v *validator) workloads(path string, entry targetEntry, slots map[string]string) []Workload {
	if len(entry.Workloads) == 0 {
		v.add(path+".workloads", "must name at least one workload that uses the image")
	}
	var workloads []Workload
	for i, w := range entry.Workloads {
		path := fmt.Sprintf("%s.workloads[%d]", path, i)
		if !slices.Contains(Kinds(), Kind(w.Kind)) {
			v.add(path+".kind", "must be Deployment, StatefulSet, DaemonSet or CronJob")
		}
		if len(validation.IsDNS1123Subdomain(w.Name)) > 0 {
			v.add(path+".name", "must be the name of the %s", Kind(w.Kind).orWorkload())
		}
		if w.Namespace != "" && len(validation.IsDNS1123Label(w.Namespace)) > 0 {
			v.add(path+".namespace", "must be a namespace")
		}
		if w.Container != "" && len(validation.IsDNS1123Label(w.Container)) > 0 {
			v.add(path+".container", "must be the name of a container")
		}
		if w.Env != "" && len(validation.IsEnvVarName(w.Env)) > 0 {
			v.add(path+".env", "must be the name of an environment variable")
		}
		if w.EnvValue != "" && w.Env == "" {
			v.add(path+".envValue", "means nothing without env")
		}
		namespace := w.Namespace
		if namespace == "" {
			namespace = string(v.env.Namespace)
		}
		slot := strings.Join([]string{w.Kind, namespace, w.Name, w.Container, w.Env}, " ")
		if first, double := slots[slot]; double {
			v.add(path, "claims the same slot as %s: a slot follows one target, once", first)
		} else {
			slots[slot] = path
		}
		workloads = append(workloads, Workload{
			Kind: Kind(w.Kind), Name: w.Name, Namespace: w.Namespace, Container: w.Container, Env: w.Env,
			Reference: v.choice(path+".envValue", w.EnvValue, "digest", "reference") == "reference",
		})
	}
	return workloads
}

func (k Kind) orWorkload() string {
	if slices.Contains(Kinds(), k) {
		return string(k)
	}
	return "workload"
}
