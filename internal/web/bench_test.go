package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/approval/factors"
	"github.com/mcprun/mcprun/approval/passkey"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/limits"
)

// desk is a real desk with an office around it that notes what it was asked for.
type desk struct {
	*approval.Desk
	mu      sync.Mutex
	records []audit.Record
	killed  []string
	refused []string
	proofs  []approval.Proof
	none    bool // no authenticator that shows codes is set up
	book    *factors.Book
	used    bool // its one code, goodCode
}

func (d *desk) AppendDurable(r *audit.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records = append(d.records, *r)
	return nil
}

func (d *desk) Calls() []approval.Item         { return d.List() }
func (d *desk) Status() Status                 { return Status{Servers: []ServerLine{}, Kills: []string{}} }
func (d *desk) Name(p mcprun.Principal) string { return string(p) }
func (d *desk) Refused(_ mcprun.Principal, request, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = append(d.refused, request+": "+why)
}

func (d *desk) Decide(id string, yes bool, by mcprun.Principal, proof approval.Proof, why string) error {
	if yes && proof == approval.Unproven {
		return &mcprun.Error{Class: mcprun.Denied, What: "deciding", Why: "no proof"}
	}
	_, err := d.Desk.Decide(id, yes, by, proof, why)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proofs = append(d.proofs, proof)
	return err
}

const goodCode = "123456"

func (d *desk) note(f factors.Factor) error {
	return d.AppendDurable(&audit.Record{Type: audit.TypeFactor, Reason: f.ID})
}

func (d *desk) Has(by mcprun.Principal) (codes, passkeys bool) {
	_, passkeys = d.book.Has(by)
	return !d.none, passkeys
}

func (d *desk) Passkeys(by mcprun.Principal, all bool) []passkey.Credential {
	return d.book.Passkeys(by, all)
}

func (d *desk) Sign(by mcprun.Principal, about string, check func([]passkey.Credential) (passkey.Credential, error)) (approval.Proof, error) {
	if _, err := d.book.Sign(by, check, d.note); err != nil {
		return approval.Unproven, &mcprun.Error{Class: mcprun.Denied, What: "proving", Err: err}
	}
	return approval.ByPasskey, nil
}

func (d *desk) Known() (out []control.Authenticator) {
	for _, f := range d.book.List() {
		state := control.AuthenticatorWaits
		if f.Counts() {
			state = control.AuthenticatorCounts
		}
		out = append(out, control.Authenticator{ID: f.ID, Person: f.Person, State: state})
	}
	return out
}

func (d *desk) Factor(id string) (factors.Factor, error) { return d.book.Get(id) }
func (d *desk) AddPasskey(by mcprun.Principal, key passkey.Credential) (control.Authenticator, error) {
	f, err := d.book.AddPasskey(by, key, d.note)
	return control.Authenticator{ID: f.ID, Person: by, State: control.AuthenticatorWaits}, err
}

func (d *desk) MayConfirm(by mcprun.Principal, f factors.Factor, proof approval.Proof) error {
	return factors.MayConfirm(f, factors.Authority{By: by, Proof: proof})
}

func (d *desk) MayRemove(by mcprun.Principal, f factors.Factor, proof approval.Proof) error {
	return factors.MayRemove(f, factors.Authority{By: by, Proof: proof})
}

func (d *desk) Confirm(by mcprun.Principal, id, newCode string, proof approval.Proof) error {
	_, err := d.book.Confirm(id, newCode, factors.Authority{By: by, Proof: proof}, d.note)
	return err
}

func (d *desk) Remove(by mcprun.Principal, id string, proof approval.Proof) error {
	_, err := d.book.Remove(id, factors.Authority{By: by, Proof: proof}, d.note)
	return err
}

func (d *desk) Prove(_ mcprun.Principal, code, _ string) (approval.Proof, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.none || d.used || code != goodCode {
		return approval.Unproven, &mcprun.Error{Class: mcprun.Denied, What: "approving", Err: factors.ErrCode}
	}
	d.used = true
	return approval.ByCode, nil
}

func (d *desk) Kill(t limits.Target, by, why, way string) (*control.KillReport, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.killed = append(d.killed, fmt.Sprintf("%s by %s: %s", t, by, why))
	return &control.KillReport{Target: t.String()}, nil
}

const goodKey = "0123456789012345678901234567890123456789012"

func (d *desk) Automation(key string) bool { return key == goodKey }

func (d *desk) changes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.records) + len(d.killed)
}

// bench is a page under test.
type bench struct {
	t testing.TB
	*Server
	desk *desk
	at   time.Time
	mu   sync.Mutex
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = b.at.Add(d)
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, at: time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)}
	d := &desk{}
	d.Desk = approval.New(d, b.clock)
	var err error
	if d.book, err = factors.Open(filepath.Join(t.TempDir(), "authenticators.json"), "", b.clock); err != nil {
		t.Fatal(err)
	}
	b.desk = d
	if b.Server, err = New(d, 7787, b.clock); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) ask(args string) approval.Item {
	b.t.Helper()
	i, err := b.desk.Ask(approval.Item{Binding: approval.Binding{Principal: "uid:1000", Server: "files", Tool: "write_file", ToolDigest: "sha256:t", ArgsDigest: mcprun.Digest("sha256:" + args)}, Args: jsontext.Value(args), Reason: "writes"})
	if err != nil {
		b.t.Fatal(err)
	}
	return i
}

// request is one as the page's script makes it.
func (b *bench) request(method, path, token, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest(method, "http://localhost:7787"+path, strings.NewReader(body))
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Dest", "empty")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if method == "POST" {
		r.Header.Set("Origin", "http://localhost:7787")
		r.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

// enter opens a session as the page does.
func (b *bench) enter(who mcprun.Principal) string {
	b.t.Helper()
	w := b.request("POST", "/api/enter", "", fmt.Sprintf(`{"ticket":%q}`, b.ticket(who)))
	var out struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 || len(out.Token) < 40 {
		b.t.Fatalf("entering: %d %s", w.Code, w.Body)
	}
	return out.Token
}

func (b *bench) ticket(who mcprun.Principal) string {
	b.t.Helper()
	address, err := b.Address(who)
	if err != nil {
		b.t.Fatal(err)
	}
	ticket, ok := strings.CutPrefix(address, "http://localhost:7787/#ticket=")
	if !ok {
		b.t.Fatalf("address %q", address)
	}
	return ticket
}

func set(key, value string) func(*http.Request) {
	return func(r *http.Request) {
		if r.Header.Del(key); value != "" {
			r.Header.Set(key, value)
		}
		if key == "Host" {
			r.Host = value
		}
	}
}
