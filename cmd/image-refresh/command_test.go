package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/version"
)

// ran is what one run of the program printed, and its exit code.
type ran struct {
	code           int
	stdout, stderr string
}

func runMain(env map[string]string, args ...string) ran {
	var stdout, stderr bytes.Buffer
	code := realMain(context.Background(), append([]string{"image-refresh"}, args...), envconfig.MapLookuper(env), &stdout, &stderr)
	return ran{code, stdout.String(), stderr.String()}
}

// parsed is what a command line was understood as.
type parsed struct {
	command, output, kubeContext string
	overrides                    config.Overrides
}

// parse reads a command line with the program's commands, which only say that they were meant.
func parse(line string) (parsed, error) {
	p := &program{name: "image-refresh", lookup: envconfig.MapLookuper(nil), stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}
	root, meant := p.rootCommand(), ""
	for _, command := range append(root.Commands(), root) {
		command.RunE = func(c *cobra.Command, _ []string) error {
			meant = c.Name()
			return nil
		}
	}
	root.SetArgs(append([]string{}, strings.Fields(line)...))
	root.SetOut(p.stdout)
	err := root.Execute()
	return parsed{meant, string(p.output), p.kubeContext, p.overrides}, err
}

func TestFlagsStandAnywhere(t *testing.T) {
	t.Parallel()
	all := parsed{command: "plan", output: "json", kubeContext: "c", overrides: config.Overrides{File: "f.yaml", Namespace: "n"}}
	for line, want := range map[string]parsed{
		"":        {command: "image-refresh", output: "json"},
		"run":     {command: "run", output: "json"},
		"plan":    {command: "plan", output: "json"},
		"version": {command: "version", output: "json"},
		"-f f.yaml -n n --context c -o json plan":                      all,
		"plan -f f.yaml -n n --context c -o json":                      all,
		"--config f.yaml plan --namespace n --context=c --output json": all,
		"-f=f.yaml -n=n plan -o=json --context c":                      all,
		"-o table -f a plan -f f.yaml -n n --context c -o json":        all,
		"-o table": {command: "image-refresh", output: "table"},
	} {
		got, err := parse(line)
		require.NoError(t, err, line)
		assert.Equal(t, want, got, line)
	}
}

func TestACommandLineThatIsWrongIsOneLineAndExit2(t *testing.T) {
	t.Parallel()
	for line, says := range map[string]string{
		"refresh":         `there is no command "refresh": see`,
		"RUN":             `there is no command "RUN", did you mean run?`,
		"help plam":       `there is no command "plam", did you mean plan?`,
		"plam":            `there is no command "plam", did you mean plan?`,
		"run plan":        "run takes no arguments",
		"plan plan":       "plan takes no arguments",
		"-x":              "-x",
		"plan --dry-run":  "dry-run",
		"-o":              "needs an argument",
		"-o yaml":         "table, wide or json",
		"run -o patch":    "table, wide or json",
		"version -o text": "table, wide or json",
		"skip":            "skip takes the name of one target: see",
		"retry a b":       "retry takes the name of one target",
	} {
		got := runMain(nil, strings.Fields(line)...)
		assert.Equal(t, 2, got.code, line)
		assert.Empty(t, got.stdout, line)
		assert.Equal(t, 1, strings.Count(got.stderr, "\n"), line)
		assert.Contains(t, got.stderr, says, line)
	}
}

func TestHelpListsEveryVariableCommandAndFlag(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"-h", "--help", "help", "plan -h", "-h plan", "-n x --help"} {
		got := runMain(map[string]string{"LOG_LEVEL": "nonsense"}, strings.Fields(line)...)
		assert.Zero(t, got.code, line)
		assert.Empty(t, got.stderr, line)
		for _, variable := range config.Variables() {
			found := false
			for text := range strings.Lines(got.stdout) {
				words := strings.Fields(text)
				found = found || len(words) > 1 && words[0] == variable.Name && (variable.Default == "" || words[1] == variable.Default)
			}
			assert.True(t, found, "%s: %s with its default %q", line, variable.Name, variable.Default)
			assert.Contains(t, got.stdout, variable.Help)
		}
		for _, text := range []string{
			"-f, --config FILE", "-n, --namespace", "--context", "-o, --output", "HTTPS_PROXY", "SSL_CERT_FILE", "KUBECONFIG",
		} {
			assert.Contains(t, got.stdout, text)
		}
	}
}

