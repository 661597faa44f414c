package result

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/internal/strictjson"
)

var errNoString = errors.New("it is not a string")

// preparer reads one result and collects what has to change in it.
type preparer struct {
	spec Spec
	raw  []byte
	slow bool

	edits   []edit
	texts   []text
	blocks  span // the content array
	count   int  // blocks in it
	data    bool // there is structuredContent
	depth   int  // of structuredContent and kept members
	scratch []byte
	*reporter

	types   map[string]int
	removed [hiddenKinds]int
	inNames [hiddenKinds]int // hidden in names, and not removed
	report  Report
}

// edit replaces a part of the raw text.
type edit struct {
	span
	text []byte
}

// text is prose: what can be cut and labelled. It is placed when all are known.
type text struct {
	span           // of the string with its quotes
	plain   []byte // what it says, cleaned
	quoted  []byte // the same as the inside of a JSON string
	changed bool
	main    bool // a text of a block, no description
	cut     int  // bytes of plain that were cut off
}

// decode returns what a string says. It shares the raw text if nothing in it is
// escaped, so it must not be changed.
func (p *preparer) decode(v span) []byte {
	quoted := v.of(p.raw)
	if !p.slow && bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1 : len(quoted)-1]
	}
	if out, ok := unescape(quoted[1 : len(quoted)-1]); ok && !p.slow {
		return out
	}
	out, _ := jsontext.AppendUnquote(nil, quoted) // strictjson has checked it
	return out
}

// unescape resolves the escapes that are common in text, and leaves others to jsontext.
func unescape(b []byte) ([]byte, bool) {
	out := make([]byte, 0, len(b))
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return append(out, b...), true
		}
		if i+1 >= len(b) {
			return nil, false
		}
		out = append(out, b[:i]...)
		switch c := b[i+1]; c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case 'r':
			out = append(out, '\r')
		default:
			return nil, false
		}
		b = b[i+2:]
	}
}

// scrub cleans and redacts what a string says. Cleaning can join the parts of a
// secret, and a secret can hold what cleaning removes: it is looked for twice.
func (p *preparer) scrub(plain []byte) ([]byte, bool) {
	plain, redacted := p.redact(plain)
	if p.spec.Raw {
		return plain, redacted
	}
	plain, cleaned := clean(plain, &p.removed, p.message)
	if !cleaned {
		return plain, redacted
	}
	plain, _ = p.redact(plain)
	return plain, true
}

func (p *preparer) redact(plain []byte) ([]byte, bool) {
	if p.spec.Secrets == nil {
		return plain, false
	}
	p.scratch = append(p.scratch[:0], plain...)
	n := p.spec.Secrets.Bytes(p.scratch)
	if n == 0 {
		return plain, false
	}
	p.report.Redacted += n
	return bytes.Clone(p.scratch), true
}

// set replaces a string if it changed.
func (p *preparer) set(v span, plain []byte, changed bool) {
	if changed || p.slow {
		p.edits = append(p.edits, edit{v, quote(plain)})
	}
}

func quote(plain []byte) []byte {
	out, _ := jsontext.AppendQuote(make([]byte, 0, len(plain)+len(plain)/16+2), plain) // invalid UTF-8 becomes U+FFFD
	return out
}

func (p *preparer) mainText(v span) error { return p.prose(v, true) }

func (p *preparer) description(v span) error { return p.prose(v, false) }

func (p *preparer) prose(v span, main bool) error {
	if kind(p.raw, v) != '"' {
		return errNoString
	}
	t := text{span: v, main: main, quoted: p.raw[v.from+1 : v.to-1]}
	if t.plain, t.changed = p.scrub(p.decode(v)); t.changed || p.slow {
		t.requote()
	}
	p.texts = append(p.texts, t)
	return nil
}

func (t *text) requote() {
	t.changed = true
	q := quote(t.plain)
	t.quoted = q[1 : len(q)-1]
}

// line is a name, a title or an address: one line, never labelled.
func (p *preparer) line(v span) error {
	if kind(p.raw, v) != '"' {
		return errNoString
	}
	plain, changed := p.scrub(p.decode(v))
	if !p.spec.Raw && bytes.ContainsAny(plain, "\r\n\t") {
		plain, changed = []byte(oneLine.Replace(string(plain))), true
		p.removed[control]++
	}
	p.find(plain)
	p.set(v, plain, changed)
	return nil
}

// oneLine makes a space of what would start a new line or column.
var oneLine = strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ")

