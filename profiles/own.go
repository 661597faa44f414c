package profiles

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/mcprun/mcprun"
)

// Nothing is what a profile extends that says by itself all that it allows. The answers of
// the built-in profiles stay, for calls that programs do without, such as clone3: with EPERM
// in their place no program with threads would start.
const Nothing = "none"

// answersOf is the profile whose answers a profile has that extends nothing.
const answersOf = "node"

func answers() ([]Rule, error) {
	p, err := Load(answersOf)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(p.rules), func(r Rule) bool { return r.Verdict != mcprun.Deny }), nil
}

// Own is an operator's own profile as a file says it, not judged yet.
type Own struct {
	Name    string
	Extends string // a built-in profile; empty: the file says all by itself
	About   string
	File    string // what people find it by
	Deny    []Entry
	Allow   []Entry
	Notes   []string // what was read and has no effect
	Beside  string   // what else the file gives a server, in one form; its digest covers it
}

// Entry is one line of allow or deny.
type Entry struct {
	Calls  []string
	Where  []Condition
	Arch   string // empty: wherever the call exists
	Answer Answer // of a denied call, in place of EPERM
	Reason string
	Path   string // what faults call it, e.g. allow[2]
	Key    string // what its calls stand under; empty: calls

	written []string // the calls as the file lists them, where that is more
	Line    int      // in the file; 0 if not known
}

// call is what faults call one of the calls, e.g. allow[2].calls[0].
func (e Entry) call(name string) string {
	key := e.Key
	if key == "" {
		key = "calls"
	}
	written := e.written
	if written == nil {
		written = e.Calls
	}
	return fmt.Sprintf("%s.%s[%d]", e.Path, key, slices.Index(written, name))
}

// Fault is one thing that is wrong in an own profile.
type Fault struct{ Path, What, Fix string }

func (f Fault) String() string {
	if f.Fix == "" {
		return f.Path + ": " + f.What
	}
	return f.Path + ": " + f.What + "; " + f.Fix
}

// Build judges an own profile and puts it together: what it extends, without what it
// denies, with what it allows. All faults are returned, or the profile and none.
//
// The order is that of safety: an entry of deny takes out what the extended profile
// has, never what the file itself allows, which checkRules would find said twice.
func (o Own) Build() (*Profile, []Fault) {
	b, err := newBuilder(o)
	if err != nil {
		return nil, []Fault{{Path: "extends", What: err.Error()}}
	}
	b.names()
	for _, e := range o.Deny {
		b.deny(e)
	}
	for _, e := range o.Allow {
		b.allow(e)
	}
	if len(b.faults) > 0 {
		return nil, b.faults
	}
	p := &Profile{name: o.Name, about: o.About, extends: o.Extends, file: o.File, own: true, rules: append(b.base, b.added...), denied: b.denied, notes: o.Notes, beside: o.Beside}
	if err := checkRules(p.rules); err != nil {
		return nil, []Fault{{Path: "allow", What: err.Error()}}
	}
	if p.digest, err = digest(p); err != nil {
		return nil, []Fault{{What: err.Error()}}
	}
	return p, nil
}

type builder struct {
	own     Own
	base    []Rule // of the extended profile, without what was denied
	added   []Rule
	denied  []Rule // for whoever asks why
	known   map[string]callNumbers
	never   map[string]string
	bounds  map[string]bound
	guarded map[string]bool
	faults  []Fault
}

func newBuilder(o Own) (*builder, error) {
	b := &builder{own: o, known: callTable()}
	var err error
	if b.guarded, err = guarded(); err != nil {
		return nil, err
	}
	if b.never, err = Never(); err != nil {
		return nil, err
	}
	if b.bounds, err = bounds(); err != nil {
		return nil, err
	}
	switch o.Extends {
	case "":
		return b, nil
	case Nothing:
		b.base, err = answers()
		return b, err
	}
	base, err := loadBuiltin(o.Extends, maxExtends-1)
	if err != nil {
		return nil, fmt.Errorf("%w; there are %s", err, strings.Join(Names(), ", "))
	}
	b.base = slices.Clone(base.rules)
	return b, nil
}

func (b *builder) fault(path, fix, format string, args ...any) {
	b.faults = append(b.faults, Fault{path, fmt.Sprintf(format, args...), fix})
}

