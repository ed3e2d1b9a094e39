package harness

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/contract"
	"github.com/tracebloc/image-refresh/tests/product"
)

// tooLong is after what a run counts as hung: no scenario waits on purpose for
// as long.
const tooLong = 2 * time.Minute

// Run is one run of the program under way.
type Run struct {
	*product.Process
	scenario *Scenario
	args     []string
	once     sync.Once
}

// Tick runs one tick and returns what it left behind. With PLAN_FIRST=1 a plan
// is made before it, which must predict what the tick decides.
func (s *Scenario) Tick() *product.Result {
	s.t.Helper()
	var plan *product.Result
	if s.plansFirst() {
		plan = s.planFirst()
	}
	result := s.Run()
	if plan != nil {
		s.compare(plan, result)
	}
	return result
}

// Run runs the program with the given arguments until it ends.
func (s *Scenario) Run(args ...string) *product.Result {
	s.t.Helper()
	return s.Start(args...).Finish()
}

// Start runs the program and returns at once, so that the test can do
// something meanwhile: change an object, send a signal, start another one.
func (s *Scenario) Start(args ...string) *Run {
	s.t.Helper()
	return s.StartAs(s.Binary, args...)
}

// StartAs is Start by way of another command, which ends in executing the
// program: unshare, prlimit.
func (s *Scenario) StartAs(path string, args ...string) *Run {
	s.t.Helper()
	process, err := product.Start(s.t.Context(), product.Command{Path: path, Args: args, Env: s.environ(), Dir: s.Home})
	require.NoError(s.t, err)
	run := &Run{Process: process, scenario: s, args: args}
	s.t.Cleanup(func() {
		select {
		case <-process.Ended():
		default:
			run.Kill()
		}
		run.keep()
	})
	return run
}

func (s *Scenario) environ() []string {
	var environ []string
	for key, value := range s.env {
		environ = append(environ, key+"="+value)
	}
	slices.Sort(environ)
	return environ
}

// Finish waits for the run to end; the test fails where it hangs.
func (r *Run) Finish() *product.Result {
	r.scenario.t.Helper()
	select {
	case <-r.Ended():
	case <-time.After(tooLong):
		require.NoError(r.scenario.t, r.Signal(syscall.SIGQUIT)) // its goroutines end up on stderr
		select {
		case <-r.Ended():
		case <-time.After(10 * time.Second):
			r.Kill()
		}
		r.keep()
		r.scenario.t.Fatalf("the program did not end within %s", tooLong)
	}
	return r.keep()
}

// Kill ends the run as the kernel does, with no chance to clean up.
func (r *Run) Kill() *product.Result {
	r.scenario.t.Helper()
	require.NoError(r.scenario.t, r.Signal(syscall.SIGKILL))
	r.Wait()
	return r.keep()
}

// keep hands what the run printed to the environment, once.
func (r *Run) keep() *product.Result {
	result := r.Wait()
	r.once.Do(func() {
		r.scenario.capture(Captured{Test: r.scenario.t.Name(), Args: r.args, Result: *result})
		r.documented(result)
	})
	return result
}

// documented fails the test where a run printed what the documentation does
// not know: every run of every scenario is held against it.
func (r *Run) documented(result *product.Result) {
	r.scenario.t.Helper()
	if result.Report == nil || result.Report.Command == "" {
		return // kubectl, a table, a version, or a run that was killed
	}
	problem := contract.Result(result.Stdout)
	if r.scenario.env["LOG_FORMAT"] != "text" {
		problem = errors.Join(problem, contract.Log(result.Stderr))
	}
	if problem != nil {
		r.scenario.t.Errorf("image-refresh %v printed what is not documented: %v", r.args, problem)
	}
}

// Kubectl runs the real kubectl as an administrator, in the namespace, and
// returns its standard output.
func (s *Scenario) Kubectl(args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	//nolint:gosec // running what the test says is the point
	cmd := exec.CommandContext(ctx, s.Cluster.Kubectl(), append([]string{
		"--kubeconfig", s.Cluster.Kubeconfig(), "--namespace", s.Namespace,
	}, args...)...)
	cmd.Env = []string{"HOME=" + s.Dir}
	output, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			output = append(output, exit.Stderr...)
		}
		s.t.Fatalf("kubectl %v: %v\n%s", args, err, output)
	}
	return string(output)
}

// Shell runs commands in bash, as an administrator at a terminal would who has
// the proxy and the certificates of the program's runs: with kubectl, these
// programs by name, and these variables. It returns all that they print; what
// they come to is said there.
func (s *Scenario) Shell(script string, programs, variables map[string]string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	bin := s.t.TempDir()
	require.NoError(s.t, os.Symlink(s.Cluster.Kubectl(), filepath.Join(bin, "kubectl")))
	for name, path := range programs {
		require.NoError(s.t, os.Symlink(path, filepath.Join(bin, name)))
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", script) //nolint:gosec // running what the test says is the point
	cmd.Dir = s.Home
	cmd.Env = append(s.environ(), "KUBECONFIG="+s.Cluster.Kubeconfig(), "HOME="+s.Home, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	if s.env["SSL_CERT_FILE"] != "" {
		cmd.Env = append(cmd.Env, "CURL_CA_BUNDLE="+s.env["SSL_CERT_FILE"])
	}
	for name, value := range variables {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	output, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		require.NoError(s.t, err, script)
	}
	return string(output)
}

// RequireExit fails the test where a run ended with another exit code.
func RequireExit(t testing.TB, code int, result *product.Result) {
	t.Helper()
	require.Equal(t, code, result.ExitCode, "exit code; stdout:\n%s\nstderr:\n%s", result.Stdout, result.Stderr)
}
