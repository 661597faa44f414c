package front

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/upstream"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/lock"
)

// memory is a record that can be made to fail, as a full disk does.
type memory struct {
	mu      sync.Mutex
	records []audit.Record
	err     error
}

func (m *memory) Append(r *audit.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.records = append(m.records, *r)
	}
	return m.err
}

func (m *memory) AppendDurable(r *audit.Record) error { return m.Append(r) }

func (m *memory) fail(err error) {
	m.mu.Lock()
	m.err = err
	m.mu.Unlock()
}

func (m *memory) count(t audit.Type) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, r := range m.records {
		if r.Type == t {
			n++
		}
	}
	return n
}

// last is the newest record of a type.
func (m *memory) last(t audit.Type) (out audit.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.Type == t {
			out = r
		}
	}
	return out
}

// peer is one end of a socket that speaks lines.
type peer struct {
	t    *testing.T
	conn *net.UnixConn
	r    *bufio.Reader
}

func (p *peer) send(line string) {
	p.t.Helper()
	if _, err := p.conn.Write([]byte(line + "\n")); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) line() string {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	s, err := p.r.ReadString('\n')
	if err != nil {
		p.t.Fatalf("waiting for a line: %v", err)
	}
	return strings.TrimSuffix(s, "\n")
}

// want reads one line and looks for parts of it.
func (p *peer) want(parts ...string) string {
	p.t.Helper()
	got := p.line()
	for _, s := range parts {
		if !strings.Contains(got, s) {
			p.t.Fatalf("got %s\nwant %q in it", got, s)
		}
	}
	return got
}

func socketpair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		out[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	return out[0], out[1]
}

type rig struct {
	t        *testing.T
	server   *Server
	life     *Life
	switches *limits.Switches
	record   *memory
	back     *peer // what the MCP server sees
	pins     *lock.File
}

const echo = `{"name":"echo","inputSchema":{"type":"object","properties":{"message":{"type":"string"}},"required":["message"],"additionalProperties":false}}`
const count = `{"name":"count","inputSchema":{"type":"object","properties":{}},"outputSchema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}}`

func newRig(t *testing.T, grants upstream.Grants) *rig {
	t.Helper()
	f := &lock.File{Version: lock.Version, Server: "files", Image: digest("1"), Profile: "node", ProfileDigest: digest("2"), Protocol: "2025-11-25",
		ServerInfo: jsontext.Value(`{"name":"x","version":"1"}`), Capabilities: jsontext.Value(`{"tools":{},"tasks":{},"logging":{}}`)}
	for _, def := range []string{echo, count} {
		tool, err := lock.NewTool(jsontext.Value(def))
		if err != nil {
			t.Fatal(err)
		}
		f.Tools = append(f.Tools, tool)
	}
	if err := f.Seal(); err != nil {
		t.Fatal(err)
	}
	policy, problems := gate.NewPolicy("files", f, map[mcprun.ToolName]gate.Grant{"echo": {Risk: mcprun.Low}, "count": {Risk: mcprun.Medium}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	switches, err := limits.OpenSwitches(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, switches: switches, record: &memory{}, pins: f}
	limiter := limits.New()
	limiter.Set("files", limits.Limits{}, time.Now())
	r.server = NewServer("files", switches, r.record, approval.New(r.record, time.Now), limiter)
	r.life = r.server.NewLife("files-1")
	ours, theirs := socketpair(t)
	conn, err := upstream.New(ours, r.life.Events())
	if err != nil {
		t.Fatal(err)
	}
	r.server.Prepare(r.life, conn)
	conn.Start(ours)
	r.life.SetPolicy(policy)
	r.life.Greeting = upstream.Greeting{ProtocolVersion: "2025-11-25", Capabilities: f.Capabilities, ServerInfo: f.ServerInfo}
	r.life.Grants, r.life.Timeout, r.life.Patience = grants, 5*time.Second, 5*time.Second
	r.server.Begin(r.life)
	r.back = &peer{t, theirs, bufio.NewReader(theirs)}
	t.Cleanup(func() { r.server.End(r.life, errors.New("the test ended")) })
	return r
}

func digest(c string) mcprun.Digest { return mcprun.Digest("sha256:" + strings.Repeat(c, 64)) }

func (r *rig) client() *peer {
	r.t.Helper()
	ours, theirs := socketpair(r.t)
	s, err := r.server.NewSession("s", "uid:1", nil, ours, ours)
	if err != nil {
		r.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { s.Serve(); close(done) }()
	r.t.Cleanup(func() { theirs.Close(); <-done })
	return &peer{r.t, theirs, bufio.NewReader(theirs)}
}

func call(id, tool, args string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, id, tool, args)
}

// The client's id comes back byte for byte; the server sees another.
func TestIDsAreKeptAndHidden(t *testing.T) {
	r := newRig(t, upstream.Grants{})
	c := r.client()
	for i, id := range []string{`"a"`, `1.0`, `-7`, `""`} {
		c.send(call(id, "echo", `{"message":"m"}`))
		r.back.want(fmt.Sprintf(`"id":%d,`, i+1), `"message":"m"`)
		r.back.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"content":[]}}`, i+1))
		c.want(`"id":`+id+`,`, `"content":[]`)
	}
}

// What cannot be recorded does not happen. The control is the same call before and after.
func TestNoRecordNoCall(t *testing.T) {
	r := newRig(t, upstream.Grants{})
	c := r.client()
	pass := func(n int) {
		c.send(call(`1`, "echo", `{"message":"ok"}`))
		r.back.want(`"message":"ok"`)
		r.back.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"content":[]}}`, n))
		c.want(`"result"`)
	}
	pass(1)
	r.record.fail(errors.New("no space left"))
	for _, line := range []string{call(`2`, "echo", `{"message":"lost"}`), call(`2`, "count", `{}`), `{"jsonrpc":"2.0","id":2,"method":"resources/read","params":{"uri":"a:b"}}`} {
		c.send(line)
		c.want(`"error"`, "cannot be recorded: no space left")
	}
	r.record.fail(nil)
	pass(5) // the ids that were reserved for the refused ones are never sent
}

