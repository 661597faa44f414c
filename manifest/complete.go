package manifest

import (
	"strings"

	"github.com/goccy/go-yaml/token"
)

// checkComplete makes sure that the scanner and the parser dropped nothing: each
// character of the source is white space, part of a comment, part of a scalar of
// the tree, or a mark that the scanner saw. A file with other errors is refused
// anyway.
func (y *yamlReader) checkComplete(tokens token.Tokens) {
	if len(y.r.errs) > 0 {
		return
	}
	marks := 0
	for i, line := range y.src.lines {
		n, stray := y.countMarks(i+1, line)
		if stray > 0 {
			y.r.syntax(pos{i + 1, stray}, "text that cannot be placed", "write it more plainly: one key a line, text in double quotes")
			return
		}
		marks += n
	}
	if marks != tokenMarks(tokens) {
		y.r.syntax(pos{1, 1}, "marks that cannot be placed", "write it more plainly: one key a line, text in double quotes")
	}
}

// countMarks counts the marks of YAML in a line that are not part of a scalar or
// a comment, and returns the column of the first character that is neither.
func (y *yamlReader) countMarks(number int, line string) (marks, stray int) {
	runes := []rune(line)
	for i := 0; i < len(runes); i++ {
		if n, ok := y.scalars[pos{number, i + 1}]; ok {
			i += n - 1
			continue
		}
		switch c := runes[i]; {
		case c == ' ':
		case c == '#' && (i == 0 || runes[i-1] == ' '):
			return marks, 0
		case strings.ContainsRune(":-,[]{}", c):
			marks++
		default:
			return marks, i + 1
		}
	}
	return marks, 0
}

func tokenMarks(tokens token.Tokens) int {
	n := 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingValueType, token.SequenceEntryType, token.CollectEntryType,
			token.MappingStartType, token.MappingEndType, token.SequenceStartType, token.SequenceEndType:
			n++
		case token.DocumentHeaderType:
			n += len("---")
		}
	}
	return n
}
