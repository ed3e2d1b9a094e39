// Package config reads and validates what a person configures: scalars from the environment, targets and
// registries from a strict YAML file. It reports every problem at once, each with its key, the value that is refused
// (but for secrets) and what would be right.
package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/version"
)

// Env is the environment. An empty variable means its default, as a missing one does: a hand-edited CronJob,
// and one rendered from values older than the variable, must run.
type Env struct {
	ConfigFile              Text      `env:"CONFIG_FILE, default=/etc/image-refresh/config.yaml" help:"the file with targets and registries"`
	Namespace               Namespace `env:"POD_NAMESPACE" help:"where workloads without a namespace are; the kubeconfig's or service account's where unset"`
	AnnotationPrefix        Prefix    `env:"ANNOTATION_PREFIX, default=tracebloc.io" help:"the prefix of labels and annotations; not kubernetes.io, k8s.io or below them"`
	ResolveFailureThreshold Positive  `env:"RESOLVE_FAILURE_THRESHOLD, default=3" help:"ticks in a row, at least 1, after which an image that cannot be resolved fails the tick"`
	RolloutFailureThreshold Positive  `env:"ROLLOUT_FAILURE_THRESHOLD, default=3" help:"failed attempts, at least 1, after which a digest is rejected"`
	UnsettledThreshold      Positive  `env:"UNSETTLED_THRESHOLD, default=8" help:"ticks in a row, at least 1, after which an unsettled workload fails the tick"`
	ContestedThreshold      Positive  `env:"CONTESTED_THRESHOLD, default=3" help:"re-applications, at least 1, after which a reverted digest is left alone, loudly"`
	RolloutTimeout          Duration  `env:"ROLLOUT_TIMEOUT, default=10m" help:"how long one tick waits for rollouts, all of them side by side"`
	Rollback                Bool      `env:"ROLLBACK, default=true" help:"restore what the slots held when a rollout failed"`
	MaxRollouts             Count     `env:"MAX_ROLLOUTS, default=10" help:"workloads rolled in one tick, who has waited longest first, 0 for no limit; the rest wait, uncounted"`
	ResolveTimeout          Duration  `env:"RESOLVE_TIMEOUT, default=30s" help:"how long resolving one image may take, its retries included"`
	Concurrency             Positive  `env:"CONCURRENCY, default=8" help:"requests under way at once, to registries and to the API server each"`
	PullSecretsDir          Text      `env:"PULL_SECRETS_DIR, default=/etc/image-refresh/pull-secrets" help:"mounted pull secrets: NAMESPACE/NAME/.dockerconfigjson or .dockercfg"`
	NotifyURLs              Secret    `env:"NOTIFY_URLS" help:"where to tell of problems: URLs as shoutrrr has them, separated by white space; secret"`
	NotifyOn                NotifyOn  `env:"NOTIFY_ON, default=problems" help:"what to tell of: problems, or changes (also each refresh)"`
	HeartbeatURL            Secret    `env:"HEARTBEAT_URL" help:"asked after each tick, with /fail added to its path after exit 1 or 2; secret"`
	ClusterName             Text      `env:"CLUSTER_NAME" help:"what messages call this cluster"`
	Runbook                 Page      `env:"RUNBOOK_URL" help:"the page that messages link to; the runbook at this version where unset"`
	LogLevel                LogLevel  `env:"LOG_LEVEL, default=info" help:"debug, info, warn or error; where logs go to a terminal, warn by default"`
	LogFormat               LogFormat `env:"LOG_FORMAT, default=json" help:"json, or text for people; where logs go to a terminal, text by default"`
}

// Variable describes one environment variable, for the help text.
type Variable struct {
	Name, Default, Help string
}

// Variables lists the environment variables that Env reads, in its order.
func Variables() []Variable {
	var variables []Variable
	for field := range reflect.TypeFor[Env]().Fields() {
		name, preset, _ := strings.Cut(field.Tag.Get("env"), ", default=")
		variables = append(variables, Variable{Name: name, Default: preset, Help: field.Tag.Get("help")})
	}
	return variables
}

// ReadEnv reads the environment through lookup. Every variable that does not parse yields one problem.
func ReadEnv(ctx context.Context, lookup envconfig.Lookuper) (Env, []error) {
	var env Env
	var problems []error
	value := reflect.ValueOf(&env).Elem()
	for i, field := range reflect.VisibleFields(value.Type()) {
		// envconfig stops at its first error, so each variable is processed in a struct of its own.
		single := reflect.New(reflect.StructOf([]reflect.StructField{field}))
		err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: single.Interface(), Lookuper: nonEmpty{lookup}})
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", Variables()[i].Name, sentence(err)))
			continue
		}
		value.Field(i).Set(single.Elem().Field(0))
	}
	return env, problems
}

// nonEmpty hides empty variables.
type nonEmpty struct{ envconfig.Lookuper }

func (l nonEmpty) Lookup(key string) (string, bool) {
	value, found := l.Lookuper.Lookup(key)
	value = strings.TrimSpace(value)
	return value, found && value != ""
}

