// Command launch runs a program and tells what it cost, as one JSON object on file descriptor 3.
//
//	launch PATH [ARGUMENT...]
//
// It is a program of its own because it is small: the kernel counts the memory of the process that forks towards the peak of the
// one that it starts.
package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// cost is what a program and all the processes that it started and waited for have used.
type cost struct {
	Wall     time.Duration `json:"wall"`
	CPU      time.Duration `json:"cpu"`    // user and system
	Memory   int64         `json:"memory"` // bytes, of the largest process at its peak
	ExitCode int           `json:"exitCode"`
}

func main() {
	if err := launch(os.Args[1:]); err != nil {
		_, _ = os.Stderr.WriteString("launch: " + err.Error() + "\n") // nothing is left to tell it to
		os.Exit(1)
	}
}

func launch(arguments []string) error {
	if len(arguments) == 0 {
		return errors.New("what is to be run?")
	}
	command := exec.Command(arguments[0], arguments[1:]...) //nolint:gosec,noctx // running what it is told to is its job; who ends it ends its group
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	started := time.Now()
	err := command.Run()
	used := cost{Wall: time.Since(started)}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return err
	}
	state := command.ProcessState
	used.CPU, used.ExitCode = state.UserTime()+state.SystemTime(), state.ExitCode()
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		used.Memory = usage.Maxrss << 10 // Linux counts in KiB
	}
	return json.NewEncoder(os.NewFile(3, "result")).Encode(used)
}
