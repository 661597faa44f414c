// Command netclient tries one way out of a container and prints what came of it
// as one line of JSON: {"ok":…,"error":…,"errno":…,"ms":…,"detail":…}.
//
// It is the client of the egress tests. It asks nothing of the image that it
// runs in, and every attempt ends within a few seconds, so that "refused at
// once" and "ran into a time limit" are told apart by ms. It exits with 0
// whenever a line was printed: the verdict is in the line.
//
// It decides nothing: whether an outcome is right is for the test to say, which
// also sees the far side.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds every attempt but hold: a refusal is due in milliseconds, and
// the slowest honest answer of the lab takes well under a second.
const patience = 5 * time.Second

// longPatience bounds what measures, and what waits for its connection's end.
const longPatience = 2 * time.Minute

// maxShown bounds what a line repeats of what came over the network.
const maxShown = 16 << 10

// attempt is one subcommand. What it returns is printed as detail, also beside
// an error.
type attempt struct {
	usage string
	least int // arguments
	most  int
	run   func(ctx context.Context, args []string) (any, error)
}

// attempts returns every subcommand by its name.
func attempts() map[string]attempt {
	return map[string]attempt{
		"get":        {"URL [HEADER:VALUE...]", 1, 16, get},
		"noproxy":    {"URL [HEADER:VALUE...]", 1, 16, noproxy},
		"raw":        {`HOST:PORT [TEXT, \r\n and \x00 escaped]`, 1, 2, raw},
		"tcp":        {"ADDR:PORT", 1, 1, tcp("tcp")},
		"tcp6":       {"[ADDR]:PORT", 1, 1, tcp("tcp6")},
		"udp":        {"ADDR:PORT", 1, 1, udp},
		"dns":        {"NAME [SERVER [udp|tcp [TYPE]]]", 1, 4, query},
		"tls":        {"ADDR:PORT SNI, escaped as in raw", 2, 2, handshake},
		"tls-nosni":  {"ADDR:PORT", 1, 1, handshake},
		"ws":         {"URL", 1, 1, webSocket},
		"grpc":       {"ADDR:PORT [insecure]", 1, 2, health},
		"icmp":       {"ADDR", 1, 1, ping},
		"mark":       {"ADDR:PORT", 1, 1, marked},
		"freebind":   {"SRC ADDR:PORT", 2, 2, freebind},
		"abstract":   {"NAME", 1, 1, abstract},
		"fds":        {"", 0, 0, inherited},
		"interfaces": {"", 0, 0, interfaces},
		"packet":     {"", 0, 0, sniff},
		"change":     {"routes|nft|veth|namespace", 1, 1, change},
		"hold":       {"ADDR:PORT", 1, 1, hold},
		"connects":   {"URL TIMES", 2, 2, connects},
		"requests":   {"URL TIMES", 2, 2, requests},
		"transfer":   {"URL", 1, 1, transfer},
	}
}

// line is what is printed.
type line struct {
	OK     bool    `json:"ok"`
	Error  string  `json:"error,omitempty"`
	Errno  string  `json:"errno,omitempty"` // ECONNREFUSED and the like, where the kernel said why
	MS     float64 `json:"ms"`
	Detail any     `json:"detail,omitempty"`
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "netclient:", err)
		os.Exit(2)
	}
}

// run makes one attempt. Its error is a mistake in the arguments.
func run(args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage())
	}
	a, ok := attempts()[args[0]]
	if n := len(args) - 1; !ok || n < a.least || n > a.most {
		return errors.New(usage())
	}
	ctx := context.Background()
	bound := patience
	switch args[0] {
	case "connects", "requests", "transfer", "hold": // they take their time
		bound = longPatience
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	start := time.Now()
	detail, err := a.run(ctx, args[1:])
	l := line{OK: err == nil, Detail: detail, MS: float64(time.Since(start).Microseconds()) / 1000}
	if err != nil {
		l.Error = err.Error()
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			l.Errno = unix.ErrnoName(errno)
		}
	}
	return json.NewEncoder(stdout).Encode(l)
}

func usage() string {
	var lines []string
	for name, a := range attempts() {
		lines = append(lines, strings.TrimSpace("  "+name+" "+a.usage))
	}
	slices.Sort(lines)
	return "usage: netclient WHAT ARGUMENTS\n  " + strings.Join(lines, "\n  ")
}

// shown is what a line repeats of b.
func shown(b []byte) string { return string(b[:min(len(b), maxShown)]) }
