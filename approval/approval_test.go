package approval

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/limits"
)

// records is a record in memory; it fails when it is told to.
type records struct {
	mu   sync.Mutex
	all  []*audit.Record
	fail error
}

func (r *records) AppendDurable(rec *audit.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	c := *rec
	r.all = append(r.all, &c)
	return nil
}

type clock struct{ t atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_800_000_000, c.t.Load()) }
func (c *clock) advance(d time.Duration) { c.t.Add(int64(d)) }

func item(args string) Item {
	return Item{Binding: Binding{Principal: "uid:1", Server: "files", Tool: "write", Image: "sha256:i", ToolDigest: "sha256:t", ArgsDigest: mcprun.Digest("sha256:" + args)},
		Args: jsontext.Value(`{"a":"` + args + `"}`), Rule: "risk.high", Call: "c-1"}
}

func desk() (*Desk, *records, *clock) {
	r, c := &records{}, &clock{}
	return New(r, c.now), r, c
}

func ask(t *testing.T, d *Desk, args string) Item {
	t.Helper()
	i, err := d.Ask(item(args))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func take(t *testing.T, d *Desk, b Binding) bool {
	t.Helper()
	ok, err := d.Take(b, func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// An approval is good once, for exactly what was shown, and for a time.
func TestApproval(t *testing.T) {
	d, r, c := desk()
	i := ask(t, d, "x")
	if again := ask(t, d, "x"); again.ID != i.ID || len(r.all) != 1 {
		t.Errorf("the same call again is %s, %d records; want %s and one", again.ID, len(r.all), i.ID)
	}
	if take(t, d, i.Binding) {
		t.Error("taken before anybody decided")
	}
	if _, err := d.Decide(i.ID, true, "uid:2", Unproven, "fine"); err != nil {
		t.Fatal(err)
	}
	other := i.Binding
	for name, change := range map[string]func(*Binding){
		"principal": func(b *Binding) { b.Principal = "uid:9" }, "server": func(b *Binding) { b.Server = "x" }, "tool": func(b *Binding) { b.Tool = "x" },
		"image": func(b *Binding) { b.Image = "x" }, "definition": func(b *Binding) { b.ToolDigest = "x" }, "arguments": func(b *Binding) { b.ArgsDigest = "x" },
	} {
		b := other
		change(&b)
		if take(t, d, b) {
			t.Errorf("taken for another %s", name)
		}
	}
	if _, err := d.Take(i.Binding, func(string) error { return errors.New("disk full") }); err == nil {
		t.Error("taken though the record failed")
	}
	if !take(t, d, i.Binding) || take(t, d, i.Binding) {
		t.Error("it is not good exactly once")
	}
	if _, err := d.Decide(i.ID, true, "uid:2", Unproven, ""); !errors.Is(err, ErrOver) {
		t.Errorf("decided again: %v", err)
	}
	// One that nobody uses expires, and so does one that nobody decides.
	approved, waits := ask(t, d, "y"), ask(t, d, "z")
	if _, err := d.Decide(approved.ID, true, "uid:2", Unproven, ""); err != nil {
		t.Fatal(err)
	}
	c.advance(Life)
	if take(t, d, approved.Binding) {
		t.Error("taken after it expired")
	}
	if _, err := d.Decide(waits.ID, true, "uid:2", Unproven, ""); !errors.Is(err, ErrOver) {
		t.Errorf("decided after it expired: %v", err)
	}
	if n := ask(t, d, "z"); n.ID == waits.ID {
		t.Error("asked again it has the old id")
	}
	if _, err := d.Decide("a-unknown", true, "uid:2", Unproven, ""); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown id: %v", err)
	}
}

// What cannot be recorded does not happen.
func TestNothingWithoutARecord(t *testing.T) {
	d, r, _ := desk()
	i := ask(t, d, "x")
	r.fail = errors.New("disk full")
	if _, err := d.Ask(item("y")); err == nil {
		t.Error("asked")
	}
	if _, err := d.Decide(i.ID, true, "uid:2", Unproven, ""); err == nil {
		t.Error("decided")
	}
	r.fail = nil
	if got, err := d.Get(i.ID); err != nil || got.State != Waiting {
		t.Errorf("afterwards: %v, %v", got.State, err)
	}
	if len(d.List()) != 1 {
		t.Errorf("on the desk: %v", d.List())
	}
}

func TestFull(t *testing.T) {
	d, _, _ := desk()
	for n := range maxWaiting {
		ask(t, d, fmt.Sprint(n))
	}
	if _, err := d.Ask(item("one more")); !errors.Is(err, ErrFull) {
		t.Errorf("one more: %v", err)
	}
}

func TestWait(t *testing.T) {
	d, _, _ := desk()
	i := ask(t, d, "x")
	stop := make(chan struct{})
	close(stop)
	if got := d.Wait(i.ID, stop); got.State != Waiting {
		t.Errorf("when it is stopped: %v", got.State)
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		d.Decide(i.ID, false, "uid:2", Unproven, "no")
	}()
	if got := d.Wait(i.ID, nil); got.State != Denied || got.Why != "no" {
		t.Errorf("when it is denied: %+v", got)
	}
	if again := ask(t, d, "x"); again.ID != i.ID || again.State != Denied || take(t, d, i.Binding) {
		t.Errorf("asked again at once: %+v", again)
	}
	j := ask(t, d, "y")
	go func() {
		time.Sleep(20 * time.Millisecond)
		d.Revoke(Stops(limits.Target{Server: "files"}, nil))
	}()
	if got := d.Wait(j.ID, nil); got.State != Denied {
		t.Errorf("when the server is killed: %+v", got)
	}
}

// What expired unused and was asked again stood as approved after a restart, or could
// still be answered, though nothing could use it.
func TestExpiredOverARestart(t *testing.T) {
	d, r, c := desk()
	approved, waits := ask(t, d, "x"), ask(t, d, "y")
	say(t, d, approved.ID, true, "uid:2")
	c.advance(Life)
	again := ask(t, d, "x")
	ask(t, d, "y")
	restored := New(&records{}, c.now)
	for _, rec := range r.all {
		restored.Restore(rec)
	}
	for _, id := range []string{approved.ID, waits.ID} {
		if got, err := restored.Get(id); err != nil || got.State != Expired {
			t.Errorf("%s: %s, %v", id, got.State, err)
		}
	}
	if _, err := restored.Decide(waits.ID, true, "uid:2", Unproven, ""); !errors.Is(err, ErrOver) {
		t.Errorf("the old question is answered: %v", err)
	}
	if got := say(t, restored, again.ID, true, "uid:2"); got.State != Approved {
		t.Errorf("the new one: %s", got.State)
	}
}

// What a dry run said is on the disk with the question, as it was shown.
func TestPreviewIsKept(t *testing.T) {
	d, r, c := desk()
	i := item("x")
	i.Preview = strings.Repeat("\u202e\"é\n", 5000) + "\xff"
	shown, err := d.Ask(i)
	if err != nil {
		t.Fatal(err)
	}
	if len(shown.Preview) > audit.MaxText || !strings.Contains(shown.Preview, "(cut: there are ") {
		t.Errorf("%d bytes are shown", len(shown.Preview))
	}
	raw, err := audit.Body(r.all[0])
	if quoted, _ := jsontext.AppendQuote(nil, shown.Preview); err != nil || !strings.Contains(string(raw), string(quoted)) {
		t.Errorf("the record does not have all of it: %v", err)
	}
	again := New(r, c.now)
	again.Restore(r.all[0])
	if got, err := again.Get(shown.ID); err != nil || got.Preview != shown.Preview {
		t.Errorf("after a crash: %v, %d bytes", err, len(got.Preview))
	}
}

// Who watches is told of each change at once. A no once told nobody, and a page showed
// the call as waiting until it looked again by itself.
func TestWatch(t *testing.T) {
	d, _, c := desk()
	told := func(what string, change func()) {
		t.Helper()
		before := d.Watch()
		select {
		case <-before:
			t.Fatalf("%s: told of it before", what)
		default:
		}
		change()
		select {
		case <-before:
		default:
			t.Errorf("%s: nobody was told", what)
		}
	}
	var i, j, k Item
	told("asked", func() { i = ask(t, d, "x") })
	told("denied", func() { d.Decide(i.ID, false, "uid:2", Unproven, "no") })
	j = ask(t, d, "y")
	told("approved", func() { d.Decide(j.ID, true, "uid:2", Unproven, "") })
	told("used", func() { take(t, d, j.Binding) })
	k = ask(t, d, "z")
	told("killed", func() { d.Revoke(Stops(limits.Target{Server: k.Server}, nil)) })
	ask(t, d, "w")
	c.advance(Life)
	told("expired, when somebody looks", func() { d.List() })
}
