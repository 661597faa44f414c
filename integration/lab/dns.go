package lab

import (
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// answersFor is the time to live of every record, in seconds: long enough for
// one connection, short enough for a test that changes its mind.
const answersFor = 1

// maxChain bounds how many aliases an answer follows.
const maxChain = 8

// DNS is the name server of the lab, at NetAddr, port 53, on UDP and TCP. A
// name that it does not know does not exist.
type DNS struct {
	mu      sync.Mutex
	table   map[string][][]string // of each name, its answers in turn; the last one stays
	turn    map[string]int        // by name and type, which answer is next
	queries record[string]
}

func newDNS(l *Lab) *DNS {
	l.t.Helper()
	d := &DNS{table: map[string][][]string{}, turn: map[string]int{}}
	addr := net.JoinHostPort(NetAddr, "53")
	listener, err := l.Listen(Net, "tcp", addr)
	l.must(err, "starting the name server")
	packets, err := l.ListenPacket(Net, "udp", addr)
	l.must(err, "starting the name server")
	for _, s := range []*dns.Server{{Listener: listener}, {PacketConn: packets}} {
		s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { d.serve(w, q) })
		ready, done := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go func() { defer close(done); s.ActivateAndServe() }()
		<-ready
		l.t.Cleanup(func() {
			s.Shutdown()
			if !wait(done) {
				l.t.Error("the name server does not end")
			}
		})
	}
	return d
}

// Names adds names with their addresses, of both families. What is no address
// is the name that the first is an alias of. Earlier answers of these names are
// forgotten.
func (d *DNS) Names(names map[string][]string) {
	for name, addrs := range names {
		d.Sequence(name, addrs)
	}
}

// Sequence gives a name one answer after the other, for rebinding: the first
// question for A and the first for AAAA get the first answer, and so on; the
// last one stays.
func (d *DNS) Sequence(name string, answers ...[]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.table[key(name)] = answers
	for turn := range d.turn {
		if strings.HasPrefix(turn, key(name)+" ") {
			delete(d.turn, turn)
		}
	}
}

func key(name string) string { return strings.ToLower(dns.Fqdn(name)) }

// Queries lists what was asked, as "NAME TYPE udp" in the spelling of the query.
func (d *DNS) Queries() []string { return d.queries.all(same) }

// Asked says whether a name was asked for, in whatever spelling and type.
func (d *DNS) Asked(name string) bool {
	for _, q := range d.Queries() {
		asked, _, _ := strings.Cut(q, " ")
		if key(asked) == key(name) {
			return true
		}
	}
	return false
}

func (d *DNS) serve(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	if len(q.Question) != 1 {
		m.SetRcode(q, dns.RcodeFormatError)
	} else {
		ask := q.Question[0]
		d.queries.add(strings.TrimSuffix(ask.Name, ".") + " " + dns.TypeToString[ask.Qtype] + " " + w.RemoteAddr().Network())
		d.answer(m, ask)
	}
	w.WriteMsg(m)
}

// answer fills in the records of one question, through aliases.
func (d *DNS) answer(m *dns.Msg, ask dns.Question) {
	for name, i := ask.Name, 0; i < maxChain; i++ {
		values, ok := d.next(name, ask.Qtype)
		if !ok {
			m.Rcode = dns.RcodeNameError
			return
		}
		alias := ""
		for _, value := range values {
			if rr, to := resource(name, value, ask.Qtype); rr != nil {
				m.Answer = append(m.Answer, rr)
				alias = to
			}
		}
		if alias == "" {
			return
		}
		name = alias
	}
}

// next takes the answer whose turn it is.
func (d *DNS) next(name string, kind uint16) ([]string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	answers, ok := d.table[key(name)]
	if len(answers) == 0 {
		return nil, ok
	}
	turn := key(name) + " " + dns.TypeToString[kind]
	at := min(d.turn[turn], len(answers)-1)
	d.turn[turn]++
	return answers[at], true
}

// resource is one record of a name if the question asks for it; of an alias also
// the name to go on with.
func resource(name, value string, kind uint16) (rr dns.RR, alias string) {
	header := func(kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: answersFor}
	}
	addr, err := netip.ParseAddr(value)
	switch {
	case err != nil:
		return &dns.CNAME{Hdr: header(dns.TypeCNAME), Target: dns.Fqdn(value)}, dns.Fqdn(value)
	case kind == dns.TypeA && addr.Is4():
		return &dns.A{Hdr: header(kind), A: addr.AsSlice()}, ""
	case kind == dns.TypeAAAA && addr.Is6():
		return &dns.AAAA{Hdr: header(kind), AAAA: addr.AsSlice()}, ""
	}
	return nil, ""
}
