package factors

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/mcprun/mcprun"
)

const (
	alice = mcprun.Principal("uid:1000")
	bob   = mcprun.Principal("uid:1001")
	root  = mcprun.Principal("uid:0")
)

var asRoot = Authority{By: root, Root: true}

// bench is a book with a clock, and what was recorded.
type bench struct {
	t *testing.T
	*Book
	path     string
	at       time.Time
	recorded []Factor
	broken   error // of the record
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "authenticators.json"), at: time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)}
	b.restart()
	return b
}

func (b *bench) restart() {
	b.t.Helper()
	var err error
	if b.Book, err = Open(b.path, filepath.Join(filepath.Dir(b.path), "factor.json"), func() time.Time { return b.at }); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) record(f Factor) error {
	if b.broken == nil {
		b.recorded = append(b.recorded, f)
	}
	return b.broken
}

// add sets up one that shows codes, and returns its secret.
func (b *bench) add(who mcprun.Principal) (id, secret string) {
	b.t.Helper()
	f, text, err := b.AddCode(who, string(who), b.record)
	if err != nil {
		b.t.Fatal(err)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "otpauth" || f.Counts() {
		b.t.Fatalf("%s, %v, %+v", text, err, f)
	}
	return f.ID, u.Query().Get("secret")
}

// enrolled sets up one that counts.
func (b *bench) enrolled(who mcprun.Principal) (id, secret string) {
	b.t.Helper()
	id, secret = b.add(who)
	if f, err := b.Confirm(id, code(b.t, secret, b.at), asRoot, b.record); err != nil || !f.Counts() {
		b.t.Fatalf("%+v, %v", f, err)
	}
	b.at = b.at.Add(5 * time.Minute) // that code was taken
	return id, secret
}

func code(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	s, err := totp.GenerateCode(secret, at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A code is good once, for its minute, also over a restart, and only for whose it is.
func TestCode(t *testing.T) {
	b := newBench(t)
	_, secret := b.enrolled(alice)
	_, bobs := b.enrolled(bob)
	now := code(t, secret, b.at)
	if _, err := b.Check(bob, now); !errors.Is(err, ErrCode) {
		t.Errorf("alice's code for bob: %v", err)
	}
	if f, err := b.Check(alice, now); err != nil || f.Person != alice {
		t.Fatalf("the code of now: %+v, %v", f, err)
	}
	if _, err := b.Check(alice, now); !errors.Is(err, ErrCode) {
		t.Errorf("the same code again: %v", err)
	}
	if _, err := b.Check(bob, code(t, bobs, b.at)); err != nil {
		t.Errorf("bob's own code, the control: %v", err)
	}
	b.restart()
	if _, err := b.Check(alice, now); !errors.Is(err, ErrCode) {
		t.Errorf("the same code after a restart: %v", err)
	}
	b.at = b.at.Add(5 * time.Minute)
	for _, wrong := range []string{"", now, code(t, secret, b.at.Add(2*time.Minute))} {
		if _, err := b.Check(alice, wrong); !errors.Is(err, ErrCode) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, err := b.Check(root, code(t, secret, b.at)); !errors.Is(err, ErrNone) {
		t.Errorf("for who has none: %v", err)
	}
	if st, err := os.Stat(b.path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", st, err)
	}
}

// A code that was shown to confirm an authenticator approves nothing.
func TestCodeThatConfirmed(t *testing.T) {
	b := newBench(t)
	id, secret := b.add(alice)
	c := code(t, secret, b.at)
	if _, err := b.Confirm(id, c, asRoot, b.record); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if _, err := b.Check(alice, c); !errors.Is(err, ErrCode) {
		t.Errorf("again: %v", err)
	}
	b.at = b.at.Add(time.Minute)
	if _, err := b.Check(alice, code(t, secret, b.at)); err != nil {
		t.Errorf("the control: %v", err)
	}
}

// Whoever guesses waits longer each time, also over a restart. It was one guess every
// 12 seconds for ever, which finds a code in weeks, and a restart gave five for nothing.
// What is guessed for one person keeps nobody else out.
func TestGuesses(t *testing.T) {
	b := newBench(t)
	_, secret := b.enrolled(alice)
	_, bobs := b.enrolled(bob)
	guess := func() error { _, err := b.Check(alice, "12345"); return err } // never a code: one digit is missing
	for n := range guessFree {
		if err := guess(); !errors.Is(err, ErrCode) {
			t.Fatalf("wrong code %d: %v", n, err)
		}
	}
	var all time.Duration
	for n, wait := 0, 12*time.Second; n < 12; n, wait = n+1, min(2*wait, time.Hour) {
		b.restart()
		b.at = b.at.Add(wait - time.Nanosecond)
		if _, err := b.Check(alice, code(t, secret, b.at)); !errors.Is(err, ErrGuesses) {
			t.Fatalf("the right code just before %s are over: %v", wait, err)
		}
		b.at = b.at.Add(time.Nanosecond)
		if err := guess(); !errors.Is(err, ErrCode) {
			t.Fatalf("a guess after %s: %v", wait, err)
		}
		all += wait
	}
	if all < 4*time.Hour {
		t.Errorf("%d guesses took %s", guessFree+12, all)
	}
	if err := guess(); !errors.Is(err, ErrGuesses) || !strings.Contains(err.Error(), "1h0m0s") {
		t.Errorf("it does not say how long to wait: %v", err)
	}
	if _, err := b.Check(bob, code(t, bobs, b.at)); err != nil {
		t.Errorf("bob waits for alice: %v", err)
	}
	b.at = b.at.Add(guessLongest)
	if _, err := b.Check(alice, code(t, secret, b.at)); err != nil {
		t.Errorf("the right code after the wait: %v", err)
	}
	for range guessFree { // and all is forgiven
		if err := guess(); !errors.Is(err, ErrCode) {
			t.Errorf("after a right code: %v", err)
		}
	}
	if got := pause(1 << 40); got != guessLongest {
		t.Errorf("after ever so many: %s", got)
	}
}

// Setting up a new authenticator, or having it confirmed, forgives no guess.
func TestGuessesOutliveTheAuthenticator(t *testing.T) {
	b := newBench(t)
	b.enrolled(alice)
	for range guessFree + 5 {
		b.at = b.at.Add(guessLongest)
		b.Check(alice, "12345")
	}
	id, secret := b.add(alice)
	if _, err := b.Confirm(id, code(t, secret, b.at), asRoot, b.record); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Check(alice, "12345"); !errors.Is(err, ErrGuesses) {
		t.Errorf("a guess right after: %v", err)
	}
}

// A wrong code that cannot be counted gets no answer, nor does a right one.
func TestUncountedGuess(t *testing.T) {
	b := newBench(t)
	_, secret := b.enrolled(alice)
	if err := os.RemoveAll(filepath.Dir(b.path)); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"12345", code(t, secret, b.at)} {
		if _, err := b.Check(alice, s); err == nil || errors.Is(err, ErrCode) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
