//go:build bench

package bench

import (
	"bytes"
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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

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
	var layer bytes.Buffer
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
	b.judge(layer.Len() <= budgetImage, "image of binary and CA certificates, compressed", megabytes(budgetImage), megabytes(int64(layer.Len())))
	require.True(b, size <= budgetBinary && layer.Len() <= budgetImage, "a size is over its budget:\n%v", b.budgets)
	b.section("Start-up", table([]string{"start-up alone", "wall", "CPU", "peak memory"}, rows))
}

func megabytes(size int64) string { return fmt.Sprintf("%.1f MB", float64(size)/1e6) }

// slot is the variable that holds the digest, in the container "app".
const slot = "IMAGE_DIGEST"

// container is that of an application as real ones are: settings, probes, resources.
const container = `
name: app
image: registry.invalid/tracebloc/app:1
ports: [{name: http, containerPort: 8080}]
resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {cpu: 100m, memory: 128Mi}}
readinessProbe: {httpGet: {path: /ready, port: http}}
livenessProbe: {httpGet: {path: /alive, port: http}}
`

// application is a Deployment of the size that real ones have. What a tick reads of it is about 6 KB of JSON, 4 KB of them
// managedFields.
func application(name, digest string, options ...workloads.Option) *appsv1.Deployment {
	all := []workloads.Option{workloads.Pod(func(pod *corev1.PodTemplateSpec) {
		pod.Spec.Containers = make([]corev1.Container, 1)
		if err := yaml.Unmarshal([]byte(container), &pod.Spec.Containers[0]); err != nil {
			panic(err) // a constant
		}
	}), workloads.Env("app", slot, digest)}
	for i := range 12 {
		all = append(all, workloads.Env("app", fmt.Sprintf("SETTING_%d", i), fmt.Sprintf("a value of usual length, number %d", i)))
	}
	return workloads.Deployment(name, append(all, options...)...)
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
		for i := range list.Items {
			if !workloads.Settled(&list.Items[i]) {
				return false
			}
		}
		return err == nil
	}, 10*time.Minute, time.Second)
}

// line is a target as the yardsticks read it.
func line(host, repository, tag, deployment string) string {
	return strings.Join([]string{host, repository, tag, deployment, "app", slot}, " ")
}

// contenders are image-refresh, which looks after some lines, and the scripts, which look after the same or others.
func (b *bench) contenders(ours, theirs []string, env []string) []contender {
	text := "targets:\n"
	for _, target := range ours {
		f := strings.Fields(target)
		text += fmt.Sprintf("  - {name: %[1]s, image: %q, workloads: [{kind: Deployment, name: %[1]s, env: %[3]s}]}\n",
			f[3], f[0]+"/"+f[1]+":"+f[2], slot)
	}
	return []contender{
		b.product(b.configure(text), env, "MAX_ROLLOUTS=0"),
		b.yardstick("kubectl + curl + jq", "loop.sh", strings.Join(theirs, "\n"), env),
		b.yardstick("crane + kubectl", "crane.sh", strings.Join(theirs, "\n"), env),
	}
}

// push publishes a build, and returns its digest.
func (b *bench) push(reference, build string) string {
	digest, err := b.site.Push(reference, registries.Index(build, "linux/amd64", "linux/arm64"))
	require.NoError(b, err)
	return digest
}

