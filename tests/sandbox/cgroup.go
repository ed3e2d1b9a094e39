//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

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
func removeGroup(group string) (err error) {
	paths, err := folders(group)
	for _, path := range paths {
		var output []byte
		for range 100 {
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				break
			}
			if output, err = exec.Command("find", path, "-depth", "-type", "d", "-delete").CombinedOutput(); err == nil {
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
