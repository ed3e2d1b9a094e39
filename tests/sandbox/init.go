//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// Init does not return in the first process of a sandbox, which sets it up and waits for the others: orphans are its children, and
// when it ends the kernel ends them all. Call it first in main.
func Init() {
	if os.Getenv(roleVariable) != roleInit {
		return
	}
	code, err := serve()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		code = 1
	}
	os.Exit(code) //nolint:revive // the first process of a sandbox has nothing else to return to
}

func serve() (exitCode int, err error) {
	if err := mount(os.Getenv(dirVariable)); err != nil {
		return 0, err
	}
	if err := os.Setenv(roleVariable, roleInside); err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	child, err := syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{ //nolint:gosec // this program itself
		Env: os.Environ(), Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		return 0, fmt.Errorf("start the program in its sandbox: %w", err)
	}
	go func() {
		for range signals {
			_ = syscall.Kill(child, syscall.SIGTERM) // it may have ended by itself
		}
	}()
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for the program: %w", err)
		case ended == child && status.Signaled():
			return 0, fmt.Errorf("the program was ended: %s", status.Signal())
		case ended == child && status.Exited():
			return status.ExitStatus(), nil
		}
	}
}

// mount gives the sandbox its own /proc, /run, /var/lib and /var/log.
func mount(dir string) error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE}, // mounts stay in the sandbox
		{"proc", "/proc", "proc", 0}, {"tmpfs", "/run", "tmpfs", 0},
		{filepath.Join(dir, "lib"), "/var/lib", "", syscall.MS_BIND}, {filepath.Join(dir, "log"), "/var/log", "", syscall.MS_BIND},
	} {
		if m.flags == syscall.MS_BIND {
			if err := os.MkdirAll(m.source, 0o755); err != nil { //nolint:gosec // as what it stands in for: containers look into it
				return err
			}
		}
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s at %s: %w", m.source, m.target, err)
		}
	}
	return nil
}
