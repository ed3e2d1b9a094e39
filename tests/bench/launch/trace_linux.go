package main

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
)

// trace counts the processes that a program forks, itself included; its threads are no processes.
func trace(command *exec.Cmd) (cost, error) {
	runtime.LockOSThread() // the tracer is a thread
	command.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := command.Start(); err != nil {
		return cost{}, err
	}
	first := command.Process.Pid
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(first, &status, 0, nil); err != nil { // it stops as soon as it has been executed
		return cost{}, fmt.Errorf("wait for the program: %w", err)
	}
	if err := syscall.PtraceSetOptions(first, syscall.PTRACE_O_TRACEFORK|syscall.PTRACE_O_TRACEVFORK); err != nil {
		return cost{}, fmt.Errorf("trace the program: %w", err)
	}
	used := cost{Processes: 1}
	known := map[int]bool{first: true}
	for stopped := first; ; {
		if err := syscall.PtraceCont(stopped, int(passOn(status, known, stopped))); err != nil && !errors.Is(err, syscall.ESRCH) {
			return cost{}, fmt.Errorf("let process %d go on: %w", stopped, err)
		}
		for {
			pid, err := syscall.Wait4(-1, &status, syscall.WALL, nil)
			if errors.Is(err, syscall.ECHILD) {
				return used, nil
			}
			if err != nil && !errors.Is(err, syscall.EINTR) {
				return cost{}, fmt.Errorf("wait for the processes: %w", err)
			}
			if status.Stopped() {
				stopped = pid
				break
			}
			if pid == first {
				used.ExitCode = status.ExitStatus()
			}
		}
		if cause := status.TrapCause(); cause == syscall.PTRACE_EVENT_FORK || cause == syscall.PTRACE_EVENT_VFORK {
			used.Processes++
		}
	}
}

// passOn is the signal that a stopped process is to get: none where it stopped for the tracer's sake.
func passOn(status syscall.WaitStatus, known map[int]bool, pid int) syscall.Signal {
	signal := status.StopSignal()
	fresh := !known[pid]
	known[pid] = true
	if signal == syscall.SIGTRAP || signal == syscall.SIGSTOP && fresh {
		return 0
	}
	return signal
}
