// Package lives tests how a server's lives begin and end by themselves: what it runs
// into, what follows a crash, and what becomes of one that nobody uses.
package lives

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/internal/testenv"
)

// image builds the unruly server's image once for all tests.
var image = sync.OnceValues(func() (string, error) {
	if path, ok := harness.Prebuilt("unruly.oci.tar"); ok {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "mcprun-unruly-")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "unruly")
	if err := run("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./integration/lives/unruly"); err != nil {
		return "", err
	}
	return filepath.Join(dir, "unruly.oci.tar"), run("go", "run", "./hack/mkimage", "-cache", filepath.Join(dir, "cache"), "-o", dir, "static:"+program)
})

func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd.Run()
}

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := image(); err == nil && strings.Contains(path, "mcprun-unruly-") {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// unruly writes and locks the server.yaml of an unruly server; more is added to it, and
// tools to those that it has in any case.
func unruly(t *testing.T, d *harness.Daemon, name, more string, tools ...string) (file string) {
	t.Helper()
	archive, err := image()
	if err != nil {
		t.Fatal(err)
	}
	file = name + ".yaml"
	d.Write(file, "version: 1\nname: "+name+"\nimage: "+archive+"\nprofile: go\n"+more+`
tools:
  count: {risk: low}
  fill: {risk: low}
  child: {risk: low}
  fork: {risk: low}
  end: {risk: low}
  wait: {risk: low}
`+indented(tools))
	d.Must("lock", file)
	return file
}

func indented(lines []string) (out string) {
	for _, l := range lines {
		out += "  " + l + "\n"
	}
	return out
}

func itoa(n int) string { return fmt.Sprint(n) }

// record is what the tests look at of a record.
type record struct {
	Type, Server, Instance, Tool, Rule, Reason, Outcome, Principal, Who, Why string
	Detail                                                                   map[string]string
}

// records lists what the daemon recorded of one type, the oldest first.
func records(t *testing.T, d *harness.Daemon, kind string) []record {
	t.Helper()
	var out []record
	for line := range strings.Lines(d.Must("audit", "tail", "-n", "1000", "--json")) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Type == kind {
			out = append(out, r)
		}
	}
	return out
}

// eventually waits until what is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("%s did not come to be in 20 s", what)
}

// says fails the test unless text has all parts.
func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("it does not say %q:\n%s", p, text)
		}
	}
}

// status is one server's entry of mcprun ps.
func status(t *testing.T, d *harness.Daemon, name string) (s struct {
	Name, State, Why, Instance string
	Pid, Tools                 int
}) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader([]byte(d.Must("ps", "--json"))))
	var all []json.RawMessage
	if err := dec.Decode(&all); err != nil {
		t.Fatal(err)
	}
	for _, raw := range all {
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("mcprun ps does not know %s", name)
	return s
}

func needs(t *testing.T) { t.Helper(); testenv.Need(t, "root", "containerd", "images") }

// client speaks MCP through mcprun connect.
type client struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Reader
	next int
	got  map[string]string // answers that nobody has waited for yet
}

// connect starts a client that has shaken hands; it ends with the test.
func connect(t *testing.T, d *harness.Daemon, name string) *client {
	t.Helper()
	cmd := d.Command("connect", name)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	c := &client{t: t, in: in, out: bufio.NewReader(out), got: map[string]string{}}
	says(t, c.ask("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}`), "serverInfo")
	fmt.Fprintln(in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return c
}

// send sends a request and returns its id.
func (c *client) send(method, params string) int {
	c.next++
	fmt.Fprintf(c.in, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`+"\n", c.next, method, params)
	return c.next
}

// ask sends a request and returns the result or the error of its answer.
func (c *client) ask(method, params string) string {
	c.t.Helper()
	return c.answer(c.send(method, params))
}

// answer waits for the answer to a request; the others may come in any order.
func (c *client) answer(id int) string {
	c.t.Helper()
	for {
		if text, ok := c.got[fmt.Sprint(id)]; ok {
			delete(c.got, fmt.Sprint(id))
			return text
		}
		line, err := c.out.ReadBytes('\n')
		if err != nil {
			c.t.Fatalf("waiting for the answer to request %d: %v", id, err)
		}
		var m struct {
			ID            json.RawMessage
			Result, Error json.RawMessage
		}
		if err := json.Unmarshal(line, &m); err != nil {
			c.t.Fatal(err)
		}
		c.got[string(m.ID)] = string(m.Result) + string(m.Error)
	}
}

// tell sends a notification.
func (c *client) tell(method, params string) {
	fmt.Fprintf(c.in, `{"jsonrpc":"2.0","method":%q,"params":%s}`+"\n", method, params)
}
