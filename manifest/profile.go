package manifest

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/profiles"
)

// MaxProfileEntries bounds the lines of allow and deny: a profile that needs more is
// reviewed by nobody.
const MaxProfileEntries = 256

// ParseProfile reads an own profile in any of its forms, and judges it: YAML, as
// strictly as Parse reads server.yaml; the JSON of the built-in ones; and the
// linux.seccomp object of an OCI runtime. The error is always an *ErrorList that holds
// every error found.
//
// It opens nothing: filename names the file in errors, and a form that has no name of
// its own is named after it.
func ParseProfile(filename string, data []byte) (*profiles.Profile, error) {
	r := newReport()
	var own profiles.Own
	if isJSON(data) {
		own = readJSONProfile(filename, data, r)
	} else {
		own = readYAMLProfile(data, r)
	}
	if r.stopped {
		return nil, r.list(filename)
	}
	own.File = filename
	own.Deny, own.Allow = r.readable(own.Deny), r.readable(own.Allow)
	if r.bad["extends"] {
		own.Extends = ""
	}
	p, faults := own.Build()
	for _, f := range faults {
		r.fail(f.Path, f.Fix, "%s", f.What)
	}
	if err := r.list(filename); err != nil {
		return nil, err
	}
	return p, nil
}

// readable leaves out the entries whose calls or arguments could not be read, which were
// reported: they would be judged for what they do not say.
func (r *report) readable(entries []profiles.Entry) []profiles.Entry {
	return slices.DeleteFunc(entries, func(e profiles.Entry) bool {
		return r.badBelow(e.Path+".where") || r.badBelow(e.Path+".calls") || r.bad[e.Path]
	})
}

// profileKeys is every key of a profile in YAML. docs/profiles.md shows this table.
func profileKeys() []key {
	entries := func(list, what string) []key {
		return []key{
			{list, "list of mappings", "none", fmt.Sprintf("at most %d entries", MaxProfileEntries), what},
			{list + "[].calls", "list of text", "required", "names of system calls", "one unknown name is an error: it would be skipped in silence"},
			{list + "[].where", "list of mappings", "always", "each argument once", "all must hold"},
			{list + "[].where[].arg", "number or text", "required", "0 to 5, or a name such as family", "mcprun profile explain CALL lists the names"},
			{list + "[].where[].mask", "text", "all 32 bits; of a socket's type 0xf", "a number in quotes, e.g. \"0xf\"", "the bits that are looked at; the others may be anything"},
			{list + "[].where[].any", "list of text, or mapping of name to number", "required", "names that are known, or a name and its number", "the argument must be one of these"},
			{list + "[].reason", "text", "required", "", "what needs it and why that is harmless; whoever reviews the profile has only this"},
		}
	}
	keys := []key{
		{"version", "number", "required", "1", "a later format gets another number, and an old mcprun refuses it instead of guessing"},
		{"name", "text", "required", "as the name of a server; not that of a built-in profile", "what it is called in lists and pins"},
		{"extends", "text", "required", oneOf(Profiles()) + "; or none", "an own profile stands on one that was reviewed; with none it says all by itself"},
		{"about", "text", "none", "", "whom it is for"},
		{"capabilities", "text", "none", "none", "no server has any; it may be said for who reviews the profile"},
	}
	keys = append(keys, entries("deny", "what is taken out of the profile that is extended")...)
	keys = append(keys, key{"deny[].answer", "text", "EPERM", "ENOSYS or EOPNOTSUPP", "where programs go on in another way after it; for whole calls"})
	keys = append(keys, entries("allow", "what is added to it, within what can be granted at all")...)
	return append(keys, sectionKeys()...)
}

func readYAMLProfile(data []byte, r *report) profiles.Own {
	var own profiles.Own
	root := readYAML(data, r)
	if root == nil {
		r.stopped = true
		return own
	}
	r.keys = newKeyTable(profileKeys(), nil)
	r.where[""] = place{pos: root.pos}
	o := openObject(r, "", "", *root)
	if root.kind != mapKind {
		r.stopped = true
		return own
	}
	decodeVersion(o)
	o.need("name", "give the profile a name, e.g. name: tight")
	o.need("extends", "say what it stands on, e.g. extends: node; there are "+oneOf(Profiles())+"; or none, if it says all by itself")
	o.text("name", "tight", &own.Name)
	o.text("extends", "node", &own.Extends)
	o.text("about", "a server that only reads", &own.About)
	if own.Extends != "" && own.Extends != profiles.Nothing && !isBuiltin(own.Extends) {
		fix := "write " + oneOf(Profiles())
		if meant := suggest(own.Extends, Profiles()); meant != "" {
			fix = "did you mean " + meant + "?"
		}
		r.fail("extends", fix, "%s is not a built-in profile", show(own.Extends))
	}
	own.Deny = decodeEntries(o, "deny")
	own.Allow = decodeEntries(o, "allow")
	own.Beside = decodeSections(o)
	return own
}

