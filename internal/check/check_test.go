package check_test

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/check"
	"github.com/tracebloc/image-refresh/internal/cluster"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
	"github.com/tracebloc/image-refresh/internal/resolver"
	"github.com/tracebloc/image-refresh/internal/result"
	"github.com/tracebloc/image-refresh/internal/tick"
	"github.com/tracebloc/image-refresh/internal/workload"
)

const digest = image.Digest("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")

// server is an API server with one Deployment, which is read and never written to: what is not expected panics, because the
// interface is left empty.
type server struct {
	tick.Cluster
	object    *appsv1.Deployment
	forbids   string // a verb
	schedules []cluster.Schedule
	failure   error

	mu    sync.Mutex
	asked []string
}

func (s *server) Get(context.Context, workload.Ref) (*workload.Object, error) {
	return workload.New(s.object)
}

func (s *server) CanI(_ context.Context, permission cluster.Permission) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, permission.String())
	return permission.Verb != s.forbids, s.failure
}

func (s *server) Schedules(context.Context) ([]cluster.Schedule, error) {
	return s.schedules, s.failure
}

func (*server) Date() time.Time { return time.Now() }

// registry has every image, but refuses who asks with one of these pull secrets.
type registry struct {
	tick.Registry
	refuses string
	queries [][]resolver.Query
}

func (r *registry) Resolve(_ context.Context, queries []resolver.Query) []resolver.Answer {
	r.queries = append(r.queries, queries)
	answers := make([]resolver.Answer, len(queries))
	for i, query := range queries {
		answers[i].Digest = digest
		for _, name := range query.PullSecrets {
			if name.Name == r.refuses {
				answers[i] = resolver.Answer{Failure: &failure.Error{Cause: failure.Unauthorized, Message: "401 for " + name.Name}}
			}
		}
	}
	return answers
}

func (r *registry) Report() []resolver.HostReport {
	return []resolver.HostReport{{Host: "ghcr.io", Challenge: "none"}}
}

func healthy(target string) *appsv1.Deployment {
	replicas := int32(1)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web", Labels: map[string]string{"tracebloc.io/" + target + "-digest": strings.Repeat("a", 40)},
			Annotations: map[string]string{"tracebloc.io/last-refreshed-" + target + "-digest": string(digest)},
		},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app", Image: "ghcr.io/tracebloc/web:1@" + string(digest)}},
		}}},
		Status: appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1},
	}
}

const configuration = `targets: [{name: web, image: "ghcr.io/tracebloc/web:1", pullSecrets: [mine], workloads: [{kind: Deployment, name: web}]}]`

// checked is the report of a check.
func checked(t *testing.T, s *server, r *registry) result.Report {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.MkdirAll(folder+"/secrets/shop", 0o700))
	require.NoError(t, os.WriteFile(folder+"/config.yaml", []byte(configuration), 0o600))
	read, err := config.Read(t.Context(), envconfig.MapLookuper(map[string]string{
		"CONFIG_FILE": folder + "/config.yaml", "PULL_SECRETS_DIR": folder + "/secrets", "ROLLOUT_TIMEOUT": "10m",
	}), config.Overrides{})
	require.NoError(t, err)
	c := check.Checker{Cluster: s, Registry: r, Tick: &tick.Runner{
		Config: read, Namespace: "shop", Registry: r, Cluster: s, Log: slog.New(slog.DiscardHandler), Now: time.Now, Started: time.Now(), Preflight: true,
	}}
	return c.Run(t.Context())
}

// lines are the lines of a check of this name that ended like that.
func lines(report result.Report, name string, status result.Status) []string {
	var found []string
	for _, line := range report.Checks {
		if line.Name == name && line.Status == status {
			found = append(found, line.Subject+": "+line.Message.String())
		}
	}
	return found
}

// Everything that a tick does is asked for, and nothing is written.
func TestACheckAsksForAllThatATickDoes(t *testing.T) {
	t.Parallel()
	s := &server{object: healthy("web")}
	report := checked(t, s, &registry{})
	assert.Zero(t, report.ExitCode, report.Checks)
	assert.Equal(t, "check", report.Command)
	slices.Sort(s.asked)
	assert.Equal(t, []string{
		"create events in namespace shop", "get deployments/web in namespace shop", "list deployments/web in namespace shop",
		"list pods in namespace shop", "patch deployments/web in namespace shop", "watch deployments/web in namespace shop",
	}, s.asked)
	assert.Len(t, lines(report, "workload", result.OK), 1)
	assert.Len(t, lines(report, "image", result.OK), 1)
}

// What is forbidden fails the check where a tick cannot do without it.
func TestACheckFailsByWhatIsForbidden(t *testing.T) {
	t.Parallel()
	report := checked(t, &server{object: healthy("web"), forbids: "patch"}, &registry{})
	assert.Equal(t, result.ExitOperator, report.ExitCode)
	assert.Len(t, lines(report, "permission", result.Wrong), 1)
	report = checked(t, &server{object: healthy("web"), failure: &failure.Error{Cause: failure.API, Message: "no answer"}}, &registry{})
	assert.Equal(t, result.ExitOperator, report.ExitCode)
}

// Pods that name other pull secrets than the target are asked for as pods would.
func TestACheckAsksAsPodsWould(t *testing.T) {
	t.Parallel()
	r := &registry{refuses: "of-the-pods"}
	s := &server{object: healthy("web")}
	s.object.Spec.Template.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "of-the-pods"}}
	report := checked(t, s, r)
	require.Len(t, r.queries, 2)
	assert.Equal(t, "mine", r.queries[0][0].PullSecrets[0].Name)
	assert.Equal(t, "of-the-pods", r.queries[1][0].PullSecrets[0].Name)
	var said []string
	for _, line := range report.Checks {
		if strings.Contains(line.Message.String(), "401 for of-the-pods") {
			said = append(said, line.Name)
		}
	}
	assert.Len(t, said, 1)
}

// A deployer that rendered a slot which somebody else owns now will conflict.
func TestACheckNamesConflicts(t *testing.T) {
	t.Parallel()
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(
			`{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":` + fields + `}}}}}`)}
	}
	s := &server{object: healthy("web")}
	s.object.ManagedFields = []metav1.ManagedFieldsEntry{
		entry("helm", metav1.ManagedFieldsOperationApply, `{".":{},"f:name":{}}`), entry("kubectl-set", metav1.ManagedFieldsOperationUpdate, `{"f:image":{}}`),
	}
	report := checked(t, s, &registry{})
	var found []string
	for _, line := range report.Checks {
		if line.Name == "ownership" {
			found = append(found, line.Message.String())
		}
	}
	require.Len(t, found, 1)
	assert.Contains(t, found[0], "helm")
	assert.Contains(t, found[0], "kubectl-set")
}

// A schedule whose Job may be killed before a tick has ended is told of.
func TestACheckReadsSchedules(t *testing.T) {
	t.Parallel()
	s := &server{object: healthy("web"), schedules: []cluster.Schedule{
		{Name: "long", Deadline: time.Hour}, {Name: "short", Deadline: 20 * time.Minute}, {Name: "of its own", Deadline: 20 * time.Minute, RolloutTimeout: "5m"},
	}}
	report := checked(t, s, &registry{})
	var bad []string
	for _, line := range report.Checks {
		if line.Name == "schedule" && line.Status != result.OK {
			bad = append(bad, line.Subject)
		}
	}
	require.Len(t, bad, 1)
	assert.Contains(t, bad[0], "short")
}
