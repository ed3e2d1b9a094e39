package components

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Build returns the path of the component's binary, building it first where
// the cache does not have it. Progress goes to progress, a line every few
// seconds.
func (c Component) Build(ctx context.Context, progress io.Writer) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	folder, err := c.folder(root)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(folder, c.Name)
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
		return "", fmt.Errorf("wait for the build of %s: %w", c.Name, err)
	}
	defer unlock()
	if built(binary) {
		return binary, nil
	}
	if err := c.build(ctx, filepath.Join(root, c.module), binary, progress); err != nil {
		return "", fmt.Errorf("build %s %s: %w", c.Name, c.Version, err)
	}
	return binary, nil
}

func built(binary string) bool {
	info, err := os.Stat(binary)
	return err == nil && info.Mode().IsRegular()
}

// build compiles to a name of its own and renames, so that a build that is
// killed leaves nothing that looks like a binary.
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
	var packages atomic.Int64
	stop := every(5*time.Second, func() {
		say(progress, "%s %s: %d packages compiled, %s\n", c.Name, c.Version, packages.Load(),
			time.Since(start).Round(time.Second))
	})
	last := follow(output, &packages)
	err = cmd.Wait()
	stop()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, last)
	}
	if err := os.Rename(half, binary); err != nil {
		return err
	}
	say(progress, "%s %s: built in %s\n", c.Name, c.Version, time.Since(start).Round(time.Second))
	return nil
}

// follow counts the lines of a verbose build and returns the last of them,
// which hold the error where there is one.
func follow(output io.Reader, lines *atomic.Int64) []byte {
	const keep = 40
	var last [][]byte
	scanner := bufio.NewScanner(output)
	for scanner.Scan() {
		lines.Add(1)
		last = append(last, bytes.Clone(scanner.Bytes()))
		last = last[max(0, len(last)-keep):]
	}
	_, _ = io.Copy(io.Discard, output) // a line too long for the scanner must not block the build
	return bytes.Join(last, []byte("\n"))
}

// say writes a line of progress, which nobody must be there to read.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

func every(interval time.Duration, do func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				do()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}
