package egress

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/redact"
	"github.com/mcprun/mcprun/netpolicy"
)

// event is one thing that a container tried, as it is recorded and shown.
type event struct {
	host     string
	port     uint16
	addr     netip.AddrPort // where there is no host
	protocol string
	reason   netpolicy.Reason
	method   string
	path     string // without the query, which may hold a secret
	note     string
	resolved []netip.Addr
	suggest  string // lines for server.yaml
}

// event describes the connection's attempt.
func (c *conn) event(r netpolicy.Reason) event {
	e := event{host: c.dest.Host.String(), port: c.dest.Port, reason: r}
	var spoken netpolicy.Protocol // unknown before a rule says it
	if _, literal := c.dest.Host.Addr(); literal {
		spoken = netpolicy.TCP // nothing else can be said of an address
	}
	if c.decision.Allowed() {
		spoken = c.decision.Protocol
		e.protocol = spoken.String()
	}
	e.suggest = c.way.now().policy.Suggest(c.dest, r, spoken, "", "")
	return e
}

// noise bounds the records of refusals: a program that tries without end must
// not fill the record.
type noise struct {
	limiter *rate.Limiter
	skipped int
}

const (
	// deniedPerSecond and deniedBurst are far above what a program does that people
	// wait for, and far below what fills a disk.
	deniedPerSecond, deniedBurst = 10, 100
)

// quiet reports whether one more refusal for a reason is to be left out, and how
// many were before one that is not. Each reason counts for itself: names that do
// not exist must not hide a misused credential.
func (w *Way) quiet(reason netpolicy.Reason) (skip bool, before int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.noisy[reason]
	if n == nil {
		n = &noise{limiter: rate.NewLimiter(deniedPerSecond, deniedBurst)}
		w.noisy[reason] = n
	}
	if !n.limiter.Allow() {
		n.skipped++
		return true, 0
	}
	before, n.skipped = n.skipped, 0
	return false, before
}

// deny records and shows what was refused. The refusal itself does not wait for
// the record: it happens whatever becomes of that.
func (w *Way) deny(e event) {
	w.cfg.Seen.add(w.cfg.Server, e, mcprun.Deny, 0, 0)
	if e.reason != netpolicy.ReasonFake { // of which more was told
		w.watched(e.attempt(false))
	}
	skip, before := w.quiet(e.reason)
	if skip {
		return
	}
	rec := w.record(e)
	rec.Verdict, rec.Rule, rec.Reason = mcprun.Deny, ruleOf(e.reason), e.reason.Sentence()
	if before > 0 {
		rec.Detail[DetailLeftOut] = fmt.Sprint(before)
	}
	w.append(rec)
}

const (
	// RulePrefix stands before the reason in the rule of a refusal's record.
	RulePrefix = "egress."
	// RuleMisuse is the rule of a placeholder where none may be.
	RuleMisuse = "credential.misuse"
	// DetailLeftOut is where a refusal's record says how many before it are in none.
	DetailLeftOut = "left-out"

	// ruleAllowed is the rule of records of what an egress rule allows.
	ruleAllowed = RulePrefix + "allowed"
)

// ruleOf names what refused, as the record does.
func ruleOf(r netpolicy.Reason) string {
	if r == netpolicy.ReasonCredential {
		return RuleMisuse
	}
	return RulePrefix + string(r)
}

// denyName is told of a name that the stub said does not exist.
func (w *Way) denyName(name string, reason netpolicy.Reason) {
	e := event{host: name, reason: reason, protocol: "dns"}
	if h, err := netpolicy.ParseHost(name); err == nil {
		e.suggest = w.now().policy.Suggest(netpolicy.Dest{Host: h}, reason, 0, "", "")
	}
	w.deny(e)
}

// fail records what was allowed and did not work.
func (w *Way) fail(e event, why string) {
	rec := w.record(e)
	rec.Verdict, rec.Risk, rec.Rule, rec.Outcome = mcprun.Allow, mcprun.Low, ruleAllowed, outcomeUpstream
	rec.Reason = why
	w.append(rec)
}

func (w *Way) append(rec *audit.Record) {
	if err := w.cfg.Record.Append(rec); err != nil {
		w.cfg.Log.Error("recording a connection", "server", w.cfg.Server, "err", err)
	}
}

func (w *Way) record(e event) *audit.Record {
	d := map[string]string{}
	add := func(k, v string) {
		if v != "" {
			d[k] = v[:min(len(v), audit.MaxDetailValue)]
		}
	}
	add("host", e.host)
	if e.host == "" && e.addr.IsValid() {
		add("host", e.addr.Addr().String())
		e.port = e.addr.Port()
	}
	if e.port > 0 {
		add("port", fmt.Sprint(e.port))
	}
	add("protocol", e.protocol)
	add("path", e.path)
	add("note", e.note)
	add("add", e.suggest)
	add("resolved", joinAddrs(e.resolved))
	add("calls", flightNames(w.cfg.InFlight()))
	return &audit.Record{Type: audit.TypeEgress, Server: w.cfg.Server, Instance: w.cfg.Instance, Method: e.method, Detail: d}
}

func joinAddrs(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs[:min(len(addrs), maxAddresses)] {
		out = append(out, a.String())
	}
	return strings.Join(out, " ")
}

// flightNames lists the calls in flight: one of them is the cause.
func flightNames(flights []Flight) string {
	var out []string
	for _, f := range flights {
		out = append(out, string(f.Tool)+" "+string(f.Call))
	}
	return strings.Join(out, ", ")
}