// unchanged compares an unchanged tick, near and far.
func (b *bench) unchanged() {
	var lines []string
	for _, f := range [][4]string{
		{"ghcr.io", "tracebloc/ingestor", "0.3", "stg-ingestor"}, {"docker.io", "tracebloc/jobs-manager", "prod", "stg-jobs-manager"},
		{"docker.io", "tracebloc/pods-monitor", "prod", "stg-pods-monitor"},
	} {
		digest := b.push(f[0]+"/"+f[1]+":"+f[2], f[1])
		b.deploy(b.namespace, application(f[3], digest, workloads.Annotation("bench/recorded", digest)))
		lines = append(lines, line(f[0], f[1], f[2], f[3]))
	}
	near := b.contenders(lines, lines, b.environ(distance{}))
	b.run(near[0]) // adopts
	b.settled(b.namespace)

	costs := b.alternate(*rounds, nil, near...)
	used, took, peak := ratio(costs[0], costs[1], cpu).median, ratio(costs[0], costs[1], wall).median, of(costs[0], memory)
	b.judge(used >= budgetCPU, "CPU of an unchanged tick of 3 images, against the loop", fmt.Sprintf("1/%d", budgetCPU), fmt.Sprintf("1/%.1f", used))
	b.judge(took >= budgetWall, "wall time of it, against the loop", fmt.Sprintf("1/%d", budgetWall), fmt.Sprintf("1/%.1f", took))
	b.judge(peak.median <= budgetMemory, "peak memory of it", fmt.Sprintf("%d MiB", budgetMemory), peak.mebibytes())
	var rows [][]string
	for i, c := range near {
		row := append([]string{c.name}, figures(costs[i])...)
		rows = append(rows, append(row, ratio(costs[0], costs[i], cpu).times(), ratio(costs[0], costs[i], wall).times()))
	}
	b.section("An unchanged tick: 3 images on 2 registries",
		"Three Deployments, each with the digest of its image in a variable. The loop is `tests/bench/yardsticks/loop.sh`: it reads, resolves, "+
			"compares, and would set, wait and record. `crane.sh` beside it only compares. Each run starts in an empty home, as a pod does. "+
			"Peak memory is that of the largest process. Ratios are against image-refresh, run by run.",
		table([]string{"", "wall", "CPU", "peak memory", "CPU, ratio", "wall, ratio"}, rows))

	rows = nil
	for _, milliseconds := range []time.Duration{5, 20, 50, 150} {
		away := distance{registries: milliseconds * time.Millisecond, api: 5 * time.Millisecond}
		costs := b.alternate(*rounds/3, nil, b.contenders(lines, lines, b.environ(away))...)
		rows = append(rows, []string{
			away.registries.String(), of(costs[0], wall).seconds(), of(costs[1], wall).seconds(), of(costs[2], wall).seconds(),
			ratio(costs[0], costs[1], wall).times(), ratio(costs[0], costs[2], wall).times(),
		})
	}
	b.section("The same, far away",
		"The time is that of a round trip to the registries; one to the API server takes 5 ms. It is added to everything that crosses the "+
			"network: the handshakes of TCP and TLS and the proxy's CONNECT as well as requests.",
		table([]string{"round trip", "image-refresh", "kubectl + curl + jq", "crane + kubectl", "the loop against it", "crane against it"}, rows))
}

// refreshed compares refreshes of 1, 10 and 100 workloads of one image. Each contender has workloads of its own: what kubectl sets
// image-refresh takes for a manual change.
func (b *bench) refreshed() {
	builds := 0
	push := func() string {
		builds++
		return b.push("docker.io/tracebloc/rolling:prod", fmt.Sprintf("build %d", builds))
	}
	digest := push()
	var ours, theirs []string
	var objects []*appsv1.Deployment
	for i := range 100 {
		for prefix, lines := range map[string]*[]string{"ours": &ours, "theirs": &theirs} {
			name := fmt.Sprintf("%s-%d", prefix, i)
			*lines = append(*lines, line("docker.io", "tracebloc/rolling", "prod", name))
			if prefix == "ours" || i < 10 {
				objects = append(objects, application(name, digest))
			}
		}
	}
	b.deploy(b.namespace, objects...)
	env := b.environ(usual())
	var rows [][]string
	for _, n := range []int{1, 10, 100} {
		contenders := b.contenders(ours[:n], theirs[:n], env)[:2]
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
		"One image has moved, and so many Deployments of one replica follow it. Registries are 20 ms away, the API server 5 ms. The time is "+
			"that of the whole tick: resolve, verify, patch, wait for every rollout, record. Pods are ready at once, so that little of it is the "+
			"application's. `MAX_ROLLOUTS=0`; by default a tick rolls ten workloads.",
		table([]string{"workloads", "image-refresh, wall", "CPU", "peak memory", "the loop, wall", "the loop against it, wall", "CPU"}, rows))
}
