// Package egress tests, from inside real containers, that nothing leaves but what
// a rule allows, whatever program tries, and that credentials stay outside. The
// internet is a lab of real servers in namespaces (integration/lab).
package egress

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/integration/lab"
	"github.com/mcprun/mcprun/internal/testenv"
)

// atOnce is how long a refusal may take: far below what a person or a retry notices.
const atOnce = 50 * time.Millisecond

// world is a lab with a daemon in it.
type world struct {
	t   *testing.T
	lab *lab.Lab
	d   *harness.Daemon
	env []string // of the daemon
}

// Addresses of the lab that look like the internet's, and those that are traps.
const (
	public, otherPublic = "93.184.216.34", "140.82.112.3"
	public6             = "2606:4700::1111"
	metadata, private   = "169.254.169.254", "192.168.50.10"
)

func newWorld(t *testing.T, env ...string) *world {
	t.Helper()
	return newWorldIn(t, lab.New(t), env...)
}

// newWorldIn starts a daemon in a lab that is there; env is added to its environment.
func newWorldIn(t *testing.T, l *lab.Lab, env ...string) *world {
	t.Helper()
	return newWorldBehind(t, l, nil, env...)
}

// newWorldBehind has words before the daemon's command: what changes its surroundings.
func newWorldBehind(t *testing.T, l *lab.Lab, before []string, env ...string) *world {
	t.Helper()
	testenv.Need(t, "root", "containerd", "images", "netfilter")
	d := harness.Prepare(t)
	d.Wrap = func(argv []string) []string { return l.Wrap(lab.Site, slices.Concat(before, argv)) }
	w := &world{t, l, d, append(env, "SSL_CERT_FILE="+l.CA.File)}
	w.restart()
	if err := os.Mkdir(filepath.Join(d.Dir, "lab"), 0o755); err != nil {
		t.Fatal(err)
	}
	d.Write("lab/ca.pem", string(l.CA.PEM))
	return w
}

// restart starts the daemon, for the first time or after a crash.
func (w *world) restart() {
	w.t.Helper()
	w.d.Start(w.env...)
	if !w.d.Ready() {
		w.t.Fatal("the daemon ended at its start")
	}
}

// trusting makes a container's programs trust the lab's authority, as they would
// trust the internet's, where TLS does not end at the proxy.
const trusting = "environment: {SSL_CERT_FILE: /lab/ca.pem, NODE_EXTRA_CA_CERTS: /lab/ca.pem, CURL_CA_BUNDLE: /lab/ca.pem, GIT_SSL_CAINFO: /lab/ca.pem, REQUESTS_CA_BUNDLE: /lab/ca.pem}\nfiles: [{from: ./lab, to: /lab}]\n"

// up starts a server from the image of client programs; yaml is what is not always
// the same.
func (w *world) up(name, yaml string) {
	w.t.Helper()
	w.d.Up(name, "net", "profile: node\nresources: {memory: 1GiB, pids: 256}\ntools: {run_command: {risk: low, arguments: {command: {unchecked: tests}}}}\n"+yaml)
}

// sh runs a command in the container and returns all that it printed.
func (w *world) sh(name, command string) string {
	w.t.Helper()
	args, err := json.Marshal(map[string]string{"command": command})
	if err != nil {
		w.t.Fatal(err)
	}
	out, errs, _ := w.d.Run("call", name, "run_command", string(args))
	return out + errs
}

// attempt is what the client program says of one try.
type attempt struct {
	OK     bool
	Error  string
	Errno  string
	MS     float64
	Detail json.RawMessage
}

// try runs the client program in the container.
func (w *world) try(name string, args ...string) attempt {
	w.t.Helper()
	return w.tries(name, args)[0]
}

// tries runs it several times, one after the other, in one call.
func (w *world) tries(name string, all ...[]string) []attempt {
	w.t.Helper()
	var command strings.Builder
	for _, args := range all {
		command.WriteString("/app/netclient")
		for _, a := range args {
			command.WriteString(" '" + strings.ReplaceAll(a, "'", `'\''`) + "'")
		}
		command.WriteString("; ")
	}
	// The call lasts a moment longer than the attempts: a packet that the kernel
	// refused is reported just after it.
	out := w.sh(name, command.String()+"sleep 0.1")
	var said []attempt
	for line := range strings.Lines(out) {
		var a attempt
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &a) == nil {
			said = append(said, a)
		}
	}
	if len(said) != len(all) {
		w.t.Fatalf("netclient %q: %s", all, out)
	}
	return said
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// refused checks that an attempt failed at once.
func (w *world) refused(a attempt, what string) {
	w.t.Helper()
	if a.OK {
		w.t.Errorf("%s: it went through: %s", what, a.Detail)
	} else if took := time.Duration(a.MS * float64(time.Millisecond)); took > atOnce {
		w.t.Errorf("%s: refused after %v, want at once: %s", what, took, a.Error)
	}
}

// allowed checks that an attempt went through: the control beside a refusal.
func (w *world) allowed(a attempt, what string) {
	w.t.Helper()
	if !a.OK {
		w.t.Errorf("%s: %s (%s)", what, a.Error, a.Errno)
	}
}

// record is one line of the record.
type record struct {
	Type, Server, Verdict, Rule, Reason, Outcome, Method string
	Detail                                               map[string]string
}

// egress reads the records of connections, the oldest first.
func (w *world) egress() []record {
	w.t.Helper()
	var out []record
	for line := range strings.Lines(w.d.Must("audit", "tail", "-n", "100000", "--json")) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			w.t.Fatal(err)
		}
		if r.Type == "egress" {
			out = append(out, r)
		}
	}
	return out
}

// denied checks that the record names our refusal: the host, the rule that made
// it, and the call that was in flight.
func (w *world) denied(host, rule string) {
	w.t.Helper()
	w.deniedFor(host, rule, "run_command c-")
}

// deniedTo is denied for whatever call was in flight.
func (w *world) deniedTo(host, rule string) {
	w.t.Helper()
	w.deniedFor(host, rule, " c-")
}

func (w *world) deniedFor(host, rule, call string) {
	w.t.Helper()
	for _, r := range w.egress() {
		if r.Detail["host"] == host && r.Rule == rule && r.Verdict == "deny" && strings.Contains(r.Detail["calls"], call) {
			return
		}
	}
	w.t.Errorf("no record of a refusal of %s by %s; there are: %s", host, rule, w.summary())
}

func (w *world) summary() string {
	var out []string
	for _, r := range w.egress() {
		out = append(out, fmt.Sprintf("%s %s %s", r.Detail["host"], r.Rule, r.Outcome))
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), "; ")
}

// nothingElse checks that every packet that left the daemon's side went to one of
// the addresses: names are asked of the lab's name server.
func (w *world) nothingElse(c *lab.Capture, to ...string) {
	w.t.Helper()
	for _, p := range c.Packets() {
		if p.Out && !slices.Contains(append(to, lab.NetAddr), p.Dst.Addr().String()) {
			w.t.Errorf("a packet left for %s (%s)", p.Dst, p.Proto)
		}
	}
}

func imagePath(name string) string { return harness.Image(name) }
