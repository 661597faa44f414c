package credentials

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// forms are what programs and scanners take for a token of this shape, and where
// the mark stands in it.
var forms = map[Shape]struct {
	pattern string
	marked  bool
	bits    float64
}{
	Plain:      {`^mcprun_[A-Za-z0-9]{32}$`, true, 190},
	Basic:      {`^mcprun_[A-Za-z0-9]{32}$`, true, 190},
	GitHub:     {`^ghp_[A-Za-z0-9]{36}$`, true, 178},
	GitHubFine: {`^github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}$`, true, 446},
	OpenAI:     {`^sk-proj-[A-Za-z0-9_-]{48}$`, true, 250},
	Anthropic:  {`^sk-ant-api03-[A-Za-z0-9_-]{93}AA$`, true, 518},
	Slack:      {`^xoxb-[0-9]{10,13}-[0-9]{10,13}-[A-Za-z0-9]{24}$`, true, 186},
	AWSKeyID:   {`^AKIA[A-Z2-7]{16}$`, false, 80},
	AWSSecret:  {`^[A-Za-z0-9/+]{40}$`, true, 202},
	JWT:        {`^eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$`, false, 256},
	UUID:       {`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, false, 122},
}

func TestPlaceholders(t *testing.T) {
	if len(Shapes()) != len(forms) {
		t.Errorf("%d shapes, %d are tested", len(Shapes()), len(forms))
	}
	for _, s := range Shapes() {
		t.Run(string(s), func(t *testing.T) {
			f, seen := forms[s], map[string]bool{}
			for range 200 {
				p, err := NewPlaceholder(s, nil)
				if err != nil {
					t.Fatal(err)
				}
				if !regexp.MustCompile(f.pattern).MatchString(p) {
					t.Fatalf("%s is not %s", p, f.pattern)
				}
				if strings.Contains(p, mark) != f.marked {
					t.Errorf("%s: holds the mark: %v, want %v", p, !f.marked, f.marked)
				}
				// It takes the place of a secret, and is known for what it is.
				checkSendable(t, mustSecret(t, p))
				if err := new(Issued).Add(p, 1); err != nil {
					t.Error(err)
				}
				seen[p] = true
			}
			if len(seen) != 200 {
				t.Errorf("%d of 200 are different", len(seen))
			}
		})
	}
}

// The bits that the forms promise: 128 at least, but where the form has no room.
func TestPlaceholderBits(t *testing.T) {
	for _, s := range Shapes() {
		bits := 0.0
		for _, p := range form(s) {
			if p.n > 0 {
				bits += float64(p.n) * math.Log2(float64(len(p.alphabet)))
			}
		}
		if s == JWT || s == UUID { // made of bytes: see how many are drawn
			r := &counter{}
			if _, err := NewPlaceholder(s, r); err != nil {
				t.Fatal(err)
			}
			bits = float64(8 * r.n)
			if s == UUID {
				bits -= 6
			}
		}
		if math.Floor(bits) != forms[s].bits || bits < 128 && s != AWSKeyID && s != UUID {
			t.Errorf("%s: %.1f bits, want %v", s, bits, forms[s].bits)
		}
	}
}

type counter struct{ n int }

func (c *counter) Read(p []byte) (int, error) { c.n += len(p); return len(p), nil }

func TestPlaceholderJWTDecodes(t *testing.T) {
	p, err := NewPlaceholder(JWT, nil)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(p, ".")
	var header struct{ Alg, Typ string }
	var payload struct {
		Iss, Sub string
		Exp      int64
	}
	for i, into := range []any{&header, &payload} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	if header.Alg != "HS256" || header.Typ != "JWT" || payload.Iss != "mcprun" || payload.Sub != "placeholder" {
		t.Errorf("header %+v, payload %+v", header, payload)
	}
	if exp := time.Unix(payload.Exp, 0).UTC(); exp.Year() != 2100 {
		t.Errorf("it expires at %v", exp)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil || len(raw) != 32 {
		t.Errorf("a signature of %d bytes, %v", len(raw), err)
	}
}

// Randomness that fails is an error, never a guessable placeholder.
func TestPlaceholderNeedsRandomness(t *testing.T) {
	broken := errors.New("no randomness")
	for _, s := range Shapes() {
		if p, err := NewPlaceholder(s, iotest.ErrReader(broken)); p != "" || !errors.Is(err, broken) {
			t.Errorf("%s: %q, %v", s, p, err)
		}
		if p, err := NewPlaceholder(s, bytes.NewReader(make([]byte, 3))); p != "" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %q, %v", s, p, err)
		}
		if _, err := NewPlaceholder(s, iotest.OneByteReader(bytes.NewReader(make([]byte, 200)))); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	// Bytes that are all thrown away must not be waited for.
	if p, err := NewPlaceholder(Plain, always(0xff)); p != "" || err == nil || !strings.Contains(err.Error(), "not random") {
		t.Errorf("%q, %v", p, err)
	}
}

type always byte

func (a always) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(a)
	}
	return len(p), nil
}

// Every character is as likely as any other: a plain remainder would favour the
// first eight of 62 by a quarter.
func TestDrawIsEven(t *testing.T) {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	for _, alphabet := range []string{alphanumeric, digits, base32} {
		n := 256 / len(alphabet) * len(alphabet)
		// One round of n, then what is missing for each byte that is thrown away.
		got, err := draw(bytes.NewReader(append(all, all...)), n, alphabet)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range alphabet {
			if k := strings.Count(string(got), string(c)); k != 256/len(alphabet) {
				t.Errorf("%q comes %d times of %d", c, k, n)
			}
		}
	}
}

func TestParseShape(t *testing.T) {
	for _, s := range Shapes() {
		if got, err := ParseShape(string(s)); got != s || err != nil {
			t.Errorf("ParseShape(%q) = %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "Plain", "gitlab"} {
		if _, err := ParseShape(s); err == nil || !strings.Contains(err.Error(), "is not one of [plain github") {
			t.Errorf("ParseShape(%q) = %v", s, err)
		}
		if p, err := NewPlaceholder(Shape(s), nil); p != "" || err == nil {
			t.Errorf("NewPlaceholder(%q) = %q, %v", s, p, err)
		}
	}
}
