package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// The application.
const (
	manager       = "stg-jobs-manager"
	proxy         = "stg-requests-proxy"
	slot          = "INGESTOR_IMAGE_DIGEST"
	ingestorImage = "ghcr.io/tracebloc/ingestor:0.3"
	managerImage  = "docker.io/tracebloc/jobs-manager:prod"
)

// What an operator types.
const (
	tick        = "image-refresh -f config.yaml -o table"
	configLine  = "cat config.yaml"
	markLine    = "kubectl get deploy -L tracebloc.io/ingestor-digest"
	envLine     = "kubectl set env deploy/" + manager + " --list"
	imageLine   = "kubectl get deploy " + proxy + " -o jsonpath='{..image}'"
	rolloutLine = "kubectl rollout status deploy/" + manager
	alarmLine   = "kubectl annotate deploy/" + manager + " --list | grep -E 'failures|last-error'"
)

// step is a part of the demo: something happens, and is looked at. What the commands print is what docs/demo.md shows.
type step struct {
	heading, remark string
	happens         func(context.Context, *environment) error
	exit            int // of ticks
	rollouts        int // of the manager since it was installed, the first one included
	commands        []string
}

var script = []step{
	{"An application is installed. Its images float on tags, its pods hold digests.", "", install, 0, 1, []string{configLine, envLine, imageLine}},
	{"The first tick accepts what runs, and restarts nothing.", "", nil, 0, 1, []string{tick, markLine}},
	{
		"ghcr.io: a release moves :0.3 to an index with amd64 and arm64. The variable and the rollout follow.", "",
		release, 0, 2, []string{tick, envLine, rolloutLine},
	},
	{
		"The egress proxy begins to refuse ghcr.io, and both images are released again.",
		"docker.io goes on. For ghcr.io two ticks warn and count: a blip pages nobody.",
		block, 0, 2, []string{tick, imageLine, tick},
	},
	{
		"The third failing tick fails its Job, and so does each one after it, until ghcr.io answers.", "",
		nil, 1, 2, []string{tick, alarmLine + " | sort"},
	},
	{
		"ghcr.io is allowed again: the next tick catches up, and the alarm clears itself.", "",
		unblock, 0, 3, []string{tick, alarmLine + " || echo none", envLine},
	},
}

func install(ctx context.Context, e *environment) error {
	ingestor, err := e.site.Push(ingestorImage, registries.Image("ingestor 0.3.0", "linux/amd64"))
	if err != nil {
		return err
	}
	image, err := e.site.Push(managerImage, built("jobs-manager", "1.4.1"))
	if err != nil {
		return err
	}
	image = managerImage + "@" + image
	for _, d := range []*appsv1.Deployment{
		workloads.Deployment(manager, workloads.Container("api", image), workloads.Env("api", slot, ingestor)),
		workloads.Deployment(proxy, workloads.Container("proxy", image), workloads.Replicas(2)),
	} {
		options := metav1.CreateOptions{FieldManager: "helm"}
		if _, err := e.Cluster.Client().AppsV1().Deployments(namespace).Create(ctx, d, options); err != nil {
			return err
		}
	}
	_, problems, code, err := e.shell(ctx, rolloutLine+" && kubectl rollout status deploy/"+proxy)
	if code != 0 {
		return fmt.Errorf("the application does not come up: %s", problems)
	}
	return err
}

// built is an image for two platforms that says which build it is.
func built(name, version string) registries.Content {
	said := registries.Said{Labels: map[string]string{"org.opencontainers.image.version": version}}
	return registries.IndexThatSays(said, name+" "+version, "linux/amd64", "linux/arm64")
}

func release(_ context.Context, e *environment) error {
	_, err := e.site.Push(ingestorImage, built("ingestor", "0.3.1"))
	return err
}

func block(_ context.Context, e *environment) error {
	e.unblock = e.site.Proxy.Refuse("ghcr.io", http.StatusForbidden)
	if _, err := e.site.Push(ingestorImage, built("ingestor", "0.3.2")); err != nil {
		return err
	}
	_, err := e.site.Push(managerImage, built("jobs-manager", "1.4.2"))
	return err
}

func unblock(_ context.Context, e *environment) error {
	e.unblock()
	return nil
}

// play plays the script, up to the first step that does not hold.
func play(ctx context.Context, p printer, e *environment) error {
	for i, step := range script {
		p.line(bold, "\n%d. %s", i+1, step.heading)
		if step.remark != "" {
			p.line(dim, "%s", step.remark)
		}
		if step.happens != nil {
			if err := step.happens(ctx, e); err != nil {
				return err
			}
		}
		for _, line := range step.commands {
			if err := execute(ctx, p, e, line, step.exit); err != nil {
				return err
			}
			d, err := e.Cluster.Client().AppsV1().Deployments(namespace).Get(ctx, manager, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if got := workloads.Revision(d); got != step.rollouts {
				return fmt.Errorf("after %s: %s was rolled out %d times, not %d", line, manager, got, step.rollouts)
			}
		}
	}
	return nil
}

// execute shows a command, runs it as shown, and shows what it printed. A tick has to end with exit, all else with 0.
func execute(ctx context.Context, p printer, e *environment, line string, exit int) error {
	p.line(cyan, "\n$ %s", line)
	printed, problems, code, err := e.shell(ctx, line)
	if err != nil {
		return err
	}
	p.line("", "%s", strings.TrimRight(printed, "\n"))
	switch {
	case line != tick:
		exit = 0
	case code == 0:
		p.line(green, "[exit code 0]")
	default:
		p.line(red, "[exit code %d]", code)
	}
	if code != exit {
		return fmt.Errorf("%s ended with %d, not with %d:\n%s", line, code, exit, problems)
	}
	return nil
}
