package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sethvargo/go-envconfig"
	"golang.org/x/term"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/result"
)

// The commands.
const (
	commandRun     = "run"
	commandPlan    = "plan"
	commandCheck   = "check"
	commandVersion = "version"
)

// The output formats.
const (
	outputTable  = "table"
	outputJSON   = "json"
	outputValues = "values" // of plan
	outputPatch  = "patch"  // of plan
)

// arguments are what stands on the command line.
type arguments struct {
	command, output, kubeContext string
	overrides                    config.Overrides
}

// realMain runs one command and returns its exit code. The result goes to stdout, logs to stderr.
func realMain(ctx context.Context, args []string, lookup envconfig.Lookuper, stdout, stderr io.Writer) int {
	started := time.Now()
	arguments, err := parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return result.ExitFine
	case err != nil:
		fmt.Fprintf(stderr, "image-refresh: %s\n", err) //nolint:errcheck // nothing is left to tell it to
		return result.ExitConfiguration
	}
	if arguments.output == "" {
		arguments.output = outputJSON
		if _, is := terminal(stdout); is {
			arguments.output = outputTable
		}
	}
	if arguments.command == commandVersion {
		return printVersion(arguments, stdout, stderr)
	}
	return runTick(ctx, arguments, lookup, started, stdout, stderr)
}

// terminal is the file descriptor of a terminal, where out is one.
func terminal(out io.Writer) (descriptor int, is bool) {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	return int(file.Fd()), true
}

// style is how a table is printed to out: as wide as the terminal, and in colour unless NO_COLOR forbids it
// (no-color.org); plain where it is none.
func style(out io.Writer, lookup envconfig.Lookuper) result.Style {
	descriptor, is := terminal(out)
	if !is {
		return result.Style{}
	}
	noColour, _ := lookup.Lookup("NO_COLOR")
	kind, _ := lookup.Lookup("TERM")
	chosen := result.Style{Colour: noColour == "" && kind != "dumb"}
	if width, _, err := term.GetSize(descriptor); err == nil {
		chosen.Width = width
	}
	return chosen
}

// parse reads the command line. Flags may stand before and after the command.
func parse(args []string, help io.Writer) (arguments, error) {
	parsed := arguments{command: commandRun}
	flags := flag.NewFlagSet("image-refresh", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, name := range []string{"f", "config"} {
		flags.StringVar(&parsed.overrides.File, name, "", "")
	}
	for _, name := range []string{"n", "namespace"} {
		flags.StringVar(&parsed.overrides.Namespace, name, "", "")
	}
	for _, name := range []string{"o", "output"} {
		flags.StringVar(&parsed.output, name, "", "")
	}
	flags.StringVar(&parsed.kubeContext, "context", "", "")
	commands := 0
	for rest := args; ; {
		if err := flags.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				printHelp(help)
				return parsed, err
			}
			return parsed, fmt.Errorf("%w: see image-refresh -h", err)
		}
		if rest = flags.Args(); len(rest) == 0 {
			break
		}
		parsed.command, rest = rest[0], rest[1:]
		commands++
	}
	switch {
	case commands > 1:
		return parsed, errors.New("more than one command: see image-refresh -h")
	case !slices.Contains([]string{commandRun, commandPlan, commandCheck, commandVersion}, parsed.command):
		return parsed, fmt.Errorf("there is no command %q: see image-refresh -h", parsed.command)
	case slices.Contains([]string{outputValues, outputPatch}, parsed.output) && parsed.command == commandPlan:
	case parsed.output != "" && parsed.output != outputTable && parsed.output != outputJSON:
		return parsed, errors.New("--output must be table or json; for plan also values or patch")
	}
	return parsed, nil
}

const usage = `image-refresh keeps the digests of floating image references fresh, one tick a run.

Usage: image-refresh [command] [flags]

Commands:
  run       one tick (the default)
  plan      decide the same, write nothing, and print what a tick would do and why
  check     look for everything that could make a tick fail, before it does: a line each, with the fix
  version   print version, commit and Go version

Flags:
  -f, --config FILE      targets and registries (CONFIG_FILE)
  -n, --namespace NAME   where workloads without a namespace are (POD_NAMESPACE)
      --context NAME     context of the kubeconfig
  -o, --output FORMAT    table or json (default: table on a terminal, else json); for plan also values
                         (the digests as Helm values) or patch (as patches for kustomize), to be committed
  -h, --help             this text

Exit codes:
  0   all fine, or failing below a threshold; for plan also: changes pending
  1   an operator must look
  2   the configuration is invalid; nothing was read or written

Environment (an empty variable means its default):
`

func printHelp(w io.Writer) {
	fmt.Fprint(w, usage) //nolint:errcheck // nothing is left to tell it to
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, variable := range config.Variables() {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", variable.Name, variable.Default, variable.Help) //nolint:errcheck // Flush reports
	}
	_ = table.Flush()
	fmt.Fprintln(w, "\nHTTP_PROXY, HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR, DOCKER_CONFIG and KUBECONFIG mean") //nolint:errcheck // as above
	fmt.Fprintln(w, "what they mean everywhere. In a cluster the service account is used.")                                //nolint:errcheck // as above
}

// newLogger logs to stderr as the environment says, as far as it could be read.
func newLogger(env config.Env, stderr io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.Level(env.LogLevel)}
	if env.LogFormat == config.LogText {
		return slog.New(slog.NewTextHandler(stderr, options))
	}
	return slog.New(slog.NewJSONHandler(stderr, options))
}

// problems are what is wrong, a line each.
func problems(err error) []string {
	found := []error{err}
	if invalid, ok := errors.AsType[*config.Invalid](err); ok {
		found = invalid.Problems
	}
	var lines []string
	for _, problem := range found {
		for line := range strings.SplitSeq(problem.Error(), "\n") { // errors.Join ends each with a line end
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
