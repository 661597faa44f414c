package manifest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/argument/command"
	"github.com/mcprun/mcprun/gate/argument/paths"
	"github.com/mcprun/mcprun/gate/argument/sql"
	"github.com/mcprun/mcprun/gate/argument/urls"
	"github.com/mcprun/mcprun/gate/argument/words"
	"github.com/mcprun/mcprun/gate/when"
)

// argumentsSchema is where the schema has the checks of one argument.
const argumentsSchema = "tools.*.arguments.*"

// maxChecks bounds the checks of one tool, and maxRules its rules: longer lists are
// generated, and each call pays for all of them.
const (
	maxChecks = 128
	maxRules  = 64
)

func argumentPath(tool, at string) string { return join(join(tool, "arguments"), keyName(at)) }

// decodeArguments reads which checks a tool's arguments must pass.
func decodeArguments(tool object) []argument.Attached {
	var out []argument.Attached
	for _, p := range tool.named("arguments", "{path: {path: {under: [/workspace]}}}") {
		path := argumentPath(tool.path, p.key.text)
		tool.r.where[path] = place{p.value.pos, path}
		at, err := argument.ParsePointer(p.key.text)
		if err != nil {
			tool.r.fail(path, "write an argument's name, or a pointer such as /edits/*/path", "%s", shortError(err))
			continue
		}
		o := openObject(tool.r, argumentsSchema, path, p.value)
		checks := decodeChecks(o)
		if len(checks) == 0 && o.fields != nil && !tool.r.bad[path] {
			tool.r.fail(path, "write what it must be, e.g. path: {under: [/workspace]}", "says nothing")
		}
		for _, c := range checks {
			out = append(out, argument.Attached{At: at, Check: c})
		}
	}
	return out
}

// decodeChecks reads the checks of one argument, in the order of the schema.
func decodeChecks(o object) []argument.Check {
	var out []argument.Check
	kind := func(name string, read func(object) argument.Check) {
		if n, path, ok := o.take(name); ok {
			out = append(out, read(openObject(o.r, join(argumentsSchema, name), path, n)))
		}
	}
	kind("path", decodePathCheck)
	kind("url", decodeURLCheck)
	kind("command", decodeCommandCheck)
	kind("sql", decodeSQLCheck)
	kind("email", decodeEmailCheck)
	kind("git-ref", decodeRefCheck)
	kind("number", decodeNumberCheck)
	kind("text", decodeTextCheck)
	if list := each(o, "enum", "fast", textLike("fast")); list != nil {
		out = append(out, words.Enum(list))
	}
	if _, _, ok := o.take("pattern"); ok {
		var p words.Pattern
		set(o, "pattern", &p, parsed("[a-z]+", words.ParsePattern))
		out = append(out, p)
	}
	if _, _, ok := o.take("unchecked"); ok {
		var u argument.Unchecked
		o.text("unchecked", "only we call it", &u.Reason)
		out = append(out, u)
	}
	if _, _, ok := o.take("secret"); ok {
		set(o, "secret", new(bool), readForbidden)
		out = append(out, words.Secrets{})
	}
	return out
}

func decodePathCheck(o object) argument.Check {
	s := paths.Spec{Sensitive: argument.Hold}
	s.Under = each(o, "under", "/workspace", textLike("/workspace"))
	o.text("relative", "/workspace", &s.Relative)
	o.bool("globs", &s.Globs)
	set(o, "sensitive", &s.Sensitive, readVerdict)
	return s
}

func decodeURLCheck(o object) argument.Check {
	var s urls.Spec
	s.Schemes = each(o, "schemes", "https", textLike("https"))
	s.Hosts = each(o, "hosts", "docs.example.com", readPattern)
	s.Ports = each(o, "ports", "443", readPort)
	set(o, "unlisted", &s.Unlisted, readVerdict)
	o.bool("private", &s.Private)
	o.bool("blank", &s.Blank)
	return s
}

// decodeCommandCheck reads which programs may run, with what, and which features of
// the shell are granted.
func decodeCommandCheck(o object) argument.Check {
	var s command.Spec
	for _, p := range o.named("programs", "{git: {subcommands: [status, log]}}") {
		path := join(join(o.path, "programs"), keyName(p.key.text))
		o.r.where[path] = place{p.value.pos, path}
		one := openObject(o.r, join(argumentsSchema, "command.programs.*"), path, p.value)
		s.Programs = append(s.Programs, command.Program{
			Name:        p.key.text,
			Subcommands: each(one, "subcommands", "status", textLike("status")),
			Forbidden:   each(one, "forbidden", "--force", textLike("--force")),
			Opens:       each(one, "opens", "-exec", textLike("-exec")),
		})
	}
	set(o, "others", &s.Others, readVerdict)
	for _, name := range each(o, "allow", "pipes", readFeature) {
		if feature := shellFeatures[name]; feature != nil { // else it was reported
			*feature(&s) = true
		}
	}
	return s
}

// shellFeatures are what a file can grant of the shell.
var shellFeatures = map[string]func(*command.Spec) *bool{
	"pipes":        func(s *command.Spec) *bool { return &s.Pipes },
	"redirections": func(s *command.Spec) *bool { return &s.Redirections },
	"substitution": func(s *command.Spec) *bool { return &s.Substitution },
	"sequences":    func(s *command.Spec) *bool { return &s.Sequences },
	"background":   func(s *command.Spec) *bool { return &s.Background },
	"variables":    func(s *command.Spec) *bool { return &s.Variables },
	"globs":        func(s *command.Spec) *bool { return &s.Globs },
}

func readFeature(n node) (string, problem) {
	text, p := readText(n, "pipes")
	if p.none() && shellFeatures[text] == nil {
		p = problem{show(text) + " is not a feature that can be granted", "write " + oneOf(slices.Sorted(maps.Keys(shellFeatures)))}
	}
	return text, p
}

// decodeSQLCheck reads which statements pass and which are held; without either it
// is a database to read from.
func decodeSQLCheck(o object) argument.Check {
	o.need("dialect", "write postgres or sqlite")
	var s sql.Spec
	set(o, "dialect", &s.Dialect, readDialect)
	pass, hold := each(o, "pass", "read", readClass), each(o, "hold", "insert", readClass)
	s.Classes = map[sql.Class]argument.Verdict{}
	if len(pass)+len(hold) == 0 {
		s.Classes = sql.ReadOnly(s.Dialect).Classes
	}
	for _, c := range hold {
		s.Classes[c] = argument.Hold
	}
	for _, c := range pass {
		s.Classes[c] = argument.Pass
	}
	s.Tables = each(o, "tables", "orders", textLike("orders"))
	s.Functions = each(o, "functions", "my_total", textLike("my_total"))
	o.bool("many", &s.Many)
	return s
}

// dialects are the databases whose statements can be judged, as the file names them.
var dialects = map[string]sql.Dialect{"postgres": sql.Postgres, "sqlite": sql.SQLite}

func readDialect(n node) (sql.Dialect, problem) {
	text, p := readText(n, "postgres")
	if !p.none() {
		return 0, p
	}
	d, ok := dialects[text]
	if !ok {
		return 0, problem{show(text) + " is not a dialect that can be judged", "write postgres or sqlite"}
	}
	return d, problem{}
}

func readClass(n node) (sql.Class, problem) {
	text, p := readText(n, "read")
	if !p.none() {
		return 0, p
	}
	for c := sql.Read; c <= sql.Admin; c++ {
		if text == c.String() {
			return c, problem{}
		}
	}
	return 0, problem{show(text) + " is not a class of statements", "write read, lock, insert, update, delete, transaction, schema or admin"}
}

func decodeEmailCheck(o object) argument.Check {
	var e words.Email
	e.Domains = each(o, "domains", "example.com", readPattern)
	set(o, "unlisted", &e.Unlisted, readVerdict)
	return e
}

func decodeRefCheck(o object) argument.Check {
	var r words.Ref
	o.bool("revisions", &r.Revisions)
	o.bool("ranges", &r.Ranges)
	return r
}

func decodeNumberCheck(o object) argument.Check {
	var n words.Number
	o.need("max", "write the largest number that is accepted")
	set(o, "min", &n.Min, readReal)
	set(o, "max", &n.Max, readReal)
	o.bool("integer", &n.Integer)
	return n
}

func decodeTextCheck(o object) argument.Check {
	var t words.Text
	o.need("max", "write how many bytes are accepted, e.g. max: 4KiB")
	var size int64
	set(o, "max", &size, readBytes)
	t.MaxBytes = int(size)
	o.bool("lines", &t.Lines)
	return t
}

// decodeRules reads the conditions that make a call riskier.
func decodeRules(tool object) []when.Rule {
	var out []when.Rule
	for i, n := range tool.list("rules", "[{when: \"size(args.body) > 20000\", risk: block, reason: too large}]") {
		path := fmt.Sprintf("%s[%d]", join(tool.path, "rules"), i)
		tool.r.where[path] = place{n.pos, path}
		o := openObject(tool.r, "tools.*.rules[]", path, n)
		if o.fields != nil {
			o.need("when", `write a condition in CEL, e.g. when: "size(args.body) > 20000"`)
			o.need("risk", "add risk: medium, high or block")
			o.need("reason", "say why, for the one who is refused")
		}
		var r when.Rule
		set(o, "when", &r.When, parsed("size(args.body) > 20000", when.Compile))
		set(o, "risk", &r.Risk, readRisk)
		o.text("reason", "too large to review", &r.Reason)
		o.text("hint", "send less", &r.Hint)
		out = append(out, r)
	}
	return out
}

func readVerdict(n node) (argument.Verdict, problem) {
	text, p := readText(n, "hold")
	if !p.none() {
		return argument.Refuse, p
	}
	for _, v := range []argument.Verdict{argument.Refuse, argument.Hold, argument.Pass} {
		if text == v.String() {
			return v, problem{}
		}
	}
	return argument.Refuse, problem{show(text) + " is not a verdict", "write refuse, hold or pass"}
}

func readForbidden(n node) (bool, problem) {
	text, p := readText(n, "forbidden")
	if p.none() && text != "forbidden" {
		return false, problem{show(text) + " is not known here", "write forbidden, or leave the key out"}
	}
	return true, p
}

// readBytes reads a size, or a plain number of bytes.
func readBytes(n node) (int64, problem) {
	if n.kind == scalarKind && wholeNumber.MatchString(n.text) {
		return readInt(n, "4000")
	}
	return readSize(n)
}

var realNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,6})?$`)

func readReal(n node) (float64, problem) {
	if n.kind != scalarKind {
		return 0, wrongKind(n, "a number", "100")
	}
	if p := plainNumber(n, realNumber, "a number", "100"); !p.none() {
		return 0, p
	}
	v, err := strconv.ParseFloat(n.text, 64)
	if err != nil {
		return 0, problem{"the number is too large", "write e.g. 100"}
	}
	return v, problem{}
}
