package approval

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
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

// A code is good once, for its minute, also over a restart; guessing is slow.
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
	if err := f.Check("000001"); !errors.Is(err, ErrCode) {
		t.Errorf("the fifth guess: %v", err)
	}
	if err := f.Check(code(t, secret, c.now())); !errors.Is(err, ErrGuesses) {
		t.Errorf("after five guesses: %v", err)
	}
	c.advance(time.Minute)
	if err := f.Check(code(t, secret, c.now())); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", st, err)
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
