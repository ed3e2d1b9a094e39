package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tracebloc/image-refresh/internal/choice"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
)

// program is one run of the program: what it was given, and what its flags say.
type program struct {
	name           string // by which a person runs it
	lookup         envconfig.Lookuper
	stdout, stderr io.Writer
	started        time.Time

	output      result.Format
	kubeContext string
	overrides   config.Overrides
	selection   selection // of plan
	notify      bool      // of check
}

// exit ends the program with a code other than 0, and what is still to be said, if anything.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string { return fmt.Sprintf("exit code %d: %v", e.code, e.err) }

// ended is how a command returns its exit code.
func ended(code int, err error) error {
	if code == result.ExitFine {
		return nil
	}
	return exit{code, err}
}

// unless is the end of a command that an operator must look at, unless there is no error.
func unless(err error) error {
	if err == nil {
		return nil
	}
	return exit{result.ExitOperator, err}
}

// nameOf is what a person types to run the program of this path: kubectl runs what is on the PATH as kubectl-image_refresh
// (https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/).
func nameOf(path string) string {
	if strings.TrimSuffix(filepath.Base(path), ".exe") == "kubectl-image_refresh" {
		return "kubectl image_refresh"
	}
	return "image-refresh"
}

// realMain runs one command and returns its exit code. The result goes to stdout, logs to stderr.
func realMain(ctx context.Context, args []string, lookup envconfig.Lookuper, stdout, stderr io.Writer) int {
	if _, is := terminal(stderr); is {
		lookup = config.AtTerminal(lookup)
	}
	p := &program{name: nameOf(args[0]), lookup: lookup, stdout: stdout, stderr: stderr, started: time.Now()}
	root := p.rootCommand()                       //nolint:contextcheck // ExecuteContext hands it on
	root.SetArgs(append([]string{}, args[1:]...)) // nil would be the arguments of the process
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return result.ExitFine
	}
	end, is := errors.AsType[exit](err)
	if !is { // the command line is wrong
		end = exit{result.ExitConfiguration, err}
	}
	if end.err != nil {
		for _, line := range problems(end.err) {
			fmt.Fprintf(stderr, "%s: %s\n", p.name, line) //nolint:errcheck // nothing is left to tell it to
		}
	}
	return end.code
}

// seeHelp ends what is said of a command line that is wrong.
func seeHelp(command *cobra.Command) string { return "see " + command.Root().CommandPath() + " -h" }

// rootCommand has all commands. Without one it is run.
func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:               "image-refresh",
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: p.name},
		Args:              knownCommand,
		PersistentPreRunE: p.chooseOutput,
		RunE:              p.tick("run"),
		SilenceErrors:     true,
		SilenceUsage:      true,
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&p.overrides.File, "config", "f", "", "the `FILE` with targets and registries (CONFIG_FILE)")
	flags.StringVarP(&p.overrides.Namespace, "namespace", "n", "", "the `NAME` of the namespace where workloads that name none are (POD_NAMESPACE)")
	flags.StringVar(&p.kubeContext, "context", "", "the `NAME` of the kubeconfig's context")
	flags.StringVarP((*string)(&p.output), "output", "o", "", "the `FORMAT` of the result: table, wide or json (default: table on a terminal, else json);\n"+
		"for plan also values (the digests as Helm values) or patch (as patches for kustomize), to be committed")
	flags.BoolP("help", "h", false, "this text")
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error { return fmt.Errorf("%w: %s", err, seeHelp(command)) })
	root.SetHelpFunc(func(command *cobra.Command, _ []string) { p.printHelp(command) })
	root.SetHelpCommand(&cobra.Command{
		Use: "help [COMMAND]", Short: "print what a command does, and its flags", Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			command, rest, err := root.Find(args)
			if err == nil && command == root {
				err = knownCommand(root, rest)
			}
			if err != nil {
				return err
			}
			return command.Help()
		},
	})
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(p.runCommand(), p.planCommand(), p.checkCommand(), p.statusCommand(), p.initCommand(),
		p.choiceCommand(choice.Approve, "let the next tick roll out what the tag means now, in a target with mode notify"),
		p.choiceCommand(choice.Skip, "keep out what the tag means now, until the tag moves on"),
		p.choiceCommand(choice.Retry, "try again what was rejected, skipped or given up"),
		p.explainCommand(), p.completionCommand(), p.versionCommand())
	return root
}