func TestRefusalsReachNoServer(t *testing.T) {
	r := newRig(t, upstream.Grants{})
	c := r.client()
	for _, row := range []struct{ name, line, want string }{
		{"schema", call(`1`, "echo", `{"message":1}`), "schema.invalid"},
		{"undeclared", call(`1`, "echo", `{"message":"m","x":1}`), "schema.undeclared"},
		{"unknown tool", call(`1`, "Echo", `{"message":"m"}`), `-32602`},
		{"tool name", call(`1`, "a b", `{}`), `-32602`},
		{"task", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":"m"},"task":{}}}`, "task"},
		{"method", `{"jsonrpc":"2.0","id":1,"method":"tasks/list"}`, `-32601`},
		{"method in another case", `{"jsonrpc":"2.0","id":1,"method":"Tools/Call","params":{}}`, `-32601`},
		{"not JSON", `nonsense`, `-32700`},
	} {
		t.Run(row.name, func(t *testing.T) {
			c.send(row.line)
			c.want(row.want)
		})
	}
	c.send(call(`9`, "echo", `{"message":"the first thing the server sees"}`))
	r.back.want("the first thing the server sees")
	if got := r.record.count(audit.TypeRefuse); got != 8 {
		t.Errorf("%d refusals recorded, want 8", got)
	}
}

// A kill fails the calls in flight with the word killed, and a result that comes
// late goes nowhere.
func TestKillFailsWhatIsInFlight(t *testing.T) {
	r := newRig(t, upstream.Grants{})
	c := r.client()
	c.send(call(`1`, "echo", `{"message":"m"}`))
	r.back.want(`"id":1,`)
	c.send(call(`2`, "count", `{}`))
	r.back.want(`"id":2,`)
	k := limits.Kill{Target: limits.Target{Server: "files", Tool: "echo"}, Who: "me", Why: "test"}
	r.switches.Deny(k)
	if n := r.server.FailCalls(k); n != 1 {
		t.Errorf("FailCalls = %d, want 1", n)
	}
	c.want(`"id":1,`, "killed")
	r.back.want("notifications/cancelled", `"requestId":1`)
	r.back.send(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"late"}]}}`)
	r.back.send(`{"jsonrpc":"2.0","id":2,"result":{"content":[],"structuredContent":{"n":1}}}`)
	c.want(`"id":2,`, `"n":1`) // the other tool is unharmed, and the late result did not come before it
	c.send(call(`3`, "echo", `{"message":"m"}`))
	c.want(`"id":3,`, "killed")
	all := limits.Kill{Target: limits.Target{Server: "files"}, Who: "me", Why: "test"}
	c.send(call(`4`, "count", `{}`))
	r.back.want(`"id":4,`)
	r.switches.Deny(all)
	r.server.FailHeld(&KilledError{all})
	c.want(`"id":4,`, "killed")
	// Its connection stays until it is dead: what it says there reaches nobody.
	r.back.send(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"last words"}}`)
	r.back.send(`{"jsonrpc":"2.0","id":4,"result":{"content":[]}}`)
	c.send(call(`5`, "count", `{}`))
	c.want(`"id":5,`, "killed", "mcprun revive files")
}

