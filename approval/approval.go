// Package approval keeps calls that wait for a human, and what the human said.
//
// An approval is bound to what was shown: who asks, of which server, image and
// tool definition, with which arguments. It is good for one call, for a short
// time. The record is the only truth: a decision counts once it is on the disk,
// and an approval is used up by the very record of the call that it allows, so
// that after a crash it is either unused or used, never both.
//
// Who may approve is said by Rules, which the daemon takes from the operator's
// policy, and asked at every yes. Who it is that decides, and whether they proved to
// be a human, is what the caller says. What a human approves without reading it,
// passes.
package approval

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
)

const (
	// Life is how long a call may wait, and an approval be used, from when it was
	// asked: long enough for somebody to come back to the desk, too short for it to
	// be about something else.
	Life = 15 * time.Minute
	// maxWaiting bounds what waits: more is read by nobody.
	maxWaiting = 256
	// maxKept bounds what is remembered of what is over.
	maxKept = 1024
)

// Binding is what an approval is for. Two calls with the same one are the same to
// the human.
type Binding struct {
	Principal  mcprun.Principal
	Server     mcprun.ServerName
	Tool       mcprun.ToolName
	Image      mcprun.Digest
	ToolDigest mcprun.Digest
	ArgsDigest mcprun.Digest // over the canonical form
}

// State is what became of a call that waits.
type State uint8

const (
	Waiting State = iota
	Approved
	Denied
	Used
	Expired
)

func (s State) String() string {
	return [...]string{"waiting", "approved", "denied", "used", "expired"}[min(s, Expired)]
}

// Item is one call that waits, or waited.
type Item struct {
	ID string
	Binding
	Session string
	Call    mcprun.CallID // of the request that asked first
	Args    jsontext.Value
	Rule    string // which rule holds it
	Reason  string
	Score   int // of the risk
	Risks   []mcprun.Contribution
	Stated  mcprun.Justification // zero where none is demanded
	Basis   map[string]string    // further details for the record of the question
	Preview string               // what the tool's dry run answered; "" if there is none
	Needs   int                  // how many have to approve, as was asked for when it came; 0 is one
	Yes     []mcprun.Principal   // who approved so far; never one twice
	Asked   time.Time
	Until   time.Time
	State   State
	By      string // who decided
	Why     string
	Decided time.Time
}

// Recorder is the record.
type Recorder interface{ AppendDurable(*audit.Record) error }

// Desk holds the calls that wait. All methods may be called concurrently.
type Desk struct {
	// Rules returns the rules of this moment; nil stands for DefaultRules. Set it before
	// the first call. It must not call the desk.
	Rules func() Rules
	// Tell, where it is set, is called for each call that begins to wait, and when it
	// waits no more. Set it before the first call. It must neither block nor call the desk.
	Tell func(Item)

	record Recorder
	now    func() time.Time

	mu    sync.Mutex
	items map[string]*entry
	open  map[Binding]*entry // that wait, are approved and not used, or were denied, until they expire
	order []string           // ids, the oldest first

	changed chan struct{} // closed at the next change
}

type entry struct {
	Item
	decided chan struct{} // closed when it waits no more
}

var (
	// ErrFull means that too many calls wait.
	ErrFull = fmt.Errorf("%d calls wait for a human already", maxWaiting)
	// ErrUnknown means that no call with that id is known.
	ErrUnknown = errors.New("no call with this id waits")
	// ErrOver means that a call waits no more.
	ErrOver = errors.New("it waits no more")
)

// New returns a desk on which nothing lies.
func New(record Recorder, now func() time.Time) *Desk {
	return &Desk{record: record, now: now, items: map[string]*entry{}, open: map[Binding]*entry{}, changed: make(chan struct{})}
}

// detailID is where records name the approval that they are about.
const detailID = "approval"

const (
	detailImage = "image"
	detailUntil = "until"
	detailNeeds = "needs" // of a question: how many have to approve
	detailYes   = "yes"   // of an approval: "1 of 2", the latter as it was asked for then
	detailProof = "proof"
)

func (d *Desk) rules() Rules {
	if d.Rules == nil {
		return DefaultRules()
	}
	return d.Rules()
}

