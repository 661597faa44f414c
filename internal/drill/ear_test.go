package drill

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/lab"
)

// The ear is on an address that the network can reach, for a rule opens no other; what
// comes from the network must not reach it all the same. Without the filter it would.
func TestEarHearsOnlyThisHost(t *testing.T) {
	l := lab.New(t)
	open := func(control func(string, string, syscall.RawConn) error) *Ear {
		var e *Ear
		err := l.Do(lab.Site, func() (err error) {
			e, err = listenOn(netip.MustParseAddr(lab.SiteAddr), control)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e
	}
	for _, c := range []struct {
		name, from string
		ear        *Ear
		want       bool
	}{
		{"filtered, from here", lab.Site, open(onlyFromHere), true},
		{"filtered, from the network", lab.Net, open(onlyFromHere), false},
		{"unfiltered, from the network: what the filter is for", lab.Net, open(nil), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var conn net.Conn
			err := l.Do(c.from, func() (err error) {
				conn, err = net.DialTimeout("tcp", c.ear.Addr.String(), time.Second)
				return err
			})
			if !c.want {
				if !errors.Is(err, os.ErrDeadlineExceeded) && !isTimeout(err) {
					t.Errorf("it is reached, or refused where it should be silent: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			counts(t, c.ear, conn)
		})
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// counts looks whether a connection that begins with the token counts until its end.
func counts(t *testing.T, e *Ear, conn net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := io.WriteString(conn, e.Token); err != nil {
		t.Fatal(err)
	}
	if err := e.open(ctx, 1); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	conn.Close()
	if at := e.ended(ctx, 1); at.Before(before) {
		t.Errorf("it ended at %v, and was closed after %v", at, before)
	}
}

// Whoever does not know the token is not taken for the decoy.
func TestEarCountsTheDecoyAlone(t *testing.T) {
	e, err := listenOn(netip.MustParseAddr("127.0.0.1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	stranger, err := net.Dial("tcp", e.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := stranger.Write(make([]byte, len(e.Token))); err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a stranger is not turned away: %v", err)
	}
	select {
	case <-e.opened:
		t.Error("a stranger counts")
	default:
	}
	own, err := net.Dial("tcp", e.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	counts(t, e, own)
}

func TestPossibleAddresses(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1": false, "::1": false, "169.254.1.1": false, "fe80::1": false, "169.254.169.254": false, "0.0.0.0": false,
		"10.1.2.3": true, "192.0.2.2": true, "203.0.113.7": true, "8.8.8.8": true, "fd00::2": true, "2606:4700::1": true,
	} {
		if got := possible(netip.MustParseAddr(text)); got != want {
			t.Errorf("possible(%s) = %v, want %v", text, got, want)
		}
	}
}
