package notify

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/credentials"
	"github.com/mcprun/mcprun/manifest"
)

// secret stands in each address of these tests, and must stand nowhere else.
const secret = "T0K3N-s3cret"

// TestMain makes the certificate of httptest one that this process trusts, as an
// operator's own authority would be.
func TestMain(m *testing.M) {
	srv := httptest.NewTLSServer(nil)
	dir, err := os.MkdirTemp("", "notify-")
	if err != nil {
		panic(err)
	}
	file := filepath.Join(dir, "ca.pem")
	err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600)
	srv.Close()
	if err != nil || os.Setenv("SSL_CERT_FILE", file) != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// desk collects what a Sender records and logs.
type desk struct {
	t    *testing.T
	s    *Sender
	mu   sync.Mutex
	recs []audit.Record
	log  bytes.Buffer
}

func (d *desk) Write(p []byte) (int, error) { // of the log
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

func newDesk(t *testing.T, address string, change func(*manifest.Webhook)) *desk {
	d := &desk{t: t}
	d.s = New(Options{Host: "build-1", Page: func() string { return "http://localhost:7787/" }, Name: func(p mcprun.Principal) string { return "alice (" + string(p) + ")" },
		Env: func(name string) (string, bool) { return address, name == "HOOK" },
		Record: func(r *audit.Record) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.recs = append(d.recs, *r)
			return nil
		}, Log: slog.New(slog.NewTextHandler(d, nil))})
	to := manifest.Webhook{Source: credentials.Source{Env: "HOOK"}}
	if change != nil {
		change(&to)
	}
	d.s.Set(to)
	go d.s.Run(t.Context())
	t.Cleanup(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if all := fmt.Sprintf("%+v", d.recs) + d.log.String() + fmt.Sprintf("%+v", d.s.Status()); strings.Contains(all, secret) {
			t.Errorf("the address stands in what is recorded, logged or shown: %s", all)
		}
	})
	return d
}

// note waits for the nth record.
func (d *desk) note(n int) audit.Record {
	d.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		d.mu.Lock()
		if len(d.recs) > n {
			defer d.mu.Unlock()
			return d.recs[n]
		}
		d.mu.Unlock()
	}
	d.t.Fatalf("there is no record %d", n)
	return audit.Record{}
}

// chat is a chat program: it keeps what it is sent.
type chat struct {
	mu    sync.Mutex
	texts []string
	hits  int
}

func (c *chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	var body struct{ Text string }
	err := json.Unmarshal(raw, &body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hits++
	if err != nil || r.Method != "POST" || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		http.Error(w, "no_text", 400)
		return
	}
	c.texts = append(c.texts, body.Text)
	io.WriteString(w, "ok")
}

func (c *chat) all() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.texts, "\n----\n")
}

func (c *chat) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits
}

func waits(id string) approval.Item {
	return approval.Item{ID: id, Binding: approval.Binding{Principal: "uid:1000", Server: "files", Tool: "write_file"}, Score: 72, Needs: 1,
		Rule: "risk.high", Reason: "the content looks packed", Args: []byte(`{"path":"/workspace/a","content":"hello"}`), Until: time.Date(2026, 1, 2, 10, 15, 0, 0, time.UTC)}
}

// A call that waits is told over https to where a source says, without its arguments;
// the record says so, and never the address.
func TestTold(t *testing.T) {
	c := &chat{}
	srv := httptest.NewTLSServer(c)
	defer srv.Close()
	d := newDesk(t, srv.URL+"/services/"+secret, nil)
	d.s.Tell(waits("a-0123"))
	if rec := d.note(0); rec.Type != audit.TypeNote || rec.Detail[detailCalls] != "a-0123" || !strings.Contains(rec.Reason, "told the webhook (env HOOK)") {
		t.Errorf("the record: %+v", rec)
	}
	got := c.all()
	for _, want := range []string{"`build-1`", "`write_file` of `files`", "`alice (uid:1000)`", "score 72", "HIGH", "10:15:00 UTC", "`mcprun approvals show a-0123`", "`mcprun approve a-0123`", "http://localhost:7787/"} {
		if !strings.Contains(strings.ReplaceAll(got, "high", "HIGH"), want) {
			t.Errorf("the message lacks %q: %s", want, got)
		}
	}
	for _, never := range []string{"hello", "/workspace", "packed", secret} {
		if strings.Contains(got, never) {
			t.Errorf("the message holds %q: %s", never, got)
		}
	}
	done := waits("a-0123")
	done.State, done.By = approval.Approved, "uid:1"
	d.s.Tell(done) // not asked for
	if err := d.s.Try(t.Context(), "uid:0"); err != nil || !strings.Contains(c.all(), "*A trial*") || strings.Contains(c.all(), "*approved*") {
		t.Errorf("a trial: %v, %s", err, c.all())
	}
	if st := d.s.Status(); st.Delivered != 2 || st.Why != "" || st.Lost != 0 {
		t.Errorf("status %+v", st)
	}
}