// Ask lays a call on the desk, or finds the one with the same binding that lies
// there, also one that was denied a short while ago. It is on the disk before
// anybody sees it.
func (d *Desk) Ask(i Item) (Item, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	i.Preview = cutPreview(i.Preview)
	if e := d.open[i.Binding]; e != nil {
		if e.State == Waiting {
			e.Needs = max(e.Needs, d.rules().needs(i)) // its tool may ask for more by now
		}
		return e.Item, nil
	}
	if len(d.open) >= maxWaiting {
		return Item{}, ErrFull
	}
	i.ID, i.Asked, i.State = newID(), d.now(), Waiting
	i.Until, i.Needs, i.Yes = i.Asked.Add(Life), d.rules().needs(i), nil
	rec := &audit.Record{
		Type: audit.TypePending, Call: i.Call, Server: i.Server, Tool: i.Tool, Principal: i.Principal, Session: i.Session, Risk: mcprun.High, Rule: i.Rule,
		Reason: i.Reason, ToolDigest: i.ToolDigest, ArgsDigest: i.ArgsDigest, Args: i.Args, Size: int64(len(i.Args)), Verdict: mcprun.Hold,
		Detail: map[string]string{detailID: i.ID, detailImage: string(i.Image), detailUntil: i.Until.UTC().Format(time.RFC3339Nano), detailNeeds: strconv.Itoa(i.Needs)},
	}
	for k, v := range i.Basis {
		if v != "" {
			rec.Detail[k] = v
		}
	}
	if i.Preview != "" {
		rec.Who, rec.Why = previewBy, i.Preview
	}
	audit.NoteRisk(rec, i.Score, i.Risks)
	audit.NoteJustification(rec, i.Stated)
	if err := d.record.AppendDurable(rec); err != nil {
		return Item{}, fmt.Errorf("recording that a call waits: %w", err)
	}
	d.told(d.add(i))
	return i, nil
}

// told passes a call on to who wants to be told; call it with mu held.
func (d *Desk) told(e *entry) {
	if d.Tell != nil {
		d.Tell(e.Item)
	}
}

// previewBy is whose words the record of a question has, where there is a preview.
const previewBy = "dry run"

// PreviewIn is the preview that the record of a question keeps.
func PreviewIn(r *audit.Record) string {
	if r.Type == audit.TypePending && r.Who == previewBy {
		return r.Why
	}
	return ""
}

// maxPreview bounds what is kept of a preview: what is shown is what the record keeps
// whole (audit.MaxText), as JSON writes it, with the note that it was cut.
const maxPreview = audit.MaxText - 64

// cutPreview cuts a preview to what is kept, and says so in its last line.
func cutPreview(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	size := 0
	for i, r := range text {
		quoted, _ := jsontext.AppendQuote(nil, string(r))
		if size += len(quoted) - len(`""`); size > maxPreview {
			return fmt.Sprintf("%s\n(cut: there are %d bytes more)", text[:i], len(text)-i)
		}
	}
	return text
}

// Open reports whether a call with this binding lies on the desk already.
func (d *Desk) Open(b Binding) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	return d.open[b] != nil
}

// Ready reports whether an approval of this binding waits to be used.
func (d *Desk) Ready(b Binding) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	e := d.open[b]
	return e != nil && e.State == Approved
}

func newID() string {
	var b [6]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return "a-" + hex.EncodeToString(b[:])
}

func (d *Desk) add(i Item) *entry {
	if old := d.open[i.Binding]; old != nil {
		d.expire(old) // when it is restored: that the same was asked again shows that it is over
	}
	e := &entry{Item: i, decided: make(chan struct{})}
	d.items[i.ID], d.open[i.Binding] = e, e
	d.order = append(d.order, i.ID)
	d.tell()
	return e
}

// sweep lets go of what is too old; call it with mu held.
func (d *Desk) sweep() {
	now := d.now()
	for _, e := range d.open {
		if !now.Before(e.Until) {
			d.expire(e)
		}
	}
	for len(d.order) > maxKept && d.open[d.items[d.order[0]].Binding] != d.items[d.order[0]] {
		delete(d.items, d.order[0])
		d.order = d.order[1:]
	}
}

// expire ends what an entry is open for, as time does; call it with mu held.
func (d *Desk) expire(e *entry) {
	d.close(e, map[bool]State{true: Denied, false: Expired}[e.State == Denied])
}

// close ends what an entry is open for; call it with mu held.
func (d *Desk) close(e *entry, s State) {
	waited := e.State == Waiting
	e.State = s
	delete(d.open, e.Binding)
	d.tell()
	if waited {
		close(e.decided)
		d.told(e)
	}
}

