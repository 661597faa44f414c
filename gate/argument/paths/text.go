package paths

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/lock"
)

// spelled judges the value as text, before anybody asks where it leads.
func spelled(value string, globs bool) argument.Finding {
	switch {
	case value == "":
		return refuse("path.empty", "the path is empty", "name a file or a folder")
	case len(value) > maxPath:
		return refuse("path.long", fmt.Sprintf("the path has %d bytes; at most %d", len(value), maxPath), "")
	}
	seen := look(value)
	if f := checkText(value, seen); f.Verdict != argument.Pass {
		return f
	}
	if seen.percent {
		if f := checkEncoded(value); f.Verdict != argument.Pass {
			return f
		}
	}
	if f := checkBare(value); f.Verdict != argument.Pass {
		return f
	}
	if f := checkStart(value); f.Verdict != argument.Pass {
		return f
	}
	if seen.expands {
		if f := checkExpansion(value); f.Verdict != argument.Pass {
			return f
		}
	}
	if seen.glob {
		return checkGlob(value, globs)
	}
	return argument.Passed
}

// sight is what one look over the bytes finds: most paths are plain and need no
// second one.
type sight struct{ control, backslash, wide, percent, expands, glob bool }

func look(value string) (s sight) {
	for i := range len(value) {
		switch c := value[i]; {
		case c < 0x20 || c == 0x7f:
			s.control = true
		case c >= utf8.RuneSelf:
			s.wide = true
		case c == '\\':
			s.backslash = true
		case c == '%':
			s.percent, s.expands = true, true
		case c == '$' || c == '`' || c == '&' || c == ';' || c == '|' || c == '<' || c == '>':
			s.expands = true
		case c == '*' || c == '?' || c == '{' || c == '}' || c == '(' && i > 0 && isExtended(value[i-1]):
			s.glob = true
		}
	}
	return s
}

func checkText(value string, s sight) argument.Finding {
	switch {
	case s.control:
		return refuse("path.control", "the path has a control character, which ends or splits it for some programs", "take it out")
	case s.backslash:
		return refuse("path.backslash", "the path has a backslash, which some programs read as a slash", "write / between names")
	case s.wide:
		return checkWide(value)
	}
	return checkEnds(value)
}

// checkWide judges characters outside ASCII.
func checkWide(value string) argument.Finding {
	if !utf8.ValidString(value) {
		return refuse("path.utf8", "the path is not valid UTF-8", "write it in UTF-8")
	}
	for _, r := range value {
		if r < utf8.RuneSelf {
			continue
		}
		if kind := lock.Hidden(r); kind != "" {
			return refuse("path.invisible", fmt.Sprintf("the path has the %s character %U", kind, r), "take it out")
		}
		if c := looksLike(r); c != 0 {
			return refuse("path.lookalike", fmt.Sprintf("the path has %U, which some programs read as %q", r, c), fmt.Sprintf("write %q if that is meant", c))
		}
	}
	if !norm.NFC.IsNormalString(value) {
		return refuse("path.normal", "the path is not in Unicode's composed form (NFC), so two names may look the same", "write it in NFC")
	}
	return checkEnds(value)
}

// special are the characters that mean something in a path.
const special = `./\~$%`

// shapes look like a slash, a backslash or a tilde and have no compatibility
// mapping that says so.
var shapes = map[rune]rune{
	'\u2044': '/', '\u2215': '/', '\u2571': '/', '\u27CB': '/', '\u29F8': '/', '\u2CC6': '/', '\u1735': '/', '\u3033': '/',
	'\u2216': '\\', '\u2572': '\\', '\u27CD': '\\', '\u29F5': '\\', '\u29F9': '\\',
	'\u223C': '~', '\u02DC': '~', '\u2053': '~', '\u0338': '/', '\u20E5': '\\',
}

// looksLike returns the special character that r is, or is shown as, for somebody:
// Unicode's compatibility mapping (NFKC) turns full-width forms, leaders and
// ligatures into ASCII, and frameworks apply it after the check of others.
func looksLike(r rune) rune {
	if c, ok := shapes[r]; ok {
		return c
	}
	var b [utf8.UTFMax]byte
	n := utf8.EncodeRune(b[:], r)
	if norm.NFKC.QuickSpan(b[:n]) == n {
		return 0
	}
	for _, c := range norm.NFKC.String(string(r)) {
		if c < utf8.RuneSelf && strings.ContainsRune(special, c) {
			return c
		}
	}
	return 0
}

// checkEnds refuses white space around the value: half of all tools trim it, and
// then read another path than was judged.
func checkEnds(value string) argument.Finding {
	first, _ := utf8.DecodeRuneInString(value)
	last, _ := utf8.DecodeLastRuneInString(value)
	if unicode.IsSpace(first) || unicode.IsSpace(last) {
		return refuse("path.space", "the path begins or ends with a space, which some programs drop", "take it out")
	}
	return argument.Passed
}