// AtTerminal is an environment whose logs are for a person: warnings as text, unless it says otherwise.
func AtTerminal(lookup envconfig.Lookuper) envconfig.Lookuper {
	return envconfig.MultiLookuper(nonEmpty{lookup}, envconfig.MapLookuper(map[string]string{"LOG_LEVEL": "warn", "LOG_FORMAT": "text"}))
}

// rule is a problem in our own words: what would be right and, where it is no secret, what is refused.
type rule string

func refused(value, rightWouldBe string) rule { return rule(is(value) + ", " + rightWouldBe) }

func (r rule) Error() string { return string(r) }

// sentence cuts the library's context off a rule.
func sentence(err error) error {
	if own, ok := errors.AsType[rule](err); ok {
		return own
	}
	return errors.New("does not parse")
}

type (
	// Text is any text.
	Text string
	// Namespace is a Kubernetes namespace, or empty.
	Namespace string
	// Prefix is a DNS subdomain.
	Prefix string
	// Positive is a whole number from 1 up.
	Positive int
	// Count is a whole number from 0 up.
	Count int
	// Duration is a positive duration in Go's notation.
	Duration time.Duration
	// Page is the http or https address of a page with sections.
	Page failure.Runbook
	// Bool is true or false.
	Bool bool
	// LogLevel is a level of log/slog.
	LogLevel slog.Level
	// LogFormat is json or text.
	LogFormat string
	// NotifyOn is problems or changes.
	NotifyOn string
	// Secret is any text that is not to be printed.
	Secret string
)

// What NotifyOn may be.
const (
	NotifyProblems NotifyOn = "problems"
	NotifyChanges  NotifyOn = "changes"
)

// String hides a secret from whoever formats it.
func (Secret) String() string { return "redacted" }

// The formats of LogFormat.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// EnvDecode implements envconfig.Decoder.
func (n *Namespace) EnvDecode(text string) error {
	if text != "" && len(validation.IsDNS1123Label(text)) > 0 {
		return refused(text, "must be a namespace: lowercase letters, digits and dashes, at most 63")
	}
	*n = Namespace(text)
	return nil
}

var ofKubernetes = regexp.MustCompile(`(^|\.)(kubernetes|k8s)\.io$`)

// EnvDecode implements envconfig.Decoder.
func (p *Prefix) EnvDecode(text string) error {
	// Others act on the keys of Kubernetes' own domains.
	if len(validation.IsDNS1123Subdomain(text)) > 0 || ofKubernetes.MatchString(text) {
		return refused(text, "must be a domain of yours, as in example.com, in lower case and outside of kubernetes.io and k8s.io")
	}
	*p = Prefix(text)
	return nil
}

// EnvDecode implements envconfig.Decoder.
func (p *Positive) EnvDecode(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return refused(text, "must be a whole number, at least 1")
	}
	*p = Positive(n)
	return nil
}

// EnvDecode implements envconfig.Decoder.
func (c *Count) EnvDecode(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return refused(text, "must be a whole number, at least 0")
	}
	*c = Count(n)
	return nil
}

// EnvDecode implements envconfig.Decoder.
func (d *Duration) EnvDecode(text string) error {
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed <= 0 {
		return refused(text, "must be a duration above 0, as in 30s, 10m or 1h30m")
	}
	*d = Duration(parsed)
	return nil
}

// maxPage leaves room for a sentence before the address in an Event's note, which has 1024 bytes.
const maxPage = 200

// EnvDecode implements envconfig.Decoder.
func (p *Page) EnvDecode(text string) error {
	if text == "" {
		text = version.Runbook()
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Host == "" || parsed.User != nil || strings.Contains(text, "#") ||
		strings.ContainsAny(text, " \t\r\n") || len(text) > maxPage {
		return refused(text, "must be the http or https address of a page, without a login and without #, at most 200 characters")
	}
	*p = Page(text)
	return nil
}

// EnvDecode implements envconfig.Decoder.
func (b *Bool) EnvDecode(text string) error {
	parsed, err := strconv.ParseBool(text)
	if err != nil {
		return refused(text, "must be true or false")
	}
	*b = Bool(parsed)
	return nil
}

// EnvDecode implements envconfig.Decoder.
func (l *LogLevel) EnvDecode(text string) error {
	switch strings.ToLower(text) {
	case "debug":
		*l = LogLevel(slog.LevelDebug)
	case "info":
		*l = LogLevel(slog.LevelInfo)
	case "warn", "warning":
		*l = LogLevel(slog.LevelWarn)
	case "error":
		*l = LogLevel(slog.LevelError)
	default:
		return refused(text, "must be debug, info, warn or error")
	}
	return nil
}

// EnvDecode implements envconfig.Decoder.
func (f *LogFormat) EnvDecode(text string) error {
	switch format := LogFormat(strings.ToLower(text)); format {
	case LogJSON, LogText:
		*f = format
		return nil
	}
	return refused(text, "must be json or text")
}

// EnvDecode implements envconfig.Decoder.
func (n *NotifyOn) EnvDecode(text string) error {
	switch on := NotifyOn(strings.ToLower(text)); on {
	case NotifyProblems, NotifyChanges:
		*n = on
		return nil
	}
	return refused(text, "must be problems or changes")
}
