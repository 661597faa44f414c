package lock

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Text renders changes for a terminal or a log: a line that says what, then `-`
// and `+` lines with the old and the new value. It has no colour and no escape
// sequences, and what is hidden in a value is shown by [Visible].
func Text(changes []Change) string {
	var b strings.Builder
	for _, c := range changes {
		b.WriteString(c.heading())
		b.WriteByte('\n')
		writeValue(&b, "  - ", c.Old)
		writeValue(&b, "  + ", c.New)
	}
	return b.String()
}

// heading is e.g. "tool add: changed /inputSchema/properties/note".
func (c Change) heading() string {
	what := string(c.Subject)
	if c.Subject == SubjectTool {
		what += " " + Visible(string(c.Tool))
	}
	verb := "changed"
	if c.Old == nil {
		verb = "added"
	} else if c.New == nil {
		verb = "removed"
	}
	if c.Path != "" {
		verb += " " + Visible(string(c.Path))
	}
	return what + ": " + verb
}

// maxLine is the longest value that stays on one line.
const maxLine = 100

// writeValue writes a value with the prefix before each of its lines. It stays
// JSON: its strings are quoted, so a line feed inside one shows as \n and a
// trailing space before the quote.
func writeValue(b *strings.Builder, prefix string, v jsontext.Value) {
	if v == nil {
		return
	}
	v = v.Clone()
	if v.Compact() != nil {
		b.WriteString(prefix + Visible(string(v)) + " (not JSON)\n")
		return
	}
	if len(v) > maxLine && v.Indent(jsontext.WithIndent("  ")) != nil {
		return // cannot be: it was compacted just now
	}
	for line := range strings.Lines(string(v)) {
		text := strings.TrimLeft(line, " ")
		indent := line[:len(line)-len(text)]
		b.WriteString(prefix + indent + Visible(strings.TrimSuffix(text, "\n")) + "\n")
	}
}
