package main

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// jiffy is the unit of times in /proc (proc_pid_stat(5)): it is a hundredth of a second wherever Go runs.
const jiffy = 10 * time.Millisecond

// longestStart is how long a process may have waited for its first turn. One that is older has executed something else
// before, so that its age tells nothing.
const longestStart = 10 * time.Second

// processStart is when this process was forked, or now where that is unknown. Ticks that are started together count once
// (I28), also where the last of them gets its first turn on a busy machine when the first has already counted. It is never
// too early: a tick that was started after another one has counted is another tick.
func processStart() time.Time {
	now := time.Now()
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return now
	}
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return now
	}
	return startOf(string(stat), time.Duration(boot.Nano()), now)
}

// startOf reads field 22 of a stat file, jiffies from boot to start, rounded down by the kernel.
func startOf(stat string, uptime time.Duration, now time.Time) time.Time {
	rest := strings.Fields(stat[strings.LastIndex(stat, ")")+1:]) // the second field is a name, and may hold anything
	if len(rest) < 20 {
		return now
	}
	started, err := strconv.ParseInt(rest[19], 10, 64)
	if err != nil {
		return now
	}
	age := uptime - time.Duration(started+1)*jiffy
	if age < 0 || age > longestStart {
		return now
	}
	return now.Add(-age)
}
