package process

import "syscall"

// attributes put a child into a process group of its own, so that Ctrl-C reaches the test first and it can stop its children in
// order. On Linux the kernel kills the child when the thread that started it ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
