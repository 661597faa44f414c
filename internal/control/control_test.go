package control

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun"
)

func TestRoles(t *testing.T) {
	a := Access{OperatorUIDs: []uint32{1}, OperatorGIDs: []uint32{10}, ClientUIDs: []uint32{2}, ClientGIDs: []uint32{20}}
	for _, r := range []struct {
		name             string
		access           Access
		peer             Peer
		operator, client bool
	}{
		{"nobody by default", Access{}, Peer{UID: 1000, GID: 1000}, false, false},
		{"root by default", Access{}, Peer{}, true, true},
		{"a group of root's is not root", Access{}, Peer{UID: 5, GID: 0, Groups: []uint32{0}}, false, false},
		{"operator by user", a, Peer{UID: 1}, true, true},
		{"operator by group", a, Peer{UID: 7, GID: 10}, true, true},
		{"operator by another group", a, Peer{UID: 7, GID: 7, Groups: []uint32{9, 10}}, true, true},
		{"client by user", a, Peer{UID: 2}, false, true},
		{"client by group", a, Peer{UID: 7, Groups: []uint32{20}}, false, true},
		{"stranger", a, Peer{UID: 7, GID: 7}, false, false},
	} {
		if operator, client := r.access.admit(r.peer); operator != r.operator || client != r.client {
			t.Errorf("%s: admit = %v, %v, want %v, %v", r.name, operator, client, r.operator, r.client)
		}
	}
}

// listen serves with handle until the test ends.
func listen(t *testing.T, handle Handler) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	s, err := Listen(path, Access{OperatorUIDs: []uint32{uint32(os.Getuid())}}, handle, func(Peer, Op, string) {})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(context.Background()) }()
	t.Cleanup(func() {
		s.Close()
		s.Wait()
		<-done
	})
	return path
}

func dial(t *testing.T, path string) *Conn {
	t.Helper()
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRequest(t *testing.T) {
	path := listen(t, func(_ context.Context, c *Call) (*Result, error) {
		c.Progress("working")
		if c.Op == OpKill {
			return nil, &mcprun.Error{Class: mcprun.Denied, What: "no", Hint: "type this"}
		}
		return &Result{Server: &ServerStatus{Name: c.Server, State: "running"}, Killed: &KillReport{Steps: []KillStep{{Step: "deny", AfterMS: 0.5}}}}, nil
	})
	var progress []string
	big := strings.Repeat("x", 1<<20)
	res, err := dial(t, path).Do(Request{Op: OpStart, Server: "files", File: big}, Events{Progress: func(s string) { progress = append(progress, s) }})
	if err != nil || res.Server.Name != "files" || len(res.Killed.Steps) != 1 || len(progress) != 1 {
		t.Errorf("Do = %+v, %v with progress %v", res, err, progress)
	}
	_, err = dial(t, path).Do(Request{Op: OpKill}, Events{})
	var e *mcprun.Error
	if !errors.As(err, &e) || e.Class != mcprun.Denied || e.Hint != "type this" {
		t.Errorf("Do = %v, want the daemon's own error", err)
	}
}

func TestNoDaemon(t *testing.T) {
	_, err := Dial(filepath.Join(t.TempDir(), "none"))
	var e *mcprun.Error
	if !errors.As(err, &e) || e.Class != mcprun.Unreachable || e.Hint == "" {
		t.Errorf("Dial = %v, want Unreachable with a hint", err)
	}
}

// A request is strict: what the daemon does not know is refused, not skipped.
func TestStrictRequests(t *testing.T) {
	path := listen(t, func(context.Context, *Call) (*Result, error) { return &Result{}, nil })
	for line, want := range map[string]string{
		`{"op":"list"}`:                        `"done"`,
		`{"op":"list","extra":1}`:              "unknown",
		`{"op":"list","op":"kill"}`:            "duplicate",
		`nonsense`:                             "reading the request",
		"{\"op\":\"list\"}\n{\"op\":\"kill\"}": "something follows",
	} {
		c := dial(t, path)
		if _, err := c.Write([]byte(line + "\n")); err != nil {
			t.Fatal(err)
		}
		got, err := c.replies.ReadString('\n')
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %s, %v; want %q", line, got, err, want)
		}
	}
}

// Only pipes and sockets are taken along: a read of another file could block the daemon.
func TestFilesSent(t *testing.T) {
	var mu sync.Mutex
	got := 0
	path := listen(t, func(_ context.Context, c *Call) (*Result, error) {
		mu.Lock()
		defer mu.Unlock()
		got = len(c.Received)
		return &Result{}, nil
	})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := dial(t, path).Do(Request{Op: OpConnect, Files: true}, Events{}, r, w); err != nil || got != 2 {
		t.Errorf("two pipes: %v, %d received", err, got)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if _, err := dial(t, path).Do(Request{Op: OpConnect, Files: true}, Events{}, null, w); err == nil || !strings.Contains(err.Error(), "neither a pipe nor a socket") {
		t.Errorf("a device was taken: %v", err)
	}
	if _, err := dial(t, path).Do(Request{Op: OpConnect, Files: true}, Events{}, r, w, r); err == nil {
		t.Error("three files were taken")
	}
	if err := unix.SetNonblock(int(r.Fd()), false); err != nil {
		t.Error(err)
	}
}
