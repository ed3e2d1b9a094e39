//go:build linux

// Package sandbox runs a program a second time as root in namespaces of its own: what it routes, filters, mounts and starts is gone
// with it, however it ends. Its processes die with the first of them, and its control group, which no namespace hides, is removed
// from outside.
//
//	func main() {
//		sandbox.Init()
//		if box, ok := sandbox.Inside(); ok {
//			// ...
//		}
//		code, err := sandbox.Run(ctx, dir)
//	}
//
// Linux, as root. Tried with control groups of version 1; a hierarchy of version 2 would have to pass its controllers on to the
// groups below its root.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	Dir    string // that Run was given
	Cgroup string // the path of a control group in each hierarchy, for containers
}

// Inside tells whether this process runs in a sandbox.
func Inside() (Box, bool) {
	return Box{Dir: os.Getenv(dirVariable), Cgroup: os.Getenv(groupVariable)}, os.Getenv(roleVariable) == roleInside
}

// Run runs this program again, with the same arguments, in a sandbox whose /var/lib and /var/log are in dir. It returns the exit code
// once no process of the sandbox is left. When the context ends, the program is asked to end.
func Run(ctx context.Context, dir string) (exitCode int, err error) {
	group := fmt.Sprintf("/image-refresh-%d", os.Getpid())
	defer func() { err = errors.Join(err, removeGroup(group)) }()
	if err := makeGroup(group); err != nil {
		return 0, err
	}
	executable, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, executable, os.Args[1:]...) //nolint:gosec // this program itself
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), roleVariable+"="+roleInit, dirVariable+"="+dir, groupVariable+"="+group)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		// A group of its own, so that Ctrl-C reaches this process first. Where this process dies without a word, the kernel ends the
		// sandbox.
		Setpgid: true, Pdeathsig: syscall.SIGKILL,
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	// Pdeathsig means the thread that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("run in a sandbox: %w", err)
	}
	return 0, nil
}
