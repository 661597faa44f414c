// Package lab is an internet for one test: two network namespaces joined by a
// cable. In "site" the program under test runs; "net" is the rest of the world,
// with real servers that remember what they saw.
//
// Every address but those of site belongs to net: what leaves site by its
// default route arrives, and a port where nobody listens refuses at once. So a
// test may serve any address, and a packet to a forbidden one is not lost but
// seen, by Capture or by a server put there as a trap.
//
// The namespaces have no names and no mounts. They are open files of the test
// process and end with it, also when it is killed. Nothing is made or changed in
// the machine's own namespace. It needs root, and the programs of iproute2 and
// util-linux; Git and Postgres need those too.
//
// It is no boundary: root in site can enter any namespace of the machine. And
// it stands for no more of the internet than is served in it.
package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/internal/testenv"
)

// The two namespaces.
const (
	Site = "site"
	Net  = "net"
)

// The addresses of the cable's two ends. The name server is at NetAddr.
const (
	SiteAddr  = "10.77.0.2"
	SiteAddr6 = "fd77::2"
	NetAddr   = "10.77.0.1"
	NetAddr6  = "fd77::1"
)

// cable is the network interface in site.
const cable = "eth0"

// goodbye bounds the wait for what ends by itself when a test is over: a busy
// machine needs a second for a program that was told to stop.
const goodbye = 10 * time.Second

// Lab is one internet. Its methods may be called from any goroutine that may
// call t.Fatal.
type Lab struct {
	DNS *DNS   // knows no name until it is given some
	CA  *CA    // signs for every server; CA.File is for SSL_CERT_FILE
	Dir string // a folder of the lab's own that every user may enter; removed at the end

	t      testing.TB
	spaces map[string]*os.File
}

// New makes an internet that ends with the test.
func New(t testing.TB) *Lab {
	t.Helper()
	testenv.Need(t, "root")
	l := &Lab{t: t, spaces: map[string]*os.File{}}
	l.makeDir()
	for _, name := range []string{Site, Net} {
		f, err := newNamespace()
		if err != nil {
			t.Fatalf("making the namespace %s: %v", name, err)
		}
		l.spaces[name] = f
		t.Cleanup(func() { l.closeNamespace(name) })
	}
	l.layCable()
	l.CA = newCA(l)
	l.DNS = newDNS(l)
	return l
}

// folderPattern names the labs of this process.
func folderPattern() string { return fmt.Sprintf("lab-%d-", os.Getpid()) }

func (l *Lab) makeDir() {
	dir, err := os.MkdirTemp("", folderPattern())
	if err != nil {
		l.t.Fatal(err)
	}
	l.Dir = dir
	l.t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			l.t.Errorf("removing the lab's folder: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	l.write("resolv.conf", "nameserver "+NetAddr+"\n")
	l.write("hosts", "127.0.0.1 localhost\n::1 localhost\n")
}

// write puts a file into the lab's folder.
func (l *Lab) write(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.Dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// layCable joins the namespaces and gives every address there is to net. The
// table "local" decides before all others: in it, everything is net's own but
// the way back to site.
func (l *Lab) layCable() {
	l.t.Helper()
	l.ip(Net, `
		link set lo up
		link add world type veth peer name `+cable+` netns `+l.path(Site)+`
		link set world up
		addr add `+NetAddr+`/24 dev world
		addr add `+NetAddr6+`/64 dev world nodad
		route add `+SiteAddr+`/32 dev world table local
		route add local 0.0.0.0/0 dev lo table local
		-6 route add `+SiteAddr6+`/128 dev world table local
		-6 route add fe80::/64 dev world table local
		-6 route add local ::/0 dev lo table local`)
	l.ip(Site, `
		link set lo up
		link set `+cable+` up
		addr add `+SiteAddr+`/24 dev `+cable+`
		addr add `+SiteAddr6+`/64 dev `+cable+` nodad
		route add default via `+NetAddr+` dev `+cable+`
		-6 route add default via `+NetAddr6+` dev `+cable)
}

// ip runs the commands of a text, one a line, with ip(8) inside a namespace.
func (l *Lab) ip(ns, text string) {
	l.t.Helper()
	for line := range strings.Lines(text) {
		args := strings.Fields(line)
		if len(args) == 0 {
			continue
		}
		cmd := exec.Command("nsenter", append([]string{"--net=" + l.path(ns), "--", "ip"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			l.t.Fatalf("ip %s in %s: %v: %s (is iproute2 installed?)", strings.Join(args, " "), ns, err, out)
		}
	}
}

// enter is the last step before a program of ours: the lab's name server and
// hosts in place of the machine's, for this program alone.
const enter = `mount --bind "$1" /etc/resolv.conf && mount --bind "$2" /etc/hosts && shift 2 && exec "$@"`

// Wrap returns argv with what makes it run inside ns, in a mount namespace of
// its own with the lab's resolv.conf and hosts. Each step replaces the one
// before, so the process that is started becomes the program.
func (l *Lab) Wrap(ns string, argv []string) []string {
	return append([]string{"nsenter", "--net=" + l.path(ns), "--", "unshare", "--mount", "--", "sh", "-c", enter, "sh",
		filepath.Join(l.Dir, "resolv.conf"), filepath.Join(l.Dir, "hosts")}, argv...)
}

// Exec changes cmd, which is not yet started, so that it runs inside ns as Wrap
// says.
func (l *Lab) Exec(ns string, cmd *exec.Cmd) {
	l.t.Helper()
	if cmd.Err != nil {
		l.t.Fatal(cmd.Err)
	}
	cmd.Args = l.Wrap(ns, append([]string{cmd.Path}, cmd.Args[1:]...))
	path, err := exec.LookPath(cmd.Args[0])
	if err != nil {
		l.t.Fatalf("%v (install util-linux)", err)
	}
	cmd.Path = path
}

// addrPort reads the address of a server; a mistake in it is the test's.
func (l *Lab) addrPort(addr string) netip.AddrPort {
	l.t.Helper()
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		l.t.Fatal(err)
	}
	return a
}

// wait waits for the end of something bounded; false means that it did not come.
func wait(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-time.After(goodbye):
		return false
	}
}

// end stops a program that the lab started, by its own process.
func (l *Lab) end(cmd *exec.Cmd, gently os.Signal) {
	done := make(chan struct{})
	go func() { defer close(done); cmd.Wait() }()
	cmd.Process.Signal(gently)
	if wait(done) {
		return
	}
	l.t.Errorf("%s does not end within %v of %v", filepath.Base(cmd.Path), goodbye, gently)
	cmd.Process.Kill()
	<-done
}

// must is for steps that fail only when the lab itself is broken.
func (l *Lab) must(err error, doing string, args ...any) {
	l.t.Helper()
	if err != nil {
		l.t.Fatalf("%s: %v", fmt.Sprintf(doing, args...), err)
	}
}