// What is asked for is told as well: what became of a call, why it waits, and its
// arguments, but none that look like a secret.
func TestToldMore(t *testing.T) {
	c := &chat{}
	srv := httptest.NewServer(c)
	defer srv.Close()
	d := newDesk(t, srv.URL, func(w *manifest.Webhook) { w.Settled, w.Arguments = true, true })
	one := waits("a-1")
	d.s.Tell(one)
	one.State, one.By = approval.Denied, "uid:1"
	d.s.Tell(one)
	one.ID, one.By = "a-2", ""
	d.s.Tell(one)
	held := waits("a-3")
	held.Args = []byte(`{"body":"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW"}`)
	d.s.Tell(held)
	for end := time.Now().Add(10 * time.Second); !strings.Contains(c.all(), "a-3") && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
	}
	got := c.all()
	for _, want := range []string{"why: `the content looks packed`", "`path` = `\"/workspace/a\"`", "*denied* on `build-1`: a-1, `write_file` of `files`, by `uid:1`", "*ended by a kill* on `build-1`: a-2", "as if they held a secret"} {
		if !strings.Contains(got, want) {
			t.Errorf("the message lacks %q: %s", want, got)
		}
	}
	if strings.Contains(got, "OPENSSH") {
		t.Errorf("a secret was told: %s", got)
	}
}

// Whatever goes wrong is a record in our own words; a redirect is not followed, and only
// what may pass is tried again.
func TestFaults(t *testing.T) {
	target := &chat{}
	elsewhere, named := httptest.NewServer(target), httptest.NewTLSServer(target)
	answer := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			io.WriteString(w, "you sent me to "+r.URL.Path)
		}
	}
	for _, row := range []struct {
		name    string
		handler http.HandlerFunc
		address func(url string) string
		tries   int
		says    string
	}{
		{name: "a redirect", handler: answer(307, "Location", elsewhere.URL), tries: 1, says: "a redirect, which is not followed"},
		{name: "not found", handler: answer(404), tries: 1, says: "it answered 404"},
		{name: "an error", handler: answer(503), tries: 3, says: "it answered 503"},
		{name: "no HTTP", handler: func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprintf(conn, "HTTP/1.1 %s\r\n\r\n", r.URL.Path)
			conn.Close()
		}, tries: 3, says: "gave no usable answer"},
		{name: "in the clear", address: func(string) string { return "http://hooks.example.com/" + secret }, says: "is http to another machine"},
		{name: "no address", address: func(string) string { return secret }, says: "its address has no host"},
		{name: "nobody there", address: func(string) string { return "https://127.0.0.1:1/" + secret }, says: "it refuses connections"},
		{name: "no https", address: func(url string) string { return strings.Replace(url, "http://", "https://", 1) }, handler: answer(200), says: "it does not speak https"},
		{name: "another's name", address: func(string) string { return strings.Replace(named.URL, "127.0.0.1", "localhost", 1) + "/" + secret }, says: "not one that this machine trusts"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			hits := &chat{}
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				hits.mu.Lock()
				hits.hits++
				hits.mu.Unlock()
				row.handler(w, r)
			}))
			srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			srv.Start()
			defer srv.Close()
			address := srv.URL + "/" + secret
			if row.address != nil {
				address = row.address(address)
			}
			d := newDesk(t, address, nil)
			d.s.Tell(waits("a-9"))
			rec := d.note(0)
			if rec.Type != audit.TypeNote || !strings.Contains(rec.Reason, "was not told") || !strings.Contains(rec.Reason, row.says) || rec.Detail[detailCalls] != "a-9" {
				t.Errorf("the record: %+v", rec)
			}
			if st := d.s.Status(); st.Lost != 1 || !strings.Contains(st.Why, row.says) {
				t.Errorf("status %+v", st)
			}
			if hits.count() != row.tries {
				t.Errorf("%d tries, want %d", hits.count(), row.tries)
			}
			if err := d.s.Try(t.Context(), "uid:0"); err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), secret) {
				t.Errorf("a trial: %v", err)
			}
		})
	}
	t.Cleanup(func() { // the rows run in parallel, until here
		elsewhere.Close()
		named.Close()
		if target.count() != 0 {
			t.Error("a redirect was followed")
		}
	})
}

