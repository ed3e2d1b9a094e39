package product

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// PeakMemory returns the most memory, in bytes, that the process has held at
// once so far. It must still run.
//
// What the kernel reports of a child that has ended (getrusage) is no use: a
// child starts in its parent's memory, and is charged with the peak of that.
func (p *Process) PeakMemory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("read the memory of the process: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("the process %d has no memory any more", p.PID())
}
