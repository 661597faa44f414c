// Package web is the page on which a human sees the calls that wait and decides. The
// daemon serves it on loopback.
//
// It has no cookies: mcprun approvals page prints an address with a ticket that is
// good once; the page swaps it for a token, keeps that in its tab and sends it as a
// header. So another page in the same browser has nothing to ride on. Every request is
// held against the name it was sent to, the origin it came from and what the browser
// says of it. A GET changes nothing.
//
// A token lets its bearer see what waits and say no: an agent that runs as an operator
// can have one. A yes needs what it has not: a code of the operator's authenticator, or a
// passkey's signature over what is shown.
//
// It does not protect from root, from what runs inside the browser (extensions, a
// debugger), or from a human who says yes without reading. Any user of the host can
// connect, and take up its connections; the commands do not depend on them.
package web

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/time/rate"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/approval/passkey"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/limits"
)

//go:embed assets
var assets embed.FS

const (
	// maxBody bounds what the page sends: an id, a digest and a reason, and a code or what
	// a passkey answers (the bounds of package passkey add up to less).
	maxBody = 8 << 10
	// maxHeader bounds a request's headers; ours take less than one KB.
	maxHeader = 16 << 10
	// Time that one request may take to arrive, and an answer to leave; connections
	// of a page that is gone do not pile up.
	headerTimeout, readTimeout, writeTimeout, idleTimeout = 5 * time.Second, 10 * time.Second, 30 * time.Second, 2 * time.Minute
	// maxWhy bounds a reason that is typed: a screen of it.
	maxWhy = 1000
	// refusalEvery and refusalBurst bound what strangers can have written into the record.
	refusalEvery, refusalBurst = 10 * time.Second, 20
)

// Office is what the page shows and asks for: the daemon. All methods may be called
// concurrently.
type Office interface {
	Authenticators
	// Calls returns those that wait or waited, the newest first.
	Calls() []approval.Item
	// Watch returns a channel that is closed when Calls may return something else.
	Watch() <-chan struct{}
	Status() Status
	// Name is how people call a principal.
	Name(mcprun.Principal) string
	// Decide records a decision, by the rules that hold for every way to decide.
	Decide(id string, yes bool, by mcprun.Principal, proof approval.Proof, why string) error
	// Kill stops what is named as mcprun kill does; way is how it was asked for.
	Kill(t limits.Target, by, why, way string) (*control.KillReport, error)
	// Automation reports whether this is the key of programs that may kill.
	Automation(key string) bool
	// Refused records a request that was turned away; by may be empty.
	Refused(by mcprun.Principal, request, why string)
}

// Status is what runs, and what was stopped.
type Status struct {
	Servers []ServerLine `json:"servers"`
	Kills   []string     `json:"kills"`
}

// ServerLine is one server.
type ServerLine struct {
	Name     mcprun.ServerName `json:"name"`
	State    string            `json:"state"`
	Why      string            `json:"why,omitzero"`
	Clients  int               `json:"clients"`
	InFlight int               `json:"inFlight"`
}

// Server answers for the page.
type Server struct {
	office   Office
	now      func() time.Time
	host     string // as in the header
	origin   string
	tickets  *keys
	sessions *keys
	passkeys *passkey.Site
	refusals *rate.Limiter
	guesses  *rate.Limiter // of the automation key
	mux      *http.ServeMux
	stop     chan struct{} // closed when streams are to end

	mu      sync.Mutex
	streams map[mcprun.Principal]int
}

// New returns what answers for the page at http://localhost:port.
func New(office Office, port uint16, now func() time.Time) (*Server, error) {
	host := passkey.Name + ":" + strconv.Itoa(int(port))
	passkeys, err := passkey.New("http://"+host, now)
	if err != nil {
		return nil, err
	}
	s := &Server{office: office, now: now, host: host, origin: "http://" + host, tickets: newKeys(now, ticketLife), sessions: newKeys(now, sessionLife), passkeys: passkeys,
		refusals: rate.NewLimiter(rate.Every(refusalEvery), refusalBurst), guesses: rate.NewLimiter(rate.Every(guessEvery), guessBurst), mux: http.NewServeMux(), stop: make(chan struct{}), streams: map[mcprun.Principal]int{}}
	s.mux.HandleFunc("GET /", s.file)
	s.mux.HandleFunc("POST /api/enter", s.enter)
	s.api("POST /api/leave", s.leave)
	s.api("GET /api/events", s.events)
	s.api("GET /api/call", s.call)
	s.api("POST /api/approve", s.approve)
	s.api("POST /api/deny", s.deny)
	s.api("POST /api/kill", s.kill)
	s.api("POST /api/stop", s.stopIt)
	s.passkeyAPI()
	return s, nil
}

// Address returns one that opens the page for an operator, once.
func (s *Server) Address(who mcprun.Principal) (string, error) {
	ticket, err := s.tickets.mint(grant{Who: who})
	if err != nil {
		return "", err
	}
	return s.origin + "/#ticket=" + ticket, nil // the part behind # is sent to nobody
}

