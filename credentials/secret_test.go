package credentials

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// canary stands in values that must not show up anywhere.
const canary = "Zq7XwCanary"

func mustSecret(t testing.TB, value string) Secret {
	t.Helper()
	s, err := NewSecret(value, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// holder is a struct of somebody else's: fmt reads its unexported field without
// asking the methods of Secret.
type holder struct {
	inner Secret
	list  []Secret
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := mustSecret(t, canary)
	things := map[string]any{
		"value": s, "pointer": &s, "slice": []Secret{s}, "map": map[string]Secret{"k": s},
		"unexported": holder{s, []Secret{s}}, "pointer to unexported": &holder{inner: s},
		"exported": struct{ S Secret }{s}, "any": struct{ A any }{s},
	}
	for name, thing := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%100v", "%.3s", "%w", "%!"} {
			if got := fmt.Errorf("a "+verb, thing).Error(); strings.Contains(got, canary) || strings.Contains(got, fmt.Sprintf("%x", canary)) {
				t.Errorf("%s with %s: %s", name, verb, got)
			}
		}
		if got := fmt.Sprint(thing) + fmt.Sprintln(thing); strings.Contains(got, canary) {
			t.Errorf("%s with Sprint: %s", name, got)
		}
		checkEncodings(t, name, thing)
	}
	if got := fmt.Sprintf("%v %s %#v %q", s, s, s, s); got != "[secret] [secret] [secret] [secret]" {
		t.Errorf("fmt: %s", got)
	}
	// Handlers of slog and dumpers that ask before they look.
	if got := slog.AnyValue(s).Resolve(); got.Kind() != slog.KindString || got.String() != hidden || s.GoString() != hidden {
		t.Errorf("LogValue = %v, GoString = %s", got, s.GoString())
	}
	// The control: the value is there, and this is the way to it.
	if s.Reveal() != canary {
		t.Errorf("Reveal = %q", s.Reveal())
	}
}

func checkEncodings(t *testing.T, name string, thing any) {
	t.Helper()
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("message", "thing", thing, slog.Group("group", "thing", thing))
	}
	raw, err := json.Marshal(thing)
	out.Write(raw)
	fmt.Fprintln(&out, err)
	raw, err = xml.Marshal(thing)
	out.Write(raw)
	fmt.Fprintln(&out, err)
	if strings.Contains(out.String(), canary) {
		t.Errorf("%s: %s", name, out.String())
	}
	if n := strings.Count(out.String(), hidden); name == "value" && n != 6 {
		t.Errorf("%s: %d times %s, want 6: %s", name, n, hidden, out.String())
	}
}

func TestZeroSecretHoldsNothing(t *testing.T) {
	var s Secret
	if s.Reveal() != "" || s.String() != hidden {
		t.Errorf("Reveal = %q, String = %q", s.Reveal(), s)
	}
}

func TestNewSecretTakesWhatAHeaderCanCarry(t *testing.T) {
	for _, r := range []struct{ name, value, want string }{
		{"a token", "ghp_abc", ""},
		{"all of ASCII that prints", " !\"#$%&'()*+,-./0:;<=>?@A[\\]^_`a{|}~"[1:], ""},
		{"an inner space", "user pass", ""},
		{"the longest", strings.Repeat("x", MaxSecret), ""},
		{"empty", "", "the value is empty"},
		{"too long", strings.Repeat("x", MaxSecret+1), "16385 bytes; at most 16384"},
		{"line feed", "a\nb", "byte 2 of 3 of the value is a control character"},
		{"carriage return", "a\r", "byte 2 of 2 of the value is a control character"},
		{"NUL", "\x00a", "byte 1 of 2 of the value is a control character"},
		{"tab", "a\tb", "byte 2 of 3 of the value is a control character"},
		{"delete", "a\x7f", "control character"},
		{"umlaut", "pä", "byte 2 of 3 of the value is not ASCII"},
		{"leading space", " a", "begins or ends with a space"},
		{"trailing space", "a ", "begins or ends with a space"},
	} {
		t.Run(r.name, func(t *testing.T) {
			s, err := NewSecret(r.value, time.Time{})
			checkError(t, err, r.want)
			if r.want == "" && s.Reveal() != r.value {
				t.Errorf("Reveal = %q, want %q", s.Reveal(), r.value)
			}
			if r.want != "" && s.Reveal() != "" {
				t.Error("a refused value is kept")
			}
		})
	}
}

// checkError wants an error with this text, or none where want is empty.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error %v, want none", err)
	case want != "" && err == nil:
		t.Errorf("no error, want %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("error %q, want %q", err, want)
	}
	if err != nil && strings.Contains(err.Error(), canary) {
		t.Errorf("the error holds the secret: %v", err)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(fmt.Sprintf("%+v %#v", e, e), canary) {
			t.Errorf("the chain holds the secret: %#v", e)
		}
	}
}

func FuzzSecretNeverInError(f *testing.F) {
	for _, s := range []string{"", "\n", " ", "ä", "\x00", strings.Repeat("a", MaxSecret)} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		value := before + canary + after
		s, err := NewSecret(value, time.Time{})
		if err == nil {
			checkSendable(t, s)
			if s.Reveal() != value {
				t.Errorf("Reveal = %q, want %q", s.Reveal(), value)
			}
			return
		}
		if strings.Contains(err.Error(), canary) {
			t.Errorf("error %q", err)
		}
	})
}

// checkSendable holds what every Secret promises to those who send it.
func checkSendable(t *testing.T, s Secret) {
	t.Helper()
	v := s.Reveal()
	if v == "" || len(v) > MaxSecret || strings.TrimSpace(v) != v {
		t.Errorf("a value of %d bytes was taken", len(v))
	}
	for _, c := range []byte(v) {
		if c < ' ' || c > '~' {
			t.Errorf("a value with the byte %#x was taken", c)
		}
	}
}
