package result

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// field is a member that MCP 2025-11-25 gives to an object of a result.
type field struct {
	name     string
	required bool
	read     func(*preparer, span) error
}

// blockFields are the types of content blocks. Every block can also have what
// commonFields lists.
var blockFields = map[string][]field{
	"text":  {{"text", true, (*preparer).mainText}},
	"image": {{"data", true, (*preparer).base64}, {"mimeType", true, (*preparer).mediaType}},
	"audio": {{"data", true, (*preparer).base64}, {"mimeType", true, (*preparer).mediaType}},
	"resource_link": {
		{"uri", true, (*preparer).address}, {"name", true, (*preparer).line}, {"title", false, (*preparer).line},
		{"description", false, (*preparer).description}, {"mimeType", false, (*preparer).mediaType},
		{"size", false, (*preparer).number}, {"icons", false, (*preparer).icons},
	},
	"resource": {{"resource", true, (*preparer).resource}},
}

var commonFields = []field{
	{"type", true, func(*preparer, span) error { return nil }},
	{"annotations", false, (*preparer).annotations},
	{"_meta", false, (*preparer).meta},
}

var resourceFields = []field{
	{"uri", true, (*preparer).address}, {"mimeType", false, (*preparer).mediaType}, {"text", false, (*preparer).mainText},
	{"blob", false, (*preparer).base64}, {"_meta", false, (*preparer).meta},
}

var annotationFields = []field{
	{"audience", false, (*preparer).audience}, {"priority", false, (*preparer).priority}, {"lastModified", false, (*preparer).line},
}

var iconFields = []field{
	{"src", true, (*preparer).address}, {"mimeType", false, (*preparer).mediaType}, {"sizes", false, (*preparer).keepStrings},
	{"theme", false, (*preparer).line},
}

// result reads the whole result.
func (p *preparer) result() error {
	whole := span{0, len(p.raw)}
	if kind(p.raw, whole) != '{' || valueEnd(p.raw, 0) != len(p.raw) {
		return errors.New("the result is not an object")
	}
	err := p.object("the result", whole,
		field{"content", true, (*preparer).content}, field{"structuredContent", false, (*preparer).structuredContent},
		field{"isError", false, (*preparer).boolean}, field{"_meta", false, (*preparer).meta})
	return err
}

func (p *preparer) content(v span) error {
	if kind(p.raw, v) != '[' {
		return errors.New("it is not an array")
	}
	p.blocks = v
	return elements(p.raw, v, func(v span) error {
		p.count++
		if p.count > p.spec.MaxBlocks {
			return &withheldError{fmt.Sprintf("it has more than %d blocks of content", p.spec.MaxBlocks)}
		}
		if err := p.block(v); err != nil {
			return fmt.Errorf("block %d: %w", p.count, err)
		}
		return nil
	})
}

func (p *preparer) block(v span) error {
	if kind(p.raw, v) != '{' {
		return errors.New("it is not an object")
	}
	var typ string
	err := members(p.raw, v, func(name, value span) error {
		if string(name.of(p.raw)) == "type" && kind(p.raw, value) == '"' {
			typ = string(p.decode(value))
		}
		return nil
	})
	if err != nil {
		return err
	}
	fields, ok := blockFields[typ]
	if !ok {
		return fmt.Errorf("its type is none of text, image, audio, resource_link and resource")
	}
	p.types[typ]++
	return p.object("a block of type "+typ, v, append(fields[:len(fields):len(fields)], commonFields...)...)
}

// object reads the members of an object by their fields. Members that MCP does
// not name are kept. A name that differs from one of MCP's only in case is
// refused: some readers take it for that one, and see what nobody looked at.
func (p *preparer) object(what string, v span, fields ...field) error {
	if kind(p.raw, v) != '{' {
		return errors.New("it is not an object")
	}
	var seen uint
	err := members(p.raw, v, func(name, value span) error {
		if err := p.name(name, false); err != nil {
			return err
		}
		i, err := lookUp(fields, string(name.of(p.raw)))
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", what, err)
		case i < 0:
			return p.keep(value)
		case kind(p.raw, value) == 'n' && !fields[i].required:
			return nil // written by servers that leave nothing out
		}
		seen |= 1 << i
		if err := fields[i].read(p, value); err != nil {
			return fmt.Errorf("%s: %s: %w", what, fields[i].name, err)
		}
		return nil
	})
	for i, f := range fields {
		if err == nil && f.required && seen&(1<<i) == 0 {
			return fmt.Errorf("%s has no %s", what, f.name)
		}
	}
	return err
}

func lookUp(fields []field, name string) (int, error) {
	for i, f := range fields {
		if f.name == name {
			return i, nil
		}
	}
	for _, f := range fields {
		if strings.EqualFold(f.name, name) {
			return 0, fmt.Errorf("a member differs from %s only in case", f.name)
		}
	}
	return -1, nil
}

// resource is text or a blob with its address.
func (p *preparer) resource(v span) error {
	if err := p.object("the resource", v, resourceFields...); err != nil {
		return err
	}
	var forms int
	err := members(p.raw, v, func(name, value span) error {
		if n := string(name.of(p.raw)); (n == "text" || n == "blob") && kind(p.raw, value) != 'n' {
			forms++
		}
		return nil
	})
	if err == nil && forms != 1 {
		return errors.New("it must have either a text or a blob")
	}
	return err
}

func (p *preparer) annotations(v span) error {
	return p.object("the annotations", v, annotationFields...)
}

func (p *preparer) icons(v span) error {
	if kind(p.raw, v) != '[' {
		return errors.New("it is not an array")
	}
	return elements(p.raw, v, func(v span) error { return p.object("an icon", v, iconFields...) })
}

func (p *preparer) audience(v span) error {
	if kind(p.raw, v) != '[' {
		return errors.New("it is not an array")
	}
	return elements(p.raw, v, func(v span) error {
		if s := string(v.of(p.raw)); s != `"user"` && s != `"assistant"` {
			return errors.New("it names someone else than user and assistant")
		}
		return nil
	})
}

func (p *preparer) priority(v span) error {
	if f, err := strconv.ParseFloat(string(v.of(p.raw)), 64); kind(p.raw, v) != '0' || err != nil || f < 0 || f > 1 {
		return errors.New("it is not a number from 0 to 1")
	}
	return nil
}

func (p *preparer) number(v span) error {
	if kind(p.raw, v) != '0' {
		return errors.New("it is not a number")
	}
	return nil
}

func (p *preparer) boolean(v span) error {
	if k := kind(p.raw, v); k != 't' && k != 'f' {
		return errors.New("it is neither true nor false")
	}
	return nil
}

// meta is for programs: what is in it is kept.
func (p *preparer) meta(v span) error {
	if kind(p.raw, v) != '{' {
		return errors.New("it is not an object")
	}
	return p.keep(v)
}

// keepStrings takes one string, as older revisions had it, or an array of them.
func (p *preparer) keepStrings(v span) error {
	if k := kind(p.raw, v); k == '"' {
		return p.line(v)
	} else if k != '[' {
		return errors.New("it is not an array")
	}
	return elements(p.raw, v, p.line)
}
