package harness

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/docs"
	"github.com/tracebloc/image-refresh/tests/product"
)

// tooLong is after what a run counts as hung: no scenario waits on purpose for as long.
const tooLong = 2 * time.Minute

// Run is one run of the program under way.
type Run struct {
	*product.Process
	scenario *Scenario
	args     []string
	once     sync.Once
}

// Tick runs one tick and returns what it left behind. With PLAN_FIRST=1 a plan is made before it, which must predict what the
// tick decides.
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

// Start runs the program and returns at once, so that the test can do something meanwhile: change an object, send a signal,
// start another one.
func (s *Scenario) Start(args ...string) *Run {
	s.t.Helper()
	return s.StartAs(s.Binary, args...)
}

// StartAs is Start by way of another command, which ends in executing the program: unshare, prlimit.
func (s *Scenario) StartAs(path string, args ...string) *Run {
	s.t.Helper()
	process, err := product.Start(s.t.Context(), product.Command{Path: path, Args: args, Env: environ(s.env), Dir: s.Home})
	require.NoError(s.t, err)
	run := &Run{Process: process, scenario: s, args: args}
	s.t.Cleanup(func() { run.Kill() }) // where it has not ended
	return run
}

// AtTerminal runs the program at a terminal of so many columns, and returns what is seen there, without the colours.
func (s *Scenario) AtTerminal(columns uint16, args ...string) (seen string, exitCode int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), tooLong)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Binary, args...) //nolint:gosec // running what the test says is the point
	cmd.Env, cmd.Dir = append(environ(s.env), "TERM=xterm"), s.Home
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: columns, Rows: 50})
	require.NoError(s.t, err)
	shown, _ := io.ReadAll(terminal) // Linux ends it with an error
	_ = cmd.Wait()                   // its exit code tells
	require.NoError(s.t, terminal.Close())
	plain := regexp.MustCompile(`\x1b\[\d+m`).ReplaceAllString(strings.ReplaceAll(string(shown), "\r\n", "\n"), "")
	result := &product.Result{ExitCode: cmd.ProcessState.ExitCode(), Stdout: plain}
	s.capture(captured{test: s.t.Name(), args: args, Result: result})
	return plain, result.ExitCode
}

func environ(variables map[string]string) (environ []string) {
	for key, value := range variables {
		environ = append(environ, key+"="+value)
	}
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
	return r.keep()
}

// keep hands what the run printed to the environment, once, and holds it against the documentation.
func (r *Run) keep() *product.Result {
	result, s := r.Wait(), r.scenario
	r.once.Do(func() {
		s.capture(captured{test: s.t.Name(), args: r.args, Result: result})
		if result.Report == nil || result.Report.Command == "" {
			return // kubectl, a table, a version, or a run that was killed
		}
		problem := docs.Result(result.Stdout)
		if s.env["LOG_FORMAT"] != "text" {
			problem = errors.Join(problem, docs.Log(result.Stderr))
		}
		if problem != nil {
			s.t.Errorf("image-refresh %v printed what is not documented: %v", r.args, problem)
		}
	})
	return result
}

// Kubectl runs the real kubectl as an administrator, in the namespace, and returns its standard output.
func (s *Scenario) Kubectl(args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	args = append([]string{"--kubeconfig", s.Cluster.Kubeconfig(), "--namespace", s.Namespace}, args...)
	cmd := exec.CommandContext(ctx, s.Cluster.Kubectl(), args...) //nolint:gosec // running what the test says is the point
	var problems bytes.Buffer
	cmd.Env, cmd.Stderr = []string{"HOME=" + s.Dir}, &problems
	output, err := cmd.Output()
	require.NoError(s.t, err, "kubectl %v\n%s%s", args, output, &problems)
	return string(output)
}

// Shell runs commands in bash, as an administrator at a terminal would who has the proxy and the certificates of the program's
// runs: with kubectl, these programs by name, and these variables. It returns all that they print; what they come to is said
// there.
func (s *Scenario) Shell(script string, programs, variables map[string]string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	bin := s.t.TempDir()
	require.NoError(s.t, os.Symlink(s.Cluster.Kubectl(), filepath.Join(bin, "kubectl")))
	for name, path := range programs {
		require.NoError(s.t, os.Symlink(path, filepath.Join(bin, name)))
	}
	all := map[string]string{"CURL_CA_BUNDLE": s.env["SSL_CERT_FILE"]} // empty is none
	maps.Copy(all, s.env)
	maps.Copy(all, variables)
	all["KUBECONFIG"], all["HOME"] = s.Cluster.Kubeconfig(), s.Home
	all["PATH"] = bin + string(os.PathListSeparator) + os.Getenv("PATH")
	cmd := exec.CommandContext(ctx, "bash", "-c", script) //nolint:gosec // running what the test says is the point
	cmd.Dir, cmd.Env = s.Home, environ(all)
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
