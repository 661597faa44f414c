// Package factors keeps the authenticators with which people prove that they are
// there: those that show codes (TOTP), and passkeys. Each belongs to one person, and
// counts only from when root, or somebody whose own counts already, has confirmed it:
// an agent that runs as an operator can set one up, and gains nothing by it.
//
// Who may confirm or remove is decided here, by what the caller says of who asks. What
// happens is recorded before it counts. What passkeys sign is checked by the package
// passkey; here is kept whose they are.
//
// Whoever can read the daemon's folder of keys, as root can, can make codes and add
// authenticators: it keeps apart who shares a user with the agent, not who owns the
// machine. A code says nothing of what it is for: who reads it while it is typed can
// use it for something else. One human who has two users is two people.
package factors

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval/passkey"
	"github.com/mcprun/mcprun/internal/atomicfile"
)

const (
	// confirmWithin is how long a new one waits to be confirmed: time to find an
	// administrator, too short for it to lie about until somebody takes it for another.
	confirmWithin = 24 * time.Hour
	// maxPending and maxPasskeys bound those of one person; of the former the oldest
	// gives way. More passkeys than these nobody keeps track of.
	maxPending  = 4
	maxPasskeys = 8
)

// Kind is what an authenticator does.
type Kind string

const (
	Code    Kind = "code"    // shows codes
	Passkey Kind = "passkey" // signs
)

var (
	// ErrNone means that somebody has no authenticator of the kind that counts.
	ErrNone = errors.New("no authenticator of yours counts")
	// ErrUnknown means that there is no authenticator with an id.
	ErrUnknown = errors.New("there is no authenticator with this id")
)

// Factor is what may be known of an authenticator: it holds no secret.
type Factor struct {
	ID        string           `json:"id"`
	Person    mcprun.Principal `json:"person"`
	Kind      Kind             `json:"kind"`
	Added     time.Time        `json:"added"`
	Confirmed time.Time        `json:"confirmed,omitzero"` // zero: it does not count
	By        mcprun.Principal `json:"by,omitzero"`        // who confirmed it
	Used      time.Time        `json:"used,omitzero"`      // last
	Cloned    time.Time        `json:"cloned,omitzero"`    // when its counter went back: from then on it does not count
	Synced    bool             `json:"synced,omitzero"`    // a passkey that its owner's devices share
	What      mcprun.Digest    `json:"what"`               // the digest of what it consists of
}

// Counts reports whether it proves anything.
func (f Factor) Counts() bool { return !f.Confirmed.IsZero() && f.Cloned.IsZero() }

// Until is when one that nobody has confirmed is forgotten.
func (f Factor) Until() time.Time { return f.Added.Add(confirmWithin) }

// kept is an authenticator as it stands in the file.
type kept struct {
	Factor
	Secret string              `json:"secret,omitzero"` // of a code: base32
	Last   uint64              `json:"last,omitzero"`   // of a code: the step of the last one that was taken
	Key    *passkey.Credential `json:"key,omitzero"`
}

// state is the file.
type state struct {
	Version int                          `json:"version"`
	Factors []kept                       `json:"factors"`
	Wrong   map[mcprun.Principal]guesses `json:"wrong,omitempty"` // codes
}

const version = 1

// Book is where the authenticators stand. All methods may be called concurrently.
type Book struct {
	path, old string
	now       func() time.Time

	mu    sync.Mutex
	state state
}

// Record writes what happens to an authenticator into the record, before it does.
type Record func(Factor) error

// Open reads the authenticators kept at path; that there are none yet is no error. At
// old is what an earlier version kept: one secret for everybody. Its codes say nothing
// of who, so that none counts; while it is there, every approval needs a proof still.
func Open(path, old string, now func() time.Time) (*Book, error) {
	b := &Book{path: path, old: old, now: now, state: state{Version: version}}
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return b, nil
	}
	b.state = state{}
	if err == nil {
		err = json.Unmarshal(raw, &b.state)
	}
	if err == nil {
		err = b.state.check()
	}
	if err != nil {
		return nil, fmt.Errorf("reading the authenticators in %s: %w", path, err)
	}
	return b, nil
}

func (s state) check() error {
	if s.Version != version {
		return fmt.Errorf("they are of version %d, this is %d", s.Version, version)
	}
	seen := map[string]bool{}
	for _, k := range s.Factors {
		whole := k.Kind == Code && k.Secret != "" || k.Kind == Passkey && k.Key != nil && len(k.Key.Key) > 0
		if k.ID == "" || seen[k.ID] || k.Person == "" || !whole {
			return fmt.Errorf("the one with id %q is not whole, or there twice", k.ID)
		}
		seen[k.ID] = true
	}
	return nil
}

// Stale reports whether the one secret of an earlier version is still there.
func (b *Book) Stale() bool {
	_, err := os.Lstat(b.old)
	return b.old != "" && err == nil
}

// Any reports whether anybody has set one up, so that every approval needs a proof. One
// that was confirmed and counts no more is one: losing it must not open a way around.
func (b *Book) Any() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.state.Factors, func(k kept) bool { return !k.Confirmed.IsZero() }) || b.Stale()
}

