package accept

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// scripted fails as it is told to.
type scripted struct {
	net.Listener
	errs []error
}

func (s *scripted) Accept() (net.Conn, error) {
	if len(s.errs) == 0 {
		return &net.TCPConn{}, nil
	}
	err := s.errs[0]
	s.errs = s.errs[1:]
	return nil, err
}

// A daemon without a file descriptor to spare once stopped accepting for good, and
// with it every server's network: what passes is waited for.
func TestWhatPassesIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		l := Listener{&scripted{errs: []error{syscall.EMFILE, syscall.ECONNABORTED, errors.New("anything")}}}
		if c, err := l.Accept(); c == nil || err != nil {
			t.Errorf("Accept = %v, %v after errors that pass", c, err)
		}
		if took := time.Since(begun); took != 7*firstPause {
			t.Errorf("it took %v, want %v of pauses", took, 7*firstPause)
		}
		l = Listener{&scripted{errs: []error{syscall.EMFILE, net.ErrClosed}}}
		if c, err := l.Accept(); c != nil || !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept = %v, %v on a closed listener", c, err)
		}
	})
}