func isBuiltin(name string) bool {
	for _, p := range Profiles() {
		if p == name {
			return true
		}
	}
	return false
}

func decodeEntries(o object, list string) []profiles.Entry {
	items := o.list(list, "[{calls: [mlock], reason: …}]")
	if len(items) > MaxProfileEntries {
		o.r.fail(list, "say several calls with one reason in one entry", "%d entries; at most %d", len(items), MaxProfileEntries)
		return nil
	}
	var out []profiles.Entry
	for i, n := range items {
		path := fmt.Sprintf("%s[%d]", list, i)
		o.r.where[path] = place{n.pos, path}
		f := openObject(o.r, list+"[]", path, n)
		e := profiles.Entry{Path: path, Line: n.line}
		if n.kind == mapKind {
			f.need("calls", "name the calls, e.g. calls: [mlock]")
			f.need("reason", "say what needs it, and why that is harmless")
		}
		e.Calls = each(f, "calls", "mlock", textLike("mlock"))
		f.text("reason", "\"V8 locks its heap; the memory limit bounds it\"", &e.Reason)
		f.text("answer", "ENOSYS", (*string)(&e.Answer))
		e.Where = decodeWhere(f, list, e.Calls)
		out = append(out, e)
	}
	return out
}

func decodeWhere(o object, list string, calls []string) []profiles.Condition {
	items := o.list("where", "[{arg: family, any: [AF_NETLINK]}]")
	at := join(o.path, "where")
	if _, given := o.fields["where"]; given && len(items) == 0 {
		o.r.fail(at, "say what must hold, or leave the key out", "is empty")
	}
	var out []profiles.Condition
	for i, n := range items {
		path := fmt.Sprintf("%s[%d]", at, i)
		o.r.where[path] = place{n.pos, path}
		f := openObject(o.r, list+"[].where[]", path, n)
		if n.kind == mapKind {
			f.need("arg", "which argument: a number from 0, or a name")
			f.need("any", "what it may be, e.g. any: [AF_NETLINK] or any: {AF_NETLINK: 16}")
		}
		if c, ok := decodeCondition(f, calls); ok {
			out = append(out, c)
		}
	}
	if o.r.badBelow(at) {
		return out
	}
	where, err := profiles.Conditions(out)
	if err != nil {
		o.r.fail(at, "write all its values in one any", "%v", err)
	}
	return where
}

// badBelow says whether something at path or below it is known to be wrong.
func (r *report) badBelow(path string) bool {
	for p := range r.bad {
		if strings.HasPrefix(p, path) {
			return true
		}
	}
	return false
}

func decodeCondition(o object, calls []string) (profiles.Condition, bool) {
	n, argAt, ok := o.take("arg")
	if !ok {
		return profiles.Condition{}, false
	}
	arg, what := argumentOf(n, calls)
	if !what.none() {
		o.r.fail(argAt, what.fix, "%s", what.what)
		return profiles.Condition{}, false
	}
	mask := arg.Mask
	set(o, "mask", &mask, readBits)
	values, ok := decodeValues(o, arg)
	if !ok || o.r.badBelow(o.path) {
		return profiles.Condition{}, false
	}
	c, err := profiles.NewCondition(arg.Arg, mask, values)
	if err != nil {
		o.r.fail(o.path, "", "%v", err)
		return c, false
	}
	return c, true
}

// argumentOf finds the one argument that is meant of all the calls.
func argumentOf(n node, calls []string) (profiles.Argument, problem) {
	if n.kind != scalarKind {
		return profiles.Argument{}, wrongKind(n, "a number or a name", "family")
	}
	var found profiles.Argument
	for i, call := range calls {
		a, err := profiles.FindArgument(call, n.text)
		if err != nil {
			return a, problem{err.Error(), ""}
		}
		if i > 0 && (a.Arg != found.Arg || a.Mask != found.Mask) {
			return a, problem{fmt.Sprintf("%s is not the same argument of %s and %s", show(n.text), calls[0], call), "write an entry for each"}
		}
		found = a
	}
	if len(calls) == 0 {
		return found, problem{"there are no calls that have it", "name the calls"}
	}
	return found, problem{}
}

