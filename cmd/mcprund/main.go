// Command mcprund is the daemon: it runs MCP servers in containers and judges
// every call to them. It needs root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/daemon"
	"github.com/mcprun/mcprun/internal/paths"
	"github.com/mcprun/mcprun/internal/web"
	"github.com/mcprun/mcprun/netpolicy/egress"
)

var version = "development" // set by the linker

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "mcprund: %v\n", err)
		var e *mcprun.Error
		code := mcprun.Failed.ExitCode()
		if errors.As(err, &e) {
			code = e.Class.ExitCode()
			if e.Hint != "" {
				fmt.Fprintf(os.Stderr, "mcprund: hint: %s\n", e.Hint)
			}
		}
		os.Exit(code)
	}
}

func run(args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("mcprund", flag.ContinueOnError)
	flags.SetOutput(stderr)
	opts := daemon.Options{Version: version}
	flags.StringVar(&opts.Dirs.Run, "run", paths.DefaultRun, "folder for sockets and running containers")
	flags.StringVar(&opts.Dirs.Data, "data", paths.DefaultData, "folder for images, the record and the kill switches")
	flags.StringVar(&opts.Containerd, "containerd", "", "address of the host's containerd instead of a private one")
	flags.StringVar(&opts.Programs, "programs", "", "folder of containerd, its shim, runc and mcprun-init (default: mcprund's own)")
	flags.StringVar(&opts.Policy, "policy", paths.DefaultPolicy, "policy.yaml, the ceilings for all servers; at its default place it may be missing")
	operators := flags.String("operators", "", "users and @groups that may do everything, besides root: alice,@mcp-admins")
	clients := flags.String("clients", "", "users and @groups that may list servers and connect to them")
	page := flags.String("web", fmt.Sprintf("localhost:%d", web.DefaultPort), "where the approval page is, on loopback: localhost:PORT, or off")
	show := flags.Bool("version", false, "print the version")
	testEgress := flags.Bool("test-egress", false, "try how connections of a container can be brought to the daemon, and end (what mcprun doctor does)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return &mcprun.Error{Class: mcprun.Usage, What: err.Error()}
	}
	if *show {
		fmt.Println("mcprund", version)
		return nil
	}
	if os.Geteuid() != 0 {
		return &mcprun.Error{Class: mcprun.Usage, What: "mcprund needs root: it makes namespaces and containers", Hint: "sudo mcprund"}
	}
	if *testEgress {
		mode, why := egress.Detect()
		fmt.Println(mode)
		return why
	}
	if opts.Containerd == "" {
		if err := daemon.OwnMounts(); err != nil {
			return err
		}
	}
	var err error
	if opts.Access, err = control.ParseAccess(*operators, *clients, uidOf, gidOf); err != nil {
		return &mcprun.Error{Class: mcprun.Usage, What: err.Error()}
	}
	if opts.Page, err = pageOf(*page, flags); err != nil {
		return err
	}
	if opts.Programs == "" {
		if opts.Programs, err = daemon.Programs(); err != nil {
			return err
		}
	}
	flags.Visit(func(f *flag.Flag) { opts.PolicyNamed = opts.PolicyNamed || f.Name == "policy" })
	if opts.Policy, err = filepath.Abs(opts.Policy); err != nil {
		return &mcprun.Error{Class: mcprun.Usage, What: err.Error()}
	}
	opts.Log = slog.New(slog.NewTextHandler(stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return daemon.Run(ctx, opts, func() {})
}

// pageOf reads -web. Who names a port wants the page there or no daemon at all.
func pageOf(s string, flags *flag.FlagSet) (daemon.Page, error) {
	if s == "off" {
		return daemon.Page{Off: true}, nil
	}
	p := daemon.Page{}
	flags.Visit(func(f *flag.Flag) { p.Must = p.Must || f.Name == "web" })
	var err error
	p.Port, err = web.ParseAddr(s)
	return p, err
}

func uidOf(name string) (uint32, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(n), err
}

func gidOf(name string) (uint32, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(g.Gid, 10, 32)
	return uint32(n), err
}