// knownCommand refuses a word that is no command, and names the one that may have been meant.
func knownCommand(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if command.HasParent() {
		return fmt.Errorf("%s takes no arguments, and there is %q: %s", command.Name(), args[0], seeHelp(command))
	}
	meant := ""
	if likely := command.SuggestionsFor(args[0]); len(likely) > 0 {
		meant = fmt.Sprintf(", did you mean %s?", strings.Join(likely, " or "))
	}
	return fmt.Errorf("there is no command %q%s: %s", args[0], meant, seeHelp(command))
}

// oneOf refuses all but one of the words that a command takes.
func oneOf(command *cobra.Command, args []string) error {
	if len(args) == 1 && slices.Contains(command.ValidArgs, args[0]) {
		return nil
	}
	return fmt.Errorf("%s takes one of %s", command.Name(), strings.Join(command.ValidArgs, ", "))
}

// chooseOutput refuses a format that the command does not have, and chooses one where none was asked for.
func (p *program) chooseOutput(command *cobra.Command, _ []string) error {
	formats := []result.Format{result.Table, result.Wide, result.JSON}
	if command.Name() == "plan" {
		formats = append(formats, result.Values, result.Patch)
	}
	if p.output == "" {
		p.output = result.JSON
		if _, is := terminal(p.stdout); is {
			p.output = result.Table
		}
	}
	if !slices.Contains(formats, p.output) {
		return fmt.Errorf("--output: is %q, must be table, wide or json; for plan also values or patch", failure.Clean(string(p.output)))
	}
	return nil
}

// terminal is the file descriptor of a terminal, where out is one.
func terminal(out io.Writer) (descriptor int, is bool) {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	return int(file.Fd()), true
}

// style is how a table is printed: as wide as the terminal, and in colour unless NO_COLOR forbids it (no-color.org);
// plain where there is none.
func (p *program) style() result.Style {
	descriptor, is := terminal(p.stdout)
	if !is {
		return result.Style{}
	}
	noColour, _ := p.lookup.Lookup("NO_COLOR")
	kind, _ := p.lookup.Lookup("TERM")
	chosen := result.Style{Colour: noColour == "" && kind != "dumb"}
	if width, _, err := term.GetSize(descriptor); err == nil {
		chosen.Width = width
	}
	return chosen
}

// printHelp prints the help of a command, from what it says of itself.
func (p *program) printHelp(command *cobra.Command) {
	w := p.stdout
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	if command.HasParent() {
		fmt.Fprintf(w, "%s: %s.\n\nUsage: %s\n", command.CommandPath(), command.Short, command.UseLine()) //nolint:errcheck // nothing is left to tell it to
	} else {
		fmt.Fprint(w, "image-refresh keeps the digests of floating image references fresh, one tick a run.\n\n"+ //nolint:errcheck // as above
			"Usage: "+p.name+" [command] [flags]\n\nCommands ("+p.name+" COMMAND -h says more):\n")
		for _, one := range command.Commands() {
			if one.IsAvailableCommand() {
				fmt.Fprintf(table, "  %s\t%s\n", one.Name(), one.Short) //nolint:errcheck // Flush reports
			}
		}
		_ = table.Flush()
	}
	if command.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n  %s\n", strings.NewReplacer("image-refresh ", p.name+" ", "\n", "\n  ").Replace(command.Example)) //nolint:errcheck // as above
	}
	fmt.Fprintf(w, "\nFlags:\n%s", command.Flags().FlagUsages()) //nolint:errcheck // as above
	if command.HasParent() && command.Annotations[readsCluster] == "" {
		return
	}
	fmt.Fprint(w, exitCodes) //nolint:errcheck // as above
	table.Init(w, 0, 0, 2, ' ', 0)
	for _, variable := range config.Variables() {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", variable.Name, variable.Default, variable.Help) //nolint:errcheck // Flush reports
	}
	_ = table.Flush()
	fmt.Fprintln(w, "\nHTTP_PROXY, HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR, DOCKER_CONFIG and KUBECONFIG mean") //nolint:errcheck // as above
	fmt.Fprintln(w, "what they mean everywhere. In a cluster the service account is used.")                                //nolint:errcheck // as above
}

// readsCluster marks the commands that the environment is for.
const readsCluster = "reads a cluster"

const exitCodes = `
Exit codes:
  0   all fine, or failing below a threshold; for plan also: changes pending (3 with --detailed-exit-code)
  1   an operator must look
  2   the configuration is invalid; nothing was read or written

Environment (an empty variable means its default):
`