// opened records a connection before anything of it is carried.
func (c *conn) opened(address string) {
	rec := c.way.record(c.allowed())
	rec.Verdict, rec.Risk, rec.Rule = mcprun.Allow, mcprun.Low, ruleAllowed
	rec.Outcome = "open"
	if address != "" {
		rec.Detail["address"] = address
	}
	if err := c.way.cfg.Record.Append(rec); err != nil {
		// What cannot be recorded does not happen.
		c.why.CompareAndSwap(nil, ptr("it cannot be recorded"))
		c.cut()
		return
	}
	c.way.cfg.Seen.add(c.way.cfg.Server, c.allowed(), mcprun.Allow, 0, 0)
	c.carried(nil)
}

func (c *conn) allowed() event {
	e := event{host: c.dest.Host.String(), port: c.dest.Port, protocol: c.decision.Protocol.String()}
	return e
}

// closed records how a connection ended and what it carried.
func (c *conn) closed(outcome string) {
	e := c.allowed()
	sent, received := c.sent.Load(), c.received.Load()
	rec := c.way.record(e)
	rec.Verdict, rec.Risk, rec.Rule = mcprun.Allow, mcprun.Low, ruleAllowed
	rec.Outcome, rec.Size, rec.Duration = outcome, sent+received, time.Since(c.began)
	rec.Detail["sent"], rec.Detail["received"] = fmt.Sprint(sent), fmt.Sprint(received)
	if why := c.why.Load(); why != nil {
		rec.Reason = *why
	}
	c.way.cfg.Seen.traffic(c.way.cfg.Server, e, sent, received)
	c.way.append(rec)
}

// passed records a request before it is sent.
func (w *Way) passed(q *request) error {
	e := q.conn.allowed()
	e.method, e.path = q.method, q.path
	rec := w.record(e)
	rec.Verdict, rec.Risk, rec.Rule, rec.Outcome = mcprun.Allow, mcprun.Low, ruleAllowed, "request"
	q.conn.carried(q)
	return w.cfg.Record.Append(rec)
}

// aboutAddresses are refusals whose details name addresses of the operator's
// network: they are in the record, and not for the container.
var aboutAddresses = []netpolicy.Reason{netpolicy.ReasonPrivate, netpolicy.ReasonOwn, netpolicy.ReasonAddress, netpolicy.ReasonMetadata, netpolicy.ReasonLoopback}

// refuseRequest records and answers a request that policy refuses. The answer is
// for the one who wrote the program: which rule, and what would allow it.
func (w *Way) refuseRequest(rw http.ResponseWriter, q *request, status int, reason netpolicy.Reason, note string) {
	c := q.conn
	e := c.allowed()
	e.reason, e.method, e.path, e.note = reason, q.method, q.path, note
	e.suggest = w.now().policy.Suggest(q.dest, reason, c.decision.Protocol, q.method, q.path)
	w.deny(e)
	text := "mcprun refused this request: " + reason.Sentence()
	tell := !slices.Contains(aboutAddresses, reason)
	if note != "" && tell {
		text += " (" + note + ")"
	}
	if e.suggest != "" && tell {
		text += "\nto allow it, add to server.yaml:\n" + e.suggest
	}
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Header().Set("X-Mcprun-Refused", string(reason))
	rw.WriteHeader(status)
	fmt.Fprintln(rw, text)
}

// failRequest answers a request that was allowed and could not be made. Why stands
// in the record: an error can name hosts and files of the operator's, and what a
// program that prints a secret wrote to its log.
func (w *Way) failRequest(rw http.ResponseWriter, q *request, status int, err error) {
	e := q.conn.allowed()
	e.method, e.path = q.method, q.path
	w.fail(e, err.Error())
	http.Error(rw, "mcprun: the request was allowed and failed: "+outward(err)+"; the operator sees more with mcprun audit tail", status)
}

// outward is as much of an error as a container may know.
func outward(err error) string {
	var source *sourceError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &source):
		return "credential " + source.name + " cannot be had"
	case errors.As(err, &certificate):
		return "the host's certificate is not valid for it"
	case errors.Is(err, redact.ErrEncoding):
		return "the answer is packed in a way that cannot be searched for credentials"
	case errors.Is(err, errOverBytes):
		return errOverBytes.Error()
	case errors.Is(err, errUnresolved):
		return "its name was not resolved"
	}
	return "the host cannot be reached, or broke off"
}

// errUnresolved is the failure of a host's own resolver.
var errUnresolved = errors.New("resolving the name")

// over records that a request ended before its time.
func (w *Way) over(q *request, why string) {
	e := q.conn.allowed()
	e.method, e.path = q.method, q.path
	rec := w.record(e)
	rec.Verdict, rec.Risk, rec.Rule, rec.Outcome, rec.Reason = mcprun.Allow, mcprun.Low, ruleAllowed, outcomeCut, why
	w.append(rec)
}

// watchRefused records packets that are neither TCP nor a question for a name.
func (w *Way) watchRefused() {
	for {
		all, err := w.watcher.Next()
		if err != nil {
			return
		}
		for _, r := range all {
			w.deny(event{addr: r.To, protocol: r.Protocol, reason: netpolicy.ReasonProtocol, note: r.Protocol + " has no way out"})
		}
	}
}

// shown quotes what came from the container.
func shown(s string) string {
	const most = 80
	return fmt.Sprintf("%q", s[:min(len(s), most)])
}
