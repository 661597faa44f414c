package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/lab"
)

const (
	egressRounds  = 6   // each side in turn
	egressConnect = 150 // new connections a round
	egressRequest = 500 // requests on a kept connection a round
	egressBytes   = 1 << 30
	upstreamAddr  = "93.184.216.34"
)

// bed is what the lab needs of a test: it cleans up at the end and gives up by a panic.
type bed struct {
	testing.TB // for the methods that the lab does not call
	cleanups   []func()
	failed     error
}

func (b *bed) Helper()          {}
func (b *bed) Cleanup(f func()) { b.cleanups = append(b.cleanups, f) }
func (b *bed) Errorf(format string, args ...any) {
	b.failed = errors.Join(b.failed, fmt.Errorf(format, args...))
}
func (b *bed) Error(args ...any)                 { b.Errorf("%s", fmt.Sprint(args...)) }
func (b *bed) Fatal(args ...any)                 { panic(fmt.Errorf("%s", fmt.Sprint(args...))) }
func (b *bed) Fatalf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }

func (b *bed) end() {
	for i := len(b.cleanups) - 1; i >= 0; i-- {
		b.cleanups[i]()
	}
}

// path is one way to the upstream host.
type path struct {
	name, url string
	relay     string  // the same through a relay that checks nothing
	connect   float64 // microseconds that a new connection may add
	request   float64 // the same for a request on a kept one
	transfer  float64 // of direct throughput
}

var ways = []path{
	{"tcp", "http://tcp.example.com:8080", "http://" + relayName + ":8080", 200, 0, 0.5},
	{"tls unread", "https://tls.example.com", "https://" + relayName, 200, 0, 0.5},
	{"inspected", "https://inspected.example.com", "https://" + relayName + ":8443", 0, 200, 0.25},
}

// egress measures what the way out costs over a direct connection to the same
// host, with the same client: in the container, and beside the daemon. What a connection
// through a relay that checks nothing costs is measured too, for a client in no
// container: about that much is the cost of any program in between.
func egress(outer *bench, r *report) (err error) {
	progress("egress")
	t := &bed{}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the lab: %v", p)
		}
		t.end()
		err = errors.Join(err, t.failed)
	}()
	l := lab.New(t)
	l.HTTPS(upstreamAddr+":443", "tls.example.com", "inspected.example.com", relayName)
	l.HTTP(upstreamAddr + ":8080")
	l.DNS.Names(map[string][]string{"tcp.example.com": {upstreamAddr}, "tls.example.com": {upstreamAddr}, "inspected.example.com": {upstreamAddr}, relayName: {relayHost}})
	stop, err := startRelay(outer.ctx, l)
	if err != nil {
		return err
	}
	defer stop()
	b, err := outer.inside(l)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.startNet(l); err != nil {
		return err
	}
	for _, p := range ways {
		if err := b.comparePath(r, l, p); err != nil {
			return err
		}
	}
	return nil
}

// inside is another daemon, in the lab.
func (b *bench) inside(l *lab.Lab) (*bench, error) {
	return newBench(b.ctx, func(cmd *exec.Cmd) {
		l.Exec(lab.Site, cmd)
		cmd.Env = append(cmd.Environ(), "SSL_CERT_FILE="+l.CA.File)
	})
}

func (b *bench) startNet(l *lab.Lab) error {
	text := fmt.Sprintf(`version: 1
name: net
image: %s
profile: node
resources: {cpu: 2, memory: 1GiB, pids: 256}
timeouts: {call: 10m}
`+limitless+`tools: {run_command: {risk: low, arguments: {command: {unchecked: bench}}}}
egress:
  - {host: tcp.example.com, port: 8080, protocol: tcp}
  - {host: tls.example.com}
  - {host: inspected.example.com, inspect: true, methods: [GET], paths: ["/**"]}
`, filepath.Join(b.images, "net.oci.tar"))
	if err := b.write("net.yaml", text); err != nil {
		return err
	}
	if err := b.mcprun("lock", "net.yaml"); err != nil {
		return err
	}
	return b.mcprun("start", "net.yaml")
}