func TestResultsAreHeldAgainstTheirSchema(t *testing.T) {
	r := newRig(t, upstream.Grants{})
	c := r.client()
	for i, row := range []struct{ result, want string }{
		{`{"content":[],"structuredContent":{"n":1}}`, `"n":1`},
		{`{"content":[],"structuredContent":{"n":"one"}}`, "result.invalid"},
		{`{"content":[]}`, "result.invalid"},
		{`"text"`, "result.invalid"},
	} {
		c.send(call(`1`, "count", `{}`))
		r.back.want(`"name":"count"`)
		r.back.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%s}`, i+1, row.result))
		c.want(row.want)
	}
}

// Two clients cannot see or end each other's calls.
func TestClientsAreApart(t *testing.T) {
	r := newRig(t, upstream.Grants{})
	a, b := r.client(), r.client()
	a.send(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"message":"a"},"_meta":{"progressToken":"tok"}}}`)
	r.back.want(`"progressToken":1`)
	b.send(call(`7`, "echo", `{"message":"b"}`))
	r.back.want(`"id":2,`)
	b.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`) // its own 7, not a's
	r.back.want("notifications/cancelled", `"requestId":2`)
	r.back.send(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":0.5}}`)
	a.want(`"progressToken":"tok"`)
	r.back.send(`{"jsonrpc":"2.0","id":2,"result":{"content":[]}}`)
	r.back.send(`{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`)
	a.want(`"id":7,`, `"result"`)
	r.back.send(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}`)
	a.want("notifications/message")
	b.want("notifications/message") // and not the result of its cancelled call before it
}

func TestServerRequests(t *testing.T) {
	ask := `{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{"messages":[]}}`
	t.Run("not granted", func(t *testing.T) {
		r := newRig(t, upstream.Grants{})
		r.back.send(ask)
		r.back.want(`"id":"q"`, `-32601`, "grants: {sampling: true}")
	})
	t.Run("granted", func(t *testing.T) {
		r := newRig(t, upstream.Grants{Sampling: true})
		r.back.send(ask)
		r.back.want("no call is in flight")
		c, other := r.client(), r.client()
		c.send(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"sampling":{}},"clientInfo":{"name":"t","version":"1"}}}`)
		got := c.want(`"protocolVersion":"2025-06-18"`, `"logging"`)
		if strings.Contains(got, "tasks") {
			t.Errorf("a capability that is refused was told of: %s", got)
		}
		c.send(call(`2`, "echo", `{"message":"m"}`))
		r.back.want(`"id":1,`)
		r.back.send(ask)
		q := c.want("sampling/createMessage")
		id := strings.Split(strings.Split(q, `"id":`)[1], ",")[0]
		other.send(`{"jsonrpc":"2.0","id":` + id + `,"result":{"role":"assistant","forged":true}}`)
		other.send(call(`1`, "nope", `{}`))
		other.want(`-32602`) // so the forged answer has been handled by now
		c.send(`{"jsonrpc":"2.0","id":` + id + `,"result":{"role":"assistant"}}`)
		if got := r.back.want(`"id":"q"`, "assistant"); strings.Contains(got, "forged") {
			t.Error("another client answered for the one that was asked")
		}
	})
	t.Run("unknown", func(t *testing.T) {
		r := newRig(t, upstream.Grants{Sampling: true, Elicitation: true, Roots: true})
		r.back.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}`)
		r.back.want(`-32601`)
	})
}

// A banner, nonsense and replies to nothing do not end the session.
func TestNoiseFromTheServer(t *testing.T) {
	r := newRig(t, upstream.Grants{})
	c := r.client()
	r.back.send("Welcome to my server!")
	r.back.send(`{"jsonrpc":"2.0","id":99,"result":{}}`)
	r.back.send(`{"jsonrpc":"2.0","method":"notifications/unheard-of"}`)
	c.send(call(`1`, "echo", `{"message":"m"}`))
	r.back.want(`"id":1,`)
	r.back.send(`{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`)
	c.want(`"id":1,`)
	if got := r.record.count(audit.TypeDrop); got != 3 {
		t.Errorf("%d drops recorded, want 3", got)
	}
}

func TestInitializeIsTheDaemons(t *testing.T) {
	r := newRig(t, upstream.Grants{})
	go func() {
		r.back.want(`"method":"initialize"`, `"mcprun"`)
		r.back.send(`{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"1999-01-01","capabilities":{},"serverInfo":{}}}`)
	}()
	if _, err := r.life.conn.Initialize(context.Background(), upstream.Grants{}, "1", time.Second); err == nil || !strings.Contains(err.Error(), "1999-01-01") {
		t.Errorf("Initialize = %v, want a refusal of the revision", err)
	}
}
