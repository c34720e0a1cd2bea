package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/simroot/simroot/appserver/terminator"
	"github.com/simroot/simroot/internal/rig"
)

// terminatorCost compares a server behind the terminator with one that is linked to the middleware, in
// turns: what the way through another socket costs, in throughput and in each question and
// answer; and what an idle connection costs the terminator in memory.
func terminatorCost(ctx context.Context, r *rig.Rig, dir string) (rows []row, err error) {
	_, d, err := onlyOne(ctx, r)
	if err != nil {
		return nil, err
	}
	own, err := r.ServerCertificate(ctx, "127.0.0.1")
	if err != nil {
		return nil, err
	}
	m, err := r.Middleware(ctx, dir+"/replica")
	if err != nil {
		return nil, err
	}
	defer m.Close()
	config, err := d.TLSConfig(ctx)
	if err != nil {
		return nil, err
	}

	var lns []net.Listener
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		for _, ln := range lns {
			err = errors.Join(err, ln.Close())
		}
		running.Wait()
	}()
	base := m.TLSConfig(&tls.Config{Certificates: []tls.Certificate{own}})
	serve := func(linked bool, with func(net.Listener)) (address string, err error) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		if linked {
			ln = m.Listener(ln, base)
		}
		lns = append(lns, ln)
		running.Go(func() { with(ln) })
		return ln.Addr().String(), nil
	}
	var linked, behind [2]string // servers that swallow, and that answer
	var ways []terminator.Way
	for i, with := range []func(net.Listener){swallow, echo} {
		var failed [2]error
		linked[i], failed[0] = serve(true, with)
		behind[i], failed[1] = serve(false, with)
		if err := errors.Join(failed[:]...); err != nil {
			return nil, err
		}
		ways = append(ways, terminator.Way{Kind: terminator.TLS, Listen: "127.0.0.1:0", Backend: behind[i]})
	}
	front, err := terminator.Listen(terminator.Options{
		Middleware: m, Certificate: func() (*tls.Certificate, error) { return &own, nil }, Ways: ways,
		PerSIM: 1000, Drain: time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	running.Go(func() { ended <- front.Run(ctx) })
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()

	dial := func(address string) func() (net.Conn, error) {
		return func() (net.Conn, error) { return tls.Dial("tcp", address, config) }
	}
	direct := []func() (net.Conn, error){dial(linked[0]), dial(linked[1])}
	through := []func() (net.Conn, error){dial(front.Ways()[0].Listen), dial(front.Ways()[1].Listen)}
	const turns = 10
	var rates, waits [2][]float64
	var rateRatios, waitRatios []float64
	for range turns {
		var rate, wait [2]float64
		for i, to := range []func() (net.Conn, error){direct[0], through[0]} {
			if rate[i], err = sendRate(to); err != nil {
				return nil, err
			}
			rates[i] = append(rates[i], rate[i])
		}
		for i, to := range []func() (net.Conn, error){direct[1], through[1]} {
			if wait[i], err = askWait(to); err != nil {
				return nil, err
			}
			waits[i] = append(waits[i], wait[i])
		}
		rateRatios, waitRatios = append(rateRatios, rate[1]/rate[0]), append(waitRatios, wait[1]/wait[0])
	}
	memory, err := idleMemory(direct[1], through[1])
	if err != nil {
		return nil, err
	}
	return []row{
		{"sending to a server behind the terminator, against one linked to the middleware",
			fmt.Sprintf("%.0f MB/s against %.0f MB/s: %.2f ×", median(rates[1]), median(rates[0]), median(rateRatios)), ""},
		{"question and answer of 64 bytes, the same two",
			fmt.Sprintf("%.0f µs against %.0f µs: %.2f ×", median(waits[1]), median(waits[0]), median(waitRatios)), ""},
		{"memory of an idle connection through the terminator beyond that of the same to the other, with both ends of its second socket",
			fmt.Sprintf("%.1f kB", memory/1000), ""},
	}, nil
}

// echo answers connections with what they say.
func echo(l net.Listener) {
	acceptAll(l, func(c net.Conn) {
		buf := make([]byte, 64)
		for {
			n, err := c.Read(buf)
			if err == nil {
				_, err = c.Write(buf[:n])
			}
			if err != nil {
				return
			}
		}
	})
}

// askWait is how long an answer takes, in microseconds.
func askWait(dial func() (net.Conn, error)) (float64, error) {
	const questions = 2000
	c, err := dial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	buf, begun := make([]byte, 64), time.Now()
	for range questions {
		if _, err := c.Write(buf); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(begun).Microseconds()) / questions, nil
}

// idleMemory is how much more memory a connection of one kind takes than one of another, in bytes.
func idleMemory(less, more func() (net.Conn, error)) (float64, error) {
	const connections = 500
	var taken [2]float64
	for i, dial := range []func() (net.Conn, error){less, more} {
		before := inUse()
		open := make([]net.Conn, 0, connections)
		err := func() error {
			for range connections {
				c, err := dial()
				if err != nil {
					return err
				}
				open = append(open, c)
				buf := make([]byte, 64) // until it has been through once
				if _, err := c.Write(buf); err != nil {
					return err
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					return err
				}
			}
			return nil
		}()
		taken[i] = (inUse() - before) / connections
		for _, c := range open {
			c.Close()
		}
		if err != nil {
			return 0, err
		}
	}
	return taken[1] - taken[0], nil
}

// inUse is the memory of heap and stacks.
func inUse() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}
