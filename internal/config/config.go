package config

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/signature"
	"github.com/tracebloc/image-refresh/internal/window"
)

// Config is a valid configuration.
type Config struct {
	Env
	CloudIdentity bool // ask clouds' registries without an entry with the pod's identity, where nobody else is served
	Registries    []image.Registry
	Targets       []Target
}

// Target is one floating image reference that is kept fresh.
type Target struct {
	Name                    string
	Image                   *image.Reference // nil: each container's own reference is followed
	Notify                  bool
	ResolveFailureThreshold int // ticks
	Platforms               []image.Platform
	StaleAfter              time.Duration // 0: never
	MinAge                  time.Duration
	Window                  *window.Window // nil: at any time
	PullSecrets             []string       // names, in the workload's namespace
	Keys                    signature.Keys // of which one must have signed what is rolled out; none: nothing is verified
	DigestOnly              bool           // pin: digest
	PinAtOnce               bool           // a bare tag is pinned though that restarts pods for the same bytes
	Workloads               []Workload
}

// Workload is one slot of a target.
type Workload struct {
	Kind       Kind
	Name       string
	Namespace  string // empty: POD_NAMESPACE
	Container  string // empty: the only one that can be meant
	Env        string // empty: image mode
	Reference  bool   // envValue: reference
	LeaveEmpty bool   // whenEmpty: leave
	HelmValue  string // the chart's value that the slot is rendered from; empty: none was named
}

// Kind is a kind of workload.
type Kind string

// The kinds.
const (
	Deployment  Kind = "Deployment"
	StatefulSet Kind = "StatefulSet"
	DaemonSet   Kind = "DaemonSet"
	CronJob     Kind = "CronJob"
)

// Kinds lists the kinds of workload.
func Kinds() []Kind { return []Kind{Deployment, StatefulSet, DaemonSet, CronJob} }

// Invalid is a configuration that cannot be worked with, with all that is wrong with it.
type Invalid struct {
	Problems []error
}

func (e *Invalid) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	lines = append(lines, fmt.Sprintf("the configuration is invalid (%d problems); nothing was read or written", len(e.Problems)))
	for _, problem := range e.Problems {
		lines = append(lines, "  "+problem.Error())
	}
	return strings.Join(lines, "\n")
}

func (e *Invalid) Unwrap() []error { return e.Problems }

// Overrides are command-line flags that win over the environment; empty ones do not count.
type Overrides struct {
	File, Namespace string
	Values          string // a values file of the chart, in place of File
}

// Read reads and validates the environment and the file that it names. The error is an *Invalid; the
// environment is returned even so, as far as it parses, because it says how to log.
func Read(ctx context.Context, lookup envconfig.Lookuper, overrides Overrides) (Config, error) {
	env, problems := ReadEnv(ctx, lookup)
	if overrides.File != "" && overrides.Values != "" {
		problems = append(problems, errors.New("--config and --values: name one of the two"))
	}
	if file := cmp.Or(overrides.Values, overrides.File); file != "" {
		env.ConfigFile = Text(file)
	}
	if overrides.Namespace != "" {
		if err := env.Namespace.EnvDecode(overrides.Namespace); err != nil {
			problems = append(problems, fmt.Errorf("--namespace: %w", err))
		}
	}
	config := Config{Env: env}
	if env.ConfigFile != "" {
		read, found := readFile(string(env.ConfigFile), overrides.Values != "")
		if read != nil {
			v := newValidator(env, found)
			config.CloudIdentity = orTrue(read.CloudIdentity)
			config.Registries, config.Targets = v.registries(read.Registries, config.CloudIdentity), v.targets(read.Targets, v.keys("verify", read.Verify), v.window("window", read.Window))
			found = append(found, v.problems...)
		}
		for _, problem := range found {
			problems = append(problems, fmt.Errorf("%s: %w", env.ConfigFile, problem))
		}
	}
	if len(problems) > 0 {
		return config, &Invalid{Problems: problems}
	}
	return config, nil
}

// Warnings are what is accepted and yet deserves a second look, a sentence each.
func (c Config) Warnings() []string {
	var warnings []string
	for i, target := range c.Targets {
		if target.Image != nil && target.Image.Floating {
			warnings = append(warnings, fmt.Sprintf(
				"targets[%d].image: target %s follows the tag latest, which says nothing about what it will be: name a tag, as in :1.2", i, target.Name))
		}
	}
	return warnings
}

// IsInvalid says whether an error is about the configuration: exit code 2.
func IsInvalid(err error) bool {
	_, ok := errors.AsType[*Invalid](err)
	return ok
}
