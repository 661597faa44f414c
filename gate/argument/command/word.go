package command

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// mark stands in a word's text for a part whose value is not known. No text that
// is judged has it, since NUL is refused.
const mark = "\x00"

// word is one word as a program would get it.
type word struct {
	text    string // without quotes; a mark where a value is not known
	unknown bool
	glob    bool // has an active pattern
}

// starts reports whether the beginning is unknown, so that the word may turn out
// to be an option, or several.
func (w word) starts() bool {
	return w.unknown && strings.HasPrefix(w.text, mark) || w.glob && w.text != "" && strings.IndexByte("*?[", w.text[0]) >= 0
}

// settled reports whether the word is exactly its text.
func (w word) settled() bool { return !w.unknown && !w.glob }

// resolver builds one word.
type resolver struct {
	j     *judge
	c     context
	text  strings.Builder
	out   word
	brace int // how far {a,b} has been seen: 1 after {, 2 after a comma or two dots
}

// word resolves quotes and what is known of variables, and judges what is inside.
func (j *judge) word(w *syntax.Word, c context) word {
	if !j.count(1) {
		return word{text: mark, unknown: true}
	}
	if len(w.Parts) == 1 {
		if lit, ok := w.Parts[0].(*syntax.Lit); ok && !strings.ContainsAny(lit.Value, "\\*?[{") {
			return word{text: lit.Value}
		}
	}
	r := resolver{j: j, c: c}
	for _, p := range w.Parts {
		r.part(p, false)
	}
	r.out.text = r.text.String()
	if r.out.text == "[" || r.out.text == "]" {
		r.out.glob = false
	}
	if r.out.glob && !j.spec.Globs {
		j.refuse("command.glob", "the command has a pattern of file names, and patterns are not granted", "write the names out, or quote the pattern")
	}
	return r.out
}

func (r *resolver) part(p syntax.WordPart, quoted bool) {
	switch p := p.(type) {
	case *syntax.Lit:
		r.lit(p.Value, quoted)
	case *syntax.SglQuoted:
		if p.Dollar {
			r.bash("$'…', which only some shells know")
			r.unknown()
			return
		}
		r.text.WriteString(p.Value)
	case *syntax.DblQuoted:
		if p.Dollar {
			r.bash(`$"…", which only some shells know`)
		}
		for _, p := range p.Parts {
			r.part(p, true)
		}
	case *syntax.ParamExp:
		r.param(p, quoted)
	case *syntax.CmdSubst:
		r.substitution(p)
	case *syntax.ProcSubst:
		r.bash("a process as a file, which only some shells know")
		r.unknown()
		r.j.nested(p.Stmts, r.c)
	default: // arithmetic, extended patterns, and what a later parser may add
		r.bash("arithmetic or an extended pattern, which shells read differently")
		r.unknown()
	}
}

func (r *resolver) bash(what string) {
	r.j.refuse("command.dialect", "the command has "+what, "write it as POSIX sh does")
}

func (r *resolver) unknown() {
	r.text.WriteString(mark)
	r.out.unknown = true
}

// lit takes backslashes out and finds patterns. Inside double quotes a backslash
// stays, except before what it can quote there.
func (r *resolver) lit(s string, quoted bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			next := s[i+1]
			if !quoted || strings.IndexByte("$`\"\\\n", next) >= 0 {
				i++
				if next != '\n' {
					r.text.WriteByte(next)
				}
				continue
			}
		}
		if !quoted {
			r.active(s, i)
		}
		r.text.WriteByte(c)
	}
}

// active judges one unquoted character.
func (r *resolver) active(s string, i int) {
	switch s[i] {
	case '*', '?', '[':
		r.out.glob = true
	case '{':
		r.brace = max(r.brace, 1)
	case ',':
		if r.brace == 1 {
			r.brace = 2
		}
	case '.':
		if r.brace == 1 && i+1 < len(s) && s[i+1] == '.' {
			r.brace = 2
		}
	case '}':
		if r.brace == 2 {
			r.bash("{a,b}, which only some shells expand")
			r.out.unknown = true
		}
	}
}

func (r *resolver) substitution(p *syntax.CmdSubst) {
	switch {
	case p.Backquotes:
		r.j.refuse("command.substitution", "the command has backquotes, in which shells read backslashes differently", "write $(…) if substitution is granted")
	case !r.j.spec.Substitution:
		r.j.refuse("command.substitution", "the command inserts what another command prints, and that is not granted", "write the value out")
	}
	r.unknown()
	r.j.nested(p.Stmts, r.c)
}

// param inserts a value that is known and a mark for others.
func (r *resolver) param(p *syntax.ParamExp, quoted bool) {
	if !isSimple(p) {
		r.j.refuse("command.expansion", "the command takes a variable apart or gives it a default, which can spell anything", "write the value out")
		r.unknown()
		return
	}
	name := p.Param.Value
	switch {
	case name == "IFS" || strings.Trim(name, "0123456789@*#-$!_") == "":
		r.j.refuse("command.variable", "the command uses a variable of the shell itself, which can hide spaces and options", "write the value out")
		r.unknown()
		return
	case !r.j.spec.Variables:
		r.j.refuse("command.variable", "the command uses a variable, and variables are not granted", "write the value out")
	case isSecretVariable(name):
		r.j.hold("command.secret", "the command uses a variable whose name says that it holds a secret", "leave it out")
	}
	value, ok := r.j.vars[name]
	if !ok && name == "HOME" && !r.j.assigned[name] {
		value, ok = "~", true
	}
	if !ok || !quoted && strings.ContainsAny(value, " \t\n*?[") {
		r.unknown()
		return
	}
	r.text.WriteString(value)
}

// isSimple: $a and ${a}, nothing more.
func isSimple(p *syntax.ParamExp) bool {
	return p.Param != nil && p.Flags == nil && !p.Excl && !p.Length && !p.Width && !p.IsSet && p.NestedParam == nil && p.Index == nil &&
		len(p.Modifiers) == 0 && p.Slice == nil && p.Repl == nil && p.Names == 0 && p.Exp == nil
}

func isSecretVariable(name string) bool {
	upper := strings.ToUpper(name)
	for _, part := range []string{"SECRET", "TOKEN", "PASSWORD", "PASSWD", "API_KEY", "APIKEY", "PRIVATE_KEY", "CREDENTIAL"} {
		if strings.Contains(upper, part) {
			return true
		}
	}
	return false
}
