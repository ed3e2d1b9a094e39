//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const cgroups = "/sys/fs/cgroup"

// hierarchies are the roots of all hierarchies of control groups: one in
// version 2, one for each controller in version 1.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers")); err == nil {
		return []string{cgroups}, nil
	}
	found, err := filepath.Glob(filepath.Join(cgroups, "*", "cgroup.procs"))
	if err == nil && len(found) == 0 {
		err = errors.New("no control groups are mounted at " + cgroups)
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found, err
}

func makeGroup(group string) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		// Two names may lead to one hierarchy.
		if err := os.Mkdir(filepath.Join(root, group), 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // as every control group
			return fmt.Errorf("make a control group: %w", err)
		}
	}
	return nil
}

// removeGroup removes the group and all groups in it. The last processes may
// still be about to go.
func removeGroup(group string) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for range 100 {
		err = nil
		for _, root := range roots {
			err = errors.Join(err, removeTree(filepath.Join(root, group)))
		}
		if err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("remove the control group %s: %w", group, err)
}

func removeTree(root string) error {
	var groups []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir():
			groups = append(groups, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, group := range slices.Backward(groups) { // the innermost first
		if err := syscall.Rmdir(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &fs.PathError{Op: "rmdir", Path: group, Err: err}
		}
	}
	return nil
}
