package paths

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mcprun/mcprun/gate/argument"
)

// maxEncodings is how often a path may be encoded inside an encoding. Twice has
// been seen in use; more is somebody probing.
const maxEncodings = 3

// checkEncoded decodes percent escapes as a careless tool does, again and again,
// and refuses those that then mean something. An escape of a plain character is
// a part of a name ("100%25 done.txt", "a%20b").
func checkEncoded(value string) argument.Finding {
	for range maxEncodings {
		decoded, found, bad := decode(value)
		if bad {
			return encoded()
		}
		if !found {
			return argument.Passed
		}
		if !isASCII(decoded) {
			if f := checkWide(decoded); f.Verdict != argument.Pass {
				return encoded()
			}
		}
		value = decoded
	}
	return refuse("path.encoded", "the path is percent-encoded several times over", "write it without percent escapes")
}

func encoded() argument.Finding {
	return refuse("path.encoded", "the path has a percent escape of a character that means something in a path", "write it without percent escapes")
}

// decode decodes every escape of s once; bad reports one that stands for a
// special or a control character. %u002e is what IIS and old JavaScript write.
func decode(s string) (out string, found, bad bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		r, n := escape(s[i:])
		if n == 0 {
			if s[i] == '%' && i+1 < len(s) && hasEscape(s[i+1:]) {
				return "", true, true // an escape inside an escape is no name
			}
			b.WriteByte(s[i])
			continue
		}
		if r < 0x20 || r == 0x7f || r == ':' || r < utf8.RuneSelf && r != '%' && strings.ContainsRune(special, r) {
			return "", true, true
		}
		if n == len("%xx") {
			b.WriteByte(byte(r))
		} else {
			b.WriteRune(r)
		}
		found = true
		i += n - 1
	}
	return b.String(), found, false
}

// escape reads the escape at the start of s and says how long it is; 0 is none.
func escape(s string) (r rune, n int) {
	if s[0] != '%' {
		return 0, 0
	}
	digits, size := s[1:], 2
	if len(digits) > 0 && digits[0]|0x20 == 'u' {
		digits, size = digits[1:], 4
	}
	if len(digits) < size || !isHex(digits[:size]) {
		return 0, 0
	}
	v, err := strconv.ParseUint(digits[:size], 16, 32)
	if err != nil {
		return 0, 0
	}
	return rune(v), len(s) - len(digits) + size
}

func hasEscape(s string) bool {
	_, n := escape(s)
	return n > 0
}

// bare are slashes whose percent sign was taken away, by a filter or on purpose: a
// tool that puts it back, or that takes out such letters, climbs.
var bare = []string{"2f", "5c", "252f", "255c", "c0af", "c1af", "c19c", "u2215", "u2216", "0x2f", "0x5c"}

// checkBare refuses names that begin with two dots and a slash without its percent
// sign, such as ..2f..2fetc2fpasswd.
func checkBare(value string) argument.Finding {
	for rest := strings.ToLower(value); ; {
		_, after, found := strings.Cut(rest, "..")
		if !found {
			return argument.Passed
		}
		if slices.ContainsFunc(bare, func(b string) bool { return strings.HasPrefix(after, b) }) {
			return refuse("path.encoded", "the path has two dots and what is left of an escaped slash", "write the path out")
		}
		rest = after
	}
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}
