package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	stdlog "log"
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tracebloc/image-refresh/internal/check"
	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/preflight"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/tick"
	"github.com/tracebloc/image-refresh/internal/version"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// terminationLog is where the kubelet picks up the termination message. It is there in a pod only.
const terminationLog = "/dev/termination-log"

// tick is what the commands that read a cluster do: wire one tick, one plan or one check of it, run it, and print what
// became of it.
func (p *program) tick(command string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error { return ended(p.runTick(cmd.Context(), command), nil) }
}

// From how many workloads on the objects that were read outweigh all else in memory, and up to how many a tick ends before there is
// much to collect: the first collection takes more than 1 MiB itself, for its marks and its code.
const manyWorkloads, fewWorkloads = 200, 20

// boundMemory has garbage collected twice as often as by default where there are many workloads, for a tenth more CPU: a pod is given
// little memory, and a thousand workloads are to fit. Where there are few, it is collected half as often.
func boundMemory(read config.Config) {
	workloads := 0
	for _, target := range read.Targets {
		workloads += len(target.Workloads)
	}
	switch {
	case workloads > manyWorkloads:
		debug.SetGCPercent(50)
	case workloads <= fewWorkloads:
		debug.SetGCPercent(200)
	}
}

func (p *program) runTick(ctx context.Context, command string) int {
	read, told, err := p.configuration(ctx)
	log := newLogger(read.Env, p.stderr)
	stdlog.SetFlags(0)
	stdlog.SetOutput(foreign{log}) // net/http's HTTP/2 writes there
	report := result.New(version.Version(), command, p.started)
	message := ""
	checks := command == "check"
	if err == nil {
		boundMemory(read)
		if !checks { // a check has a line for each
			for _, warning := range read.Warnings() {
				log.WarnContext(ctx, warning)
			}
		}
		var parts wired
		if err = p.selection.known(read); err == nil {
			parts, err = p.wire(read, log, command, workload.FieldManager)
		}
		if err == nil {
			if checks {
				report = (&check.Checker{Tick: parts.runner, Cluster: parts.cluster, Registry: parts.registry, Notify: p.notify, Sender: told.sender}).Run(ctx)
			} else {
				if told.sender != nil {
					parts.runner.Sender = told.sender
				}
				report = parts.runner.Run(ctx, command == "plan")
				p.selection.apply(&report)
			}
			message = report.Termination()
		}
	}
	if err != nil {
		report.ExitCode = result.ExitOperator
		if config.IsInvalid(err) {
			report.ExitCode = result.ExitConfiguration
		}
		lines := problems(err)
		for _, line := range lines {
			log.ErrorContext(ctx, line)
		}
		if checks {
			report.Checks = preflight.Invalid(lines, config.IsInvalid(err), failure.Runbook(read.Runbook))
		}
		message = report.TerminationOf(lines)
		report.DurationSeconds = time.Since(p.started).Seconds()
	}
	told.beat(ctx, log, report)
	summarise(ctx, log, report)
	terminate(ctx, log, message)
	for _, slot := range report.LeftOut(p.output) {
		log.WarnContext(ctx, slot)
	}
	if err := report.Print(p.stdout, p.output, p.style()); err != nil {
		log.ErrorContext(ctx, "the result could not be printed", "error", err.Error())
		return max(report.ExitCode, result.ExitOperator)
	}
	return report.ExitCode
}

// newLogger logs to stderr as the environment says, as far as it could be read.
func newLogger(env config.Env, stderr io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.Level(env.LogLevel)}
	if env.LogFormat == config.LogText {
		return slog.New(slog.NewTextHandler(stderr, options))
	}
	return slog.New(slog.NewJSONHandler(stderr, options))
}

// foreign logs what a library writes to Go's standard log, which would stand between our lines.
type foreign struct{ log *slog.Logger }

func (f foreign) Write(text []byte) (int, error) {
	f.log.Debug(failure.Clean(string(text)))
	return len(text), nil
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

// summarise logs the one line that ends every tick and every plan, also where nothing could be done.
func summarise(ctx context.Context, log *slog.Logger, report result.Report) {
	level := slog.LevelInfo
	if report.ExitCode != result.ExitFine {
		level = slog.LevelError
	}
	counts := map[string]int{}
	for _, target := range report.Targets {
		for _, w := range target.Workloads {
			counts[string(w.Outcome)]++
		}
	}
	for _, check := range report.Checks {
		counts[string(check.Status)]++
	}
	var outcomes []slog.Attr
	for _, outcome := range slices.Sorted(maps.Keys(counts)) {
		outcomes = append(outcomes, slog.Int(outcome, counts[outcome]))
	}
	log.LogAttrs(ctx, level, "tick done", slog.String("command", report.Command), slog.Int("exitCode", report.ExitCode),
		slog.Float64("durationSeconds", report.DurationSeconds), slog.Int("targets", len(report.Targets)), slog.GroupAttrs("outcomes", outcomes...))
}

// wired is a runner, and what it talks to.
type wired struct {
	runner   *tick.Runner
	cluster  *cluster.Client
	registry *resolver.Resolver
}

// wire makes a runner from the configuration, which writes as this field manager.
func (p *program) wire(read config.Config, log *slog.Logger, command, manager string) (wired, error) {
	agent := workload.FieldManager + "/" + version.Version()
	client, err := cluster.Connect(cluster.Options{
		Context: p.kubeContext, Namespace: string(read.Namespace), Concurrency: int(read.Concurrency), UserAgent: agent, Logger: log, Manager: manager,
		Runbook: failure.Runbook(read.Runbook),
	})
	if err != nil {
		return wired{}, err
	}
	if err := read.In(client.Namespace()); err != nil {
		return wired{}, err
	}
	secrets, fromAPI := credential.Mounted(string(read.PullSecretsDir)), p.readsSecrets(command, read.Env)
	if fromAPI {
		secrets = client.PullSecret
	}
	getenv := func(name string) string { value, _ := p.lookup.Lookup(name); return value }
	registry := resolver.New(resolver.Options{
		Registries: read.Registries, PullSecrets: secrets, DockerConfig: getenv("DOCKER_CONFIG"),
		Timeout: time.Duration(read.ResolveTimeout), Concurrency: int(read.Concurrency), Logger: log, UserAgent: agent,
		Check: command == "check", CloudIdentity: read.CloudIdentity, Getenv: getenv,
	})
	runner := &tick.Runner{
		Config: read, Namespace: client.Namespace(), Registry: registry, Cluster: client, Log: log, Now: time.Now, Started: p.started,
		Preflight: command == "check", ReadsSecrets: fromAPI,
	}
	return wired{runner, client, registry}, nil
}

// terminate writes the termination message where a kubelet waits for one.
func terminate(ctx context.Context, log *slog.Logger, message string) {
	file, err := os.OpenFile(terminationLog, os.O_WRONLY|os.O_TRUNC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		_, err = io.Copy(file, strings.NewReader(message))
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		log.WarnContext(ctx, "the termination message could not be written", "error", err.Error())
	}
}
