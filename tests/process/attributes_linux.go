package process

import "syscall"

// attributes puts the child into a process group of its own, so that Ctrl-C
// reaches the test first and it can stop its servers in order.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
