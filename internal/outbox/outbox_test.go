package outbox

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

func pair(t *testing.T) (ours, theirs *net.UnixConn) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.DialUnix("unix", nil, ln.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c, s
}

// A peer that reads late gets every byte in order, and nobody waited for it.
func TestOrderWithALateReader(t *testing.T) {
	ours, theirs := pair(t)
	box, err := New(ours)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	for i := range 2000 {
		msg := bytes.Repeat([]byte{byte(i)}, 1+i*7%4096)
		want.Write(msg)
		if err := box.Send(msg); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, want.Len())
	if _, err := io.ReadFull(theirs, got); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Fatalf("what arrived differs from what was sent (%v)", err)
	}
}

// A peer that never reads is cut off at the bound, not served for ever.
func TestNeverReading(t *testing.T) {
	ours, _ := pair(t)
	box, err := New(ours)
	if err != nil {
		t.Fatal(err)
	}
	msg := make([]byte, 1<<20)
	for i := range MaxQueued/len(msg) + 8 {
		if err = box.Send(msg); err != nil {
			if i < MaxQueued/len(msg)-1 {
				t.Fatalf("cut off after %d MiB: %v", i, err)
			}
			break
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("Send = %v, want ErrFull", err)
	}
	if err := box.Send(nil); !errors.Is(err, ErrFull) {
		t.Errorf("Send after the end = %v, want the first cause", err)
	}
}

func TestClosedPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	box, err := New(w)
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Send([]byte("x")); err != nil {
		t.Fatalf("control: %v", err)
	}
	r.Close()
	if err := box.Send([]byte("x")); err == nil {
		t.Error("sending to nobody succeeded")
	}
}
