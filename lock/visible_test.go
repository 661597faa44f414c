package lock

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestVisible(t *testing.T) {
	for _, tt := range []struct{ in, want, why string }{
		{"plain text, 1 < 2.", "plain text, 1 < 2.", "ASCII"},
		{"Größe – schnell & sicher", "Größe – schnell & sicher", "German"},
		{"جمع رقمين", "جمع رقمين", "Arabic letters are text"},
		{"Привет, мир", "Привет, мир", "Russian"},
		{"данные из API", "данные из API", "Russian beside an ASCII word"},
		{"数える 🎉", "数える 🎉", "Japanese and an emoji"},
		{"a\u202eb\u2066", "a⟨U+202E⟩b⟨U+2066⟩", "bidi"},
		{"a\U000E0041", "a⟨U+E0041⟩", "tag"},
		{"a\u200bb\u2060\ufeff", "a⟨U+200B⟩b⟨U+2060⟩⟨U+FEFF⟩", "invisible"},
		{"a\u00a0b\u3000c", "a⟨U+00A0⟩b⟨U+3000⟩c", "other spaces"},
		{"\x1b[8m\n\t\x7f\u009b", "⟨U+001B⟩[8m⟨U+000A⟩⟨U+0009⟩⟨U+007F⟩⟨U+009B⟩", "control and escape"},
		{"a\ufe0fb\U000E0100", "a⟨U+FE0F⟩b⟨U+E0100⟩", "variation selectors"},
		{"\ue000\U0010FFFD", "⟨U+E000⟩⟨U+10FFFD⟩", "private use"},
		{"\ufdd0", "⟨U+FDD0⟩", "noncharacter"},
		{"аdd", "⟨U+0430⟩dd", "Cyrillic a in a Latin word"},
		{"ｒｍ", "⟨U+FF52⟩⟨U+FF4D⟩", "full-width letters"},
		{"\xff", "⟨byte FF⟩", "not UTF-8"},
		{"a⟨U+202E⟩", "a⟨U+27E8⟩U+202E⟩", "a faked mark"},
		{"x" + strings.Repeat(" ", 400) + "y", "x⟨400×U+0020⟩y", "padding"},
		{"x        y", "x        y", "eight spaces"},
	} {
		if got := Visible(tt.in); got != tt.want {
			t.Errorf("%s: Visible(%+q) = %q, want %q", tt.why, tt.in, got, tt.want)
		}
	}
}

// What Visible returns hides nothing and is stable for plain text.
func FuzzVisible(f *testing.F) {
	f.Add("a\u202e\x1b[0m")
	f.Add("⟨U+")
	f.Fuzz(func(t *testing.T, s string) {
		out := Visible(s)
		if !utf8.ValidString(out) {
			t.Fatalf("not UTF-8: %q", out)
		}
		for _, r := range out {
			if k := Hidden(r); k != "" {
				t.Fatalf("%s %U is left in %q", k, r, out)
			}
		}
		if isASCII(s) && !strings.ContainsFunc(s, func(r rune) bool { return Hidden(r) != "" }) && !strings.Contains(s, strings.Repeat(" ", maxRun+1)) && out != s {
			t.Fatalf("plain text changed: %q to %q", s, out)
		}
	})
}
