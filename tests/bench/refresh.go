package main

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/tracebloc/image-refresh/tests/registries"
)

// refreshed compares refreshes of 1, 10 and 100 workloads of one image. Each contender has workloads of its own: what
// kubectl sets image-refresh takes for a person's hand.
func (b *bench) refreshed(ctx context.Context) error {
	const most, mostOfLoop = 100, 10
	w := b.world
	image := follower{host: "docker.io", repository: "tracebloc/rolling", tag: "prod"}
	builds := 0
	push := func() (string, error) {
		builds++
		return w.site.Push(image.reference(), registries.Index(fmt.Sprintf("build %d", builds), "linux/amd64", "linux/arm64"))
	}
	digest, err := push()
	if err != nil {
		return err
	}
	names := func(prefix string, n int) (all []follower) {
		for i := range n {
			f := image
			f.deployment = fmt.Sprintf("%s-%d", prefix, i)
			all = append(all, f)
		}
		return all
	}
	var objects []*appsv1.Deployment
	for _, f := range names("ours", most) {
		objects = append(objects, application(w.home, f.deployment, digest, 1, marked("rolling", digest)...))
	}
	for _, f := range names("theirs", mostOfLoop) {
		objects = append(objects, application(w.home, f.deployment, digest, 1))
	}
	if err := w.deploy(ctx, objects); err != nil {
		return err
	}
	env, err := w.environ(distance{registries: 20 * time.Millisecond, api: 5 * time.Millisecond}, false)
	if err != nil {
		return err
	}
	ready := func(contender) error {
		if _, err := push(); err != nil {
			return err
		}
		return w.settled(ctx, w.home)
	}
	for _, n := range []int{1, 10, most} {
		b.say("a refresh of %d workloads", n)
		text := fmt.Sprintf("targets:\n  - name: rolling\n    image: %q\n    workloads:\n", image.reference())
		for _, f := range names("ours", n) {
			text += fmt.Sprintf("      - {kind: Deployment, name: %s, env: %s}\n", f.deployment, slot)
		}
		config, err := w.configure(fmt.Sprintf("refresh-%d", n), text)
		if err != nil {
			return err
		}
		contenders := []contender{w.product(config, env, "MAX_ROLLOUTS=0")}
		if n <= mostOfLoop {
			contenders = append(contenders, w.loop(names("theirs", n), env))
		}
		costs, err := w.alternate(ctx, max(b.rounds/5, 1), ready, contenders...)
		if err != nil {
			return err
		}
		b.addRefresh(n, costs)
	}
	b.reportRefresh()
	return w.settled(ctx, w.home)
}
