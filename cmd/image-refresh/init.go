package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/proposal"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/version"
	"github.com/tracebloc/image-refresh/internal/workload"
)

func (p *program) initCommand() *cobra.Command {
	var everywhere bool
	var selector string
	command := &cobra.Command{
		Use: "init", Short: "write targets for what runs in a namespace, to standard output: one for each tag that floats", Args: knownCommand,
		Example: "image-refresh init -n shop > config.yaml\nimage-refresh init -A -l team=shop",
		RunE: func(command *cobra.Command, _ []string) error {
			return p.propose(command.Context(), everywhere, selector)
		},
	}
	command.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "of all namespaces")
	command.Flags().StringVarP(&selector, "selector", "l", "", "only workloads that this label `SELECTOR` selects, as kubectl has it")
	return command
}

func (p *program) propose(ctx context.Context, everywhere bool, selector string) error {
	env, wrong := config.ReadEnv(ctx, p.lookup)
	if err := errors.Join(wrong...); err != nil {
		return ended(result.ExitConfiguration, err)
	}
	return unless(p.proposeFrom(ctx, env, everywhere, selector))
}

func (p *program) proposeFrom(ctx context.Context, env config.Env, everywhere bool, selector string) error {
	client, err := cluster.Connect(cluster.Options{
		Context: p.kubeContext, Namespace: cmp.Or(p.overrides.Namespace, string(env.Namespace)), Concurrency: int(env.Concurrency),
		UserAgent: workload.FieldManager + "/" + version.Version(), Logger: newLogger(env, p.stderr),
	})
	if err != nil {
		return err
	}
	namespace := client.Namespace()
	if everywhere {
		namespace = ""
	}
	objects, err := client.List(ctx, namespace, selector)
	if err != nil {
		return err
	}
	accounts := map[[2]string][]string{} // pull secrets by namespace and service account
	var workloads []proposal.Workload
	for _, object := range objects {
		secrets := object.Secrets()
		if len(secrets) == 0 { // pods that name none get those of their service account
			account := [2]string{object.Namespace, object.ServiceAccount()}
			if _, known := accounts[account]; !known {
				if accounts[account], err = client.PullSecrets(ctx, account[0], account[1]); err != nil {
					return err
				}
			}
			secrets = accounts[account]
		}
		workloads = append(workloads, proposal.Workload{Object: object, Secrets: secrets})
	}
	return proposal.Write(p.stdout, workloads, string(env.AnnotationPrefix))
}
