package harness_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

var environment *harness.Environment

// The program under test here is kubectl: it reads, patches, watches and
// fails as any client does, and this package is tested before there is a
// product.
func TestMain(m *testing.M) {
	kubernetes, err := components.ChosenKubernetes()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	kubectl, err := kubernetes.Kubectl().Build(context.Background(), os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	options := harness.Options{Binary: kubectl, Progress: os.Stderr}
	os.Exit(harness.Main(m, options, func(e *harness.Environment) { environment = e }))
}

const patchImage = `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.invalid/app:2"}]}}}}`

func scenario(t *testing.T) *harness.Scenario {
	t.Helper()
	t.Parallel()
	s := environment.Scenario(t)
	s.Deploy(workloads.Deployment("x", workloads.Replicas(2)))
	return s
}

func TestRequestsAreCountedAndRightsKept(t *testing.T) {
	s := scenario(t)
	result := s.Run("get", "deployment", "x", "-o", "name")
	harness.RequireExit(t, 0, result)
	assert.Equal(t, "deployment.apps/x\n", result.Stdout)
	require.Error(t, result.ReportErr, "kubectl prints no report")
	require.Len(t, s.API.Requests(apiproxy.Read("deployments", "x")), 1)
	read := s.API.Requests(apiproxy.Read("deployments", "x"))[0]
	assert.Equal(t, "get", read.Verb)
	assert.Equal(t, "apps", read.Group)
	assert.Equal(t, s.Namespace, read.Namespace)
	assert.Equal(t, http.StatusOK, read.Status)
	assert.True(t, strings.HasPrefix(read.UserAgent, "kubectl/"))
	assert.Empty(t, s.API.Writes())

	s.Forget()
	harness.RequireExit(t, 0, s.Run("patch", "deployment", "x", "--patch", patchImage))
	require.Len(t, s.API.Writes(), 1)
	assert.JSONEq(t, patchImage, string(s.API.Writes()[0].Body))
	harness.RequireExit(t, 1, s.Run("delete", "deployment", "x"))
	assert.Equal(t, http.StatusForbidden, s.API.Requests(apiproxy.Verb("delete", "deployments"))[0].Status)
}

func TestFaultsOfTheAPIServer(t *testing.T) {
	s := scenario(t)
	read := apiproxy.Read("deployments", "x")
	for _, test := range []struct {
		name string
		do   faultinject.Action
		code int
		says string
	}{
		{"forbidden", apiproxy.Refuse(403, "Forbidden", "no such right"), 1, "no such right"},
		{"busy, once", apiproxy.TooManyRequests(1), 0, ""},
		{"late", faultinject.Delay(50 * time.Millisecond), 0, ""},
		{"broken", faultinject.Reply(500, "boom"), 1, "boom"},
		{"half", faultinject.Truncate(20), 1, "EOF"},
		{"lost, once", faultinject.Lose(), 0, ""}, // client-go asks again, as it does after a reset
		{"reset, once", faultinject.Reset(), 0, ""},
	} {
		s.Forget()
		remove := s.API.Inject(apiproxy.Fault{Match: read, Times: 1, Do: test.do})
		result := s.Run("get", "deployment", "x")
		harness.RequireExit(t, test.code, result)
		assert.Contains(t, result.Stderr, test.says, test.name)
		remove()
	}
	assert.Len(t, s.API.Requests(read), 2)
}

func TestAProgramIsKilledAfterItsWrite(t *testing.T) {
	s := scenario(t)
	done, killed := make(chan struct{}), make(chan struct{})
	s.API.Inject(apiproxy.Fault{Match: apiproxy.Write("deployments", "x"), Do: faultinject.After(func() {
		close(done)
		<-killed
	})})
	run := s.Start("patch", "deployment", "x", "--patch", patchImage)
	<-done
	result := run.Kill()
	close(killed)
	assert.Equal(t, syscall.SIGKILL, result.Signal)
	assert.Equal(t, -1, result.ExitCode)
	assert.Equal(t, "registry.invalid/app:2", workloads.Image(s.Deployment("x"), "app"), "the write was carried out")
	s.Settle(workloads.Deployment("x"))
	assert.Equal(t, 2, workloads.Revision(s.Deployment("x")))
}

func TestAHungRequestAndASignal(t *testing.T) {
	s := scenario(t)
	s.API.Inject(apiproxy.Fault{Match: apiproxy.Read("deployments", "x"), Do: faultinject.Hang()})
	run := s.Start("get", "deployment", "x")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, s.API.Await(ctx, 1, apiproxy.Read("deployments", "x")))
	require.NoError(t, run.Signal(syscall.SIGTERM))
	assert.Equal(t, syscall.SIGTERM, run.Finish().Signal)
}

