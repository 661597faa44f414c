package words

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/lock"
)

const (
	// maxRef is NAME_MAX: a loose reference is a file.
	maxRef = 255
	// maxSteps bounds the steps behind a revision; people write two or three.
	maxSteps = 16
	// maxStepDigits bounds a step's number; git's own counter is 32 bits.
	maxStepDigits = 9
)

// Ref accepts the name of a branch, tag or commit. The zero value accepts names and
// hashes alone.
type Ref struct {
	Revisions bool // accepts steps behind a name: HEAD~2, v1^{commit}, main@{1}
	Ranges    bool // accepts two of them: v1.0..v2.0, main...HEAD
}

// Judge says whether value is a reference, after the rules of git
// check-ref-format(1), and no option. Signs that a shell reads are refused as
// well: git takes them in names, but many tools hand a line to a shell.
func (r Ref) Judge(value string) argument.Finding {
	switch {
	case value == "":
		return refuse("ref.empty", "the reference is empty", "name a branch, a tag or a commit")
	case len(value) > 2*maxRef+len("..."):
		return refuse("ref.long", fmt.Sprintf("the reference has %d bytes", len(value)), "")
	}
	if f := checkRefText(value); f.Verdict != argument.Pass {
		return f
	}
	if !r.Ranges {
		return r.judgeSide(value)
	}
	from, to, ok := strings.Cut(value, "..")
	if !ok {
		return r.judgeSide(value)
	}
	to = strings.TrimPrefix(to, ".")
	if from == "" && to == "" {
		return refuse("ref.range", "the range has no end", "write from..to")
	}
	for _, side := range []string{from, to} { // a missing side is HEAD
		if side != "" {
			if f := r.judgeSide(side); f.Verdict != argument.Pass {
				return f
			}
		}
	}
	return argument.Passed
}

// checkRefText judges what no reference has, in whatever part.
func checkRefText(value string) argument.Finding {
	if f := (NotOption{}).Judge(value); f.Verdict != argument.Pass {
		return refuse("ref.option", "the reference begins with a dash, so git takes it for an option", "name a branch, a tag or a commit")
	}
	if !utf8.ValidString(value) {
		return refuse("ref.utf8", "the reference is not valid UTF-8", "")
	}
	for _, c := range value {
		switch {
		case c < 0x20 || c == 0x7f || c == ' ' || c >= utf8.RuneSelf && (lock.Hidden(c) != "" || unicode.IsSpace(c)):
			return refuse("ref.character", fmt.Sprintf("the reference has the character %U", c), "take it out")
		case strings.ContainsRune("`$;|&()<>'\"!\\?*[:", c):
			return refuse("ref.character", fmt.Sprintf("the reference has the character %q", c), "take it out")
		}
	}
	return argument.Passed
}

// judgeSide judges one name with its steps.
func (r Ref) judgeSide(s string) argument.Finding {
	name := s
	if r.Revisions {
		var ok bool
		if name, ok = cutSteps(s); !ok {
			return refuse("ref.revision", "the reference has steps that are not a plain ~2, ^, ^{commit} or @{1}", "write a commit's hash")
		}
		if name == "@" || name == "" && strings.HasPrefix(s, "@{") { // both mean HEAD
			return argument.Passed
		}
	}
	return judgeName(name)
}

// judgeName holds the rules of git check-ref-format, in its order.
func judgeName(name string) argument.Finding {
	const hint = "name a branch, a tag or a commit"
	switch {
	case name == "" || len(name) > maxRef:
		return refuse("ref.long", fmt.Sprintf("a name in the reference has %d bytes; 1 to %d", len(name), maxRef), hint)
	case name[0] == '-':
		return refuse("ref.option", "a name in the reference begins with a dash, so git takes it for an option", hint)
	case strings.Contains(name, ".."):
		return refuse("ref.dots", "the reference has two dots, which make a range or leave a folder", hint)
	case strings.ContainsAny(name, "~^{}"):
		return refuse("ref.revision", "the reference is a revision (~ ^ @{ }), not a name", hint)
	case name == "@" || name[0] == '/' || strings.HasSuffix(name, "/") || strings.Contains(name, "//") || strings.HasSuffix(name, "."):
		return refuse("ref.name", "the reference is not a valid name", hint)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return refuse("ref.name", "a part of the reference begins with a dot or ends with .lock", hint)
		}
	}
	return argument.Passed
}

// steps in braces that name neither a date nor a search: a search for a text in
// all commits (^{/x}) is slow, and its text is anything.
var steps = []string{"^{commit}", "^{tree}", "^{blob}", "^{tag}", "^{object}", "^{}", "@{upstream}", "@{u}", "@{push}"}

// cutSteps takes the steps (gitrevisions(7)) from the end of a revision.
func cutSteps(s string) (name string, ok bool) {
	i := strings.IndexAny(s, "~^")
	if j := strings.Index(s, "@{"); j >= 0 && (i < 0 || j < i) {
		i = j
	}
	if i < 0 {
		return s, true
	}
	name = s[:i]
	rest := s[i:]
	for range maxSteps {
		if rest == "" {
			return name, true
		}
		n := stepLength(rest)
		if n == 0 {
			return "", false
		}
		rest = rest[n:]
	}
	return "", false
}

// stepLength is the length of the step at the start of s; 0 is none.
func stepLength(s string) int {
	for _, step := range steps {
		if strings.HasPrefix(s, step) {
			return len(step)
		}
	}
	if rest, ok := strings.CutPrefix(s, "@{"); ok {
		sign := len(rest) - len(strings.TrimPrefix(rest, "-"))
		n := digitsAt(rest[sign:])
		if n == 0 || n > maxStepDigits || len(rest) <= sign+n || rest[sign+n] != '}' {
			return 0
		}
		return len("@{}") + sign + n
	}
	if s[0] != '~' && s[0] != '^' {
		return 0
	}
	n := digitsAt(s[1:])
	if n > maxStepDigits || len(s) > 1+n && s[1+n] == '{' {
		return 0
	}
	return 1 + n
}

func digitsAt(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }
