package command

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/mcprun/mcprun/gate/argument"
)

// text parses one text and judges every command in it.
func (j *judge) text(text string, c context) {
	file, err := parse(text)
	if err != nil {
		j.refuse("command.syntax", "the command cannot be parsed as shell", "write one command as sh reads it, with quotes closed")
		return
	}
	if len(file.Stmts) == 0 {
		j.refuse("command.empty", "the command has nothing to run", "name a program")
	}
	if hasComment(file) {
		j.refuse("command.comment", "the command has a comment, which an interactive shell may run", "leave the comment out")
	}
	j.list(file.Stmts, c)
}

// parse never panics: the parser is given hostile text, and a fault in it must
// refuse one call and not end the daemon.
func parse(text string) (file *syntax.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, syntax.ParseError{Text: "the parser failed"}
		}
	}()
	return syntax.NewParser(syntax.Variant(syntax.LangBash), syntax.KeepComments(true)).Parse(strings.NewReader(text), "")
}

// hasComment looks everywhere: a comment may stand inside a substitution.
func hasComment(file *syntax.File) bool {
	found := false
	syntax.Walk(file, func(n syntax.Node) bool {
		if _, ok := n.(*syntax.Comment); ok {
			found = true
		}
		return !found
	})
	return found
}

// nested judges the statements inside a substitution or a group, whose changes of
// folder end with it.
func (j *judge) nested(stmts []*syntax.Stmt, c context) {
	if c, ok := j.deeper(c); ok {
		j.list(stmts, c)
	}
}

func (j *judge) list(stmts []*syntax.Stmt, c context) {
	if len(stmts) > 1 {
		j.needSequences()
	}
	for _, s := range stmts {
		j.stmt(s, c)
	}
}

func (j *judge) needSequences() {
	if !j.spec.Sequences {
		j.refuse("command.sequence", "there is more than one command, or a group, and sequences are not granted", "send one command")
	}
}

func (j *judge) stmt(s *syntax.Stmt, c context) {
	c, ok := j.deeper(c)
	if !ok || !j.count(1) {
		return
	}
	if s.Background && !j.spec.Background {
		j.refuse("command.background", "a command runs in the background, and that is not granted", "leave out the &")
	}
	if s.Coprocess || s.Disown {
		j.dialect("a coprocess")
	}
	u := unit{context: c}
	for _, r := range s.Redirs {
		j.redirect(r, &u)
	}
	c.stdin = u.stdin
	if _, ok := s.Cmd.(*syntax.CallExpr); !ok {
		j.fault(writes(&u))
		for _, w := range u.writes {
			j.value(w)
		}
	}
	switch cmd := s.Cmd.(type) {
	case *syntax.CallExpr:
		j.call(cmd, u)
	case *syntax.BinaryCmd:
		j.binary(cmd, c)
	default:
		j.compound(cmd, c)
	}
}

func (j *judge) dialect(what string) {
	j.refuse("command.dialect", "the command has "+what+", which shells read differently", "write it as POSIX sh does")
}

func (j *judge) binary(b *syntax.BinaryCmd, c context) {
	switch b.Op {
	case syntax.AndStmt, syntax.OrStmt:
		j.needSequences()
	case syntax.Pipe:
		if !j.spec.Pipes {
			j.refuse("command.pipe", "the command has a pipe, and pipes are not granted", "send one command")
		}
	default:
		j.dialect("|&")
	}
	j.stmt(b.X, c)
	if b.Op == syntax.Pipe || b.Op == syntax.PipeAll {
		c.stdin = true
	}
	j.stmt(b.Y, c)
}

// compound judges what is neither one command nor two. Loops without an end of
// their own, functions and everything that only bash has are refused.
func (j *judge) compound(cmd syntax.Command, c context) {
	switch cmd := cmd.(type) {
	case nil: // redirections alone
		j.refuse("command.program", "the command only redirects, and names no program", "name a program")
	case *syntax.Block:
		j.needSequences()
		j.nested(cmd.Stmts, c)
	case *syntax.Subshell:
		j.needSequences()
		j.nested(cmd.Stmts, c)
	case *syntax.IfClause:
		j.needSequences()
		for ; cmd != nil; cmd = cmd.Else {
			j.nested(cmd.Cond, c)
			j.nested(cmd.Then, c)
		}
	case *syntax.ForClause:
		j.loop(cmd, c)
	case *syntax.TimeClause:
		j.timed(cmd, c)
	case *syntax.DeclClause:
		j.declare(cmd, c)
	case *syntax.FuncDecl:
		j.function(cmd, c)
	case *syntax.WhileClause:
		j.refuse("command.loop", "the command has a loop that need not end", "use for with a list")
		j.nested(cmd.Cond, c)
		j.nested(cmd.Do, c)
	case *syntax.CaseClause:
		j.refuse("command.case", "the command has a case, which is not judged", "use if")
		for _, item := range cmd.Items {
			j.nested(item.Stmts, c)
		}
	case *syntax.CoprocClause:
		j.dialect("a coprocess")
		j.stmt(cmd.Stmt, c)
	default:
		j.dialect("[[, ((, let or another word of bash")
	}
}

func (j *judge) loop(f *syntax.ForClause, c context) {
	j.needSequences()
	iter, ok := f.Loop.(*syntax.WordIter)
	if !ok || f.Select || f.Braces || !iter.InPos.IsValid() {
		j.dialect("a loop of bash")
	}
	if ok {
		if !j.spec.Variables {
			j.refuse("command.variable", "the command has a loop, whose variable is not granted", "write the commands out")
		}
		j.rounds(iter, f.Do, c)
		return
	}
	j.nested(f.Do, c)
}

// rounds judges the body once for each item that is written out; the bound on
// words is the bound on rounds.
func (j *judge) rounds(iter *syntax.WordIter, body []*syntax.Stmt, c context) {
	name := iter.Name.Value
	if f := judgeVariable(name); f.Verdict != argument.Pass {
		j.report(f)
	}
	items := make([]word, 0, len(iter.Items))
	for _, item := range iter.Items {
		w := j.word(item, c)
		j.value(w)
		items = append(items, w)
	}
	if len(items) == 0 {
		items = append(items, word{text: mark, unknown: true})
	}
	for _, w := range items {
		if !j.count(1) {
			return
		}
		delete(j.assigned, name) // each round gives the name a value of its own
		if !w.settled() {
			w = word{text: mark, unknown: true}
		}
		j.assign(name, w)
		j.nested(body, c)
	}
	j.assign(name, word{text: mark, unknown: true})
}

// timed: time is a word of bash and a program elsewhere; as a program it has to be
// listed.
func (j *judge) timed(t *syntax.TimeClause, c context) {
	j.unit(unit{args: []word{{text: "time"}}, context: c})
	if t.Stmt != nil {
		j.stmt(t.Stmt, c)
	}
}

// declare: export and readonly are in every shell, the others are not.
func (j *judge) declare(d *syntax.DeclClause, c context) {
	name := d.Variant.Value
	if name != "export" && name != "readonly" {
		j.dialect(name)
	}
	u := unit{args: []word{{text: name}}, context: c}
	for _, a := range d.Args {
		if a.Name == nil {
			u.args = append(u.args, j.word(a.Value, c))
			continue
		}
		w := j.assignment(a, c)
		j.assign(a.Name.Value, w)
		u.args = append(u.args, word{text: a.Name.Value + "=" + w.text, unknown: w.unknown, glob: w.glob})
	}
	j.unit(u)
}

func (j *judge) function(f *syntax.FuncDecl, c context) {
	name := ""
	if f.Name != nil {
		name = f.Name.Value
	}
	calls := false
	syntax.Walk(f.Body, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok && len(call.Args) > 0 && call.Args[0].Lit() == name {
			calls = true
		}
		return true
	})
	if calls {
		j.refuse("command.never.forkbomb", "a function calls itself, as a fork bomb does", "")
	}
	j.refuse("command.function", "the command declares a function, which gives a name another meaning", "write the commands out")
	j.stmt(f.Body, c)
}

func (j *judge) call(call *syntax.CallExpr, u unit) {
	for _, a := range call.Assigns {
		w := j.assignment(a, u.context)
		if len(call.Args) == 0 { // in front of a command it is that command's alone
			j.assign(a.Name.Value, w)
		}
	}
	if len(call.Args) == 0 {
		return
	}
	u.args = make([]word, len(call.Args))
	for i, a := range call.Args {
		u.args[i] = j.word(a, u.context)
	}
	j.unit(u)
}

// assignment judges one a=b, wherever it stands.
func (j *judge) assignment(a *syntax.Assign, c context) word {
	if !j.spec.Variables {
		j.refuse("command.variable", "the command sets a variable, and variables are not granted", "leave it out")
	}
	if a.Append || a.Index != nil || a.Array != nil {
		j.dialect("an array or +=")
	}
	if f := judgeVariable(a.Name.Value); f.Verdict != argument.Pass {
		j.report(f)
	}
	if a.Append || a.Array != nil || a.Naked {
		return word{text: mark, unknown: true}
	}
	if a.Value == nil {
		return word{}
	}
	w := j.word(a.Value, c)
	j.value(w)
	return w
}

// assign remembers a value that is written out and the only one its name gets.
func (j *judge) assign(name string, w word) {
	if j.vars == nil {
		j.vars, j.assigned = map[string]string{}, map[string]bool{}
	}
	before, had := j.vars[name]
	if w.unknown || j.assigned[name] && (!had || before != w.text) {
		delete(j.vars, name)
	} else {
		j.vars[name] = w.text
	}
	j.assigned[name] = true
}

// value judges a word that no program is given directly.
func (j *judge) value(w word) { j.scan(w, "") }
