package manifest

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// source is the file as lines, to read scalars from once more. It remembers the
// place last asked for, so that asking in the order of a long line is cheap.
type source struct {
	lines  []string
	last   pos
	offset int // of last in its line, in bytes
}

// from returns the rest of a line from column p.col (in runes, from 1) on, or
// nothing if there is no such place.
func (s *source) from(p pos) string {
	if p.line < 1 || p.line > len(s.lines) || p.col < 1 {
		return ""
	}
	line := s.lines[p.line-1]
	if s.last.line != p.line || s.last.col > p.col {
		s.last, s.offset = pos{p.line, 1}, 0
	}
	for ; s.last.col < p.col; s.last.col++ {
		_, n := utf8.DecodeRuneInString(line[s.offset:])
		s.offset += n
	}
	return line[s.offset:]
}

// newSource checks the bytes before any YAML is read. What it refuses is what
// YAML readers disagree about (tabs, line ends, a byte order mark) or what makes
// a reviewer see another text than the machine (control and direction
// characters, CVE-2021-42574).
func newSource(data []byte, r *report) (*source, bool) {
	if len(data) > MaxSize {
		r.syntax(pos{1, 1}, fmt.Sprintf("the file has %d bytes; at most %d", len(data), MaxSize),
			"take out what does not belong to it")
		return nil, false
	}
	if rest, ok := bytes.CutPrefix(data, []byte("\ufeff")); ok {
		r.syntax(pos{1, 1}, "the file starts with a byte order mark", "save it as UTF-8 without a byte order mark")
		data = rest
	}
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	src := &source{lines: strings.Split(text, "\n")}
	before := len(r.errs)
	for i, line := range src.lines {
		checkLine(line, i+1, r)
	}
	return src, len(r.errs) == before
}

// checkLine reports the first thing in a line that is refused.
func checkLine(line string, number int, r *report) {
	col := 0
	for i, c := range line {
		col++
		what, fix := refusedRune(c, line[i:])
		if what != "" {
			r.syntax(pos{number, col}, what, fix)
			return
		}
	}
	if i, what, fix := refusedMark(line); what != "" {
		r.syntax(pos{number, utf8.RuneCountInString(line[:i]) + 1}, what, fix)
	}
}

// refusedMark finds what would make text go over more than one line, before the
// YAML scanner sees it: that takes quadratic time over block text, minutes for
// 256 KiB of empty lines.
func refusedMark(line string) (at int, what, fix string) {
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case '#':
			if i == 0 || line[i-1] == ' ' {
				return 0, "", ""
			}
		case '|', '>':
			return i, "block text (" + string(c) + ")", `write it on one line in double quotes, with \n for a new line`
		case '"', '\'':
			n := quotedLen(line[i:], c)
			if n == 0 {
				return i, "a quote that is not closed on its line", "put the whole text in double quotes, on one line"
			}
			i += n - 1
		}
	}
	return 0, "", ""
}

// quotedLen is the length of the quoted text at the start of line, with its
// quotes, or 0 if there is none that is closed.
func quotedLen(line string, quote byte) int {
	if line == "" || line[0] != quote {
		return 0
	}
	for i := 1; i < len(line); i++ {
		switch {
		case quote == '"' && line[i] == '\\':
			i++
		case quote == '\'' && strings.HasPrefix(line[i:], "''"):
			i++
		case line[i] == quote:
			return i + 1
		}
	}
	return 0
}

func refusedRune(c rune, rest string) (what, fix string) {
	switch {
	case c == utf8.RuneError && !strings.HasPrefix(rest, "\ufffd"):
		return "invalid UTF-8", "save the file as UTF-8"
	case c == '\t':
		return "a tab", `use spaces; inside text write "\t" in double quotes`
	case c == '\r':
		return "a carriage return without a line feed", "end lines with a line feed"
	case c == '\u2028' || c == '\u2029' || c == '\u0085' || c == '\ufeff' || unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c):
		return fmt.Sprintf("the invisible character U+%04X", c), fmt.Sprintf(`take it out; inside text write "\u%04x" in double quotes`, c)
	}
	return "", ""
}
