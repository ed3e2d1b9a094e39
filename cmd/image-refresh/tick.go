package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/tracebloc/image-refresh/internal/check"
	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/preflight"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/tick"
	"github.com/tracebloc/image-refresh/internal/version"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// terminationLog is where the kubelet picks up the termination message. It is there in a pod only.
const terminationLog = "/dev/termination-log"

// runTick wires one tick, or one plan of a tick, and prints what became of it.
func runTick(ctx context.Context, arguments arguments, lookup envconfig.Lookuper, started time.Time, stdout, stderr io.Writer) int {
	read, err := config.Read(ctx, lookup, arguments.overrides)
	log := newLogger(read.Env, stderr)
	report := result.New(version.Version(), arguments.command, started)
	message := ""
	if err == nil {
		if arguments.command != commandCheck { // which has a line for each
			for _, warning := range read.Warnings() {
				log.WarnContext(ctx, warning)
			}
		}
		var parts wired
		if parts, err = wire(arguments, read, lookup, log, started); err == nil {
			if arguments.command == commandCheck {
				report = (&check.Checker{Tick: parts.runner, Cluster: parts.cluster, Registry: parts.registry}).Run(ctx)
			} else {
				report = parts.runner.Run(ctx, arguments.command == commandPlan)
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
		if arguments.command == commandCheck {
			report.Checks = preflight.Invalid(lines, config.IsInvalid(err))
		}
		message = report.TerminationOf(lines)
		report.DurationSeconds = time.Since(started).Seconds()
	}
	summarise(ctx, log, report)
	terminate(ctx, log, message)
	if err := printReport(ctx, arguments.output, report, style(stdout, lookup), log, stdout); err != nil {
		log.ErrorContext(ctx, "the result could not be printed", "error", err.Error())
		return max(report.ExitCode, result.ExitOperator)
	}
	return report.ExitCode
}

// printReport prints the result in the form that was asked for. Where nothing could be planned, there is nothing to
// commit.
func printReport(ctx context.Context, output string, report result.Report, style result.Style, log *slog.Logger, stdout io.Writer) error {
	switch output {
	case outputTable:
		return report.WriteTable(stdout, style)
	case outputValues, outputPatch:
		for _, slot := range report.Desired.Unknown {
			log.WarnContext(ctx, slot+" is left out: it is not known what it should hold")
		}
		if len(report.Targets) == 0 { // an empty file would be taken for one that names no digest
			return nil
		}
		if output == outputPatch {
			return report.Desired.WritePatches(stdout)
		}
		for _, slot := range report.Desired.Unnamed {
			log.WarnContext(ctx, slot+" is left out: name the chart's value in its helmValue")
		}
		return report.Desired.WriteValues(stdout)
	default:
		return report.WriteJSON(stdout)
	}
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

// wire makes a runner from the configuration.
func wire(arguments arguments, read config.Config, lookup envconfig.Lookuper, log *slog.Logger, started time.Time) (wired, error) {
	agent := workload.FieldManager + "/" + version.Version()
	var registries []resolver.Registry
	for _, registry := range read.Registries {
		registries = append(registries, resolver.Registry(registry))
	}
	dockerConfig, _ := lookup.Lookup("DOCKER_CONFIG")
	registry, err := resolver.New(resolver.Options{
		Registries: registries, PullSecretsDir: string(read.PullSecretsDir), DockerConfig: dockerConfig,
		Timeout: time.Duration(read.ResolveTimeout), Concurrency: int(read.Concurrency), Logger: log, UserAgent: agent,
		Check: arguments.command == commandCheck,
	})
	if err != nil {
		return wired{}, &config.Invalid{Problems: []error{err}}
	}
	client, err := cluster.Connect(cluster.Options{
		Context: arguments.kubeContext, Namespace: string(read.Namespace), Concurrency: int(read.Concurrency), UserAgent: agent, Logger: log,
	})
	if err != nil {
		return wired{}, err
	}
	if err := read.In(client.Namespace()); err != nil {
		return wired{}, err
	}
	runner := &tick.Runner{
		Config: read, Namespace: client.Namespace(), Registry: registry, Cluster: client, Log: log, Now: time.Now, Started: started,
		Preflight: arguments.command == commandCheck,
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
