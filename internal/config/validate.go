package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tracebloc/image-refresh/internal/file"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/signature"
	"github.com/tracebloc/image-refresh/internal/window"
)

// maxTargetName leaves room in an annotation key's 63 characters for what we append to the name.
const maxTargetName = 32

// Bounds on the keys of a target: each signature that is found is tried with every one.
const (
	maxKeys    = 20
	maxKeyFile = 64 << 10
)

var (
	hostPattern   = regexp.MustCompile(`^[a-z0-9.-]+(:[0-9]{1,5})?$|^\[[0-9a-f:]+\](:[0-9]{1,5})?$`)
	mirrorPattern = regexp.MustCompile(`^[^/]+(/[a-z0-9._-]+)*$`)
	// A path of keys. List indices are left out: a values file replaces a list as a whole.
	helmValuePattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
)

// validator collects every problem of a file, each with the path of its key.
type validator struct {
	env      Env
	undone   map[string]bool // keys that could not be decoded
	problems []error

	helmValues map[string]valueMeaning // what each chart's value that is named means
}

func newValidator(env Env, found []error) *validator {
	v := &validator{env: env, undone: map[string]bool{}, helmValues: map[string]valueMeaning{}}
	for _, err := range found {
		if before, ok := errors.AsType[problem](err); ok {
			v.undone[before.path] = true
		}
	}
	return v
}

// add adds a problem, unless it only follows from a key that could not be decoded: a list that is no list looks
// empty.
func (v *validator) add(path, what string, args ...any) {
	for i := 0; i <= len(path); i++ {
		if (i == 0 || i == len(path) || path[i] == '.') && v.undone[path[:i]] {
			return
		}
	}
	v.problems = append(v.problems, problem{path: path, what: fmt.Sprintf(what, args...)})
}

func (v *validator) registries(entries []registryEntry, identity bool) []image.Registry {
	var registries []image.Registry
	seen := map[string]int{}
	for i, entry := range entries {
		path := fmt.Sprintf("registries[%d]", i)
		host, ok := registryHost(entry.Host)
		if !ok {
			v.add(path+".host", "%s, must be a registry's host as image references name it, as in docker.io or harbor.example.com:8443, without a scheme or a path", is(entry.Host))
		} else if first, double := seen[host]; double {
			v.add(path+".host", "%s, the same as registries[%d].host: list a host once", is(entry.Host), first)
		} else {
			seen[host] = i
		}
		for j, mirror := range entry.Mirrors {
			path := fmt.Sprintf("%s.mirrors[%d]", path, j)
			if !isMirror(mirror) {
				v.add(path, "%s, must be host or host/path, as in harbor.example.com/dockerhub, without a scheme; docker.io is no mirror", is(mirror))
			} else if mirror == host {
				v.add(path, "%s, the host itself, which fallback already asks: leave it out", is(mirror))
			}
		}
		fallback := orTrue(entry.Fallback)
		own := identity
		if entry.CloudIdentity != nil {
			own = *entry.CloudIdentity
		}
		if !fallback && len(entry.Mirrors) == 0 {
			v.add(path+".fallback", "is false, and there are no mirrors: nothing would ever be asked")
		}
		registries = append(registries, image.Registry{
			Host: entry.Host, Mirrors: entry.Mirrors, Fallback: fallback, Roots: v.roots(path+".caFile", entry), PlainHTTP: entry.PlainHTTP,
			CloudIdentity: own,
		})
	}
	return registries
}

// orTrue is a switch that is on where it is left out.
func orTrue(given *bool) bool { return given == nil || *given }

// roots are the certificates that are trusted for a registry with some of its own: the system's, and those.
func (v *validator) roots(path string, entry registryEntry) *x509.CertPool {
	if entry.CAFile == "" {
		return nil
	}
	if entry.PlainHTTP {
		v.add(path, "%s, which means nothing beside plainHTTP: true: leave one of them out", is(entry.CAFile))
		return nil
	}
	pem, err := file.Read(entry.CAFile, maxFile)
	if err != nil {
		v.add(path, "%s, cannot be read: %s: mount the file, or leave the key out", is(entry.CAFile), withoutPath(err))
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		v.add(path, "%s, added to the system's certificates, which cannot be read: see SSL_CERT_FILE and SSL_CERT_DIR", is(entry.CAFile))
		return nil
	}
	if !pool.AppendCertsFromPEM(pem) {
		v.add(path, "%s, must hold at least one PEM certificate", is(entry.CAFile))
	}
	return pool
}

// registryHost is a host as references that are normalised name it. A name without a dot or a port is none:
// it would be read as a repository of docker.io, and the entry would silently mean nothing.
func registryHost(text string) (string, bool) {
	ref, err := image.ParseReference(text + "/name")
	if err != nil || !hostPattern.MatchString(text) || ref.Repository != "name" && ref.Repository != "library/name" {
		return "", false
	}
	return ref.Host, true
}

