package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
)

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
	// The control: the page is there, and only its five files.
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
	for _, name := range []string{"page.html", "page.js", "passkey.js"} {
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