// measurement is what netclient prints.
type measurement struct {
	OK     bool
	Error  string
	Detail struct{ P50, MiBPerSecond float64 }
}

func (b *bench) within(args ...string) (measurement, error) {
	command, err := json.Marshal(map[string]string{"command": "/app/netclient " + strings.Join(args, " ")})
	if err != nil {
		return measurement{}, err
	}
	return readMeasurement(b.command("call", "net", "run_command", string(command)))
}

// direct runs the same client beside the daemon; it trusts the lab's authority.
func (b *bench) direct(l *lab.Lab, args ...string) (measurement, error) {
	cmd := exec.CommandContext(b.ctx, filepath.Join(b.base, "netclient"), args...)
	cmd.Env = append(cmd.Environ(), "SSL_CERT_FILE="+l.CA.File)
	l.Exec(lab.Site, cmd)
	return readMeasurement(cmd)
}

func readMeasurement(cmd *exec.Cmd) (m measurement, err error) {
	out, err := cmd.Output()
	if err != nil {
		return m, fmt.Errorf("%s: %w: %s", cmd.Path, err, out)
	}
	if err := json.Unmarshal(out[strings.Index(string(out), "{"):], &m); err != nil {
		return m, fmt.Errorf("reading a measurement: %w: %s", err, out)
	}
	if !m.OK {
		return m, fmt.Errorf("measuring: %s", m.Error)
	}
	return m, nil
}

func (b *bench) comparePath(r *report, l *lab.Lab, p path) error {
	progress("egress: %s", p.name)
	build := exec.CommandContext(b.ctx, "go", "build", "-o", filepath.Join(b.base, "netclient"), "./integration/netclient")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building netclient: %w: %s", err, out)
	}
	for _, m := range []struct {
		name string
		args []string
		aim  float64
	}{
		{"new connection to first byte", []string{"connects", "/bytes?n=1", fmt.Sprint(egressConnect)}, p.connect},
		{"request on a kept connection", []string{"requests", "/bytes?n=1", fmt.Sprint(egressRequest)}, p.request},
	} {
		s, err := b.sides(l, p, egressRounds, func(m measurement) float64 { return m.Detail.P50 }, m.args...)
		if err != nil {
			return err
		}
		name := "egress " + p.name + ": " + m.name
		r.difference(name+", p50", "us", s.ours, s.bare, p50, m.aim)
		r.difference(name+" through a relay that checks nothing, p50", "us", s.relay, s.bare, p50, 0)
	}
	s, err := b.sides(l, p, 3, func(m measurement) float64 { return m.Detail.MiBPerSecond }, "transfer", fmt.Sprintf("/bytes?n=%d", egressBytes))
	if err != nil {
		return err
	}
	r.ratio("egress "+p.name+": 1 GiB, MiB/s", "MiB/s", s.ours, s.bare, p.transfer)
	r.ratio("egress "+p.name+": 1 GiB through a relay that checks nothing, MiB/s", "MiB/s", s.relay, s.bare, 0)
	return nil
}

// sidesOf are what was measured of each; each round is one median.
type sidesOf struct{ ours, relay, bare distribution }

// sides measures them in turn. The second of args is below the path's URL.
func (b *bench) sides(l *lab.Lab, p path, rounds int, of func(measurement) float64, args ...string) (s sidesOf, err error) {
	at := func(url string) []string {
		all := slices.Clone(args)
		all[1] = url + all[1]
		return all
	}
	var ours, relayed, bare []float64
	for range rounds {
		for _, side := range []struct {
			into    *[]float64
			measure func() (measurement, error)
		}{
			{&ours, func() (measurement, error) { return b.within(quoted(at(p.url))...) }},
			{&relayed, func() (measurement, error) { return b.direct(l, at(p.relay)...) }},
			{&bare, func() (measurement, error) { return b.direct(l, at(p.url)...) }},
		} {
			m, err := side.measure()
			if err != nil {
				return s, err
			}
			*side.into = append(*side.into, of(m))
		}
	}
	return sidesOf{distribute(ours), distribute(relayed), distribute(bare)}, nil
}

func quoted(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = "'" + a + "'"
	}
	return out
}