// Automation is where programs with the key for it kill.
func (s *Server) Automation() string { return s.origin + automationPath }

// Serve answers on the listeners until end is called.
func (s *Server) Serve(ls []net.Listener) (end func()) {
	srv := &http.Server{Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader}
	for _, l := range ls {
		go srv.Serve(l) // until it is shut down
	}
	return sync.OnceFunc(func() {
		close(s.stop)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			srv.Close()
		}
	})
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	harden(w.Header())
	if r.Host == strings.Replace(s.host, "localhost", "127.0.0.1", 1) && r.Method == http.MethodGet && r.URL.Path == "/" {
		http.Redirect(w, r, s.origin+"/", http.StatusTemporaryRedirect) // the page has one origin
		return
	}
	if r.URL.Path == automationPath {
		s.automation(w, r)
		return
	}
	if err := s.guard(r); err != nil {
		s.refuse("", r, err.Error())
		fail(w, &mcprun.Error{Class: mcprun.Denied, What: "asking the approval page", Why: err.Error(), Hint: "mcprun approvals page"}, http.StatusForbidden)
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Server) refuse(by mcprun.Principal, r *http.Request, why string) {
	if s.refusals.Allow() {
		s.office.Refused(by, r.Method+" "+clip(r.URL.Path), why)
	}
}

func clip(s string) string { return s[:min(len(s), 200)] }

// files are what the page consists of.
var files = map[string]string{
	"/": "text/html; charset=utf-8", "/page.js": "text/javascript; charset=utf-8", "/passkey.js": "text/javascript; charset=utf-8", "/style.css": "text/css; charset=utf-8", "/icon.svg": "image/svg+xml",
}

func (s *Server) file(w http.ResponseWriter, r *http.Request) {
	kind, ok := files[r.URL.Path]
	if !ok {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	name := path.Base(r.URL.Path)
	if r.URL.Path == "/" {
		name = "page.html"
	}
	raw, err := assets.ReadFile("assets/" + name)
	if err != nil {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Write(raw)
}

// session is who asks.
type session struct {
	grant
	token string
}

// api registers what needs a token.
func (s *Server) api(pattern string, h func(http.ResponseWriter, *http.Request, session) error) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		token := bearer(r)
		g, err := s.sessions.check(token)
		if err != nil {
			s.refuse("", r, "no valid token")
			fail(w, &mcprun.Error{Class: mcprun.Denied, What: "opening the page", Err: err, Hint: "mcprun approvals page"}, http.StatusUnauthorized)
			return
		}
		if err := h(w, r, session{g, token}); err != nil {
			var e *mcprun.Error
			if errors.As(err, &e) && e.Class == mcprun.Denied {
				s.refuse(g.Who, r, e.Error())
			}
			fail(w, err, http.StatusConflict)
		}
	})
}

// enter swaps a ticket for a token. The token is new in each case: nobody can have
// known it before.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Ticket string `json:"ticket"`
	}
	err := read(r, &in)
	var g grant
	if err == nil {
		g, err = s.tickets.use(in.Ticket)
	}
	if err != nil {
		s.refuse("", r, err.Error())
		fail(w, &mcprun.Error{Class: mcprun.Denied, What: "opening the page", Err: err, Hint: "mcprun approvals page"}, http.StatusUnauthorized)
		return
	}
	token, err := s.sessions.mint(grant{Who: g.Who})
	if err != nil {
		fail(w, err, http.StatusServiceUnavailable)
		return
	}
	answer(w, map[string]string{"token": token})
}

// leave ends a session.
func (s *Server) leave(w http.ResponseWriter, r *http.Request, by session) error {
	s.sessions.drop(by.token)
	answer(w, struct{}{})
	return nil
}

// said is what the page sends with a decision.
type said struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

// yes is what the page sends with an approval: Shown is the digest of what the human
// was shown when they said it.
type yes struct {
	said
	Shown   mcprun.Digest `json:"shown"`
	Code    string        `json:"code,omitzero"`
	Passkey *passkey.Yes  `json:"passkey,omitzero"` // in place of a code
}

// approve takes a yes to what was shown. Whoever has the token may be an agent, so the
// page takes none without a proof, whatever the rules ask for. The proof is taken last:
// what is refused for another reason leaves a code good.
func (s *Server) approve(w http.ResponseWriter, r *http.Request, by session) error {
	var in yes
	if err := read(r, &in); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	item, subject, err := s.approvable(in.ID, in.Shown)
	if err != nil {
		return err
	}
	proof, err := s.prove(by, item, subject, in)
	if err != nil {
		return err
	}
	if err := s.office.Decide(item.ID, true, by.Who, proof, in.Why); err != nil {
		return err
	}
	answer(w, struct{}{})
	return nil
}

