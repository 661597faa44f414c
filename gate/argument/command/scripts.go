package command

import (
	"slices"
	"strings"
)

// awkRuns reports a program of awk that may run others or write files. It looks at
// signs and names, not at the grammar: "|" between patterns is let go only where
// no print and no getline stands in front of it.
func awkRuns(u *unit) bool {
	for i := 1; i < len(u.args); i++ {
		a := u.args[i]
		switch {
		case a.text == "-F" || a.text == "-v":
			i++
		case strings.HasPrefix(a.text, "-F"), strings.HasPrefix(a.text, "-v"), a.text == "--":
		case strings.HasPrefix(a.text, "-") && len(a.text) > 1:
			return true // -f, -e, -i, -l, -E and their long forms bring code along
		default:
			return a.unknown || isActiveAwk(a.text)
		}
	}
	return false
}

func isActiveAwk(s string) bool {
	for _, part := range []string{"system", "getline", "@", "/inet", "close", "printf|"} {
		if strings.Contains(s, part) {
			return true
		}
	}
	_, printed, ok := strings.Cut(s, "print")
	printed = strings.ReplaceAll(printed, "||", "")
	return ok && strings.ContainsAny(printed, "|>")
}

// sedRuns reports a script of sed that may run programs or touch other files. It
// reads scripts as sed does, and holds what it cannot read.
func sedRuns(u *unit) bool {
	script, operands := false, []word(nil)
	for i := 1; i < len(u.args); i++ {
		a := u.args[i].text
		switch {
		case a == "-e" || a == "--expression":
			if i+1 >= len(u.args) || !harmlessSed(u.args[i+1]) {
				return true
			}
			script = true
			i++
		case strings.HasPrefix(a, "-i"), strings.HasPrefix(a, "--in-place"):
		case strings.HasPrefix(a, "-") && strings.Trim(a, "-nErsuz") == "", a == "--quiet", a == "--silent", a == "--regexp-extended", a == "--version":
		case strings.HasPrefix(a, "-"):
			return true // -f, -e with its script attached, and what is rare
		default:
			operands = append(operands, u.args[i])
		}
	}
	return !script && len(operands) > 0 && !harmlessSed(operands[0])
}

func harmlessSed(w word) bool {
	if w.unknown {
		return false
	}
	s := sedScript(w.text)
	for s.skip(" \t;\n"); s != ""; s.skip(" \t;\n") {
		if !s.address() || !s.command() {
			return false
		}
	}
	return true
}

// sedScript is what is left of a script.
type sedScript string

func (s *sedScript) skip(set string) { *s = sedScript(strings.TrimLeft(string(*s), set)) }

// delimited skips up to the next delimiter that is not quoted. A delimiter in
// brackets is read in two ways, so it counts as unreadable.
func (s *sedScript) delimited(delimiter byte) bool {
	inBrackets := false
	for i := 0; i < len(*s); i++ {
		switch c := (*s)[i]; {
		case c == '\\':
			i++
		case c == delimiter:
			*s = (*s)[i+1:]
			return !inBrackets
		case c == '[':
			inBrackets = true
		case c == ']':
			inBrackets = false
		case c == '\n':
			return false
		}
	}
	return false
}

// address skips the lines that a command is for.
func (s *sedScript) address() bool {
	for *s != "" {
		switch c := (*s)[0]; {
		case strings.IndexByte("0123456789$,+~! ", c) >= 0:
			*s = (*s)[1:]
		case c == '/':
			*s = (*s)[1:]
			if !s.delimited('/') {
				return false
			}
			s.skip("IM")
		default:
			return true
		}
	}
	return true
}

// command skips one command that is known to touch nothing but the text.
func (s *sedScript) command() bool {
	if *s == "" {
		return false
	}
	c := (*s)[0]
	*s = (*s)[1:]
	switch {
	case strings.IndexByte("{}=dDgGhHnNpPxz", c) >= 0:
		return true
	case c == 'q' || c == 'Q' || c == 'l':
		s.skip("0123456789 ")
		return true
	case c == 's' || c == 'y':
		if *s == "" || (*s)[0] == '\\' || (*s)[0] == '\n' || (*s)[0] >= 0x80 {
			return false
		}
		delimiter := (*s)[0]
		*s = (*s)[1:]
		if !s.delimited(delimiter) || !s.delimited(delimiter) {
			return false
		}
		s.skip("gpiI0123456789")
		return s.ended()
	case c == 'a' || c == 'i' || c == 'c':
		_, rest, _ := strings.Cut(string(*s), "\n")
		*s = sedScript(rest)
		return rest == ""
	}
	return false
}

func (s *sedScript) ended() bool {
	s.skip(" ")
	return *s == "" || slices.Contains([]byte(";}\n"), (*s)[0])
}
