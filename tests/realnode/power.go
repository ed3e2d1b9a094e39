//go:build linux

package realnode

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/tracebloc/image-refresh/tests/process"
)

// Crash is what happens when a node loses its power: containerd, the kubelet, every process in the pods (which are in a control
// group) and those that look after them are killed, by their ids. The control plane goes on.
func (n *Node) Crash(ctx context.Context, cgroup string) error {
	for _, p := range n.runtime {
		if err := p.Kill(); err != nil {
			return err
		}
	}
	n.runtime = nil
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return process.Await(ctx, "the processes of the pods have ended", func() bool {
		pids, err := Processes(cgroup)
		pids = append(pids, shims()...)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
		return err == nil && len(pids) == 0
	})
}

// GoAway is what the control plane sees where a node's network is cut: its kubelet is killed. Its pods run on.
func (n *Node) GoAway() error {
	kubelet := n.runtime[1]
	n.runtime = n.runtime[:1]
	return kubelet.Kill()
}

// shims are containerd's processes that outlive it, one a pod.
func shims() (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/comm") // the pattern is valid
	for _, name := range names {
		comm, err := os.ReadFile(name) //nolint:gosec // of a process of the sandbox, which may have ended
		if err != nil || !strings.HasPrefix(string(comm), "containerd-shim") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Processes are those in a control group and in all groups below it.
func Processes(group string) (pids []int, err error) {
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "pids")); err == nil {
		root = filepath.Join(root, "pids") // version 1: any hierarchy that containers are in
	}
	err = filepath.WalkDir(filepath.Join(root, group), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.Name() != "cgroup.procs" {
			return err
		}
		content, err := os.ReadFile(path) //nolint:gosec // a control group of this node
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
			return nil // the group has just gone
		}
		for line := range strings.FieldsSeq(string(content)) {
			if pid, err := strconv.Atoi(line); err == nil {
				pids = append(pids, pid)
			}
		}
		return err
	})
	return pids, err
}
