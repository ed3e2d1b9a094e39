package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/transcript"
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

// command is what an operator types, and what must come of it.
type command struct {
	line string
	exit int
	says string // within what it prints
}

// step is a part of the demo: something happens, and is looked at.
type step struct {
	heading, remark string
	happens         func(context.Context, *environment) error
	commands        []command
	rollouts        int // of the manager since it was installed, the first one included
}

var script = []step{
	{"An application is installed. Its images float on tags, its pods hold digests.", "", install, []command{
		{configLine, 0, "image: " + ingestorImage},
		{envLine, 0, slot + "=sha256:"},
	}, 1},
	{"The first tick accepts what runs, and restarts nothing.", "", nil, []command{
		{tick, 0, "  adopted\n"},
		{markLine, 0, "INGESTOR-DIGEST"},
	}, 1},
	{"ghcr.io: a release moves :0.3 to an index with amd64 and arm64. The variable and the rollout follow.", "", release, []command{
		{tick, 0, "  refreshed\n"},
		{envLine, 0, slot + "=sha256:"},
		{rolloutLine, 0, "successfully rolled out"},
	}, 2},
	{
		"The egress proxy begins to refuse ghcr.io, and both images are released again.",
		"docker.io goes on. For ghcr.io two ticks warn and count: a blip pages nobody.", block, []command{
			{tick, 0, "ingestor: proxy (1/3): "},
			{imageLine, 0, managerImage + "@sha256:"},
			{tick, 0, "ingestor: proxy (2/3): "},
		}, 2,
	},
	{"The third failing tick fails its Job, and so does each one after it, until ghcr.io answers.", "", nil, []command{
		{tick, 1, "  failed (proxy)\n"},
		{alarmLine + " | sort", 0, "last-error=proxy: "},
	}, 2},
	{"ghcr.io is allowed again: the next tick catches up, and the alarm clears itself.", "", unblock, []command{
		{tick, 0, "  refreshed\n"},
		{alarmLine + " || echo none", 0, "none"},
		{envLine, 0, slot + "=sha256:"},
	}, 3},
}

func install(ctx context.Context, e *environment) error {
	ingestor, err := e.site.Push(ingestorImage, registries.Image("ingestor 0.3.0", "linux/amd64"))
	if err != nil {
		return err
	}
	image, err := e.site.Push(managerImage, registries.Index("jobs-manager 1", "linux/amd64", "linux/arm64"))
	if err != nil {
		return err
	}
	image = managerImage + "@" + image
	return e.install(ctx,
		workloads.Deployment(manager, workloads.Container("api", image), workloads.Env("api", slot, ingestor)),
		workloads.Deployment(proxy, workloads.Container("proxy", image), workloads.Replicas(2)))
}

func release(_ context.Context, e *environment) error {
	_, err := e.site.Push(ingestorImage, registries.Index("ingestor 0.3.1", "linux/amd64", "linux/arm64"))
	return err
}

func block(_ context.Context, e *environment) error {
	e.unblock = e.site.Proxy.Refuse("ghcr.io", http.StatusForbidden)
	if _, err := e.site.Push(ingestorImage, registries.Index("ingestor 0.3.2", "linux/amd64", "linux/arm64")); err != nil {
		return err
	}
	_, err := e.site.Push(managerImage, registries.Index("jobs-manager 2", "linux/amd64", "linux/arm64"))
	return err
}

func unblock(_ context.Context, e *environment) error {
	e.unblock()
	return nil
}

// play plays the script, up to the first step that does not hold.
func play(ctx context.Context, p *transcript.Printer, e *environment) error {
	for _, step := range script {
		p.Heading(step.heading)
		if step.remark != "" {
			p.Say(step.remark)
		}
		if step.happens != nil {
			if err := step.happens(ctx, e); err != nil {
				return err
			}
		}
		for _, command := range step.commands {
			if err := command.execute(ctx, p, e); err != nil {
				return err
			}
			d, err := e.settled(ctx, manager)
			if err != nil {
				return err
			}
			if got := workloads.Revision(d); got != step.rollouts {
				return fmt.Errorf("after %s: %s was rolled out %d times, not %d", command.line, manager, got, step.rollouts)
			}
		}
	}
	return nil
}

// execute shows a command, runs it as shown, and shows what it printed.
func (c command) execute(ctx context.Context, p *transcript.Printer, e *environment) error {
	p.Command(c.line)
	printed, problems, exit, err := e.shell(ctx, c.line)
	if err != nil {
		return err
	}
	p.Output(printed)
	if c.line == tick {
		p.Exit(exit)
	}
	if exit != c.exit || !strings.Contains(printed, c.says) {
		return fmt.Errorf("%s ended with %d, not with %d, or did not print %q:\n%s", c.line, exit, c.exit, c.says, problems)
	}
	return nil
}
