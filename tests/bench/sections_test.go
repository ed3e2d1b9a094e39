//go:build bench

package bench

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// startUp measures what there is before any work: start-up and sizes.
func (b *bench) startUp() {
	contenders := []contender{
		{"image-refresh version", []string{*binary, "version"}, nil}, {"crane version", []string{"crane", "version"}, nil},
		{"kubectl version --client", []string{"kubectl", "version", "--client"}, nil},
	}
	var rows [][]string
	for i, costs := range b.alternate(*rounds, nil, contenders...) {
		rows = append(rows, append([]string{"`" + contenders[i].name + "`"}, figures(costs)...))
	}
	var layer counter
	zip := gzip.NewWriter(&layer)
	size := int64(0)
	for _, path := range []string{"/etc/ssl/certs/ca-certificates.crt", *binary} {
		file, err := os.Open(path)
		require.NoError(b, err)
		size, err = io.Copy(zip, file) // the binary's in the end
		require.NoError(b, err)
		require.NoError(b, file.Close())
	}
	require.NoError(b, zip.Close())
	b.judge(size <= budgetBinary, "binary, static and stripped", megabytes(budgetBinary), megabytes(size))
	b.judge(layer <= budgetImage, "image of binary and CA certificates, compressed", megabytes(budgetImage), megabytes(int64(layer)))
	b.section("Start-up", table([]string{"start-up alone", "wall", "CPU", "peak memory"}, rows),
		"For comparison, binaries: "+strings.Join(strings.Fields(b.shell("cd $(dirname $(which crane)) && du -L --apparent-size -h crane kubectl")), " ")+".")
	require.True(b, size <= budgetBinary && layer <= budgetImage, "a size is over its budget:\n%v", b.budgets)
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

// slot is the variable that holds the digest, in the container "app".
const slot = "IMAGE_DIGEST"

// application is a Deployment of the size that real ones have: settings, probes, resources. What a tick reads of it is about 6 KB of
// JSON, 4 KB of them managedFields.
func application(name, digest string, options ...workloads.Option) *appsv1.Deployment {
	options = append([]workloads.Option{workloads.Container("app", "registry.invalid/tracebloc/app:1"), workloads.Env("app", slot, digest)}, options...)
	for i := range 12 {
		options = append(options, workloads.Env("app", fmt.Sprintf("SETTING_%d", i), fmt.Sprintf("a value of usual length, number %d", i)))
	}
	return workloads.Deployment(name, append(options, workloads.Pod(func(pod *corev1.PodTemplateSpec) {
		app := &pod.Spec.Containers[0]
		app.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}
		amounts := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")}
		app.Resources = corev1.ResourceRequirements{Requests: amounts, Limits: amounts}
		probe := corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromString("http")}}
		app.ReadinessProbe, app.LivenessProbe = &corev1.Probe{ProbeHandler: probe}, &corev1.Probe{ProbeHandler: probe}
		app.VolumeMounts = []corev1.VolumeMount{{Name: "scratch", MountPath: "/tmp"}}
		pod.Spec.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	}))...)
}

// deploy creates Deployments, as Helm 3 does, and waits until they are settled.
func (b *bench) deploy(namespace string, objects ...*appsv1.Deployment) {
	group, ctx := errgroup.WithContext(b.Context())
	group.SetLimit(16)
	for _, object := range objects {
		group.Go(func() error {
			_, err := b.cluster.Client().AppsV1().Deployments(namespace).Create(ctx, object, metav1.CreateOptions{FieldManager: "helm"})
			return err
		})
	}
	require.NoError(b, group.Wait())
	b.settled(namespace)
}

// settled waits until every Deployment of a namespace is.
func (b *bench) settled(namespace string) {
	require.Eventually(b, func() bool {
		list, err := b.cluster.Client().AppsV1().Deployments(namespace).List(context.WithoutCancel(b.Context()), metav1.ListOptions{})
		require.NoError(b, err)
		for i := range list.Items {
			if !workloads.Settled(&list.Items[i]) {
				return false
			}
		}
		return true
	}, 10*time.Minute, time.Second)
}

// follower is one Deployment and the image that it follows.
type follower struct{ host, repository, tag, deployment string }

func (f follower) reference() string { return f.host + "/" + f.repository + ":" + f.tag }

// contenders are image-refresh, and the scripts that look after the same Deployments or after others.
func (b *bench) contenders(config string, theirs []follower, env []string) []contender {
	var targets []string
	for _, f := range theirs {
		targets = append(targets, strings.Join([]string{f.host, f.repository, f.tag, f.deployment, "app", slot}, " "))
	}
	lines := strings.Join(targets, "\n")
	return []contender{
		b.product(config, env, "MAX_ROLLOUTS=0"), b.yardstick("kubectl + curl + jq", "loop.sh", lines, env),
		b.yardstick("crane + kubectl", "crane.sh", lines, env),
	}
}

// configuration is that of image-refresh, a target for each Deployment.
func configuration(followers []follower) string {
	text := "targets:\n"
	for _, f := range followers {
		text += fmt.Sprintf("  - {name: %s, image: %q, workloads: [{kind: Deployment, name: %s, env: %s}]}\n", f.deployment, f.reference(), f.deployment, slot)
	}
	return text
}

// push publishes a build, and returns its digest.
func (b *bench) push(reference, build string) string {
	digest, err := b.site.Push(reference, registries.Index(build, "linux/amd64", "linux/arm64"))
	require.NoError(b, err)
	return digest
}