// Decide records what somebody said of a call that waits: by is how the kernel
// names them. One no denies it; it is approved once as many different people as it
// needs have said yes, each as the rules of that moment allow. What was said is on the
// disk before it counts.
func (d *Desk) Decide(id string, yes bool, by mcprun.Principal, proof Proof, why string) (Item, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	e := d.items[id]
	if e == nil {
		return Item{}, ErrUnknown
	}
	if e.State != Waiting {
		return e.Item, fmt.Errorf("%w: it is %s", ErrOver, e.State)
	}
	rec := &audit.Record{Type: audit.TypeApproval, Server: e.Server, Tool: e.Tool, Principal: by, Verdict: mcprun.Deny, Risk: mcprun.High, Who: string(by), Why: why,
		ToolDigest: e.ToolDigest, ArgsDigest: e.ArgsDigest, Detail: map[string]string{detailID: id, detailProof: proof.String()}}
	needs := e.Needs
	if yes {
		r := d.rules()
		if err := May(r, e.Item, by, proof); err != nil {
			return e.Item, err
		}
		needs = r.needs(e.Item)
		rec.Verdict, rec.Detail[detailYes] = mcprun.Allow, fmt.Sprintf(yesForm, len(e.Yes)+1, needs)
	}
	if err := d.record.AppendDurable(rec); err != nil {
		return e.Item, fmt.Errorf("recording the decision: %w", err)
	}
	e.Needs = needs
	d.decide(e, yes, by, why, d.now())
	return e.Item, nil
}

// yesForm is how a record says which yes of how many it is.
const yesForm = "%d of %d"

// decide takes over what the record has of a decision; call it with mu held.
func (d *Desk) decide(e *entry, yes bool, by mcprun.Principal, why string, at time.Time) {
	defer d.tell()
	e.Why, e.Decided = why, at
	if !yes {
		e.By = string(by)
		close(e.decided)
		e.State = Denied // and stays open: asking again must not wear the human down
		d.told(e)
		return
	}
	if !slices.Contains(e.Yes, by) {
		e.Yes = append(slices.Clone(e.Yes), by) // copies of the item keep theirs
	}
	e.By = names(e.Yes)
	if len(e.Yes) >= max(1, e.Needs) {
		close(e.decided)
		e.State = Approved
		d.told(e)
	}
}

// tell wakes those who watch; call it with mu held.
func (d *Desk) tell() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// Watch returns a channel that is closed at the next change of what List returns.
// What expires changes when somebody looks.
func (d *Desk) Watch() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// Take uses up the approval of a binding: write must write the record of the call,
// with what Mark adds to it, so that it is on the disk. It reports whether there
// was one; on an error of write nothing was used.
func (d *Desk) Take(b Binding, write func(id string) error) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	e := d.open[b]
	if e == nil || e.State != Approved {
		return false, nil
	}
	if err := write(e.ID); err != nil {
		return false, err
	}
	d.close(e, Used)
	return true, nil
}

// Mark notes in the record of a call which approval it uses up.
func Mark(rec *audit.Record, id string) {
	if rec.Detail == nil {
		rec.Detail = map[string]string{}
	}
	rec.Detail[detailID] = id
}

// Wait returns when a call waits no more, or stop is closed, with what it is then.
func (d *Desk) Wait(id string, stop <-chan struct{}) Item {
	d.mu.Lock()
	e := d.items[id]
	d.mu.Unlock()
	if e == nil {
		return Item{State: Expired}
	}
	expiry := time.NewTimer(e.Until.Sub(d.now()))
	defer expiry.Stop()
	select {
	case <-e.decided:
	case <-stop:
	case <-expiry.C:
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	return e.Item
}

// Get returns one call.
func (d *Desk) Get(id string) (Item, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	e := d.items[id]
	if e == nil {
		return Item{}, ErrUnknown
	}
	return e.Item, nil
}

// List returns all that is known, the newest first.
func (d *Desk) List() []Item {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	var out []Item
	for _, id := range slices.Backward(d.order) {
		out = append(out, d.items[id].Item)
	}
	return out
}

// Revoke denies all that waits or is approved and that a kill stops, which must not
// be outlived by a yes. What the record says of the kill covers it. It returns how many.
func (d *Desk) Revoke(stops func(Binding) bool) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.revoke(stops)
}

func (d *Desk) revoke(stops func(Binding) bool) (n int) {
	for b, e := range d.open {
		if stops(b) {
			e.Why = "killed"
			d.close(e, Denied)
			n++
		}
	}
	return n
}
