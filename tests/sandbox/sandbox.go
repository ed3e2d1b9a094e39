//go:build linux

// Package sandbox runs a program a second time as root in namespaces of its own, by unshare(1): what it routes, filters, mounts and
// starts is gone with it, however it ends. Its processes die with the first of them, and its control group, which no namespace
// hides, is removed from outside.
//
//	func main() {
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
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// The variables that tell a process of this program that it is in a sandbox.
const (
	dirVariable   = "IMAGE_REFRESH_SANDBOX_DIR"
	groupVariable = "IMAGE_REFRESH_SANDBOX_CGROUP"
)

// Box is a sandbox as it looks from inside.
type Box struct {
	Dir    string // that Run was given
	Cgroup string // the path of a control group in each hierarchy, for containers
}

// Inside tells whether this process runs in a sandbox.
func Inside() (box Box, ok bool) {
	box.Dir, ok = os.LookupEnv(dirVariable)
	return Box{box.Dir, os.Getenv(groupVariable)}, ok
}

// first is what the first process of a sandbox does: it gives the sandbox its own /run, /var/lib and /var/log, and waits for the
// program and for all whose parents have gone.
const first = `set -e
mkdir -p "$0/lib" "$0/log"
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind "$0/lib" /var/lib
mount --bind "$0/log" /var/log
"$@" &
wait $!`

// Run runs this program again, with the same arguments, in a sandbox whose /var/lib and /var/log are in dir. It returns the exit code
// once no process of the sandbox is left. When the context ends, so does the sandbox.
func Run(ctx context.Context, dir string) (exitCode int, err error) {
	group := fmt.Sprintf("/image-refresh-%d", os.Getpid())
	defer func() { err = errors.Join(err, removeGroup(context.WithoutCancel(ctx), group)) }()
	if err := makeGroup(group); err != nil {
		return 0, err
	}
	executable, err := os.Executable()
	if err != nil {
		return 0, err
	}
	//nolint:gosec // this program itself
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child",
		"--mount-proc", "bash", "-c", first, dir, executable}, os.Args[1:]...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), dirVariable+"="+dir, groupVariable+"="+group)
	// A group of its own, so that Ctrl-C reaches this process first. Where this process dies without a word, the kernel ends the
	// sandbox: it means the thread that started the child.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}

const cgroups = "/sys/fs/cgroup"

// folders are those of a control group in all hierarchies: one in version 2, one for each controller in version 1, where two names
// may lead to one hierarchy.
func folders(group string) (paths []string, err error) {
	if _, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers")); err == nil {
		return []string{filepath.Join(cgroups, group)}, nil
	}
	roots, err := filepath.Glob(filepath.Join(cgroups, "*", "cgroup.procs"))
	if err == nil && len(roots) == 0 {
		err = errors.New("no control groups are mounted at " + cgroups)
	}
	for _, root := range roots {
		paths = append(paths, filepath.Join(filepath.Dir(root), group))
	}
	return paths, err
}

func makeGroup(group string) error {
	paths, err := folders(group)
	for _, path := range paths {
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // as every control group
			return fmt.Errorf("make a control group: %w", err)
		}
	}
	return err
}

// removeGroup removes the group and all groups in it. The last processes may still be about to go.
func removeGroup(ctx context.Context, group string) (err error) {
	paths, err := folders(group)
	for _, path := range paths {
		var output []byte
		for range 100 {
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				break
			}
			//nolint:gosec // a control group that makeGroup has made
			if output, err = exec.CommandContext(ctx, "find", path, "-depth", "-type", "d", "-delete").CombinedOutput(); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("remove the control group %s: %w\n%s", group, err, output)
		}
	}
	return err
}
