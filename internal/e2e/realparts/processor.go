package realparts

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ProcessorTime is the processor time that a running process has used so far.
func ProcessorTime(pid int) (time.Duration, error) {
	u, err := readUse(fmt.Sprintf("/proc/%d/stat", pid))
	return u.own, err
}

// use is what a process has used.
type use struct {
	parent        string // process ID
	own, children time.Duration
}

// readUse reads /proc/PID/stat (proc(5)).
func readUse(file string) (u use, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return u, err
	}
	// The name may hold anything but ends with the last bracket; then state, parent, and so on.
	_, rest, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')'):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return u, fmt.Errorf("%s: %d fields", file, len(fields))
	}
	u.parent = fields[1]
	const tick = time.Second / 100                                                  // USER_HZ
	for i, of := range []*time.Duration{&u.own, &u.own, &u.children, &u.children} { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(fields[11+i], 10, 64)
		if err != nil {
			return u, fmt.Errorf("%s: %w", file, err)
		}
		*of += time.Duration(n) * tick
	}
	return u, nil
}