// readBits reads 32 bits, plain digits or hexadecimal in quotes.
func readBits(n node) (uint32, problem) {
	const fix = "write plain digits, or hexadecimal in quotes, e.g. \"0xf\""
	if n.kind != scalarKind {
		return 0, wrongKind(n, "a number", `"0xf"`)
	}
	if !n.quoted && !wholeNumber.MatchString(n.text) {
		return 0, problem{show(n.text) + " is not a number that all YAML readers agree on", fix}
	}
	v, err := profiles.Argument{}.Find(n.text)
	if err != nil {
		return 0, problem{show(n.text) + " is not a number of 32 bits", fix}
	}
	return v.Value, problem{}
}

// decodeValues reads any: known names, or names with their numbers.
func decodeValues(o object, arg profiles.Argument) ([]profiles.Value, bool) {
	n, path, ok := o.take("any")
	if !ok {
		return nil, false
	}
	var out []profiles.Value
	switch n.kind {
	case listKind:
		for i, item := range n.items {
			at := fmt.Sprintf("%s[%d]", path, i)
			o.r.where[at] = place{item.pos, at}
			v, p := readKnown(item, arg)
			if !p.none() {
				o.r.fail(at, p.fix, "%s", p.what)
				continue
			}
			out = append(out, v)
		}
	case mapKind:
		for _, p := range n.pairs {
			at := join(path, keyName(p.key.text))
			o.r.where[at] = place{p.value.pos, at}
			v := profiles.Value{Name: p.key.text}
			setAt(o.r, at, p.value, &v.Value, readBits)
			if known, err := arg.Find(v.Name); err == nil && known.Value != v.Value && !o.r.bad[at] {
				o.r.fail(at, fmt.Sprintf("write any: [%s]", v.Name), "%s is %d", v.Name, known.Value)
			}
			out = append(out, v)
		}
	default:
		p := wrongKind(n, "a list of names, or a mapping of names to numbers", "[AF_NETLINK]")
		o.r.fail(path, p.fix, "%s", p.what)
		return nil, false
	}
	if len(out) == 0 && len(o.r.errs) == 0 {
		o.r.fail(path, "write at least one value", "is empty, which nothing passes")
	}
	return out, !o.r.badBelow(path)
}

func readKnown(n node, arg profiles.Argument) (profiles.Value, problem) {
	if n.kind != scalarKind {
		return profiles.Value{}, wrongKind(n, "a name", "AF_NETLINK")
	}
	v, err := arg.Find(n.text)
	if err != nil {
		return v, problem{shortError(err), "write the name and its number: any: {NAME: 16}"}
	}
	return v, problem{}
}

// readJSONProfile reads the JSON of the built-in profiles, and that of OCI runtimes.
func readJSONProfile(filename string, data []byte, r *report) profiles.Own {
	r.where[""] = place{pos: pos{1, 1}}
	jsonPlaces(data, r)
	if profiles.IsOCI(data) {
		own, faults := profiles.ParseOCI(data, profileName(filename))
		for _, f := range faults {
			if f.Path == "" {
				r.syntax(pos{1, 1}, f.What, f.Fix)
				continue
			}
			r.fail(f.Path, f.Fix, "%s", f.What)
		}
		return own
	}
	own, err := profiles.ParseJSON(data)
	if err != nil {
		r.stopped = true
		for line := range strings.Lines(err.Error()) {
			r.syntax(pos{1, 1}, strings.TrimRight(line, "\n"), "")
		}
	}
	return own
}

// jsonPlaces remembers where each value of a JSON text stands, as far as it is JSON.
func jsonPlaces(data []byte, r *report) {
	lines, read := 1, 0
	d := jsontext.NewDecoder(bytes.NewReader(data))
	for range MaxTokens {
		if _, err := d.ReadToken(); err != nil {
			return
		}
		end := int(d.InputOffset())
		lines += bytes.Count(data[read:end], []byte("\n"))
		read = end
		path := ""
		for part := range d.StackPointer().Tokens() {
			if n, err := strconv.Atoi(part); err == nil && path != "" {
				path += fmt.Sprintf("[%d]", n)
			} else {
				path = join(path, keyName(part))
			}
		}
		if _, ok := r.where[path]; !ok && path != "" {
			col := utf8.RuneCount(data[bytes.LastIndexByte(data[:end], '\n')+1 : end])
			r.where[path] = place{pos{lines, max(1, col)}, path}
		}
	}
}

// profileName makes a name of a file's.
func profileName(filename string) string {
	name := strings.ToLower(strings.TrimSuffix(filepath.Base(filename), filepath.Ext(filename)))
	if _, err := mcprun.ParseServerName(name); err != nil {
		return "own"
	}
	return name
}