// isMirror says whether a repository's name can be appended to the text. docker.io is nobody's mirror.
func isMirror(text string) bool {
	host, path, _ := strings.Cut(text, "/")
	if path != "" {
		path += "/"
	}
	known, ok := registryHost(host)
	ref, err := image.ParseReference(text + "/name")
	return ok && known != "docker.io" && err == nil && mirrorPattern.MatchString(text) && ref.Host == host && ref.Repository == path+"name"
}

// keys are the public keys that are named by file, beside the configuration, or written out.
func (v *validator) keys(path string, entry *verifyEntry) signature.Keys {
	if entry == nil {
		return nil
	}
	if len(entry.Keys) == 0 {
		v.add(path+".keys", "must name at least one public key: without any, nothing could ever be rolled out")
	}
	var keys signature.Keys
	for i, named := range entry.Keys {
		at, text := fmt.Sprintf("%s.keys[%d]", path, i), []byte(named)
		if !strings.Contains(named, "-----BEGIN") {
			if !filepath.IsAbs(named) {
				named = filepath.Join(filepath.Dir(string(v.env.ConfigFile)), named)
			}
			var err error
			if text, err = file.Read(named, maxKeyFile); err != nil {
				v.add(at, "cannot be read: %s: mount the file, which is looked for beside the configuration, or write the key itself here", withoutPath(err))
				continue
			}
		}
		parsed, err := signature.ParseKeys(text)
		if err != nil {
			v.add(at, "%s", err)
		}
		keys = append(keys, parsed...)
	}
	if len(keys) > maxKeys {
		v.add(path+".keys", "must name at most %d keys", maxKeys)
	}
	return keys
}

// targets are the targets, with the keys and the window of those that have none of their own.
func (v *validator) targets(entries []targetEntry, keys signature.Keys, otherwise *window.Window) []Target {
	if len(entries) == 0 {
		v.add("targets", "must name at least one target: there is nothing to keep fresh")
	}
	var targets []Target
	names := map[string]int{}
	for i, entry := range entries {
		path := fmt.Sprintf("targets[%d]", i)
		if len(validation.IsDNS1123Label(entry.Name)) > 0 || len(entry.Name) > maxTargetName {
			v.add(path+".name", "%s, must be a DNS label (lowercase letters, digits, dashes) of at most %d characters", is(entry.Name), maxTargetName)
		} else if first, double := names[entry.Name]; double {
			v.add(path+".name", "%s, the same as targets[%d].name: give each target its own", is(entry.Name), first)
		}
		names[entry.Name] = i
		target := Target{
			Name:        entry.Name,
			Image:       v.image(path, entry),
			Notify:      v.choice(path+".mode", entry.Mode, "apply", "notify") == "notify",
			Platforms:   v.platforms(path, entry.Platforms),
			PullSecrets: v.pullSecrets(path, entry.PullSecrets),
			Keys:        keys,
			DigestOnly:  v.choice(path+".pin", entry.Pin, "tag@digest", "digest") == "digest",
			PinAtOnce:   entry.PinAtOnce,
			Workloads:   v.workloads(path, entry),
		}
		if entry.Verify != nil {
			target.Keys = v.keys(path+".verify", entry.Verify)
		}
		target.ResolveFailureThreshold = int(v.env.ResolveFailureThreshold)
		if own := entry.ResolveFailureThreshold; own != nil {
			target.ResolveFailureThreshold = *own
			if *own < 1 {
				v.add(path+".resolveFailureThreshold", "is %d, must be a whole number, at least 1", *own)
			}
		}
		var err error
		if target.StaleAfter, err = age(entry.StaleAfter); err != nil {
			v.add(path+".staleAfter", "%s", err)
		}
		if target.MinAge, err = age(entry.MinAge); err != nil {
			v.add(path+".minAge", "%s", err)
		}
		if target.Window = otherwise; entry.Window != nil {
			target.Window = v.window(path+".window", entry.Window)
		}
		targets = append(targets, target)
	}
	for _, twice := range claimedTwice(targets, string(v.env.Namespace)) {
		v.add(twice.path, "%s", twice.what)
	}
	return targets
}

func (v *validator) image(path string, entry targetEntry) *image.Reference {
	if entry.Image == "" {
		if slices.ContainsFunc(entry.Workloads, func(w workloadEntry) bool { return w.Env != "" }) {
			v.add(path+".image", "is empty, must name the image to follow, as in ghcr.io/example/app:1.2: only image mode may leave it out")
		}
		if entry.Pin == "digest" {
			v.add(path+".pin", "is \"digest\", which needs an image in the target: after the first refresh nothing would name the tag to follow")
		}
		return nil
	}
	ref, err := image.ParseReference(entry.Image)
	switch {
	case err != nil:
		v.add(path+".image", "%s, must be an image reference, as in ghcr.io/example/app:1.2, in lower case and without a scheme", is(entry.Image))
	case ref.Digest != "":
		v.add(path+".image", "%s, must not carry a digest: it is the tag that is followed", is(entry.Image))
	}
	return &ref
}