func TestWatchesPassAndBreak(t *testing.T) {
	s := scenario(t)
	s.Behave(func(pod *corev1.Pod) fakenode.Behaviour {
		if fakenode.Runs(pod, "app:2") {
			return fakenode.Stuck()
		}
		return fakenode.Ready()
	})
	s.Patch(harness.Helm, workloads.Deployment("x"), patchImage)
	watch := apiproxy.Verb("watch", "deployments")
	s.API.Inject(apiproxy.Fault{Match: watch, Times: 1, Do: faultinject.Cut(300 * time.Millisecond)})
	run := s.Start("rollout", "status", "deployment", "x", "--timeout=20s")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, s.API.Await(ctx, 2, watch), "it watches again after the cut")
	s.Behave(nil)
	harness.RequireExit(t, 0, run.Finish())
}

func TestOwnersAndUndo(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	slot := func(value string) workloads.Object {
		return workloads.Deployment("y", workloads.Container("api", "registry.invalid/api:1"), workloads.Env("api", "D", value))
	}
	require.NoError(t, s.Apply(harness.Helm, slot("one")))
	s.Settle(slot("one"))
	assert.Equal(t, []string{"helm/Apply"}, workloads.EnvOwners(s.Deployment("y"), "api", "D"))
	s.Kubectl("set", "env", "deployment/y", "D=two")
	s.Settle(slot("two"))
	assert.Equal(t, []string{"kubectl-set/Update"}, workloads.EnvOwners(s.Deployment("y"), "api", "D"))
	assert.Equal(t, []string{"helm/Apply"}, workloads.ImageOwners(s.Deployment("y"), "api"))
	assert.True(t, apierrors.IsConflict(s.Apply(harness.Helm, slot("three"))), "I29")
	s.Kubectl("rollout", "undo", "deployment/y")
	s.Settle(slot("one"))
	value, found := workloads.EnvValue(s.Deployment("y"), "api", "D")
	assert.True(t, found)
	assert.Equal(t, "one", value)
	assert.Equal(t, 3, workloads.Revision(s.Deployment("y")))
}

func TestEveryKindIsDeployed(t *testing.T) {
	t.Parallel()
	s := environment.Scenario(t)
	s.Deploy(workloads.StatefulSet("s", workloads.Replicas(2)), workloads.DaemonSet("d"), workloads.CronJob("c"))
	assert.EqualValues(t, 2, s.StatefulSet("s").Status.AvailableReplicas)
	assert.EqualValues(t, 2, s.DaemonSet("d").Status.NumberAvailable)
	assert.Equal(t, "registry.invalid/app:1", workloads.Image(s.CronJob("c"), "app"))
}

func TestRegistriesAreTheScenariosOwn(t *testing.T) {
	t.Parallel()
	one, two := environment.Scenario(t), environment.Scenario(t)
	digest := one.Push("ghcr.io/tracebloc/ingestor:0.3", registries.Index("one", "linux/amd64", "linux/arm64"))
	served, err := one.Site.Digest("ghcr.io/tracebloc/ingestor:0.3")
	require.NoError(t, err)
	assert.Equal(t, digest, served)
	_, err = two.Site.Digest("ghcr.io/tracebloc/ingestor:0.3")
	assert.Error(t, err)
}
