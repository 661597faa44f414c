package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	goruntime "runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/mcprun/mcprun/internal/testenv"
	"github.com/mcprun/mcprun/netpolicy"
	"github.com/mcprun/mcprun/netpolicy/netns"
)

// below allows every name below a suffix, as a wildcard rule does.
type below string

func (b below) Name(h netpolicy.Host) bool { return strings.HasSuffix(h.String(), string(b)) }

const allowedNames = below(".example.com")

// patience bounds each question; an answer takes well under a millisecond.
const patience = 2 * time.Second

// stub is a real stub in a namespace of its own.
type stub struct {
	t      *testing.T
	ns     *netns.NS
	server *Server

	mu     sync.Mutex
	denied []string
}

func serveStub(t *testing.T) *stub {
	t.Helper()
	testenv.Need(t, "root")
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	names, _, err := open(t, "")
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{t: t, ns: ns}
	s.server, err = Serve(ns, names, allowedNames, func(name string, why netpolicy.Reason) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.denied = append(s.denied, name+" "+string(why))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.server.Close() })
	return s
}

// told is what was reported as denied since it was last asked.
func (s *stub) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.denied, ", ")
	s.denied = nil
	return all
}

// dial connects from inside.
func (s *stub) dial(network, server string) net.Conn {
	s.t.Helper()
	var c net.Conn
	if err := s.ns.Do(func() (err error) {
		c, err = net.DialTimeout(network, server, patience)
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// ask asks one question from inside.
func (s *stub) ask(network, server string, q *dns.Msg) (*dns.Msg, error) {
	s.t.Helper()
	c := &dns.Conn{Conn: s.dial(network, server)}
	defer c.Close()
	if err := c.WriteMsg(q); err != nil {
		return nil, err
	}
	return c.ReadMsg()
}

func question(name string, kind uint16) *dns.Msg { return new(dns.Msg).SetQuestion(name, kind) }

// brief is an answer in one line: the code and the records' data.
func brief(a *dns.Msg, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	out := dns.RcodeToString[a.Rcode]
	for _, rr := range a.Answer {
		out += " " + strings.Join(strings.Fields(rr.String())[3:], " ")
	}
	return out
}

const answered = "NOERROR A 198.18.0.16"

// Whichever server is asked, by UDP and TCP and over both families, the stub
// answers: allowed names have an address of ours and nothing else, all others do
// not exist.
func TestAnswers(t *testing.T) {
	s := serveStub(t)
	with := func(q *dns.Msg, change func(*dns.Msg)) *dns.Msg { change(q); return q }
	for _, at := range []struct{ network, server string }{
		{"udp4", "198.18.0.1:53"}, {"tcp4", "198.18.0.1:53"}, {"udp4", "8.8.8.8:53"}, {"tcp4", "8.8.8.8:53"}, {"udp6", "[::1]:53"}, {"tcp6", "[2001:4860:4860::8888]:53"},
	} {
		for _, row := range []struct {
			name string
			q    *dns.Msg
			want string
			told string
		}{
			{"A", question("api.example.com.", dns.TypeA), answered, ""},
			{"AAAA", question("api.example.com.", dns.TypeAAAA), "NOERROR", ""},
			{"HTTPS, which could carry an ECH key", question("api.example.com.", dns.TypeHTTPS), "NOERROR", ""},
			{"TXT", question("api.example.com.", dns.TypeTXT), "NOERROR", ""},
			{"ANY", question("api.example.com.", dns.TypeANY), "NOERROR", ""},
			{"a forbidden name", question("evil.example.org.", dns.TypeA), "NXDOMAIN", "evil.example.org host"},
			{"the apex of a wildcard", question("example.com.", dns.TypeA), "NXDOMAIN", "example.com host"},
			{"the root", question(".", dns.TypeNS), "NXDOMAIN", ". name"},
			{"an address as a name", question("10.0.0.1.", dns.TypeA), "NXDOMAIN", "10.0.0.1 name"},
			{"a reverse look-up", question("1.0.18.198.in-addr.arpa.", dns.TypePTR), "NXDOMAIN", "1.0.18.198.in-addr.arpa host"},
			{"H1 a NUL in the name", question(`evil\000.example.com.`, dns.TypeA), "NXDOMAIN", `evil\000.example.com name`},
			{"a dot inside a label", question(`evil\.example.com.`, dns.TypeA), "NXDOMAIN", `evil\.example.com name`},
			{"the class CHAOS", with(question("version.bind.", dns.TypeTXT), func(q *dns.Msg) { q.Question[0].Qclass = dns.ClassCHAOS }), "REFUSED", ""},
			{"an allowed name of class ANY", with(question("api.example.com.", dns.TypeA), func(q *dns.Msg) { q.Question[0].Qclass = dns.ClassANY }), "REFUSED", ""},
			{"NOTIFY", with(question("api.example.com.", dns.TypeSOA), func(q *dns.Msg) { q.Opcode = dns.OpcodeNotify }), "REFUSED", ""},
			{"UPDATE", new(dns.Msg).SetUpdate("example.com."), "NOTIMP", ""},
			{"D16 two questions", with(question("api.example.com.", dns.TypeA), func(q *dns.Msg) { q.Question = append(q.Question, q.Question[0]) }), "FORMERR", ""},
			{"D16 no question", with(question("api.example.com.", dns.TypeA), func(q *dns.Msg) { q.Question = nil }), "FORMERR", ""},
		} {
			row.q.Id = dns.Id()
			a, err := s.ask(at.network, at.server, row.q)
			if got := brief(a, err); got != row.want {
				t.Errorf("%s %s: %s: %s, want %s", at.network, at.server, row.name, got, row.want)
				continue
			}
			if !a.Response || a.Id != row.q.Id {
				t.Errorf("%s: %s: no answer to this question: %v", at.network, row.name, a)
			}
			if told := s.told(); told != row.told {
				t.Errorf("%s: %s: reported as %q, want %q", at.network, row.name, told, row.told)
			}
		}
	}
}

// D14: capitals in a question say nothing further: the name is folded before any
// use, and comes back as it was written, as 0x20 clients check.
func TestCapitals(t *testing.T) {
	s := serveStub(t)
	for _, name := range []string{"api.example.com.", "aPi.ExAmPlE.cOm.", "API.EXAMPLE.COM."} {
		a, err := s.ask("udp4", "198.18.0.1:53", question(name, dns.TypeA))
		if got := brief(a, err); got != answered {
			t.Errorf("%s: %s, want %s", name, got, answered)
			continue
		}
		if a.Question[0].Name != name || a.Answer[0].Header().Name != name {
			t.Errorf("%s comes back as %s and %s", name, a.Question[0].Name, a.Answer[0].Header().Name)
		}
	}
	brief(s.ask("udp4", "198.18.0.1:53", question("SeCrEt.Example.ORG.", dns.TypeA)))
	if told := s.told(); told != "secret.example.org host" {
		t.Errorf("reported as %q, want it folded", told)
	}
}

// An answer comes from the address that was asked: clients drop any other.
func TestAnswersComeFromTheAskedAddress(t *testing.T) {
	s := serveStub(t)
	for _, at := range []string{"8.8.8.8:53", "198.18.0.1:53", "127.0.0.1:53", "[::1]:53"} {
		var conn *net.UDPConn
		var err error
		// Not connected, so that an answer from any address would be seen.
		if strings.HasPrefix(at, "[") {
			conn, err = s.ns.ListenUDP(netip.MustParseAddrPort("[::]:0"))
		} else {
			conn, err = s.ns.ListenUDP(netip.MustParseAddrPort("0.0.0.0:0"))
		}
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		raw, err := question("api.example.com.", dns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.WriteToUDPAddrPort(raw, netip.MustParseAddrPort(at)); err != nil {
			t.Fatal(err)
		}
		_, from, err := conn.ReadFromUDPAddrPort(make([]byte, 512))
		if err != nil || netip.AddrPortFrom(from.Addr().Unmap(), from.Port()).String() != at {
			t.Errorf("%s was asked, %s answered, %v", at, from, err)
		}
	}
}

// D16: what is no question is dropped, or answered with an error that cannot be
// taken for a question: no two servers ever talk to each other without end.
func TestGarbage(t *testing.T) {
	s := serveStub(t)
	packed := func(change func(*dns.Msg)) []byte {
		q := question("api.example.com.", dns.TypeA)
		change(q)
		raw, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	whole := packed(func(*dns.Msg) {})
	loop := append(append([]byte{}, whole[:12]...), 0xc0, 12, 0, 1, 0, 1)
	for _, row := range []struct {
		name  string
		bytes []byte
		want  string // "" is no answer
	}{
		{"control", whole, answered},
		{"an answer as a question", packed(func(q *dns.Msg) { q.Response = true }), ""},
		{"shorter than a header", whole[:7], ""},
		{"one byte", []byte{0}, ""},
		{"cut in the name", whole[:20], "FORMERR"},
		{"cut before the class", whole[:len(whole)-2], "REFUSED"}, // the library reads class 0, which is none of ours
		{"a name that points to itself", loop, "FORMERR"},
		{"text", []byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"), "NOTIMP"},
		{"many records beside the question", packed(func(q *dns.Msg) {
			for range 3 {
				q.Extra = append(q.Extra, &dns.A{Hdr: dns.RR_Header{Name: "x.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(1, 2, 3, 4)})
			}
		}), "FORMERR"},
	} {
		for _, network := range []string{"udp4", "tcp4"} {
			got := ""
			raw, ok := s.exchange(network, row.bytes)
			if a := new(dns.Msg); ok && a.Unpack(raw) == nil {
				got = brief(a, nil)
				if !a.Response {
					t.Errorf("%s: %s: the answer is a question", network, row.name)
				}
			}
			if got != row.want {
				t.Errorf("%s: %s: %q, want %q", network, row.name, got, row.want)
			}
		}
	}
	if told := s.told(); told != "" {
		t.Errorf("reported as names: %s", told)
	}
}

// exchange sends bytes, then the control's question, and returns what came back
// before its answer: so that no answer is known without waiting for one.
func (s *stub) exchange(network string, bytes []byte) (answer []byte, ok bool) {
	s.t.Helper()
	const marker = "marker.example.com."
	if err := brief(s.ask(network, "198.18.0.1:53", question("api.example.com.", dns.TypeA))); err != answered {
		s.t.Fatalf("the stub does not answer: %s", err)
	}
	c := s.dial(network, "198.18.0.1:53")
	defer c.Close()
	write := func(b []byte) {
		if network == "tcp4" {
			b = append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
		}
		if _, err := c.Write(b); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			s.t.Fatal(err)
		}
	}
	write(bytes)
	// UDP's are answered at the same time; this one is given a moment to be first.
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if b, err := (&dns.Conn{Conn: c, UDPSize: 512}).ReadMsgHeader(nil); err == nil {
		return b, true
	}
	c.SetDeadline(time.Now().Add(patience))
	marked, err := question(marker, dns.TypeA).Pack()
	if err != nil {
		s.t.Fatal(err)
	}
	write(marked)
	b, err := (&dns.Conn{Conn: c, UDPSize: 512}).ReadMsgHeader(nil)
	if a := new(dns.Msg); err == nil && a.Unpack(b) == nil && a.Question[0].Name == marker {
		return nil, false
	}
	if network == "udp4" {
		s.t.Errorf("%x: the stub says no more: %v", bytes, err)
	}
	return nil, false
}

// A stream whose length promises more than comes is ended, and one that asks
// without end is, too.
func TestStreamsAreBounded(t *testing.T) {
	s := serveStub(t)
	c := &dns.Conn{Conn: s.dial("tcp4", "198.18.0.1:53")}
	asked := 0
	for ; asked < 2*streamQuestions; asked++ {
		if c.WriteMsg(question("api.example.com.", dns.TypeA)) != nil {
			break
		}
		if _, err := c.ReadMsg(); err != nil {
			break
		}
	}
	if asked != streamQuestions {
		t.Errorf("%d questions on one connection, want %d", asked, streamQuestions)
	}
	slow := s.dial("tcp4", "198.18.0.1:53")
	slow.SetDeadline(time.Now().Add(2 * streamTimeout))
	slow.Write([]byte{0xff, 0xff, 1})
	begun := time.Now()
	if n, err := slow.Read(make([]byte, 1)); err == nil || errors.Is(err, syscall.ETIMEDOUT) || time.Since(begun) > streamTimeout+time.Second {
		t.Errorf("a message that does not come: read %d, %v after %v", n, err, time.Since(begun))
	}
}

// B5: a flood costs its sender, not the stub.
func TestAFloodLeavesTheStubAnswering(t *testing.T) {
	s := serveStub(t)
	const sockets, each = 64, 5000/64 + 1
	before := goruntime.NumGoroutine()
	var wg sync.WaitGroup
	for i := range sockets {
		c := s.dial("udp4", "198.18.0.1:53")
		wg.Go(func() {
			for j := range each {
				raw, err := question(fmt.Sprintf("n%d-%d.example.org.", i, j), dns.TypeA).Pack()
				if err != nil {
					t.Error(err)
					return
				}
				c.Write(raw)
			}
		})
	}
	wg.Wait()
	// What comes while the queue is still full is lost, so a client asks again.
	begun := time.Now()
	tries, got := 0, ""
	for got != answered && time.Since(begun) < patience {
		tries++
		got = s.askSoon("api.example.com.")
	}
	if got != answered {
		t.Errorf("after the flood: %s, want %s", got, answered)
	}
	t.Logf("%d questions; the next answer took %v and %d tries", sockets*each, time.Since(begun), tries)
	settled(t, before)
}

// askSoon asks once, and waits no longer than a client that will ask again.
func (s *stub) askSoon(name string) string {
	c := &dns.Conn{Conn: s.dial("udp4", "198.18.0.1:53")}
	defer c.Close()
	c.SetDeadline(time.Now().Add(100 * time.Millisecond))
	if err := c.WriteMsg(question(name, dns.TypeA)); err != nil {
		return brief(nil, err)
	}
	return brief(c.ReadMsg())
}

// settled waits until no more goroutines are left than there were before.
func settled(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(patience); goruntime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, before %d:\n%s", goruntime.NumGoroutine(), before, buf[:goruntime.Stack(buf, true)])
		}
	}
}

// Close ends everything: the port is free, streams that stand are cut, no
// goroutine is left.
func TestCloseEndsEverything(t *testing.T) {
	before := goruntime.NumGoroutine()
	s := serveStub(t)
	c := &dns.Conn{Conn: s.dial("tcp4", "198.18.0.1:53")}
	if err := c.WriteMsg(question("api.example.com.", dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadMsg(); err != nil {
		t.Fatal(err)
	}
	if err := s.server.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the stream that stood: %v", err)
	}
	for _, network := range []string{"udp4", "udp6", "tcp4", "tcp6"} {
		at := "127.0.0.1:53"
		if network[3] == '6' {
			at = "[::1]:53"
		}
		err := s.ns.Do(func() error {
			c, err := net.DialTimeout(network, at, patience)
			if err != nil {
				return err
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			c.Write([]byte("x"))
			_, err = c.Read(make([]byte, 1))
			return err
		})
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want a refusal", network, err)
		}
	}
	settled(t, before)
}

// FuzzAnswer: of whatever unpacks as a message, an answer is about its question,
// names no address outside the pool, and no name that is not allowed.
func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"api.example.com.", "evil.example.org.", ".", `a\000.example.com.`, "10.0.0.1."} {
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeANY} {
			raw, err := question(name, kind).Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		q := new(dns.Msg)
		if q.Unpack(raw) != nil {
			return
		}
		names, _, err := open(t, "")
		if err != nil {
			t.Fatal(err)
		}
		s := &Server{names: names, allowed: allowedNames, denied: func(string, netpolicy.Reason) {}}
		a := s.answer(q)
		if a == nil {
			return
		}
		if !a.Response || a.Id != q.Id {
			t.Fatalf("no answer to the question:\n%v\n%v", q, a)
		}
		if _, err := a.Pack(); err != nil {
			t.Fatalf("the answer cannot be sent: %v", err)
		}
		for _, rr := range append(append(a.Answer, a.Ns...), a.Extra...) {
			checkRecord(t, q, rr)
		}
	})
}

func checkRecord(t *testing.T, q *dns.Msg, rr dns.RR) {
	t.Helper()
	record, ok := rr.(*dns.A)
	if !ok {
		t.Fatalf("the answer holds %v", rr)
	}
	addr, _ := netip.AddrFromSlice(record.A)
	h, err := netpolicy.ParseHost(record.Hdr.Name)
	if !pool.Contains(addr.Unmap()) || err != nil || !allowedNames.Name(h) || record.Hdr.Name != q.Question[0].Name {
		t.Fatalf("%v answers %v, %v", rr, q.Question, err)
	}
}
