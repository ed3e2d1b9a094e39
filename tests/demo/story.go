package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/tracebloc/image-refresh/tests/components"
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
	tickLine     = "image-refresh -f config.yaml -o table"
	markLine     = "kubectl get deploy -L tracebloc.io/ingestor-digest"
	envLine      = "kubectl set env deploy/" + manager + " --list"
	imageLine    = "kubectl get deploy " + proxy + " -o jsonpath='{..image}'"
	rolloutLine  = "kubectl rollout status deploy/" + manager
	alarmLine    = "kubectl annotate deploy/" + manager + " --list | grep -E 'failures|last-error'"
	failuresLine = alarmLine + " | sort"
	clearedLine  = alarmLine + " || echo none"
)

// Annotations of the target ingestor, on its first workload.
const (
	failuresKey  = "tracebloc.io/ingestor-refresh-consecutive-failures"
	lastErrorKey = "tracebloc.io/ingestor-refresh-last-error"
)

// run plays the story and takes everything down, whatever becomes of it.
func run(ctx context.Context, n *transcript.Printer, progress io.Writer) (err error) {
	begun := time.Now()
	kubernetes, err := components.ChosenKubernetes()
	if err != nil {
		return err
	}
	w, err := newWorld()
	if err != nil {
		return err
	}
	n.Title("image-refresh, on a real Kubernetes control plane (" + string(kubernetes) + ") and real registries")
	n.Say("docker.io and ghcr.io are served on this machine, under their real names, behind an egress proxy.")
	n.Say("Pods are played, not run. Every command below is run as it stands here.")
	err = w.build(ctx, progress)
	if err == nil {
		n.Say("Up after " + since(begun) + ".")
		err = (&story{Printer: n, world: w}).tell(ctx)
	}
	if err := errors.Join(err, w.stop()); err != nil {
		return err
	}
	n.Print("")
	n.Say("Done after " + since(begun) + ". The control plane, the registries and their files are gone.")
	return nil
}

func since(begun time.Time) string {
	return strconv.FormatFloat(time.Since(begun).Seconds(), 'f', 1, 64) + " s"
}

// story is what happens, chapter by chapter.
type story struct {
	*transcript.Printer
	*world
	unblock func()
	// The digests that the story is about.
	ingestor, moved, latest string
	manager, managerMoved   string
}

func (s *story) tell(ctx context.Context) error {
	for _, chapter := range []func(context.Context) error{
		s.installed, s.adopted, s.followed, s.blocked, s.loud, s.cleared,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) installed(ctx context.Context) (err error) {
	s.Heading("An application is installed. Its images float on tags, its pods hold digests.")
	if s.ingestor, err = s.site.Push(ingestorImage, registries.Image("ingestor 0.3.0", "linux/amd64")); err != nil {
		return err
	}
	if s.manager, err = s.site.Push(managerImage, registries.Index("jobs-manager 1", "linux/amd64", "linux/arm64")); err != nil {
		return err
	}
	pinned := managerImage + "@" + s.manager
	if err := s.install(ctx,
		workloads.Deployment(manager, workloads.Container("api", pinned), workloads.Env("api", slot, s.ingestor)),
		workloads.Deployment(proxy, workloads.Container("proxy", pinned), workloads.Replicas(2)),
	); err != nil {
		return err
	}
	if _, err := s.execute(ctx, "cat config.yaml"); err != nil {
		return err
	}
	return s.typed(ctx, envLine, s.ingestor)
}

func (s *story) adopted(ctx context.Context) error {
	s.Heading("The first tick accepts what runs, and restarts nothing.")
	if err := s.tick(ctx, 0, row{"ingestor", "adopted"}, row{"jobs-manager", "adopted"}); err != nil {
		return err
	}
	if err := s.typed(ctx, markLine, mark(s.ingestor)); err != nil {
		return err
	}
	return s.holds(ctx, 1, s.ingestor)
}

func (s *story) followed(ctx context.Context) (err error) {
	s.Heading("ghcr.io: a release moves :0.3 to an index with amd64 and arm64. The variable and the rollout follow.")
	if s.moved, err = s.site.Push(ingestorImage, registries.Index("ingestor 0.3.1", "linux/amd64", "linux/arm64")); err != nil {
		return err
	}
	if err := s.tick(ctx, 0, row{"ingestor", "refreshed"}, row{"jobs-manager", "unchanged"}); err != nil {
		return err
	}
	if err := s.holds(ctx, 2, s.moved); err != nil {
		return err
	}
	if err := s.typed(ctx, envLine, s.moved); err != nil {
		return err
	}
	return s.typed(ctx, rolloutLine, "successfully rolled out")
}

func (s *story) blocked(ctx context.Context) (err error) {
	s.Heading("The egress proxy begins to refuse ghcr.io, and both images are released again.")
	s.Say("docker.io goes on. For ghcr.io two ticks warn and count: a blip pages nobody.")
	s.unblock = s.site.Proxy.Refuse("ghcr.io", http.StatusForbidden)
	if s.latest, err = s.site.Push(ingestorImage, registries.Index("ingestor 0.3.2", "linux/amd64", "linux/arm64")); err != nil {
		return err
	}
	if s.managerMoved, err = s.site.Push(managerImage, registries.Index("jobs-manager 2", "linux/amd64", "linux/arm64")); err != nil {
		return err
	}
	if err := s.tick(ctx, 0, row{"ingestor", "skipped (proxy)"}, row{"jobs-manager", "refreshed"}); err != nil {
		return err
	}
	if err := s.typed(ctx, imageLine, s.managerMoved); err != nil {
		return err
	}
	if err := s.counted(ctx, "1"); err != nil {
		return err
	}
	if err := s.tick(ctx, 0, row{"ingestor", "skipped (proxy)"}, row{"jobs-manager", "unchanged"}); err != nil {
		return err
	}
	return s.counted(ctx, "2")
}

func (s *story) loud(ctx context.Context) error {
	s.Heading("The third failing tick fails its Job, and so does each one after it, until ghcr.io answers.")
	if err := s.tick(ctx, 1, row{"ingestor", "failed (proxy)"}, row{"jobs-manager", "unchanged"}); err != nil {
		return err
	}
	if err := s.typed(ctx, failuresLine, failuresKey+"=3", lastErrorKey+"=proxy: ", "ghcr.io"); err != nil {
		return err
	}
	return s.holds(ctx, 2, s.moved)
}

func (s *story) cleared(ctx context.Context) error {
	s.Heading("ghcr.io is allowed again: the next tick catches up, and the alarm clears itself.")
	s.unblock()
	if err := s.tick(ctx, 0, row{"ingestor", "refreshed"}, row{"jobs-manager", "unchanged"}); err != nil {
		return err
	}
	if err := s.typed(ctx, clearedLine, "none"); err != nil {
		return err
	}
	if err := s.typed(ctx, envLine, s.latest); err != nil {
		return err
	}
	return s.holds(ctx, 3, s.latest)
}
