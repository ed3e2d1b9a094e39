package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/tracebloc/image-refresh/tests/registries"
)

// What there is to grow over: images that all hold the same, so that one digest is fresh for each, and workloads,
// each of which follows one of many images and, for smaller configurations, one of few.
const (
	manyImages, fewImages   = 200, 3
	namespaces              = 10
	inFirst, inEachOther    = 1000, 500
	fewFamily, manyFamily   = "few", "many"
	growthRegistries        = 20 * time.Millisecond
	growthAPI               = 5 * time.Millisecond
	mostWorkloads, atBudget = 5000, 1000

	moreRequests, mostRequests = "16", "32" // CONCURRENCY, where everything is far away
)

// size is one configuration to measure.
type size struct {
	workloads, images, namespaces int
	family                        string
	far                           distance
	concurrency                   string
}

// estate is the workloads of the growth, by namespace.
type estate struct {
	names      []string // of the namespaces
	population []int
}

// image is the one that a workload of a family follows.
func (s size) image(n int) int {
	return n % map[string]int{fewFamily: fewImages, manyFamily: manyImages}[s.family]
}

// settle populates the namespaces.
func (b *bench) settle(ctx context.Context) (estate, error) {
	w := b.world
	var digest string
	for i := range manyImages {
		var err error
		if digest, err = w.site.Push(reference(i), registries.Index("the same", "linux/amd64", "linux/arm64")); err != nil {
			return estate{}, err
		}
	}
	var e estate
	for at := range namespaces {
		namespace, err := w.cluster.Namespace(ctx, "growth")
		if err != nil {
			return estate{}, err
		}
		if err := w.cluster.Grant(ctx, namespace, w.home, account, rules()...); err != nil {
			return estate{}, err
		}
		population := inEachOther
		if at == 0 {
			population = inFirst
		}
		var objects []*appsv1.Deployment
		for n := range population {
			marks := marked(fmt.Sprintf("%s-%d", fewFamily, n%fewImages), digest)
			marks = append(marks, marked(fmt.Sprintf("%s-%d", manyFamily, n%manyImages), digest)...)
			// Nothing runs: a workload that is scaled to zero is settled, and as large to read.
			objects = append(objects, application(namespace, fmt.Sprintf("app-%d", n), digest, 0, marks...))
		}
		if err := w.deploy(ctx, objects); err != nil {
			return estate{}, err
		}
		e.names, e.population = append(e.names, namespace), append(e.population, population)
		b.say("%d workloads in namespace %d of %d", population, at+1, namespaces)
	}
	for _, namespace := range e.names {
		if err := w.settled(ctx, namespace); err != nil {
			return estate{}, err
		}
	}
	return e, nil
}

// reference is an image of the growth, docker.io's and ghcr.io's in turn.
func reference(i int) string {
	return fmt.Sprintf("%s/tracebloc/app-%d:1", []string{"docker.io", "ghcr.io"}[i%2], i)
}

// configuration is a size in words: its workloads, as evenly over its namespaces as its images allow.
func (e estate) configuration(s size) (string, error) {
	targets := make([]strings.Builder, s.images)
	share := (s.workloads + s.namespaces - 1) / s.namespaces
	left := s.workloads
	for step := 0; left > 0; step++ {
		if step == inFirst {
			return "", fmt.Errorf("there are not %d workloads of %d images in %d namespaces", s.workloads, s.images, s.namespaces)
		}
		for at := 0; at < s.namespaces && left > 0; at++ {
			if step >= e.population[at] {
				continue
			}
			n := (step + at*share) % e.population[at] // each namespace begins with other images
			if s.image(n) < s.images {
				fmt.Fprintf(&targets[s.image(n)], "      - {kind: Deployment, name: app-%d, namespace: %s, env: %s}\n", n, e.names[at], slot)
				left--
			}
		}
	}
	var text strings.Builder
	text.WriteString("targets:\n")
	for i := range targets {
		if targets[i].Len() > 0 {
			fmt.Fprintf(&text, "  - name: %s-%d\n    image: %q\n    workloads:\n%s", s.family, i, reference(i), targets[i].String())
		}
	}
	return text.String(), nil
}

// sizes are the growth along each axis, what the budget names, and beyond.
func sizes() []size {
	usual := distance{growthRegistries, growthAPI}
	equal := distance{growthRegistries, growthRegistries}
	return []size{
		{10, 3, 1, fewFamily, usual, ""}, {30, 3, 1, fewFamily, usual, ""}, {100, 3, 1, fewFamily, usual, ""},
		{300, 3, 1, fewFamily, usual, ""}, {1000, 3, 1, fewFamily, usual, ""},
		{200, 10, 10, manyFamily, usual, ""}, {200, 30, 10, manyFamily, usual, ""}, {200, 100, 10, manyFamily, usual, ""},
		{200, 200, 10, manyFamily, usual, ""},
		{1000, 200, 1, manyFamily, usual, ""}, {1000, 200, 3, manyFamily, usual, ""}, {1000, 200, 10, manyFamily, usual, ""},
		{atBudget, 200, 10, manyFamily, equal, ""}, {atBudget, 200, 10, manyFamily, equal, moreRequests},
		{mostWorkloads, 200, 10, manyFamily, usual, ""}, {mostWorkloads, 200, 10, manyFamily, equal, ""},
		{mostWorkloads, 200, 10, manyFamily, equal, mostRequests},
	}
}

// growth measures every size.
func (b *bench) growth(ctx context.Context) error {
	e, err := b.settle(ctx)
	if err != nil {
		return err
	}
	for _, s := range sizes() {
		if err := b.grow(ctx, e, s); err != nil {
			return err
		}
	}
	b.reportGrowth()
	return nil
}

func (b *bench) grow(ctx context.Context, e estate, s size) error {
	w := b.world
	b.say("%d workloads, %d images, %d namespaces", s.workloads, s.images, s.namespaces)
	text, err := e.configuration(s)
	if err != nil {
		return err
	}
	config, err := w.configure("growth", text)
	if err != nil {
		return err
	}
	counting, err := w.environ(distance{}, true)
	if err != nil {
		return err
	}
	seen, err := w.count(ctx, w.product(config, counting))
	if err != nil {
		return err
	}
	env, err := w.environ(s.far, false)
	if err != nil {
		return err
	}
	costs, err := w.alternate(ctx, max(b.rounds/3, 1), nil, w.product(config, env, "CONCURRENCY="+s.concurrency))
	if err != nil {
		return err
	}
	b.addGrowth(s, seen, costs[0])
	return nil
}
