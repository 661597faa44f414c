package view

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/mcprun/mcprun/lock"
)

const (
	// head and tail are the lines of a long text that are shown unfolded: how it
	// begins, and how it ends, where one would put what is not to be seen.
	head, tail = 14, 6
	// maxColumn is where a line is broken: a text without newlines is long, too.
	maxColumn = 240
	// maxSpaces is the longest run of spaces that is no mark: the indentation of code
	// stays what it is. Lines wrap, so that nothing is pushed out of sight.
	maxSpaces = 40
)

// Piece is a stretch of text. A mark stands for what would not show by itself.
type Piece struct {
	Text string `json:"t"`
	Mark bool   `json:"m,omitzero"`
}

// Line is one line. A fold is lines that are shown when asked for.
type Line struct {
	Kind   Kind    `json:"k,omitzero"`
	Pieces []Piece `json:"p,omitzero"`
	Fold   []Line  `json:"fold,omitzero"`
	Label  string  `json:"label,omitzero"` // of a fold
}

// Kind says what a line is in a diff, or in a text.
type Kind string

const (
	Same Kind = ""
	Old  Kind = "-"
	New  Kind = "+"
	More Kind = ">" // goes on the line before, which was too long
)

// Text returns the lines of a text; long ones are folded in their middle.
func Text(s string) []Line {
	lines := wrapped(nil, s, Same)
	if len(lines) <= head+tail+2 { // a fold of two lines hides for nothing
		return lines
	}
	folded := lines[head : len(lines)-tail]
	out := append([]Line{}, lines[:head]...)
	out = append(out, Line{Fold: folded, Label: label(folded)})
	return append(out, lines[len(lines)-tail:]...)
}

// label says what a fold hides: marks in it are what one would want to know of.
func label(lines []Line) string {
	marks := 0
	for _, l := range lines {
		for _, p := range l.Pieces {
			if p.Mark && p.Text != tabMark {
				marks++
			}
		}
	}
	text := fmt.Sprintf("%d more lines", len(lines))
	switch lines[0].Kind {
	case Old:
		text += " that go"
	case New:
		text += " that come"
	}
	if marks > 0 {
		text += fmt.Sprintf(", with %d characters that would not show", marks)
	}
	return text
}

// wrapped appends a text as lines that fit.
func wrapped(dst []Line, s string, kind Kind) []Line {
	for line := range strings.SplitSeq(s, "\n") {
		as := kind
		for {
			var part string
			part, line = cut(line)
			dst = append(dst, Line{Kind: as, Pieces: pieces(part)})
			if line == "" {
				break
			}
			if kind == Same {
				as = More
			}
		}
	}
	return dst
}

// cut returns as much of a line as fits, and the rest; no character is cut through.
func cut(line string) (part, rest string) {
	n := 0
	for i := range line {
		if n == maxColumn {
			return line[:i], line[i:]
		}
		n++
	}
	return line, ""
}

// tabMark shows a tab and keeps its width.
const tabMark = "⇥\t"

// pieces makes visible what is in one line.
func pieces(line string) []Piece {
	var out []Piece
	for i, part := range strings.Split(line, "\t") {
		if i > 0 {
			out = append(out, Piece{tabMark, true})
		}
		for text, mark := range lock.Marked(part, maxSpaces) {
			out = append(out, Piece{text, mark})
		}
	}
	return out
}

// name makes visible what is said in one line, however many it has.
func name(s string) []Piece {
	var out []Piece
	for text, mark := range lock.Marked(s, maxSpaces) {
		out = append(out, Piece{text, mark})
	}
	return out
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// size says how much a text is.
func size(s string) string {
	return plural(strings.Count(s, "\n")+1, "line", "lines") + ", " + plural(utf8.RuneCountInString(s), "character", "characters")
}
