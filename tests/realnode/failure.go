//go:build linux

package realnode

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Crash is what happens when a node loses its power: containerd, the kubelet,
// every process in the pods (which are in a control group) and those that look
// after them are killed, by their ids. The control plane goes on.
func (n *Node) Crash(cgroup string) error {
	for _, p := range n.runtime {
		if err := p.Kill(); err != nil {
			return err
		}
	}
	n.runtime = nil
	for deadline := time.Now().Add(readyTimeout); ; time.Sleep(50 * time.Millisecond) {
		pids, err := Processes(cgroup)
		if err != nil {
			return err
		}
		shims, err := shims()
		if err != nil {
			return err
		}
		if pids = append(pids, shims...); len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of the pods do not end", pids)
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d of a pod: %w", pid, err)
			}
		}
	}
}

// Restart starts containerd and the kubelet again, after a Crash.
func (n *Node) Restart(ctx context.Context) error { return n.startRuntime(ctx) }

// GoAway is what the control plane sees where a node's network is cut: its kubelet, the last of what Start has started, is
// killed. Its pods run on.
func (n *Node) GoAway() error {
	last := len(n.runtime) - 1
	if err := n.runtime[last].Kill(); err != nil {
		return err
	}
	n.runtime = n.runtime[:last]
	return nil
}

// ComeBack starts the kubelet again, after GoAway.
func (n *Node) ComeBack(ctx context.Context) error { return n.startKubelet(ctx) }

// shims are containerd's processes that outlive it, one a pod.
func shims() ([]int, error) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		comm, err := os.ReadFile(name) //nolint:gosec // of a process of the sandbox, which may have ended
		if err != nil || !strings.HasPrefix(string(comm), "containerd-shim") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// Processes are those in a control group and in all groups below it.
func Processes(group string) ([]int, error) {
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "pids")); err == nil {
		root = filepath.Join(root, "pids") // version 1: any hierarchy that containers are in
	}
	var pids []int
	err := filepath.WalkDir(filepath.Join(root, group), func(path string, entry fs.DirEntry, err error) error {
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
