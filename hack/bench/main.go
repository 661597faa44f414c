// Command bench measures what mcprun costs over the same server as a bare child
// process, interleaved with it in one run, and prints a table and a JSON file.
//
// The machine's noise falls on both sides alike, but not the numbers of another
// machine: compare ratios and differences. It does not measure other clients or
// servers; the client here is a raw line client that adds nothing of its own.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// deadline bounds the whole run: whatever hangs, nothing stays behind. The kills alone take
// two minutes on an idle machine, and twice that beside a virtual one.
const deadline = 20 * time.Minute

func main() {
	if side := os.Getenv(underEnv); side != "" {
		if err := loops(side); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if to := os.Getenv(relayEnv); to != "" {
		fmt.Fprintln(os.Stderr, "bench: the relay:", relay(to))
		os.Exit(1)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parts are what is measured, in order. Throughput goes on with the servers of calls.
var parts = []struct {
	name    string
	measure func(*bench, *report) error
}{{"calls", latencies}, {"throughput", throughputs}, {"starts", starts}, {"kills", kills}, {"gvisor", behindGVisor}, {"many", configured}, {"memory", memory}, {"egress", egress}, {"decisions", decisions}, {"refusals", refusals}}

func run() (err error) {
	out := flag.String("out", "bench.json", "the JSON `file` to write")
	only := flag.String("only", "", "measure this `part` alone: calls, throughput, starts, kills, gvisor, many, memory, egress, decisions or refusals")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := newBench(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	r := newReport(b)
	for _, part := range parts {
		if *only != "" && *only != part.name {
			continue
		}
		if err := part.measure(b, r); err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
	r.print(os.Stdout)
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, append(raw, '\n'), 0o644)
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }
