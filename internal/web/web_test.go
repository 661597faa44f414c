package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
)

// desk is a real desk with an office around it that notes what it was asked for.
type desk struct {
	*approval.Desk
	mu      sync.Mutex
	records []audit.Record
	killed  []string
	refused []string
	proofs  []approval.Proof
	none    bool // no authenticator is set up
	used    bool // its one code, goodCode
}

func (d *desk) AppendDurable(r *audit.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records = append(d.records, *r)
	return nil
}

func (d *desk) Calls() []approval.Item         { return d.List() }
func (d *desk) Status() Status                 { return Status{Servers: []ServerLine{}, Kills: []string{}} }
func (d *desk) Name(p mcprun.Principal) string { return string(p) }
func (d *desk) Refused(_ mcprun.Principal, request, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = append(d.refused, request+": "+why)
}

func (d *desk) Decide(id string, yes bool, by mcprun.Principal, proof approval.Proof, why string) error {
	if yes && proof == approval.Unproven {
		return &mcprun.Error{Class: mcprun.Denied, What: "deciding", Why: "no proof"}
	}
	_, err := d.Desk.Decide(id, yes, by, proof, why)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proofs = append(d.proofs, proof)
	return err
}

const goodCode = "123456"

func (d *desk) Codes(mcprun.Principal) bool { return !d.none }
func (d *desk) Prove(_ mcprun.Principal, code string) (approval.Proof, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.none || d.used || code != goodCode {
		return approval.Unproven, &mcprun.Error{Class: mcprun.Denied, What: "approving", Err: approval.ErrCode}
	}
	d.used = true
	return approval.ByCode, nil
}

func (d *desk) Kill(server mcprun.ServerName, by mcprun.Principal, why string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.killed = append(d.killed, fmt.Sprintf("%s by %s: %s", server, by, why))
	return nil
}

func (d *desk) changes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.records) + len(d.killed)
}

// bench is a page under test.
type bench struct {
	t *testing.T
	*Server
	desk *desk
	at   time.Time
	mu   sync.Mutex
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = b.at.Add(d)
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, at: time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)}
	d := &desk{}
	d.Desk = approval.New(d, b.clock)
	b.desk, b.Server = d, New(d, 7787, b.clock)
	return b
}

func (b *bench) ask(args string) approval.Item {
	b.t.Helper()
	i, err := b.desk.Ask(approval.Item{Binding: approval.Binding{Principal: "uid:1000", Server: "files", Tool: "write_file", ToolDigest: "sha256:t", ArgsDigest: mcprun.Digest("sha256:" + args)}, Args: jsontext.Value(args), Reason: "writes"})
	if err != nil {
		b.t.Fatal(err)
	}
	return i
}

// request is one as the page's script makes it.
func (b *bench) request(method, path, token, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest(method, "http://localhost:7787"+path, strings.NewReader(body))
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Dest", "empty")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if method == "POST" {
		r.Header.Set("Origin", "http://localhost:7787")
		r.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

// enter opens a session as the page does.
func (b *bench) enter(who mcprun.Principal) string {
	b.t.Helper()
	w := b.request("POST", "/api/enter", "", fmt.Sprintf(`{"ticket":%q}`, b.ticket(who)))
	var out struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 || len(out.Token) < 40 {
		b.t.Fatalf("entering: %d %s", w.Code, w.Body)
	}
	return out.Token
}

func (b *bench) ticket(who mcprun.Principal) string {
	b.t.Helper()
	address, err := b.Address(who)
	if err != nil {
		b.t.Fatal(err)
	}
	ticket, ok := strings.CutPrefix(address, "http://localhost:7787/#ticket=")
	if !ok {
		b.t.Fatalf("address %q", address)
	}
	return ticket
}

func set(key, value string) func(*http.Request) {
	return func(r *http.Request) {
		if r.Header.Del(key); value != "" {
			r.Header.Set(key, value)
		}
		if key == "Host" {
			r.Host = value
		}
	}
}

// Everything that is not our own page's request is turned away, on every path and also
// with a good token; the same request as our page makes it goes through.
func TestOnlyThePageItselfIsAnswered(t *testing.T) {
	b := newBench(t)
	token := b.enter("uid:1000")
	for _, c := range []struct {
		name   string
		method string
		change func(*http.Request)
	}{
		{"a name bent to loopback", "POST", set("Host", "evil.example:7787")},
		{"the name with another port", "POST", set("Host", "localhost:80")},
		{"the name without a port", "POST", set("Host", "localhost")},
		{"a subdomain", "POST", set("Host", "a.localhost:7787")},
		{"another origin", "POST", set("Origin", "http://evil.example")},
		{"another port's origin", "POST", set("Origin", "http://localhost:8080")},
		{"the origin with TLS", "POST", set("Origin", "https://localhost:7787")},
		{"no origin at all (a sandboxed frame)", "POST", set("Origin", "null")},
		{"no origin header", "POST", set("Origin", "")},
		{"another site", "POST", set("Sec-Fetch-Site", "cross-site")},
		{"another port of this host", "POST", set("Sec-Fetch-Site", "same-site")},
		{"an address that was typed", "POST", set("Sec-Fetch-Site", "none")},
		{"a client that does not say", "POST", set("Sec-Fetch-Site", "")},
		{"a form", "POST", set("Sec-Fetch-Dest", "document")},
		{"a frame", "GET", set("Sec-Fetch-Dest", "iframe")},
		{"a picture", "GET", set("Sec-Fetch-Dest", "image")},
		{"another origin that reads", "GET", set("Origin", "http://evil.example")},
	} {
		path, body := "/api/call?id=", ""
		item := b.ask(`{"n":"` + c.name + `"}`)
		if path += item.ID; c.method == "POST" {
			path, body = "/api/deny", fmt.Sprintf(`{"id":%q,"why":"no"}`, item.ID)
		}
		before := b.desk.changes()
		if w := b.request(c.method, path, token, body, c.change); w.Code != http.StatusForbidden || b.desk.changes() != before {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
		if w := b.request(c.method, path, token, body); w.Code != http.StatusOK {
			t.Errorf("%s: the control is refused: %d %s", c.name, w.Code, w.Body)
		}
	}
	if len(b.desk.refused) == 0 || len(b.desk.refused) > refusalBurst {
		t.Errorf("%d refusals were recorded: want some, and a bound", len(b.desk.refused))
	}
}

// Without a token, or with another one, nothing is told and nothing done.
func TestTokens(t *testing.T) {
	b := newBench(t)
	item := b.ask(`{"path":"/secret"}`)
	token := b.enter("uid:1000")
	deny := fmt.Sprintf(`{"id":%q,"why":"no"}`, item.ID)
	refused := func(what, token string) {
		t.Helper()
		for path, body := range map[string]string{"/api/approve": deny, "/api/deny": deny, "/api/kill": deny, "/api/call?id=" + item.ID: "", "/api/events": "", "/api/leave": "{}"} {
			method := "POST"
			if body == "" {
				method = "GET"
			}
			before := b.desk.changes()
			if w := b.request(method, path, token, body); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "secret") || b.desk.changes() != before {
				t.Errorf("%s: %s: %d %s", what, path, w.Code, w.Body)
			}
		}
	}
	refused("none", "")
	refused("a made-up one", strings.Repeat("A", 43))
	refused("a ticket as a token", b.ticket("uid:1000"))
	if w := b.request("GET", "/api/call?id="+item.ID, token, ""); w.Code != 200 {
		t.Errorf("the control: %d", w.Code)
	}
	b.request("POST", "/api/leave", token, "{}")
	refused("one that was given back", token)
	late := b.enter("uid:1000")
	b.pass(sessionLife)
	refused("an expired one", late)
}

// A ticket is good once and for a short time, so that one in a history is worth
// nothing; each session has a token of its own, which nobody knew before.
func TestTickets(t *testing.T) {
	b := newBench(t)
	enter := func(ticket string) int {
		return b.request("POST", "/api/enter", "", fmt.Sprintf(`{"ticket":%q}`, ticket)).Code
	}
	once, late := b.ticket("uid:1000"), b.ticket("uid:1000")
	if enter(once) != 200 || enter(once) != http.StatusUnauthorized {
		t.Error("a ticket is not good exactly once")
	}
	b.pass(ticketLife)
	if enter(late) != http.StatusUnauthorized || enter("") != http.StatusUnauthorized {
		t.Error("an expired ticket, or none, is good")
	}
	if one, two := b.enter("uid:1000"), b.enter("uid:1000"); one == two {
		t.Error("two sessions have one token")
	}
}

// Whatever is asked, answers carry what keeps the page out of frames and strangers'
// code out of it, and never a cookie.
func TestHeaders(t *testing.T) {
	b := newBench(t)
	token := b.enter("uid:1000")
	for _, w := range []*httptest.ResponseRecorder{
		b.request("GET", "/", "", ""), b.request("GET", "/page.js", "", ""), b.request("GET", "/style.css", "", ""), b.request("GET", "/icon.svg", "", ""), b.request("GET", "/nothing", "", ""),
		b.request("POST", "/api/enter", "", "{}"), b.request("GET", "/api/call?id=x", token, ""), b.request("GET", "/", "", "", set("Host", "evil.example")), b.request("GET", "/", "", "", set("Host", "127.0.0.1:7787")),
	} {
		h := w.Result().Header
		if h.Get("Set-Cookie") != "" {
			t.Error("a cookie is set")
		}
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%d: the policy lacks %q: %s", w.Code, want, csp)
			}
		}
		for k, v := range map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store"} {
			if h.Get(k) != v {
				t.Errorf("%d: %s is %q, want %q", w.Code, k, h.Get(k), v)
			}
		}
		if h.Get("Access-Control-Allow-Origin") != "" {
			t.Error("another origin may read")
		}
	}
	// The control: the page is there, and only its four files.
	if w := b.request("GET", "/", "", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "/page.js") {
		t.Errorf("the page: %d", w.Code)
	}
	if w := b.request("GET", "/../web.go", "", ""); w.Code == 200 {
		t.Error("another file is served")
	}
	if w := b.request("GET", "/", "", "", set("Host", "127.0.0.1:7787")); w.Header().Get("Location") != "http://localhost:7787/" {
		t.Errorf("127.0.0.1: %d %v", w.Code, w.Header())
	}
}

// The page's own files need nothing that its policy forbids.
func TestPageKeepsItsPolicy(t *testing.T) {
	for _, name := range []string{"page.html", "page.js"} {
		raw, err := assets.ReadFile("assets/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "onclick=", "<script>", "https://", "//cdn"} {
			if strings.Contains(string(raw), bad) {
				t.Errorf("%s has %q", name, bad)
			}
		}
	}
}

// No GET changes anything, whatever is asked for.
func TestGetChangesNothing(t *testing.T) {
	b := newBench(t)
	token := b.enter("uid:1000")
	item := b.ask(`{}`)
	before := b.desk.changes()
	for _, path := range []string{"/", "/api/approve?id=" + item.ID, "/api/deny?id=" + item.ID, "/api/kill?id=" + item.ID, "/api/enter?ticket=" + b.ticket("uid:1000"), "/api/leave", "/api/call?id=" + item.ID} {
		b.request("GET", path, token, "")
		b.request("GET", path, token, fmt.Sprintf(`{"id":%q}`, item.ID))
		b.request("HEAD", path, token, "")
	}
	if b.desk.changes() != before {
		t.Error("a GET changed something")
	}
	if w := b.request("GET", "/api/call?id="+item.ID, token, ""); w.Code != 200 { // nor did it end the session
		t.Errorf("after them: %d", w.Code)
	}
	if w := b.request("POST", "/api/deny", token, fmt.Sprintf(`{"id":%q,"why":"w"}`, item.ID)); w.Code != 200 || b.desk.changes() != before+1 {
		t.Errorf("the control: %d", w.Code)
	}
}

func TestDenyAndKill(t *testing.T) {
	b := newBench(t)
	token := b.enter("uid:7")
	one, two := b.ask(`{"n":1}`), b.ask(`{"n":2}`)
	if w := b.request("POST", "/api/deny", token, fmt.Sprintf(`{"id":%q,"why":"not on a Friday"}`, one.ID)); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if i, _ := b.desk.Get(one.ID); i.State != approval.Denied || i.Why != "not on a Friday" || i.By != "uid:7" || len(b.desk.killed) != 0 {
		t.Errorf("denied: %+v, killed %v", i, b.desk.killed)
	}
	if w := b.request("POST", "/api/kill", token, fmt.Sprintf(`{"id":%q,"why":""}`, two.ID)); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if i, _ := b.desk.Get(two.ID); i.State != approval.Denied || !slices.Equal(b.desk.killed, []string{"files by uid:7: asked on the approval page, at call " + two.ID}) {
		t.Errorf("killed: %+v, %v", i, b.desk.killed)
	}
	if w := b.request("POST", "/api/deny", token, fmt.Sprintf(`{"id":%q,"why":""}`, one.ID)); w.Code == 200 {
		t.Error("a call is denied twice")
	}
}

// What is sent is bounded and strict.
func TestBodies(t *testing.T) {
	b := newBench(t)
	token := b.enter("uid:1000")
	item := b.ask(`{}`)
	before := b.desk.changes()
	for _, body := range []string{
		"", "{", "[]", `{"id":"` + item.ID + `","id":"x"}`, `{"id":"` + item.ID + `","yes":true}`, `{"ID":"` + item.ID + `"}`, `{"id":"a-0","why":""}`,
		`{"id":"` + item.ID + `","why":"` + strings.Repeat("x", maxWhy+1) + `"}`, `{"id":"` + item.ID + `","why":"` + strings.Repeat("x", maxBody) + `"}`, `{"id":"` + item.ID + `"}{}`,
	} {
		if w := b.request("POST", "/api/deny", token, body); w.Code == 200 || b.desk.changes() != before {
			t.Errorf("%.60q passes: %d", body, w.Code)
		}
	}
	if w := b.request("POST", "/api/deny", token, `{"id":"`+item.ID+`"}`, set("Content-Type", "text/plain")); w.Code == 200 {
		t.Error("what a form can send passes") // without a preflight
	}
	if w := b.request("POST", "/api/deny", token, `{"id":"`+item.ID+`"}`); w.Code != 200 {
		t.Errorf("the control: %d %s", w.Code, w.Body)
	}
}

func TestKeysAreBounded(t *testing.T) {
	b := newBench(t)
	first := b.enter("uid:1000")
	b.pass(time.Second)
	second := b.enter("uid:1000")
	for range maxOfOne - 1 {
		b.pass(time.Second)
		b.enter("uid:1000")
	}
	if _, err := b.sessions.check(first); err == nil {
		t.Error("the oldest session did not give way")
	}
	if _, err := b.sessions.check(second); err != nil {
		t.Error("another one than the oldest gave way")
	}
	for n := range maxKeys {
		b.tickets.mint(grant{Who: mcprun.Principal(fmt.Sprint("uid:", n))})
	}
	if _, err := b.Address("uid:99999"); err == nil || len(b.tickets.all) > maxKeys {
		t.Errorf("%d tickets, and another: %v", len(b.tickets.all), err)
	}
	b.pass(ticketLife)
	if _, err := b.Address("uid:99999"); err != nil {
		t.Errorf("after they expired: %v", err)
	}
}

// A real listener and a real stream: what comes is seen without asking again.
func TestEventsAreLive(t *testing.T) {
	b := newBench(t)
	ls, port, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	b.Server = New(b.desk, port, b.clock)
	end := b.Serve(ls)
	defer end()
	token := b.enterAt(port, "uid:1000")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream := b.open(ctx, port, token)
	next := func() State {
		t.Helper()
		for {
			line, err := stream.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				var st State
				if err := json.Unmarshal([]byte(data), &st); err != nil {
					t.Fatal(err)
				}
				return st
			}
		}
	}
	if st := next(); len(st.Waiting) != 0 || st.Who != "uid:1000" {
		t.Errorf("at first: %+v", st)
	}
	item := b.ask(`{"path":"/w/a\u202e"}`)
	st := next()
	if len(st.Waiting) != 1 || st.Waiting[0].ID != item.ID || strings.Contains(st.Waiting[0].Gist, "\u202e") {
		t.Errorf("after a call came: %+v", st)
	}
	b.desk.Desk.Decide(item.ID, false, "uid:7", approval.Unproven, "no")
	if st := next(); len(st.Waiting) != 0 || len(st.Over) != 1 || st.Over[0].By != "uid:7" {
		t.Errorf("after it was denied: %+v", st)
	}
	// A stream ends with its session.
	b.sessions.drop(token)
	b.ask(`{"n":2}`)
	if rest, _ := io.ReadAll(stream); strings.Contains(string(rest), "data:") {
		t.Errorf("a stream goes on after its session: %s", rest)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	b := newBench(t)
	ls, port, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	b.Server = New(b.desk, port, b.clock)
	end := b.Serve(ls)
	defer end()
	token := b.enterAt(port, "uid:1000")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range maxStreams {
		b.open(ctx, port, token)
	}
	if w := b.at7(port, "GET", "/api/events", token, ""); w.StatusCode != http.StatusConflict {
		t.Errorf("one too many: %d", w.StatusCode)
	}
	cancel()
	for until := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b.Server.mu.Lock()
		left := maps.Clone(b.streams)
		b.Server.mu.Unlock()
		if len(left) == 0 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("streams that are gone count: %v", left)
		}
	}
}