// What passes is tried again, and the answer is not read to its end, which may never come.
func TestTriedAgain(t *testing.T) {
	t.Parallel()
	c, n := &chat{}, 0
	stop := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
			return
		}
		c.ServeHTTP(w, r)
		w.(http.Flusher).Flush()
		select { // and goes on answering
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	defer close(stop)
	d := newDesk(t, srv.URL+"/"+secret, nil)
	d.s.Tell(waits("a-7"))
	if rec := d.note(0); !strings.Contains(rec.Reason, "told the webhook") || n != 2 {
		t.Errorf("after %d tries: %+v", n, rec)
	}
}

// A chat program that takes nothing delays nobody: what is to be told goes into a bounded
// queue, what does not fit is recorded as lost, and the newest are told when it answers.
func TestSlow(t *testing.T) {
	t.Parallel()
	c, release := &chat{}, make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		c.ServeHTTP(w, r)
	}))
	defer srv.Close()
	d := newDesk(t, srv.URL+"/"+secret, nil)
	d.s.Tell(waits("a-first"))
	time.Sleep(100 * time.Millisecond) // it is on its way
	const calls = maxQueued + 10
	began := time.Now()
	for n := range calls {
		d.s.Tell(waits(fmt.Sprintf("a-%d", n)))
	}
	if took := time.Since(began); took > 100*time.Millisecond {
		t.Errorf("%d calls waited %v for the chat program", calls, took)
	}
	if st := d.s.Status(); st.Lost != 10 {
		t.Errorf("%d are lost, want 10", st.Lost)
	}
	if rec := d.note(0); rec.Detail[detailCalls] != "a-0" || !strings.Contains(rec.Reason, "64 others were to be told already") {
		t.Errorf("the record of what is lost: %+v", rec)
	}
	close(release)
	if rec := d.note(11); !strings.HasPrefix(rec.Detail[detailCalls], "a-10 a-11 ") {
		t.Errorf("the record: %+v", rec)
	}
	if got := c.all(); strings.Count(got, "*A call waits") != 1+maxTold || !strings.Contains(got, fmt.Sprintf("and %d more", maxQueued-maxTold)) {
		t.Errorf("told: %s", got)
	}
}

// Whoever takes the webhook out of policy.yaml is told of nothing more, not even by a try
// that is under way.
func TestTakenOut(t *testing.T) {
	t.Parallel()
	hits := &chat{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.ServeHTTP(httptest.NewRecorder(), r)
		w.WriteHeader(500)
	}))
	defer srv.Close()
	d := newDesk(t, srv.URL+"/"+secret, nil)
	d.s.Tell(waits("a-1"))
	for hits.count() == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	if !d.s.Set(manifest.Webhook{}) || d.s.Set(manifest.Webhook{}) {
		t.Error("Set does not say what changed")
	}
	d.s.Tell(waits("a-2"))
	time.Sleep(firstPause + firstPause + time.Second)
	if hits.count() != 1 {
		t.Errorf("%d tries after the webhook was taken out", hits.count())
	}
	if err := d.s.Try(t.Context(), "uid:0"); err == nil || !strings.Contains(err.Error(), "names none") {
		t.Errorf("a trial without a webhook: %v", err)
	}
}
