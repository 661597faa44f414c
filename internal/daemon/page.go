package daemon

import (
	"errors"
	"fmt"
	"os/user"
	"strings"
	"sync"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/web"
	"github.com/mcprun/mcprun/limits"
)

// Page says where the approval page is to be.
type Page struct {
	Off  bool
	Port uint16
	Must bool // the operator named the port: without it the daemon does not start
}

// page is the approval page of a daemon, or why there is none.
type page struct {
	srv   *web.Server
	why   error
	url   string // without a ticket
	close func()
}

// openPage serves the approval page. That its usual port is taken keeps nobody from
// running servers: it is recorded, and said to who asks for the page.
func (d *Daemon) openPage() error {
	d.page.close = func() {}
	if d.opts.Page.Off {
		d.page.why = errors.New("the daemon was started with -web off")
		return nil
	}
	ls, port, err := web.Listen(d.opts.Page.Port)
	if err == nil {
		if d.page.srv, err = web.New(&office{Daemon: d}, port, timeNow); err != nil {
			return err
		}
		d.page.close, d.page.url = d.page.srv.Serve(ls), fmt.Sprintf("http://localhost:%d/", port)
		return nil
	}
	d.page.why = fmt.Errorf("the daemon could not serve it when it started: %w", err)
	if d.opts.Page.Must {
		return &mcprun.Error{Class: mcprun.Failed, What: "serving the approval page", Err: err, Hint: "another -web localhost:PORT, or -web off"}
	}
	d.opts.Log.Warn("there is no approval page; -web localhost:PORT names another port", "err", err)
	return d.record.Append(&audit.Record{Type: audit.TypeNote, Reason: "there is no approval page: " + err.Error()})
}

// pageAddress gives an operator an address that opens the page once. Whoever has it
// can see what waits and say no, so that it is recorded.
func (d *Daemon) pageAddress(c *control.Call) (*control.Result, error) {
	doing := "opening the approval page"
	if d.page.srv == nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Err: d.page.why, Hint: "mcprund -web localhost:PORT; until then: mcprun approvals, approve and deny"}
	}
	address, err := d.addressFor(c.Peer.Principal())
	if err != nil {
		return nil, withContext(doing, err)
	}
	return &control.Result{Page: address}, nil
}

// addressFor makes and records an address for an operator, on a daemon that has a page.
func (d *Daemon) addressFor(who mcprun.Principal) (string, error) {
	if err := d.record.AppendDurable(&audit.Record{Type: audit.TypeNote, Principal: who, Who: string(who), Reason: "asked for an address of the approval page"}); err != nil {
		return "", fmt.Errorf("it cannot be recorded: %w", err)
	}
	return d.page.srv.Address(who)
}

// office is the daemon as the page sees it.
type office struct {
	*Daemon
	mu    sync.Mutex
	names map[mcprun.Principal]string
}

func (o *office) Calls() []approval.Item { return o.desk.List() }
func (o *office) Watch() <-chan struct{} { return o.desk.Watch() }

func (o *office) Status() web.Status {
	st := web.Status{Servers: []web.ServerLine{}, Kills: []string{}}
	for _, s := range o.all() {
		one := s.status()
		st.Servers = append(st.Servers, web.ServerLine{Name: one.Name, State: one.State, Why: one.Why, Clients: one.Clients, InFlight: one.InFlight})
	}
	for _, k := range o.switches.All() {
		st.Kills = append(st.Kills, fmt.Sprintf("%s by %s: %s%s", k.Target, o.Name(mcprun.Principal(k.Who)), k.Why, o.wouldRevive(k, o.Name)))
	}
	return st
}

// maxNames bounds the names that are remembered; they are looked up anew then.
const maxNames = 1024

// Name adds to a principal the name of its user on this host.
func (o *office) Name(p mcprun.Principal) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if name, ok := o.names[p]; ok {
		return name
	}
	name := called(p)
	if len(o.names) >= maxNames || o.names == nil {
		o.names = map[mcprun.Principal]string{}
	}
	o.names[p] = name
	return name
}

// called is how people call a principal: by the name of its user on this host, too.
func called(p mcprun.Principal) string {
	if uid, ok := strings.CutPrefix(string(p), "uid:"); ok {
		if u, err := user.LookupId(uid); err == nil {
			return u.Username + " (" + string(p) + ")"
		}
	}
	return string(p)
}

func (o *office) Decide(id string, yes bool, by mcprun.Principal, proof approval.Proof, why string) error {
	_, err := o.settle(id, yes, by, proof, strings.TrimSpace(why))
	return err
}

func (o *office) Kill(t limits.Target, by, why, way string) (*control.KillReport, error) {
	return o.killNamed(newKill(t, by, why, way), nil)
}

func (o *office) Refused(by mcprun.Principal, request, why string) {
	rec := &audit.Record{Type: audit.TypeAccessDenied, Principal: by, Method: request, Reason: "approval page: " + why}
	if err := o.record.Append(rec); err != nil {
		o.opts.Log.Error("recording a refusal of the approval page", "err", err)
	}
}