// Has reports which kinds somebody has that count.
func (b *Book) Has(who mcprun.Principal) (codes, passkeys bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.state.Factors {
		codes = codes || k.Kind == Code && k.Person == who && k.Counts()
		passkeys = passkeys || k.Kind == Passkey && k.Person == who && k.Counts()
	}
	return codes, passkeys
}

// List returns all of them, in the order in which they were set up.
func (b *Book) List() []Factor {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []Factor{}
	for _, k := range b.state.live(b.now()) {
		out = append(out, k.Factor)
	}
	return out
}

// Get returns one.
func (b *Book) Get(id string) (Factor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, i, err := b.find(id)
	if err != nil {
		return Factor{}, err
	}
	return b.state.Factors[i].Factor, nil
}

// live are all but those that nobody confirmed in time.
func (s state) live(now time.Time) []kept {
	return slices.DeleteFunc(slices.Clone(s.Factors), func(k kept) bool { return k.Confirmed.IsZero() && !now.Before(k.Until()) })
}

// find returns the state without what is over, and where in it an authenticator is;
// call it with mu held.
func (b *Book) find(id string) (state, int, error) {
	next := b.state
	next.Factors = next.live(b.now())
	b.state = next // on the disk with the next change
	i := slices.IndexFunc(next.Factors, func(k kept) bool { return k.ID == id })
	if i < 0 {
		return next, i, ErrUnknown
	}
	next.Factors = slices.Clone(next.Factors)
	return next, i, nil
}

// errTwice means that a passkey is somebody's already, whoever they say it is of.
var errTwice = errors.New("this passkey is set up already")

// add keeps a new one, which does not count.
func (b *Book) add(k kept, record Record) (Factor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.state
	next.Factors = next.live(b.now())
	if slices.ContainsFunc(next.Factors, func(o kept) bool { return o.Kind == Passkey && k.Kind == Passkey && bytes.Equal(o.Key.ID, k.Key.ID) }) {
		return Factor{}, errTwice
	}
	var waiting []string
	for _, o := range next.Factors {
		if o.Person == k.Person && o.Confirmed.IsZero() {
			waiting = append(waiting, o.ID)
		}
	}
	if len(waiting) >= maxPending {
		next.Factors = slices.DeleteFunc(next.Factors, func(o kept) bool { return o.ID == waiting[0] })
	}
	k.ID, k.Added = newID(k.Kind), b.now()
	next.Factors = append(next.Factors, k)
	return k.Factor, b.change(next, k.Factor, record)
}

func newID(kind Kind) string {
	var r [6]byte
	rand.Read(r[:]) // never fails since Go 1.24
	return string(kind[0]) + "-" + hex.EncodeToString(r[:])
}

// Confirm has a new one count. For one that shows codes, code is what it shows, which
// proves that it is the one that is meant and that it works.
func (b *Book) Confirm(id, code string, a Authority, record Record) (Factor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next, i, err := b.find(id)
	if err != nil {
		return Factor{}, err
	}
	k := &next.Factors[i]
	if err := MayConfirm(k.Factor, a); err != nil {
		return k.Factor, err
	}
	if err := k.proves(code, b.now()); err != nil {
		return k.Factor, err
	}
	if n := next.passkeys(k.Person); k.Kind == Passkey && n >= maxPasskeys {
		return k.Factor, fmt.Errorf("%s has %d passkeys already", k.Person, n)
	}
	k.Confirmed, k.By = b.now(), a.By
	confirmed := *k
	if k.Kind == Code { // each has one: every secret more is one more to guess
		next.Factors = slices.DeleteFunc(next.Factors, func(o kept) bool {
			return o.Kind == Code && o.Person == confirmed.Person && o.ID != id && !o.Confirmed.IsZero()
		})
	}
	if err := b.change(next, confirmed.Factor, record); err != nil {
		return confirmed.Factor, err
	}
	if b.Stale() { // from here on there is one that counts
		err = os.Remove(b.old)
	}
	return confirmed.Factor, err
}

func (s state) passkeys(of mcprun.Principal) int {
	n := 0
	for _, k := range s.Factors {
		if k.Kind == Passkey && k.Person == of && !k.Confirmed.IsZero() {
			n++
		}
	}
	return n
}

// Remove takes one away.
func (b *Book) Remove(id string, a Authority, record Record) (Factor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next, i, err := b.find(id)
	if err != nil {
		return Factor{}, err
	}
	gone := next.Factors[i].Factor
	if err := MayRemove(gone, a); err != nil {
		return gone, err
	}
	next.Factors = slices.Delete(next.Factors, i, i+1)
	return gone, b.change(next, gone, record)
}

// change records what happens to f, keeps the new state, and takes it over; call it
// with mu held.
func (b *Book) change(next state, f Factor, record Record) error {
	if err := record(f); err != nil {
		return fmt.Errorf("it cannot be recorded: %w", err)
	}
	return b.save(next)
}

// save keeps the new state and takes it over; call it with mu held.
func (b *Book) save(next state) error {
	raw, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(b.path, raw, 0o600); err != nil {
		return fmt.Errorf("keeping the authenticators: %w", err)
	}
	b.state = next
	return nil
}

func digest(parts ...string) mcprun.Digest {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return mcprun.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
}