func (b *builder) names() {
	if _, err := mcprun.ParseServerName(b.own.Name); err != nil {
		b.fault("name", "use 1 to 40 of a-z, 0-9 and inner hyphens, starting with a letter", "%q is not the name of a profile", b.own.Name)
	}
	if files, err := builtinFiles(); err != nil || slices.Contains(files, b.own.Name) {
		b.fault("name", "write another one, e.g. name: my-"+b.own.Name, "%s is the name of a built-in profile", b.own.Name)
	}
}

// entry judges what allow and deny have in common, and returns the calls that can be
// judged further.
func (b *builder) entry(e Entry) []string {
	before := len(b.faults)
	if strings.TrimSpace(e.Reason) == "" {
		b.fault(e.Path+".reason", "say what needs it, and why that is harmless; whoever reviews the profile has only this", "no reason is given")
	}
	if e.Reason == PlaceholderReason {
		b.fault(e.Path+".reason", "e.g. reason: \"os.networkInterfaces() reads the interfaces; there is only lo\"", "%q is what a reason has to say, and not one", e.Reason)
	}
	if len(e.Calls) == 0 {
		b.fault(e.Path+".calls", "e.g. calls: [mlock]", "no call is named")
	}
	if e.Arch != "" && !knownArch(e.Arch) {
		b.fault(e.Path, "", "arch %q is not amd64 or arm64", e.Arch)
	}
	if e.Answer != "" && e.Answer.Errno() == 0 {
		b.fault(e.Path+".answer", fmt.Sprintf("write %s or %s, or leave it out for EPERM", ENOSYS, EOPNOTSUPP), "answer %q is not %s or %s", e.Answer, ENOSYS, EOPNOTSUPP)
	}
	if e.Answer != "" && len(e.Where) > 0 {
		b.fault(e.Path, "", "an answer holds for the whole call; leave out where")
	}
	usable := len(b.faults) == before
	var calls []string
	for _, call := range e.Calls {
		if b.name(e, call) && usable {
			calls = append(calls, call)
		}
	}
	return calls
}

// name refuses a name that no kernel knows: it would be skipped in silence, and what
// was reviewed is not what holds.
func (b *builder) name(e Entry, call string) bool {
	numbers, ok := b.known[call]
	_, here := numbers[e.Arch]
	meant := Nearest(call)
	switch at := e.call(call); {
	case !isCallName(call):
		b.fault(at, "names are those of the manual pages of section 2: write each by itself", "%q is not the name of a system call", call)
	case !ok && meant != "":
		b.fault(at, "did you mean "+meant+"?", "no system call %s is known", call)
	case !ok:
		b.fault(at, "names are those of the manual pages of section 2", "no system call %s is known", call)
	case len(numbers) == 0:
		b.fault(at, "take it out", "%s is a call of other machines than amd64 and arm64", call)
	case e.Arch != "" && !here:
		b.fault(at, "take it out", "%s has no call %s", e.Arch, call)
	default:
		return true
	}
	return false
}

// deny takes calls, or some of their arguments, out of the extended profile.
func (b *builder) deny(e Entry) {
	for _, call := range b.entry(e) {
		if call == "execve" && len(e.Where) == 0 {
			b.fault(e.call(call), "take it out", "without execve the server itself cannot be started")
			continue
		}
		r := b.rule(e, call, mcprun.Deny)
		if len(e.Where) > 0 {
			b.narrow(e, r)
		} else {
			b.base = slices.DeleteFunc(b.base, func(have Rule) bool { return have.Call == call && (e.Arch == "" || have.Arch == e.Arch) })
		}
		if e.Answer != "" {
			b.added = append(b.added, r)
		}
		b.denied = append(b.denied, r)
	}
}

// narrow takes values of one argument out of the rules about a call. It can be said
// only where every rule lists what the argument may be.
func (b *builder) narrow(e Entry, r Rule) {
	if len(e.Where) != 1 {
		b.fault(e.Path+".where", "deny values of one argument, or deny the call whole and allow what remains", "%d arguments are judged", len(e.Where))
		return
	}
	out := e.Where[0]
	var kept []Rule
	found := false
	for _, have := range b.base {
		i := slices.IndexFunc(have.Where, func(c Condition) bool { return c.Arg == out.Arg && c.Mask == out.Mask })
		switch {
		case have.Call != r.Call:
		case have.Verdict == mcprun.Deny:
		case i < 0:
			b.fault(e.Path+".where", fmt.Sprintf("deny %s whole, and allow what remains of it", r.Call), "%s allows %s whatever argument %d is, so no value of it can be taken out", have.Profile, r.Call, out.Arg)
			return
		default:
			have = have.clone()
			found = true
			have.Where[i].Any = slices.DeleteFunc(have.Where[i].Any, func(v Value) bool {
				return slices.ContainsFunc(out.Any, func(no Value) bool { return no.Value == v.Value })
			})
			if len(have.Where[i].Any) == 0 {
				continue
			}
		}
		kept = append(kept, have)
	}
	if !found {
		b.fault(e.Path+".where", "take it out", "%s is allowed for no arguments", r.Call)
		return
	}
	b.base = kept
}

