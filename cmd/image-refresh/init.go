package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/proposal"
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
	workloadFlags(command, &everywhere, &selector)
	return command
}

// workloadFlags are those of commands about all workloads.
func workloadFlags(command *cobra.Command, everywhere *bool, selector *string) {
	command.Flags().BoolVarP(everywhere, "all-namespaces", "A", false, "of all namespaces")
	command.Flags().StringVarP(selector, "selector", "l", "", "only workloads that this label `SELECTOR` selects, as kubectl has it")
}

func (p *program) propose(ctx context.Context, everywhere bool, selector string) error {
	client, env, err := p.connect(ctx)
	if err != nil {
		return err
	}
	return unless(p.proposeFrom(ctx, client, env, everywhere, selector))
}

func (p *program) proposeFrom(ctx context.Context, client *cluster.Client, env config.Env, everywhere bool, selector string) error {
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