func (v *validator) choice(path, value string, choices ...string) string {
	if value == "" {
		return choices[0]
	}
	if !slices.Contains(choices, value) {
		v.add(path, "%s, must be %s", is(value), strings.Join(choices, " or "))
	}
	return value
}

func (v *validator) platforms(path string, texts []string) []image.Platform {
	var platforms []image.Platform
	for i, text := range texts {
		platform, err := image.ParsePlatform(text)
		if err != nil {
			v.add(fmt.Sprintf("%s.platforms[%d]", path, i), "%s, %s", is(text), err)
		}
		platforms = append(platforms, platform)
	}
	return platforms
}

func (v *validator) pullSecrets(path string, names []string) []string {
	for i, name := range names {
		if len(validation.IsDNS1123Subdomain(name)) > 0 {
			v.add(fmt.Sprintf("%s.pullSecrets[%d]", path, i), "%s, must be the name of a Secret: lowercase letters, digits, dashes and dots", isSecretName(name))
		}
	}
	return names
}

func (v *validator) workloads(path string, entry targetEntry) []Workload {
	if len(entry.Workloads) == 0 {
		v.add(path+".workloads", "must name at least one workload that uses the image")
	}
	var workloads []Workload
	for i, w := range entry.Workloads {
		path := fmt.Sprintf("%s.workloads[%d]", path, i)
		if !slices.Contains(Kinds(), Kind(w.Kind)) {
			v.add(path+".kind", "%s, must be Deployment, StatefulSet, DaemonSet or CronJob", is(w.Kind))
		}
		if len(validation.IsDNS1123Subdomain(w.Name)) > 0 {
			v.add(path+".name", "%s, must be the name of the workload: lowercase letters, digits, dashes and dots", is(w.Name))
		}
		if w.Namespace != "" && len(validation.IsDNS1123Label(w.Namespace)) > 0 {
			v.add(path+".namespace", "%s, must be a namespace: lowercase letters, digits and dashes, at most 63", is(w.Namespace))
		}
		if w.Container != "" && len(validation.IsDNS1123Label(w.Container)) > 0 {
			v.add(path+".container", "%s, must be the name of a container: lowercase letters, digits and dashes, at most 63", is(w.Container))
		}
		if w.Env != "" && len(validation.IsEnvVarName(w.Env)) > 0 {
			v.add(path+".env", "%s, must be the name of an environment variable", is(w.Env))
		}
		if w.EnvValue != "" && w.Env == "" {
			v.add(path+".envValue", "%s, which means nothing without env: name the variable, or leave it out", is(w.EnvValue))
		}
		if w.WhenEmpty != "" && w.Env == "" {
			v.add(path+".whenEmpty", "%s, which means nothing without env: name the variable, or leave it out", is(w.WhenEmpty))
		}
		reference := v.choice(path+".envValue", w.EnvValue, "digest", "reference") == "reference"
		workloads = append(workloads, Workload{
			Kind: Kind(w.Kind), Name: w.Name, Namespace: w.Namespace, Container: w.Container, Env: w.Env,
			Reference: reference, LeaveEmpty: v.choice(path+".whenEmpty", w.WhenEmpty, "fill", "leave") == "leave",
			HelmValue: v.helmValue(path+".helmValue", w.HelmValue, valueMeaning{entry.Name, reference}),
		})
	}
	return workloads
}

// valueMeaning is what a chart's value holds: a target's digest, or its reference.
type valueMeaning struct {
	target    string
	reference bool
}

// helmValue checks the name of a chart's value. One value may be named by several slots where it means the same in
// each: one target's digest, or one target's reference.
func (v *validator) helmValue(path, name string, meaning valueMeaning) string {
	if name == "" {
		return ""
	}
	if !helmValuePattern.MatchString(name) {
		v.add(path, "%s, must be the path of a chart's value, as in api.image.digest", is(name))
		return ""
	}
	for _, other := range slices.Sorted(maps.Keys(v.helmValues)) {
		switch {
		case other == name && v.helmValues[other] != meaning:
			v.add(path, "%s, which is named by another target, or for another envValue, as well: one value holds one text", is(name))
		case strings.HasPrefix(other, name+"."), strings.HasPrefix(name, other+"."):
			v.add(path, "%s, which cannot be a value beside %s, a part of it or what holds it", is(name), other)
		}
	}
	v.helmValues[name] = meaning
	return name
}