// approvable returns a call that can be approved here as a human was shown it, and what
// a passkey signs of it: all that is known of it at this moment.
func (s *Server) approvable(id string, was mcprun.Digest) (approval.Item, passkey.Subject, error) {
	item, shown, err := s.shown(id)
	if err != nil {
		return item, passkey.Subject{}, err
	}
	now := shown.Digest()
	switch {
	case item.State != approval.Waiting:
		err = cannot(item, "it is "+item.State.String(), "")
	case shown.TooLong:
		err = cannot(item, "its arguments are too long to be read here", "mcprun approvals has them whole")
	case now == "" || was != now:
		err = cannot(item, "it is shown differently by now", "look at it again")
	}
	if err != nil {
		return item, passkey.Subject{}, err
	}
	return item, passkey.Call(item.ID, item.Principal, item.ArgsDigest, item.ToolDigest, now), nil
}

func cannot(item approval.Item, why, hint string) error {
	return &mcprun.Error{Class: mcprun.Denied, What: "approving " + item.ID, Why: why, Hint: hint}
}

// prove takes the code or the passkey that came with a yes.
func (s *Server) prove(by session, item approval.Item, subject passkey.Subject, in yes) (proof approval.Proof, err error) {
	codes, passkeys := s.office.Has(by.Who)
	switch {
	case !codes && !passkeys:
		err = cannot(item, "no authenticator of yours counts, and this page takes no approval without one", "mcprun approvals enroll")
	case in.Passkey != nil && in.Code != "":
		err = cannot(item, "there is a code and a passkey", "send one of them")
	case in.Passkey != nil:
		proof, err = s.sign(by, item.ID, subject, *in.Passkey)
	default:
		proof, err = s.office.Prove(by.Who, in.Code, item.ID)
	}
	if err == nil && proof == approval.Unproven {
		err = cannot(item, "nothing proves that a human is there", "")
	}
	return proof, err
}

func (s *Server) deny(w http.ResponseWriter, r *http.Request, by session) error {
	in, err := s.said(r)
	if err == nil {
		err = s.office.Decide(in.ID, false, by.Who, approval.Unproven, in.Why)
	}
	if err != nil {
		return err
	}
	answer(w, struct{}{})
	return nil
}

// kill denies a call and stops its server.
func (s *Server) kill(w http.ResponseWriter, r *http.Request, by session) error {
	in, err := s.said(r)
	if err != nil {
		return err
	}
	item, err := s.find(in.ID)
	if err != nil {
		return err
	}
	// The kill goes on whatever became of the call.
	if item.State == approval.Waiting {
		err = s.office.Decide(in.ID, false, by.Who, approval.Unproven, in.Why)
	}
	why := in.Why
	if why == "" {
		why = "asked on the approval page, at call " + in.ID
	}
	_, kerr := s.office.Kill(limits.Target{Server: item.Server}, string(by.Who), why, "page")
	if err := errors.Join(kerr, err); err != nil {
		return err
	}
	answer(w, struct{}{})
	return nil
}

func (s *Server) said(r *http.Request) (said, error) {
	var in said
	if err := read(r, &in); err != nil {
		return in, err
	}
	return in, in.check()
}

func (in said) check() error {
	if len(in.Why) > maxWhy {
		return &mcprun.Error{Class: mcprun.Usage, What: "deciding", Why: fmt.Sprintf("the reason is longer than %d bytes", maxWhy)}
	}
	return nil
}

func (s *Server) find(id string) (approval.Item, error) {
	for _, i := range s.office.Calls() {
		if i.ID == id {
			return i, nil
		}
	}
	return approval.Item{}, &mcprun.Error{Class: mcprun.Usage, What: "looking at " + clip(id), Err: approval.ErrUnknown}
}

// read takes the one JSON object that a request carries.
func read(r *http.Request, into any) error {
	wrong := func(why string) error {
		return &mcprun.Error{Class: mcprun.Usage, What: "reading the request", Why: why}
	}
	if r.Header.Get("Content-Type") != "application/json" {
		return wrong("it is not JSON")
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return wrong(err.Error())
	}
	if len(raw) > maxBody {
		return wrong(fmt.Sprintf("it is over %d bytes", maxBody))
	}
	if err := json.Unmarshal(raw, into, json.RejectUnknownMembers(true)); err != nil {
		return wrong(err.Error())
	}
	return nil
}

func answer(w http.ResponseWriter, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		fail(w, err, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(raw)
}

func fail(w http.ResponseWriter, err error, status int) {
	e := &mcprun.Error{}
	if !errors.As(err, &e) {
		e = &mcprun.Error{Class: mcprun.Failed, What: err.Error()}
	}
	out := *e
	if out.Why == "" && out.Err != nil {
		out.Why = out.Err.Error()
	}
	raw, err := json.Marshal(map[string]any{"error": out})
	if err != nil {
		http.Error(w, "the error cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(raw)
}