// The help of the program lists the commands, and each command has one of its own.
func TestEachCommandHasAHelpOfItsOwn(t *testing.T) {
	t.Parallel()
	whole := runMain(nil, "-h").stdout
	for command, example := range map[string]string{
		"run": "-n shop", "plan": "--changed-only", "check": "check -f", "status": "status -A", "init": "init -A", "explain": "explain rollout-failed",
		"approve": "approve api -f", "skip": "skip api -f", "retry": "retry api --values", "version": "", "completion": "",
	} {
		assert.Contains(t, whole, "\n  "+command+" ")
		for _, line := range []string{command + " -h", "help " + command} {
			got := runMain(nil, strings.Fields(line)...)
			assert.Zero(t, got.code, line)
			assert.True(t, strings.HasPrefix(got.stdout, "image-refresh "+command+": "), line)
			assert.Contains(t, got.stdout, example, line)
		}
	}
}

func TestCompletionIsForThreeShells(t *testing.T) {
	t.Parallel()
	for shell, says := range map[string]string{"bash": "complete -o default", "zsh": "#compdef image-refresh", "fish": "complete -c image-refresh"} {
		got := runMain(nil, "completion", shell)
		assert.Zero(t, got.code, shell)
		assert.Contains(t, got.stdout, says)
	}
	for _, line := range []string{"completion", "completion tcsh"} {
		got := runMain(nil, strings.Fields(line)...)
		assert.Equal(t, 2, got.code, line)
		assert.Equal(t, "image-refresh: completion takes one of bash, zsh, fish\n", got.stderr, line)
	}
}

// A target is completed from the configuration, and one that is not there is an error that names those that are.
func TestTargetsAreThoseOfTheConfiguration(t *testing.T) {
	t.Parallel()
	file := configFile(t, strings.Replace(validFile, "]}]", "]}, {name: web, image: 'nginx:1', workloads: [{kind: Deployment, name: web}]}]", 1))
	for _, command := range []string{"approve", "skip", "retry", "plan --target"} {
		got := runMain(nil, append(strings.Fields(command), "wep", "-f", file)...)
		assert.Equal(t, 2, got.code, command)
		assert.Contains(t, strings.ReplaceAll(got.stderr, `\"`, `"`), `the configuration has no target "wep", only api, web`, command) // a plan logs it as JSON
	}
	for _, command := range []string{"approve", "skip", "retry"} {
		assert.True(t, strings.HasPrefix(runMain(nil, "__complete", command, "-f", file, "").stdout, "api\nweb\n"), command)
	}
}

func TestExplainPrintsTheRunbooksSection(t *testing.T) {
	t.Parallel()
	for _, cause := range failure.Causes() {
		got := runMain(nil, "explain", string(cause))
		assert.Zero(t, got.code)
		assert.True(t, strings.HasPrefix(got.stdout, "# "+string(cause)+"\n\n**Symptom.**"), cause)
		assert.Equal(t, 1, strings.Count(got.stdout, "**Owner.**"), cause)
	}
	for _, line := range []string{"explain", "explain tsl", "explain dns tls"} {
		got := runMain(nil, strings.Fields(line)...)
		assert.Equal(t, 2, got.code, line)
		assert.Contains(t, got.stderr, "one of workload-missing, ", line)
	}
}

func TestVersionInBothOutputs(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"version", "version -o json", "-o json version"} {
		got := runMain(nil, strings.Fields(line)...)
		assert.Zero(t, got.code)
		assert.Empty(t, got.stderr)
		var fields map[string]string
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &fields), line)
		assert.Equal(t, map[string]string{"version": version.Version(), "commit": version.Commit(), "goVersion": runtime.Version()}, fields)
	}
	got := runMain(nil, "version", "-o", "table")
	assert.Zero(t, got.code)
	assert.Equal(t, "image-refresh "+version.Version()+"\ncommit "+version.Commit()+"\n"+runtime.Version()+"\n", got.stdout)
}

// closed is a stdout that nobody reads any more.
type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestOutputThatNobodyTakesIsLoud(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]int{"version": 1, "version -o table": 1, "explain tls": 1, "completion zsh": 1, "-f absent.yaml": 2} {
		var stderr bytes.Buffer
		code := realMain(context.Background(), strings.Fields("image-refresh "+line), envconfig.MapLookuper(nil), closed{}, &stderr)
		assert.Equal(t, want, code, line)
		assert.Contains(t, stderr.String(), "broken pipe", line)
	}
}