// unchanged compares an unchanged tick, near and far.
func (b *bench) unchanged() {
	followers := []follower{
		{"ghcr.io", "tracebloc/ingestor", "0.3", "stg-ingestor"},
		{"docker.io", "tracebloc/jobs-manager", "prod", "stg-jobs-manager"},
		{"docker.io", "tracebloc/pods-monitor", "prod", "stg-pods-monitor"},
	}
	for _, f := range followers {
		digest := b.push(f.reference(), f.repository)
		b.deploy(b.namespace, application(f.deployment, digest, workloads.Annotation("bench/recorded", digest)))
	}
	config := b.configure(configuration(followers))
	near := b.contenders(config, followers, b.environ(distance{}))
	b.run(near[0]) // adopts
	b.settled(b.namespace)

	costs := b.alternate(*rounds, nil, near...)
	used, took, peak := ratio(costs[0], costs[1], cpu).median, ratio(costs[0], costs[1], wall).median, of(costs[0], memory)
	b.judge(used >= budgetCPU, "CPU of an unchanged tick, against the loop", fmt.Sprintf("1/%d", budgetCPU), fmt.Sprintf("1/%.1f", used))
	b.judge(took >= budgetWall, "wall time of an unchanged tick, against the loop", fmt.Sprintf("1/%d", budgetWall), fmt.Sprintf("1/%.1f", took))
	b.judge(peak.median <= budgetMemory, "peak memory of an unchanged tick", fmt.Sprintf("%d MiB", budgetMemory), peak.mebibytes())
	var rows [][]string
	for i, c := range near {
		rows = append(rows, append(append([]string{c.name}, figures(costs[i])...), ratio(costs[0], costs[i], cpu).times(), ratio(costs[0], costs[i], wall).times()))
	}
	b.section("An unchanged tick: 3 images on 2 registries",
		"Three Deployments, each with the digest of its image in a variable. The loop is `tests/bench/yardsticks/loop.sh`: it reads, resolves, "+
			"compares, and would set, wait and record. `crane.sh` beside it only compares. Each run starts in an empty home, as a pod does. "+
			"Peak memory is that of the largest process. Ratios are against image-refresh, run by run.",
		table([]string{"", "wall", "CPU", "peak memory", "CPU, ratio", "wall, ratio"}, rows),
		fmt.Sprintf("Noise: image-refresh's own %d runs lie %.0f %% of their median apart in CPU, and %.0f %% in wall time.",
			len(costs[0]), 100*of(costs[0], cpu).noise(), 100*of(costs[0], wall).noise()))

	rows = nil
	for _, away := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond} {
		costs := b.alternate(*rounds/3, nil, b.contenders(config, followers, b.environ(distance{registries: away, api: 5 * time.Millisecond}))...)
		rows = append(rows, []string{
			away.String(), of(costs[0], wall).seconds(), of(costs[1], wall).seconds(), of(costs[2], wall).seconds(),
			ratio(costs[0], costs[1], wall).times(), ratio(costs[0], costs[2], wall).times(),
		})
	}
	b.section("The same, far away",
		"The time is that of a round trip to the registries; one to the API server takes 5 ms. It is added to everything that crosses the network: "+
			"the handshakes of TCP and TLS and the proxy's CONNECT as well as requests.",
		table([]string{"round trip", "image-refresh", "kubectl + curl + jq", "crane + kubectl", "the loop against it", "crane against it"}, rows))
}

// refreshed compares refreshes of 1, 10 and 100 workloads of one image. Each contender has workloads of its own: what kubectl sets
// image-refresh takes for a manual change.
func (b *bench) refreshed() {
	image, builds := follower{host: "docker.io", repository: "tracebloc/rolling", tag: "prod"}, 0
	push := func() string {
		builds++
		return b.push(image.reference(), fmt.Sprintf("build %d", builds))
	}
	names := func(prefix string, n int) (all []follower) {
		for i := range n {
			f := image
			f.deployment = fmt.Sprintf("%s-%d", prefix, i)
			all = append(all, f)
		}
		return all
	}
	digest := push()
	var objects []*appsv1.Deployment
	for _, f := range append(names("ours", 100), names("theirs", 10)...) {
		objects = append(objects, application(f.deployment, digest))
	}
	b.deploy(b.namespace, objects...)
	env := b.environ(usual())
	var rows [][]string
	for _, n := range []int{1, 10, 100} {
		text := fmt.Sprintf("targets:\n  - name: rolling\n    image: %q\n    workloads:\n", image.reference())
		for _, f := range names("ours", n) {
			text += fmt.Sprintf("      - {kind: Deployment, name: %s, env: %s}\n", f.deployment, slot)
		}
		contenders := b.contenders(b.configure(text), names("theirs", n), env)[:2]
		if n > 10 {
			contenders = contenders[:1]
		}
		costs := b.alternate(*rounds/5, func() {
			push()
			b.settled(b.namespace)
		}, contenders...)
		row := append(append([]string{fmt.Sprint(n)}, figures(costs[0])...), "not run", "", "")
		if len(costs) > 1 {
			row = append(row[:4], of(costs[1], wall).seconds(), ratio(costs[0], costs[1], wall).times(), ratio(costs[0], costs[1], cpu).times())
		}
		rows = append(rows, row)
	}
	b.section("A refresh",
		"One image has moved, and so many Deployments of one replica follow it. Registries are 20 ms away, the API server 5 ms. The time is that of "+
			"the whole tick: resolve, verify, patch, wait for every rollout, record. Pods are played and ready at once, so that little of it is the "+
			"application's. `MAX_ROLLOUTS=0`; by default a tick rolls ten workloads.",
		table([]string{"workloads", "image-refresh, wall", "CPU", "peak memory", "the loop, wall", "the loop against it, wall", "CPU"}, rows))
}