// allow adds calls, within what can be granted at all.
func (b *builder) allow(e Entry) {
	if e.Answer != "" {
		b.fault(e.Path, "take it out", "an answer is for calls that are denied")
		return
	}
	for _, call := range b.entry(e) {
		b.allowOne(e, call)
	}
}

func (b *builder) allowOne(e Entry, call string) {
	at := e.call(call)
	if why, ok := b.never[call]; ok {
		b.fault(at, "take it out; no file can allow it", "%s can be in no profile: %s", call, why)
		return
	}
	limit := b.bounds[call]
	if limit.closed != "" {
		b.fault(at, "take it out; no file can allow it", "%s can be in no own profile: %s", call, limit.closed)
		return
	}
	if b.judged(call) && len(e.Where) == 0 {
		b.fault(at, fmt.Sprintf("say which arguments: where: [{arg: …, any: [...]}]; mcprun profile explain %s %s lists what is allowed", b.explained(), call), "%s is allowed for certain arguments only, and not whole", call)
		return
	}
	if why := limit.refuses(e.Where); why != "" {
		fix := "take it out; no file can allow it"
		if a := limit.alternatives(); a != "" {
			fix = "can be allowed: " + a
		}
		b.fault(b.whereOf(e, call), fix, "%s cannot be allowed so: %s", call, why)
		return
	}
	if have, ok := b.already(call, e.Where); ok {
		b.fault(at, "take it out", "%s allows %s already", have, call)
		return
	}
	// What was answered so that programs do without is allowed now.
	b.base = slices.DeleteFunc(b.base, func(have Rule) bool { return have.Call == call && have.Verdict == mcprun.Deny })
	b.added = append(b.added, b.rule(e, call, mcprun.Allow))
}

// judged says whether some built-in file looks at the arguments of a call.
func (b *builder) judged(call string) bool {
	_, bounded := b.bounds[call]
	return bounded || b.guarded[call]
}

// whereOf is where to complain about the conditions of a call: at the call, where the
// entry has none.
func (b *builder) whereOf(e Entry, call string) string {
	if len(e.Where) == 0 || e.Key != "" {
		return e.call(call)
	}
	return e.Path + ".where"
}

// already names the profile that allows what is to be allowed.
func (b *builder) already(call string, where []Condition) (string, bool) {
	for _, r := range b.base {
		if r.Call == call && r.Verdict == mcprun.Allow && implies(where, r.Where) {
			return r.Profile, true
		}
	}
	return "", false
}

// explained is what to explain a call of.
func (b *builder) explained() string {
	if b.own.Extends != "" {
		return b.own.Extends
	}
	return Strict
}

func (b *builder) rule(e Entry, call string, verdict mcprun.Verdict) Rule {
	arch := e.Arch
	if arch == "" {
		arch = b.known[call].only()
	}
	return Rule{Call: call, Arch: arch, Verdict: verdict, Answer: e.Answer, Where: e.Where, Reason: e.Reason, Profile: b.own.Name, Line: e.Line}.clone()
}

// guarded are those that some built-in file allows for some arguments only: to
// allow them whole would undo what they are guarded for.
var guarded = sync.OnceValues(readGuarded)

func readGuarded() (map[string]bool, error) {
	builtin, err := builtinFiles()
	if err != nil {
		return nil, err
	}
	guarded := map[string]bool{}
	for _, name := range builtin {
		p, err := loadBuiltin(name, maxExtends)
		if err != nil {
			return nil, err
		}
		for _, r := range p.rules {
			if len(r.Where) > 0 {
				guarded[r.Call] = true
			}
		}
	}
	return guarded, nil
}

// faultsAsError is for forms that have no lines.
func faultsAsError(faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = f.String()
	}
	slices.Sort(lines)
	return fmt.Errorf("%s", strings.Join(slices.Compact(lines), "\n"))
}

// callsOf lists the calls of some rules once each, sorted.
func callsOf(rules []Rule) []string {
	seen := map[string]bool{}
	for _, r := range rules {
		seen[r.Call] = true
	}
	return slices.Sorted(maps.Keys(seen))
}