func (p *preparer) structuredContent(v span) error {
	if kind(p.raw, v) != '{' {
		return errors.New("it is not an object")
	}
	p.data = true
	return p.walk(v, true)
}

// keep passes a value on as it is, but for secrets.
func (p *preparer) keep(v span) error {
	if p.spec.Secrets == nil {
		return nil
	}
	return p.walk(v, false)
}

// walk looks at all strings of a value. Those of structuredContent are read by a
// model and are cleaned; others are for programs.
func (p *preparer) walk(v span, clean bool) error {
	if p.depth++; p.depth > strictjson.MaxDepth {
		return errNotStrict
	}
	defer func() { p.depth-- }()
	switch kind(p.raw, v) {
	case '{':
		return members(p.raw, v, func(name, value span) error {
			if err := p.name(name, clean); err != nil {
				return err
			}
			return p.walk(value, clean)
		})
	case '[':
		return elements(p.raw, v, func(v span) error { return p.walk(v, clean) })
	case '"':
		p.value(v, clean)
	}
	return nil
}

func (p *preparer) value(v span, clean bool) {
	plain := p.decode(v)
	if !clean {
		plain, changed := p.redact(plain)
		p.set(v, plain, changed)
		return
	}
	plain, changed := p.scrub(plain)
	p.find(plain)
	p.set(v, plain, changed)
}

// name looks at the name of a member, which never changes. One that holds a
// secret cannot go out.
func (p *preparer) name(name span, read bool) error {
	plain := p.decode(span{name.from - 1, name.to + 1})
	if _, found := p.redact(plain); found {
		return &withheldError{"the name of a member in it holds a secret"}
	}
	if !read {
		return nil
	}
	if _, hidden := clean(plain, &p.inNames, p.message); hidden {
		p.report.HiddenNames++
	}
	p.find(plain)
	return nil
}

// apply returns the result with all edits.
func (p *preparer) apply() jsontext.Value {
	if len(p.edits) == 0 {
		return p.raw
	}
	slices.SortFunc(p.edits, func(a, b edit) int { return a.from - b.from })
	size := len(p.raw)
	for _, e := range p.edits {
		size += len(e.text) - (e.to - e.from)
	}
	out := make([]byte, 0, size)
	at := 0
	for _, e := range p.edits {
		out = append(append(out, p.raw[at:e.from]...), e.text...)
		at = e.to
	}
	return append(out, p.raw[at:]...)
}

// finish completes the report.
func (p *preparer) finish() Report {
	r := p.report
	r.Types, r.Instructions, r.Pictures = p.types, p.instructions, p.pictures
	for k, n := range p.removed {
		if n > 0 {
			if r.Removed == nil {
				r.Removed = map[string]int{}
			}
			r.Removed[hiddenNames[k]] = n
		}
	}
	return r
}

// place cuts the texts if the result is too large, looks through what is left of
// them, and labels them.
func (p *preparer) place() error {
	if err := p.fit(); err != nil {
		return err
	}
	for i := range p.texts {
		t := &p.texts[i]
		p.find(t.plain)
		if p.spec.Untrusted {
			p.defuse(t)
		}
	}
	p.label()
	return nil
}

// noteRoom is kept free for the note behind each text that is cut.
const noteRoom = 64

// note says how much was cut off, so that nobody takes the rest for the whole.
func note(n int) string { return fmt.Sprintf("\n[mcprun cut off %d bytes of text here]", n) }

// fit cuts texts until the result is no larger than it may be: the first ones stay.
func (p *preparer) fit() error {
	fixed, prose := len(p.raw), 0
	for _, e := range p.edits {
		fixed += len(e.text) - (e.to - e.from)
	}
	for _, t := range p.texts {
		fixed -= t.to - t.from - len(`""`)
		prose += len(t.quoted)
	}
	if fixed+prose <= p.spec.MaxBytes {
		return nil
	}
	room := p.spec.MaxBytes - fixed - noteRoom*len(p.texts)
	if room < 0 {
		return &withheldError{fmt.Sprintf("it is %d bytes, of which %d cannot be cut; at most %d. Ask for less", fixed+prose, fixed, p.spec.MaxBytes)}
	}
	for i := range p.texts {
		t := &p.texts[i]
		if len(t.quoted) > room {
			t.shorten(room)
			p.report.Truncated += int64(t.cut)
			room = 0
			continue
		}
		room -= len(t.quoted)
	}
	return nil
}