func (b *bench) at7(port uint16, method, path, token, body string) *http.Response {
	b.t.Helper()
	return b.do(b.t.Context(), port, method, path, token, body)
}

func (b *bench) do(ctx context.Context, port uint16, method, path, token, body string) *http.Response {
	b.t.Helper()
	origin := fmt.Sprintf("http://localhost:%d", port)
	r, err := http.NewRequestWithContext(ctx, method, origin+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header = http.Header{"Origin": {origin}, "Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Dest": {"empty"}, "Content-Type": {"application/json"}, "Authorization": {"Bearer " + token}}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { res.Body.Close() })
	return res
}

func (b *bench) enterAt(port uint16, who mcprun.Principal) string {
	b.t.Helper()
	address, err := b.Address(who)
	if err != nil {
		b.t.Fatal(err)
	}
	_, ticket, _ := strings.Cut(address, "#ticket=")
	var out struct{ Token string }
	if err := json.NewDecoder(b.at7(port, "POST", "/api/enter", "", fmt.Sprintf(`{"ticket":%q}`, ticket)).Body).Decode(&out); err != nil {
		b.t.Fatal(err)
	}
	return out.Token
}

// open returns a stream from which the first line can be read.
func (b *bench) open(ctx context.Context, port uint16, token string) *bufio.Reader {
	b.t.Helper()
	res := b.do(ctx, port, "GET", "/api/events", token, "")
	if res.StatusCode != 200 {
		b.t.Fatalf("events: %d", res.StatusCode)
	}
	return bufio.NewReader(res.Body)
}

// Browsers try both loopback addresses for localhost: whoever had the other one would
// be sent the token.
func TestBothLoopbackAddressesAreOurs(t *testing.T) {
	ls, port, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ls {
		defer l.Close()
	}
	v6, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		if len(ls) != 1 {
			t.Errorf("%d listeners without IPv6", len(ls))
		}
		return
	}
	v6.Close()
	for _, host := range []string{"127.0.0.1", "::1"} {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port))); err == nil {
			l.Close()
			t.Errorf("%s:%d can be had by another", host, port)
		}
	}
	// And where another has one of them, the page is on neither.
	other, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	taken := uint16(other.Addr().(*net.TCPAddr).Port)
	if ls, _, err := Listen(taken); err == nil {
		t.Errorf("listens on %d addresses though another has one", len(ls))
	}
	if l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", taken)); err != nil {
		t.Errorf("the first address stays open: %v", err)
	} else {
		l.Close()
	}
}

func TestParseAddr(t *testing.T) {
	for in, want := range map[string]uint16{"localhost:7787": 7787, "127.0.0.1:80": 80, "[::1]:9": 9, "7787": 7787, "localhost:0": 0} {
		if got, err := ParseAddr(in); err != nil || got != want {
			t.Errorf("%s: %d, %v", in, got, err)
		}
	}
	for in, why := range map[string]string{
		"0.0.0.0:7787": "not on loopback", "[::]:7787": "not on loopback", ":7787": "not on loopback", "192.168.1.4:7787": "not on loopback", "example.com:7787": "not on loopback",
		"localhost.example.com:7787": "not on loopback", "[::1%lo]:7787": "not on loopback", "127.9.9.9:7": "not on loopback", "localhost:http": "names no port", "localhost:70000": "names no port", "": "names no port", "on": "names no port",
	} {
		if _, err := ParseAddr(in); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", in, err, why)
		}
	}
}

