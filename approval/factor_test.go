package approval

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

func enrolled(t *testing.T) (f *Factor, secret string, c *clock, path string) {
	t.Helper()
	c, path = &clock{}, filepath.Join(t.TempDir(), "factor")
	f, err := OpenFactor(path, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if f.Enrolled() || !errors.Is(f.Check("123456"), ErrNoFactor) {
		t.Fatal("there is a factor before it was set up")
	}
	text, err := f.Enroll("operator", "")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "otpauth" {
		t.Fatalf("%s, %v", text, err)
	}
	return f, u.Query().Get("secret"), c, path
}

func code(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	s, err := totp.GenerateCode(secret, at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A code is good once, for its minute, also over a restart.
func TestFactor(t *testing.T) {
	f, secret, c, path := enrolled(t)
	now := code(t, secret, c.now())
	if err := f.Check(now); err != nil {
		t.Fatalf("the code of now: %v", err)
	}
	if err := f.Check(now); !errors.Is(err, ErrCode) {
		t.Errorf("the same code again: %v", err)
	}
	again, err := OpenFactor(path, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Check(now); !errors.Is(err, ErrCode) {
		t.Errorf("the same code after a restart: %v", err)
	}
	c.advance(5 * time.Minute)
	for _, wrong := range []string{"", "000000", now, code(t, secret, c.now().Add(2*time.Minute))} {
		if err := f.Check(wrong); !errors.Is(err, ErrCode) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", st, err)
	}
}

// Whoever guesses waits longer each time, also over a restart. It was one guess every
// 12 seconds for ever, which finds a code in weeks, and a restart gave five for nothing.
func TestGuesses(t *testing.T) {
	f, secret, c, path := enrolled(t)
	guess := func() error { return f.Check("12345") } // never a code: one digit is missing
	for n := range guessFree {
		if err := guess(); !errors.Is(err, ErrCode) {
			t.Fatalf("wrong code %d: %v", n, err)
		}
	}
	var all time.Duration
	for n, wait := 0, 12*time.Second; n < 12; n, wait = n+1, min(2*wait, time.Hour) {
		var err error
		if f, err = OpenFactor(path, c.now); err != nil { // a restart
			t.Fatal(err)
		}
		c.advance(wait - time.Nanosecond)
		if err := f.Check(code(t, secret, c.now())); !errors.Is(err, ErrGuesses) {
			t.Fatalf("the right code just before %s are over: %v", wait, err)
		}
		c.advance(time.Nanosecond)
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
	c.advance(guessLongest)
	if err := f.Check(code(t, secret, c.now())); err != nil {
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

// A wrong code that cannot be counted gets no answer, nor does a right one.
func TestUncountedGuess(t *testing.T) {
	f, secret, c, path := enrolled(t)
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"12345", code(t, secret, c.now())} {
		if err := f.Check(s); err == nil || errors.Is(err, ErrCode) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// Who has the old one may set up a new one, and nobody else.
func TestEnrollAgain(t *testing.T) {
	f, secret, c, _ := enrolled(t)
	if _, err := f.Enroll("operator", "000000"); !errors.Is(err, ErrCode) {
		t.Errorf("without a code: %v", err)
	}
	if _, err := f.Enroll("operator", code(t, secret, c.now())); err != nil {
		t.Errorf("with a code: %v", err)
	}
	c.advance(time.Hour)
	if err := f.Check(code(t, secret, c.now())); !errors.Is(err, ErrCode) {
		t.Errorf("a code of the old one: %v", err)
	}
}
