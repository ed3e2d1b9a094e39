package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// follower is one Deployment and the image that it follows.
type follower struct{ host, repository, tag, deployment string }

func (f follower) reference() string { return f.host + "/" + f.repository + ":" + f.tag }

// three are the images of the first comparison: three on two registries.
func three() []follower {
	return []follower{
		{"ghcr.io", "tracebloc/ingestor", "0.3", "stg-ingestor"},
		{"docker.io", "tracebloc/jobs-manager", "prod", "stg-jobs-manager"},
		{"docker.io", "tracebloc/pods-monitor", "prod", "stg-pods-monitor"},
	}
}

// lines tells the loops what to look after.
func lines(followers []follower) string {
	var text []string
	for _, f := range followers {
		text = append(text, strings.Join([]string{f.host, f.repository, f.tag, f.deployment, "app", slot}, " "))
	}
	return "TARGETS=" + strings.Join(text, "\n")
}

// configuration tells image-refresh the same.
func configuration(followers []follower) string {
	var text strings.Builder
	text.WriteString("targets:\n")
	for _, f := range followers {
		fmt.Fprintf(&text, "  - {name: %s, image: %q, workloads: [{kind: Deployment, name: %s, env: %s}]}\n", f.deployment, f.reference(), f.deployment, slot)
	}
	return text.String()
}

// configure writes a configuration file and returns its path.
func (w *world) configure(name, text string) (string, error) {
	path := filepath.Join(w.dir, name+".yaml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// The contenders, in the order of the report.
func (w *world) product(config string, env []string, more ...string) contender {
	return contender{"image-refresh", []string{w.binary}, append(append([]string{"CONFIG_FILE=" + config}, env...), more...)}
}

func (w *world) loop(followers []follower, env []string) contender {
	return contender{"kubectl + curl + jq", []string{"bash", filepath.Join(w.scripts, "loop.sh")}, append([]string{lines(followers)}, env...)}
}

func (w *world) craneLoop(followers []follower, env []string) contender {
	return contender{"crane + kubectl", []string{"bash", filepath.Join(w.scripts, "crane.sh")}, append([]string{lines(followers)}, env...)}
}

// setOut deploys the followers, fresh, and lets image-refresh adopt them. It returns the configuration's path.
func (w *world) setOut(ctx context.Context, followers []follower) (string, error) {
	var objects []*appsv1.Deployment
	for _, f := range followers {
		digest, err := w.site.Push(f.reference(), registries.Index(f.repository, "linux/amd64", "linux/arm64"))
		if err != nil {
			return "", err
		}
		objects = append(objects, application(w.home, f.deployment, digest, 1, workloads.Annotation("bench/recorded", digest)))
	}
	if err := w.deploy(ctx, objects); err != nil {
		return "", err
	}
	if err := w.settled(ctx, w.home); err != nil {
		return "", err
	}
	config, err := w.configure("three", configuration(followers))
	if err != nil {
		return "", err
	}
	env, err := w.environ(distance{}, false)
	if err != nil {
		return "", err
	}
	if _, err := w.run(ctx, w.product(config, env)); err != nil {
		return "", err
	}
	return config, w.settled(ctx, w.home)
}

// asked is what a run asks of others.
type asked struct{ api, writes, registries, connections, processes int }

// count runs a contender once more, to count. None of its times is of use.
func (w *world) count(ctx context.Context, c contender) (asked, error) {
	w.api.Forget()
	w.site.Front.Forget()
	w.site.Proxy.Forget()
	if _, err := w.run(ctx, c); err != nil {
		return asked{}, err
	}
	seen := asked{
		api: len(w.api.Requests(nil)), writes: len(w.api.Writes()),
		registries: len(w.site.Front.Calls(nil)), connections: len(w.site.Proxy.Connects("")),
	}
	traced, err := w.run(ctx, c, "-count")
	seen.processes = traced.Processes
	return seen, err
}

// unchanged compares an unchanged tick, near and far.
func (b *bench) unchanged(ctx context.Context) error {
	b.say("an unchanged tick")
	w, followers := b.world, three()
	config, err := w.setOut(ctx, followers)
	if err != nil {
		return err
	}
	contenders := func(far distance, counted bool) ([]contender, error) {
		env, err := w.environ(far, counted)
		return []contender{w.product(config, env), w.loop(followers, env), w.craneLoop(followers, env)}, err
	}
	counted, err := contenders(distance{}, true)
	if err != nil {
		return err
	}
	var all []asked
	for _, c := range counted {
		seen, err := w.count(ctx, c)
		if err != nil {
			return err
		}
		all = append(all, seen)
	}
	near, err := contenders(distance{}, false)
	if err != nil {
		return err
	}
	costs, err := w.alternate(ctx, b.rounds, nil, near...)
	if err != nil {
		return err
	}
	b.reportUnchanged(near, costs, all)
	for _, far := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond} {
		b.say("an unchanged tick, registries %s away", far)
		away, err := contenders(distance{registries: far, api: 5 * time.Millisecond}, false)
		if err != nil {
			return err
		}
		costs, err := w.alternate(ctx, max(b.rounds/3, 1), nil, away...)
		if err != nil {
			return err
		}
		b.addLatency(far, costs)
	}
	b.reportLatency()
	return nil
}
