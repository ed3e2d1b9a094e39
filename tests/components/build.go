package components

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Build returns the path of each component's binary, by its name, building it first where the cache does not have it. Progress goes
// to progress, a line every few seconds.
func Build(ctx context.Context, progress io.Writer, components ...Component) (paths map[string]string, err error) {
	paths = map[string]string{}
	for _, c := range components {
		if paths[c.Name], err = c.cached(ctx, progress); err != nil {
			return nil, fmt.Errorf("build %s %s: %w", c.Name, c.Version, err)
		}
	}
	return paths, nil
}

func (c Component) cached(ctx context.Context, progress io.Writer) (binary string, err error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	folder, err := c.folder(root)
	if err != nil {
		return "", err
	}
	binary = filepath.Join(folder, c.Name)
	if built(binary) {
		return binary, nil
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, folder+".lock", func() {
		say(progress, "%s %s: another process is building it, waiting\n", c.Name, c.Version)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if built(binary) {
		return binary, nil
	}
	return binary, c.build(ctx, filepath.Join(root, c.module), binary, progress)
}

func built(binary string) bool {
	info, err := os.Stat(binary)
	return err == nil && info.Mode().IsRegular()
}

// build compiles to a name of its own and renames, so that a build that is killed leaves nothing that looks like a binary.
func (c Component) build(ctx context.Context, module, binary string, progress io.Writer) error {
	half := binary + ".part" // ours alone: the caller holds the lock
	//nolint:gosec // the arguments are this package's constants and paths
	cmd := exec.CommandContext(ctx, "go", "build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-ldflags", "-s -w "+c.ldflags, "-o", half, c.path)
	cmd.Dir = module
	// GOFLAGS and a workspace are the caller's habits, not this build's.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "PWD="+module)
	output, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	start := time.Now()
	say(progress, "%s %s: building, once (cached in %s)\n", c.Name, c.Version, filepath.Dir(binary))
	if err := cmd.Start(); err != nil {
		return err
	}
	const keep = 40 // of the last lines, which hold the error where there is one
	var last []string
	count, said := 0, start
	for scanner := bufio.NewScanner(output); scanner.Scan(); count++ {
		last = append(last[max(0, len(last)+1-keep):], scanner.Text())
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			say(progress, "%s %s: %d packages compiled, %s\n", c.Name, c.Version, count, time.Since(start).Round(time.Second))
		}
	}
	_, _ = io.Copy(io.Discard, output) // a line too long for the scanner must not block the build
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, strings.Join(last, "\n"))
	}
	say(progress, "%s %s: built in %s\n", c.Name, c.Version, time.Since(start).Round(time.Second))
	return os.Rename(half, binary)
}

// say writes a line of progress, which nobody must be there to read.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

// lock takes an advisory lock on a file, which the kernel gives back if its holder dies. Waiting is announced once.
func lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in the cache folder
	if err != nil {
		return nil, err
	}
	for announced := false; ; announced = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil // closing gives the lock back
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, file.Close())
		}
		if !announced {
			waiting()
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		}
	}
}
