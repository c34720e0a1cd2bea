package main

import (
	"errors"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
)

// memory of this process, in MB.
type memory struct {
	resident float64 // in RAM
	live     float64 // objects on Go's heap that the last collection has found to be in use
	outside  float64 // resident and not of Go: the program's file, and what SQLite has allocated
}

// most is the larger of each.
func (m memory) most(o memory) memory {
	return memory{max(m.resident, o.resident), max(m.live, o.live), max(m.outside, o.outside)}
}

func readMemory() (m memory, err error) {
	pages, err := residentPages()
	if err != nil {
		return m, err
	}
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	mb := func(i int) float64 { return float64(samples[i].Value.Uint64()) / 1e6 }
	m.resident, m.live = float64(pages)*float64(os.Getpagesize())/1e6, mb(0)
	m.outside = max(0, m.resident-(mb(1)-mb(2)))
	return m, nil
}

// residentPages is the memory that the process has in RAM (proc(5)).
func residentPages() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, errors.New("/proc/self/statm cannot be read")
	}
	return strconv.ParseInt(fields[1], 10, 64)
}
