package main

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/status"
	"github.com/tracebloc/image-refresh/internal/version"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// statusTimeout bounds a status, whatever hangs: five lists of a few pages each.
const statusTimeout = time.Minute

func (p *program) statusCommand() *cobra.Command {
	var everywhere bool
	var selector string
	command := &cobra.Command{
		Use: "status", Short: "print what the labels and annotations say of all workloads, and whether ticks run", Args: knownCommand,
		Annotations: map[string]string{readsCluster: "yes"},
		Example:     "image-refresh status -n shop\nimage-refresh status -A -o wide",
		RunE: func(command *cobra.Command, _ []string) error {
			return p.status(command.Context(), everywhere, selector)
		},
	}
	workloadFlags(command, &everywhere, &selector)
	return command
}

func (p *program) status(ctx context.Context, everywhere bool, selector string) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	client, env, err := p.connect(ctx)
	if err != nil {
		return err
	}
	facts := status.Facts{Keys: annotate.NewKeys(string(env.AnnotationPrefix)), Runbook: failure.Runbook(env.Runbook), Namespace: client.Namespace(), Selector: selector}
	if everywhere {
		facts.Namespace = ""
	}
	if selector != "" {
		selector = "," + selector
	}
	var aside sync.WaitGroup
	aside.Go(func() { schedules(ctx, client, &facts) })
	facts.Workloads, err = client.Labelled(ctx, facts.Namespace, facts.Keys.Condition()+selector)
	aside.Wait()
	if err != nil {
		return unless(err)
	}
	if facts.Now = client.Date(); facts.Now.IsZero() {
		facts.Now = time.Now()
	}
	report := status.Of(result.New(version.Version(), "status", p.started), facts)
	report.DurationSeconds = time.Since(p.started).Seconds()
	if err := report.Print(p.stdout, p.output, p.style()); err != nil {
		return unless(err)
	}
	return ended(report.ExitCode, nil)
}

// schedules finds the CronJobs that run this program: in the namespace or, where there is none, in any. One may look after
// workloads in other namespaces than its own.
func schedules(ctx context.Context, client *cluster.Client, facts *status.Facts) {
	found, err := client.Schedules(ctx, facts.Namespace)
	facts.Schedules, facts.NoSchedules = found, failure.Of(err, failure.API)
	if err != nil || len(found) > 0 || facts.Namespace == "" {
		return
	}
	found, err = client.Schedules(ctx, "")
	facts.Schedules, facts.Elsewhere = found, failure.Of(err, failure.API)
}

// connect reads the environment, and prepares a client for a person.
func (p *program) connect(ctx context.Context) (*cluster.Client, config.Env, error) {
	env, wrong := config.ReadEnv(ctx, p.lookup)
	if err := errors.Join(wrong...); err != nil {
		return nil, env, ended(result.ExitConfiguration, err)
	}
	client, err := cluster.Connect(cluster.Options{
		Context: p.kubeContext, Namespace: cmp.Or(p.overrides.Namespace, string(env.Namespace)), Concurrency: int(env.Concurrency),
		UserAgent: workload.FieldManager + "/" + version.Version(), Logger: newLogger(env, p.stderr),
	})
	return client, env, unless(err)
}