// shown is the digest of a call as the page shows it now.
func (b *bench) shown(token, id string) mcprun.Digest {
	b.t.Helper()
	var out struct{ Shown mcprun.Digest }
	w := b.request("GET", "/api/call?id="+id, token, "")
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Shown == "" {
		b.t.Fatalf("looking: %d %s", w.Code, w.Body)
	}
	return out.Shown
}

func (b *bench) approve(token, id string, shown mcprun.Digest, code string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.request("POST", "/api/approve", token, fmt.Sprintf(`{"id":%q,"why":"read it","shown":%q,"code":%q}`, id, shown, code))
}

// A yes is to what was shown, and by somebody who has the authenticator: an agent that
// runs as an operator has the token, too. What is refused leaves the code good.
func TestApprove(t *testing.T) {
	b := newBench(t)
	token := b.enter("uid:7")
	item, other := b.ask(`{"n":1}`), b.ask(`{"n":2}`)
	long := b.ask(`{"n":"` + strings.Repeat("x", 300<<10) + `"}`)
	over := b.ask(`{"n":3}`)
	good := b.shown(token, item.ID)
	overShown := b.shown(token, over.ID)
	if _, err := b.desk.Desk.Decide(over.ID, false, "uid:8", approval.Unproven, "no"); err != nil {
		t.Fatal(err)
	}
	before := b.desk.changes()
	for _, c := range []struct {
		name, id string
		shown    mcprun.Digest
		code     string
		why      string
	}{
		{"no code", item.ID, good, "", "code is wrong"},
		{"a wrong code", item.ID, good, "654321", "code is wrong"},
		{"nothing was shown", item.ID, "", goodCode, "shown differently"},
		{"something else was shown", item.ID, "sha256:00", goodCode, "shown differently"},
		{"another call was shown", item.ID, b.shown(token, other.ID), goodCode, "shown differently"},
		{"too long to read", long.ID, b.shown(token, long.ID), goodCode, "too long"},
		{"it is over", over.ID, overShown, goodCode, "it is denied"},
		{"there is no such call", "a-0", good, goodCode, "no call"},
	} {
		if w := b.approve(token, c.id, c.shown, c.code); w.Code == 200 || !strings.Contains(w.Body.String(), c.why) || b.desk.changes() != before || b.desk.used {
			t.Errorf("%s: %d %s; the code is used: %v", c.name, w.Code, w.Body, b.desk.used)
		}
	}
	b.desk.none = true
	if w := b.approve(token, item.ID, good, goodCode); w.Code == 200 || !strings.Contains(w.Body.String(), "mcprun approvals enroll") {
		t.Errorf("without an authenticator: %d %s", w.Code, w.Body)
	}
	b.desk.none = false
	if w := b.approve(token, item.ID, good, goodCode); w.Code != 200 {
		t.Fatalf("the control: %d %s", w.Code, w.Body)
	}
	if i, _ := b.desk.Get(item.ID); i.State != approval.Approved || i.By != "uid:7" || i.Why != "read it" || !slices.Equal(b.desk.proofs, []approval.Proof{approval.ByCode}) {
		t.Errorf("approved: %+v, proofs %v", i, b.desk.proofs)
	}
	if w := b.approve(token, other.ID, b.shown(token, other.ID), goodCode); w.Code == 200 {
		t.Error("a code is good twice")
	}
}

// What a call is compared with is part of what is shown: a yes to the page as it was
// before another call was approved is no yes to it as it is now.
func TestApproveWhatIsShownNow(t *testing.T) {
	b := newBench(t)
	token := b.enter("uid:7")
	first := b.ask(`{"n":1}`)
	b.pass(time.Second)
	second := b.ask(`{"n":2}`)
	stale := b.shown(token, second.ID)
	if w := b.approve(token, first.ID, b.shown(token, first.ID), goodCode); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	b.desk.used = false
	if w := b.approve(token, second.ID, stale, goodCode); w.Code == 200 || !strings.Contains(w.Body.String(), "shown differently") || b.desk.used {
		t.Errorf("what was shown before: %d %s", w.Code, w.Body)
	}
	if w := b.approve(token, second.ID, b.shown(token, second.ID), goodCode); w.Code != 200 {
		t.Errorf("the control: %d %s", w.Code, w.Body)
	}
}
