package command

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"

	"github.com/mcprun/mcprun/gate/argument"
)

// unit is one program with its arguments.
type unit struct {
	context
	args   []word
	writes []word // where its output is redirected to
	kind   string // what the program is, whatever path and version it was written with
	inside inside
}

// rest are the unit's own arguments, without those of a program that it runs.
func (u *unit) rest() []word {
	switch {
	case len(u.args) == 0: // a group that only redirects
		return nil
	case u.inside.at > 0:
		return u.args[1:u.inside.at]
	}
	return u.args[1:]
}

// has reports whether an argument of the unit's own is, or holds, one of the
// options.
func (u *unit) has(flags ...string) bool {
	for _, w := range u.rest() {
		for _, f := range flags {
			if hasFlag(u.kind, f, w.text) {
				return true
			}
		}
	}
	return false
}

// operands are the arguments of the unit's own that are no options.
func (u *unit) operands() []word {
	var out []word
	ended := false
	for _, w := range u.rest() {
		if !ended && w.text == "--" {
			ended = true
		} else if ended || !strings.HasPrefix(w.text, "-") || w.text == "-" {
			out = append(out, w)
		}
	}
	return out
}

// unit judges one program with its arguments, and what it runs.
func (j *judge) unit(u unit) {
	c, ok := j.deeper(u.context)
	if !ok || len(u.args) == 0 {
		return
	}
	u.context = c
	if !j.count(len(u.args)) {
		return
	}
	name := u.args[0]
	if !name.settled() || name.text == "" || !isPlainName(name.text) {
		j.refuse("command.program", "the name of the program is not written out in plain ASCII", "name the program itself")
		for _, w := range u.args {
			j.scan(w, "")
		}
		return
	}
	u.kind = kindOf(name.text)
	u.inside = look(&u)
	for _, w := range u.rest() {
		j.scan(w, u.kind)
	}
	for _, w := range u.writes {
		j.scan(w, u.kind)
	}
	j.never(&u)
	j.collects(&u)
	j.granted(&u)
	j.follow(&u)
}

// collectors read, send or copy whole folders.
var collectors = toSet("grep", "egrep", "rg", "ag", "tar", "cp", "rsync", "scp", "zip", "7z", "cpio", "ack")

// collects holds what reads the whole of a home or of the system, and with it all
// the files that are refused by name.
func (j *judge) collects(u *unit) {
	if collectors[u.kind] && slices.ContainsFunc(u.operands(), j.isRootHere) {
		j.hold("command.secret", "the command reads the root, a home or a folder of the system with all that is in it", "name the files")
	}
}

// isPlainName: a name with other characters is a look-alike, or a sentence.
func isPlainName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || c <= ' ' || strings.IndexByte("~$`\"'\\*?!", c) >= 0 {
			return false
		}
	}
	return true
}

// kindOf takes folder, version and ending from a name: /usr/bin/python3.11 is
// python, mkfs.ext4 is mkfs. It is for the fixed lists; the spec's names are
// compared as they are written.
func kindOf(name string) string {
	kind := strings.ToLower(path.Base(name))
	kind = strings.TrimSuffix(kind, ".exe")
	for _, family := range []string{"mkfs", "nc", "fsck", "ncat", "iptables", "ip6tables"} {
		if strings.HasPrefix(kind, family+".") || strings.HasPrefix(kind, family+"-") {
			return family
		}
	}
	if strings.HasPrefix(kind, "ld-linux") || strings.HasPrefix(kind, "ld-musl") || strings.HasPrefix(kind, "ld.so") {
		return "ld.so"
	}
	if trimmed := strings.TrimRight(kind, "0123456789.-"); trimmed != "" && families[trimmed] {
		return trimmed
	}
	return kind
}

// families are programs that are installed under names with their version.
var families = toSet("python", "pypy", "perl", "ruby", "node", "php", "lua", "tclsh", "pip", "bash", "zsh", "ksh", "gcc", "vim", "java", "awk", "wish", "luajit")

func toSet(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}

// find returns the program of the spec that name stands for.
func (s *Spec) find(name string) *Program {
	for i := range s.Programs {
		if s.Programs[i].Name == name {
			return &s.Programs[i]
		}
	}
	return nil
}

