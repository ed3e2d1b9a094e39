//go:build linux

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// The variables that tell a process of this program where it is.
const (
	roleVariable  = "IMAGE_REFRESH_SANDBOX"
	dirVariable   = "IMAGE_REFRESH_SANDBOX_DIR"
	groupVariable = "IMAGE_REFRESH_SANDBOX_CGROUP"

	roleInit   = "init"
	roleInside = "inside"
)

// stopGrace is how long the inner process may take to end in order.
const stopGrace = 30 * time.Second

// Box is a sandbox as it looks from inside.
type Box struct {
	// Dir is the folder that Run was given.
	Dir string
	// Cgroup is the path of a control group in each hierarchy, for containers.
	Cgroup string
}

// Inside tells whether this process runs in a sandbox.
func Inside() (Box, bool) {
	return Box{Dir: os.Getenv(dirVariable), Cgroup: os.Getenv(groupVariable)}, os.Getenv(roleVariable) == roleInside
}

// Run runs this program again, with the same arguments, in a sandbox whose
// /var/lib and /var/log are in dir. It returns the exit code once no process of
// the sandbox is left. When the context ends, the program is asked to end.
func Run(ctx context.Context, dir string) (exitCode int, err error) {
	group := fmt.Sprintf("/image-refresh-%d", os.Getpid())
	if err := makeGroup(group); err != nil {
		return 0, errors.Join(err, removeGroup(group))
	}
	defer func() { err = errors.Join(err, removeGroup(group)) }()

	executable, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, executable, os.Args[1:]...) //nolint:gosec // this program itself
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), roleVariable+"="+roleInit, dirVariable+"="+dir, groupVariable+"="+group)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		// A group of its own, so that Ctrl-C reaches this process first. Where
		// this process dies without a word, the kernel ends the sandbox.
		Setpgid: true, Pdeathsig: syscall.SIGKILL,
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	// Pdeathsig means the thread that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("run in a sandbox: %w", err)
	}
	return 0, nil
}

// folders are what the sandbox sees in place of the machine's.
func folders(dir string) map[string]string {
	return map[string]string{filepath.Join(dir, "lib"): "/var/lib", filepath.Join(dir, "log"): "/var/log"}
}
