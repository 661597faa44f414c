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
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
)

// listen has the page answer at a real port, and enters it.
func (b *bench) listen() (port uint16, token string) {
	b.t.Helper()
	ls, port, err := Listen(0)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.Server, err = New(b.desk, port, b.clock); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(b.Serve(ls))
	return port, b.enterAt(port, "uid:1000")
}

// A real listener and a real stream: what comes is seen without asking again.
func TestEventsAreLive(t *testing.T) {
	b := newBench(t)
	port, token := b.listen()
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
	port, token := b.listen()
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
