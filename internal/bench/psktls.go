package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/simroot/simroot/internal/rig"
)

// rounds are how often each comparison is made. The best of each side counts: what else runs
// on the machine makes either slower, and none faster.
const rounds = 9

// pskComparison is a benchmark of psktls and one that it is compared with.
type pskComparison struct {
	what              string
	folder, benchmark string
	ours, theirs      string // below benchmark
	unit, goal        string
}

// pskComparisons are the rows to make.
var pskComparisons = []pskComparison{
	{"DTLS 1.2 PSK handshakes in memory, psktls against pion/dtls", "./internal/interop/psk", "DTLSHandshakeAgainstPion", "psktls", "pion", "handshakes/s", "≥ 1.2 ×"},
	{"allocations for them", "./internal/interop/psk", "DTLSHandshakeAgainstPion", "psktls", "pion", "allocs/op", "≤ 0.5 ×"},
	{"TLS 1.3 handshakes in memory, psktls with a PSK against crypto/tls with P-256 certificates on both sides", "./psktls", "Handshake", "psktls_1.3_psk_dhe_ke", "crypto-tls_1.3_mutual_P-256", "handshakes/s", "≥ 1.5 ×"},
	{"bulk, psktls against crypto/tls, TLS 1.3, AES-128-GCM", "./psktls", "Bulk", "psktls_TLS_AES_128_GCM_SHA256", "crypto-tls_TLS_AES_128_GCM_SHA256", "MB/s", "≥ 0.9 ×"},
	{"bulk, psktls against crypto/tls, TLS 1.2, AES-128-GCM", "./psktls", "Bulk", "psktls_TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256", "crypto-tls_1.2_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "MB/s", "≥ 0.9 ×"},
	{"bulk, psktls against crypto/tls, TLS 1.2, ChaCha20-Poly1305", "./psktls", "Bulk", "psktls_TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", "crypto-tls_1.2_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "MB/s", "≥ 0.9 ×"},
}

// figures are what benchmarks say: by name and unit, one for each round.
type figures map[[2]string][]float64

// pskRates runs benchmarks that stand beside the tests of psktls, two at a time, and compares.
func pskRates(ctx context.Context, _ *rig.Rig, dir string) ([]row, error) {
	programs := map[string]string{}
	var rows []row
	for _, c := range pskComparisons {
		program, built := programs[c.folder]
		if !built {
			program = filepath.Join(dir, filepath.Base(c.folder)+".test")
			if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, c.folder).CombinedOutput(); err != nil {
				return nil, fmt.Errorf("build the benchmarks of %s: %w\n%s", c.folder, err, out)
			}
			programs[c.folder] = program
		}
		row, err := c.run(ctx, program)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// run makes one comparison with the test program of its folder.
func (c pskComparison) run(ctx context.Context, program string) (row, error) {
	pair := fmt.Sprintf("^Benchmark%s$/^(%s|%s)$", c.benchmark, regexp.QuoteMeta(c.ours), regexp.QuoteMeta(c.theirs))
	found := figures{}
	for range rounds {
		cmd := exec.CommandContext(ctx, program, "-test.run=^$", "-test.bench="+pair, "-test.benchtime=100ms", "-test.benchmem")
		cmd.Dir = c.folder
		out, err := cmd.CombinedOutput()
		if err != nil {
			return row{}, fmt.Errorf("run the benchmarks of %s: %w\n%s", c.folder, err, out)
		}
		found.read(out)
	}
	ours, theirs := found[[2]string{c.benchmark + "/" + c.ours, c.unit}], found[[2]string{c.benchmark + "/" + c.theirs, c.unit}]
	if len(ours) != rounds || len(theirs) != rounds {
		return row{}, fmt.Errorf("%s: in %d rounds the benchmarks told %d and %d times how many %s", c.what, rounds, len(ours), len(theirs), c.unit)
	}
	best := slices.Max[[]float64]
	if c.unit == "allocs/op" {
		best = slices.Min[[]float64]
	}
	unit := map[string]string{"handshakes/s": "/s", "MB/s": " MB/s"}[c.unit]
	return row{c.what, fmt.Sprintf("%.0f%s against %.0f%s: %.2f × (best of %d)", best(ours), unit, best(theirs), unit, best(ours)/best(theirs), rounds), c.goal}, nil
}

// benchmarkLine is a result of a benchmark: its name without the number of processors, and
// its figures with their units.
var benchmarkLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.*)$`)

// read takes in what one run has printed.
func (f figures) read(printed []byte) {
	lines := bufio.NewScanner(bytes.NewReader(printed))
	for lines.Scan() {
		m := benchmarkLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		fields := strings.Fields(m[2])
		for i := 0; i+1 < len(fields); i += 2 {
			if value, err := strconv.ParseFloat(fields[i], 64); err == nil {
				f[[2]string{m[1], fields[i+1]}] = append(f[[2]string{m[1], fields[i+1]}], value)
			}
		}
	}
}
