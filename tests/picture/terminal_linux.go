package picture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Terminal runs a command whose standard output is a terminal of so many
// columns, and returns what it shows. The command's own error is returned as it
// is.
func Terminal(cmd *exec.Cmd, columns uint16) (shown string, err error) {
	near, far, err := open(columns)
	if err != nil {
		return "", fmt.Errorf("make a terminal: %w", err)
	}
	cmd.Stdout = far
	err = cmd.Start()
	closed := far.Close() // the command has one of its own
	if err = errors.Join(err, closed); err != nil {
		return "", errors.Join(err, near.Close())
	}
	var read bytes.Buffer
	_, reading := io.Copy(&read, near)
	if errors.Is(reading, syscall.EIO) { // as Linux says that nobody has the other end any more
		reading = nil
	}
	err = cmd.Wait()
	return read.String(), errors.Join(err, reading, near.Close())
}

// open makes a pair of ends of a terminal.
func open(columns uint16) (near, far *os.File, err error) {
	near, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, near.Close())
		}
	}()
	descriptor := int(near.Fd())
	number, err := unix.IoctlGetInt(descriptor, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(descriptor, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetWinsize(descriptor, unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: columns}); err != nil {
		return nil, nil, err
	}
	far, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	return near, far, err
}