// granted judges the unit by the spec.
func (j *judge) granted(u *unit) {
	name := u.args[0].text
	p := j.spec.find(name)
	if p == nil {
		j.report(argument.Finding{Verdict: min(j.spec.Others, argument.Hold), Rule: "command.program",
			Reason: fmt.Sprintf("the program %s is not one of those that are listed", argument.Shown(name)), Hint: j.spec.names()})
		return
	}
	for _, f := range p.Forbidden {
		if slices.ContainsFunc(u.rest(), func(w word) bool { return hasFlag(u.kind, f, w.text) }) {
			j.refuse("command.flag", fmt.Sprintf("%s may not be given the option %s", name, f), "leave the option out")
		}
	}
	if len(p.Forbidden) > 0 && slices.ContainsFunc(u.rest(), word.starts) {
		j.refuse("command.unknown", fmt.Sprintf("an argument of %s that is not written out may turn out to be an option that is forbidden", name), "write it out, or put ./ in front of a pattern")
	}
	j.subcommand(p, u)
	j.runs(p, u)
}

// maxHint is how many names a hint lists; more is no help.
const maxHint = 8

func (s *Spec) names() string {
	if len(s.Programs) == 0 {
		return ""
	}
	var names []string
	for _, p := range s.Programs[:min(len(s.Programs), maxHint)] {
		names = append(names, p.Name)
	}
	return "use a listed program, such as " + strings.Join(names, ", ")
}

// follow judges what the unit runs.
func (j *judge) follow(u *unit) {
	if u.inside.unclear {
		j.refuse("command.wrapper", fmt.Sprintf("%s runs another program, and its options do not say clearly which", u.kind), "write the program directly")
	}
	for _, args := range u.inside.args {
		c := u.context
		c.stdin = c.stdin && u.inside.at > 0 // find gives its programs no pipe
		j.unit(unit{args: args, context: c})
	}
	for _, w := range u.inside.texts {
		switch c, ok := j.deeper(u.context); {
		case !ok:
		case w.unknown:
			j.refuse("command.never.piped_code", "a shell is given a text that is not written out, so nobody judged it", "write the command out")
		case strings.TrimSpace(w.text) != "":
			j.text(w.text, c)
		}
	}
}

// redirect judges one redirection and notes what it does to the unit.
func (j *judge) redirect(r *syntax.Redirect, u *unit) {
	target := j.word(r.Word, u.context)
	if r.N != nil && strings.HasPrefix(r.N.Value, "{") {
		j.dialect("a descriptor in a variable")
	}
	switch r.Op {
	case syntax.DplOut, syntax.DplIn:
		j.duplicate(r, target, u)
	case syntax.RdrOut, syntax.AppOut, syntax.RdrClob, syntax.RdrInOut:
		u.writes = append(u.writes, target)
		u.stdin = u.stdin || r.Op == syntax.RdrInOut
		j.file(target, true)
	case syntax.RdrIn:
		u.stdin = true
		j.file(target, false)
		j.scan(target, "")
	case syntax.Hdoc, syntax.DashHdoc:
		u.stdin = true
		j.needRedirections()
		if r.Hdoc != nil {
			j.value(j.document(r.Hdoc, u.context))
		}
	default: // &>, &>>, <<< and what a later parser may add
		j.dialect("&> or <<<")
		u.stdin = true
		u.writes = append(u.writes, target)
		j.scan(target, "")
	}
}

// document resolves a here-document, in which globs and braces mean nothing.
func (j *judge) document(w *syntax.Word, c context) word {
	r := resolver{j: j, c: c}
	for _, p := range w.Parts {
		r.part(p, true)
	}
	r.out.text = r.text.String()
	return r.out
}

// duplicate: 2>&1 is harmless, >&name is a file to bash and a fault to others.
func (j *judge) duplicate(r *syntax.Redirect, target word, u *unit) {
	if target.text == "-" || target.text != "" && strings.Trim(target.text, "0123456789") == "" {
		if target.text > "2" || r.Op == syntax.DplIn {
			u.stdin = u.stdin || r.Op == syntax.DplIn
			j.needRedirections()
		}
		return
	}
	j.dialect(">&name")
	j.scan(target, "")
	u.writes = append(u.writes, target)
}

func (j *judge) needRedirections() {
	if !j.spec.Redirections {
		j.refuse("command.redirection", "the command redirects its input or output, and redirections are not granted", "leave the redirection out")
	}
}

func (j *judge) file(target word, out bool) {
	if out && target.text == "/dev/null" {
		return
	}
	j.needRedirections()
	if !target.settled() {
		j.refuse("command.redirection", "the file of a redirection is not written out", "name the file")
	}
}
