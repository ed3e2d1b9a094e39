package config

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/tracebloc/image-refresh/internal/file"
)

// maxFile bounds the configuration file. A thousand workloads take about 150 KiB.
const maxFile = 4 << 20

// configFile is CONFIG_FILE as it is written. Pointers tell "left out" from "given".
type configFile struct {
	Verify        *verifyEntry    `yaml:"verify"`
	Registries    []registryEntry `yaml:"registries"`
	Window        *windowEntry    `yaml:"window"`
	Targets       []targetEntry   `yaml:"targets"`
	CloudIdentity *bool           `yaml:"cloudIdentity"`
}

type verifyEntry struct {
	Keys []string `yaml:"keys"`
}

type registryEntry struct {
	Host          string   `yaml:"host"`
	Mirrors       []string `yaml:"mirrors"`
	Fallback      *bool    `yaml:"fallback"`
	CAFile        string   `yaml:"caFile"`
	PlainHTTP     bool     `yaml:"plainHTTP"`
	CloudIdentity *bool    `yaml:"cloudIdentity"`
}

type targetEntry struct {
	Name                    string          `yaml:"name"`
	Image                   string          `yaml:"image"`
	Mode                    string          `yaml:"mode"`
	ResolveFailureThreshold *int            `yaml:"resolveFailureThreshold"`
	Platforms               []string        `yaml:"platforms"`
	StaleAfter              *string         `yaml:"staleAfter"`
	MinAge                  *string         `yaml:"minAge"`
	Window                  *windowEntry    `yaml:"window"`
	PullSecrets             []string        `yaml:"pullSecrets"`
	Verify                  *verifyEntry    `yaml:"verify"`
	Pin                     string          `yaml:"pin"`
	PinAtOnce               bool            `yaml:"pinAtOnce"`
	Workloads               []workloadEntry `yaml:"workloads"`
}

type windowEntry struct {
	Days     []string `yaml:"days"`
	From     string   `yaml:"from"`
	To       string   `yaml:"to"`
	TimeZone string   `yaml:"timeZone"`
}

type workloadEntry struct {
	Kind      string `yaml:"kind"`
	Name      string `yaml:"name"`
	Namespace string `yaml:"namespace"`
	Container string `yaml:"container"`
	Env       string `yaml:"env"`
	EnvValue  string `yaml:"envValue"`
	WhenEmpty string `yaml:"whenEmpty"`
	HelmValue string `yaml:"helmValue"`
}

// readFile decodes the configuration file strictly. What could be decoded is returned beside the problems,
// so that its contents are validated in the same go; nil where nothing could be.
func readFile(path string, values bool) (*configFile, []error) {
	text, err := file.Read(path, maxFile)
	if errors.Is(err, file.ErrTooLong) {
		return nil, []error{fmt.Errorf("is larger than %d MiB: split the targets over several installations", maxFile>>20)}
	}
	if err != nil {
		return nil, []error{unreadable(err)}
	}
	return decode(text, values)
}

func unreadable(err error) error {
	return fmt.Errorf("cannot be read: %w: mount it, or name another file in CONFIG_FILE or with --config", withoutPath(err))
}

// withoutPath is why a file cannot be read, where its path is said already.
func withoutPath(err error) error {
	if inner, ok := errors.AsType[*fs.PathError](err); ok {
		return inner.Err
	}
	return err
}

// age parses minAge and staleAfter, which unlike the durations of the environment may be 0.
func age(text *string) (time.Duration, error) {
	if text == nil || *text == "" {
		return 0, nil
	}
	parsed, err := time.ParseDuration(*text)
	if err != nil || parsed < 0 {
		return 0, refused(*text, "must be a duration, as in 0s, 30m or 24h")
	}
	return parsed, nil
}
