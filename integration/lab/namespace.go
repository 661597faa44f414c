package lab

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds one connection out of a namespace.
const patience = 5 * time.Second

// onThread runs f on a thread that is thrown away afterwards, whatever f did to
// its namespaces. It is never the process's first thread: that one cannot end,
// and its namespaces are taken for those of the whole process.
func onThread(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			result <- onThread(f) // on another one, as this one is taken
			runtime.UnlockOSThread()
			return
		}
		result <- f() // still locked: the thread ends with the goroutine
	}()
	return <-result
}

func newNamespace() (*os.File, error) {
	var file *os.File
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		var err error
		file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return file, err
}

// path is where other programs find a namespace.
func (l *Lab) path(ns string) string {
	l.t.Helper()
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), l.space(ns).Fd())
}

func (l *Lab) space(ns string) *os.File {
	l.t.Helper()
	f := l.spaces[ns]
	if f == nil {
		l.t.Fatalf("there is no namespace %q", ns)
	}
	return f
}

// Do runs f inside ns, on a thread of its own. What f opens stays inside; what
// it starts on other goroutines is outside.
func (l *Lab) Do(ns string, f func() error) error {
	l.t.Helper()
	file := l.space(ns)
	return onThread(func() error {
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering %s: %w", ns, err)
		}
		return f()
	})
}

// foreign lets a server take an address that no interface has.
func foreign(network, _ string, c syscall.RawConn) error {
	var err error
	outer := c.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1); err == nil && strings.HasSuffix(network, "6") {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
		}
	})
	if outer != nil {
		return outer
	}
	return os.NewSyscallError("setsockopt", err)
}

// Listen is net.Listen inside ns. The caller closes the listener.
func (l *Lab) Listen(ns, network, addr string) (net.Listener, error) {
	l.t.Helper()
	var listener net.Listener
	err := l.Do(ns, func() (err error) {
		listener, err = (&net.ListenConfig{Control: foreign}).Listen(context.Background(), network, addr)
		return err
	})
	return listener, err
}

// ListenPacket is net.ListenPacket inside ns. The caller closes the connection.
func (l *Lab) ListenPacket(ns, network, addr string) (net.PacketConn, error) {
	l.t.Helper()
	var conn net.PacketConn
	err := l.Do(ns, func() (err error) {
		conn, err = (&net.ListenConfig{Control: foreign}).ListenPacket(context.Background(), network, addr)
		return err
	})
	return conn, err
}

// Dial connects from inside ns to an address, not a name. The caller closes the
// connection.
func (l *Lab) Dial(ctx context.Context, ns, network, addr string) (net.Conn, error) {
	var conn net.Conn
	err := l.Do(ns, func() (err error) {
		conn, err = (&net.Dialer{Timeout: patience}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Client is an HTTP client inside ns: it asks the lab's name server and trusts
// the lab's authority. It is what a test has as its positive control.
func (l *Lab) Client(ns string) *http.Client {
	inside := func(ctx context.Context, network, addr string) (net.Conn, error) {
		return l.Dial(ctx, ns, network, addr)
	}
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return inside(ctx, network, net.JoinHostPort(NetAddr, "53"))
	}}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		addrs := []string{"127.0.0.1"} // of localhost
		if host != "localhost" {
			if addrs, err = resolver.LookupHost(ctx, host); err != nil {
				return nil, err
			}
		}
		return inside(ctx, network, net.JoinHostPort(addrs[0], port))
	}
	t := &http.Transport{DialContext: dial, TLSClientConfig: l.CA.clientConfig(), ForceAttemptHTTP2: true}
	l.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: 2 * patience}
}

// closeNamespace lets go of a namespace, and says who is still in it.
func (l *Lab) closeNamespace(ns string) {
	file := l.spaces[ns]
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		l.t.Errorf("looking at the namespace %s: %v", ns, err)
	}
	for end := time.Now().Add(goodbye); ; time.Sleep(10 * time.Millisecond) {
		left := inhabitants(st.Ino)
		if len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			l.evict(ns, left)
			break
		}
	}
	if err := file.Close(); err != nil {
		l.t.Errorf("closing the namespace %s: %v", ns, err)
	}
}

// inhabitants lists the processes in the namespace with this inode.
func inhabitants(inode uint64) []int {
	var pids []int
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != fmt.Sprintf("net:[%d]", inode) {
			continue // ended meanwhile, or elsewhere
		}
		if pid, err := strconv.Atoi(strings.Split(link, "/")[2]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// evict ends processes that outlived their test, which is the test's mistake.
func (l *Lab) evict(ns string, pids []int) {
	for _, pid := range pids {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		l.t.Errorf("process %d is left in %s: %s", pid, ns, strings.ReplaceAll(string(line), "\x00", " "))
		syscall.Kill(pid, syscall.SIGKILL)
	}
}
