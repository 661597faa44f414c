package egress

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/testenv"
	"github.com/mcprun/mcprun/netpolicy"
	"github.com/mcprun/mcprun/netpolicy/dns"
)

// Live tests run the whole way out in this process, with a container's side in its
// own namespace and a host beside the daemon, at an address of the range for
// documents. So that the machine's network is left alone, the test runs itself
// again in a namespace of its own.

const inside = "MCPRUN_EGRESS_TEST_INSIDE"

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// The host's addresses, on lo of the test's namespace.
var (
	hostAddr  = netip.MustParseAddr("192.0.2.2")
	otherAddr = netip.MustParseAddr("192.0.2.3")
	hostName  = "api.example.com"
)

var addAddresses = sync.OnceValue(func() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	for _, a := range []netip.Addr{hostAddr, otherAddr} {
		addr, err := netlink.ParseAddr(a.String() + "/32")
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(lo, addr); err != nil {
			return err
		}
	}
	return nil
})

// far is a host that the container reaches, with what it counts.
type far struct {
	port  uint16
	roots *x509.CertPool
	most  atomic.Int64 // connections at a time
	open  atomic.Int64
	total atomic.Int64
}

// newFar serves pages over TLS at both addresses.
func newFar(t *testing.T, h http.HandlerFunc, protocols ...string) *far {
	t.Helper()
	testenv.Need(t, "root", "netfilter")
	if err := addAddresses(); err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "far"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, DNSNames: []string{hostName}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	f := &far{roots: x509.NewCertPool(), port: 8443}
	f.roots.AddCert(cert)
	if len(protocols) == 0 {
		protocols = []string{"http/1.1"}
	}
	s := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), ConnState: f.count,
		TLSConfig: &tls.Config{NextProtos: protocols, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
	for _, a := range []netip.Addr{hostAddr, otherAddr} {
		ln, err := net.Listen("tcp4", netip.AddrPortFrom(a, f.port).String())
		if err != nil {
			t.Fatal(err)
		}
		go s.ServeTLS(ln, "", "")
	}
	t.Cleanup(func() { s.Close() })
	return f
}

func (f *far) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		f.total.Add(1)
		if n := f.open.Add(1); n > f.most.Load() {
			f.most.Store(n)
		}
	case http.StateClosed, http.StateHijacked:
		f.open.Add(-1)
	}
}

// rule allows methods on every path of the host.
func (f *far) rule(t *testing.T, methods ...string) netpolicy.Rule {
	t.Helper()
	host, err := netpolicy.ParsePattern(hostName)
	if err != nil {
		t.Fatal(err)
	}
	path, err := netpolicy.ParsePathPattern("/**")
	if err != nil {
		t.Fatal(err)
	}
	return netpolicy.Rule{Host: host, Port: f.port, Protocol: netpolicy.TLS, Inspect: true, Methods: methods, Paths: []netpolicy.PathPattern{path},
		Grant: netpolicy.Grant{Networks: []netip.Prefix{netip.PrefixFrom(hostAddr, 32)}}}
}

// records keeps what would be in the record.
type records struct {
	mu  sync.Mutex
	all []*audit.Record
}

func (r *records) Append(a *audit.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, a)
	return nil
}

func (r *records) with(rule string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.all {
		if a.Rule == rule {
			n++
		}
	}
	return n
}

// resolver answers every name with one address, which may be changed.
type resolver struct {
	mu   sync.Mutex
	addr netip.Addr
}

func (r *resolver) set(a netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addr = a
}

func (r *resolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return []netip.Addr{r.addr}, nil
}

// live is a way out that is open, with what a test looks at.
type live struct {
	*Way
	far      *far
	records  *records
	resolver *resolver

	mu      sync.Mutex
	flights []Flight
}

func openLive(t *testing.T, f *far, credentials Credentials, rules ...netpolicy.Rule) *live {
	t.Helper()
	p, err := netpolicy.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	names, err := dns.OpenNames(filepath.Join(t.TempDir(), "names"))
	if err != nil {
		t.Fatal(err)
	}
	l := &live{far: f, records: &records{}, resolver: &resolver{addr: hostAddr}}
	l.Way, err = Open(Config{Server: "s", Instance: "s-1", Policy: p, Mode: Transparent, Names: names, Record: l.records, Seen: NewSeen(),
		InFlight: l.inFlight, Resolver: l.resolver, Own: func(netip.Addr) bool { return false }, Log: slog.New(slog.DiscardHandler),
		Roots: f.roots, Credentials: credentials})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(nil); l.Wait(); names.Close() })
	return l
}

func (l *live) inFlight() []Flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flights
}

func (l *live) call(flights ...Flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flights = flights
}

// dial connects to the host as the container does.
func (l *live) dial() (c net.Conn, err error) {
	h, err := netpolicy.ParseHost(hostName)
	if err != nil {
		return nil, err
	}
	a, err := l.cfg.Names.Address(h)
	if err != nil {
		return nil, err
	}
	err = l.ns.Do(func() (err error) {
		c, err = net.Dial("tcp4", netip.AddrPortFrom(a, l.far.port).String())
		return err
	})
	return c, err
}

// client is a program in the container.
func (l *live) client(t *testing.T, http2 bool) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(l.authority.PEM())
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return l.dial() },
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: hostName}, ForceAttemptHTTP2: http2, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 5 * time.Second}
}

// get asks for a path with headers, "Name: value".
func (l *live) get(t *testing.T, c *http.Client, path string, headers ...string) (status int, h http.Header, body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, l.far.url(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header[name] = append(req.Header[name], value)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, resp.Header, string(raw) + " " + err.Error()
	}
	return resp.StatusCode, resp.Header, string(raw)
}

func (f *far) url(path string) string {
	return fmt.Sprintf("https://%s:%d%s", hostName, f.port, path)
}

// reader is a credential for the host whose secret is known once it was used.
func (f *far) reader(t *testing.T, change func(*Credential)) Credentials {
	t.Helper()
	h, err := netpolicy.ParseHost(hostName)
	if err != nil {
		t.Fatal(err)
	}
	var used atomic.Bool
	c := Credential{Name: "reader", Placeholder: placeholder, Place: Place{Header: "Authorization", Format: "Bearer {}"}, Host: h, Port: f.port,
		Get: func(context.Context) (string, error) { used.Store(true); return theSecret, nil },
		Known: func() []string {
			if used.Load() {
				return []string{theSecret}
			}
			return nil
		}}
	if change != nil {
		change(&c)
	}
	return Credentials{Own: []Credential{c}}
}

const bearer = "Authorization: Bearer " + placeholder
