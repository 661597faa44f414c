package profiles

import (
	"fmt"
	"slices"
	"strings"
)

// Rules of the record for a system call that was refused.
const (
	RuleNever    = "seccomp.never"    // no profile can have it
	RuleDenied   = "seccomp.denied"   // an own profile took it out
	RuleArgument = "seccomp.argument" // it is allowed with other arguments
	RuleUnnamed  = "seccomp.unnamed"  // the profile does not name it
)

// Denial explains why a profile refused a call, to who has to decide whether it should.
type Denial struct {
	Args string // those that tell what was tried, as "AF_ALG, SOCK_SEQPACKET"; may be ""
	Rule string
	Why  string
	Add  string // an entry for allow: of an own profile; "" where none can allow it

	Builtin []string // the built-in profiles that allow it, the narrowest first
}

// Denial explains a call that the profile refused on goarch, from the arguments that the
// kernel had. It does not look whether it would.
func (p *Profile) Denial(goarch, call string, raw [6]uint64) Denial {
	args := p.seen(call, raw)
	d := Denial{Args: Arguments(call, raw), Rule: RuleUnnamed, Why: fmt.Sprintf("profile %s does not name it", p.name)}
	j, err := p.Judge(call, args, goarch)
	if err != nil {
		d.Why = "it is newer than all that is known here, and answered as by an older kernel"
		return d
	}
	var guards []string
	for _, r := range p.rules {
		if r.Call == call && r.on(goarch) && len(r.Where) > 0 {
			guards = append(guards, r.conditions())
		}
	}
	switch {
	case j.Never != "":
		d.Rule, d.Why = RuleNever, "no profile can allow it: "+j.Never
	case len(j.Denied) > 0:
		d.Rule, d.Why = RuleDenied, fmt.Sprintf("%s takes it out: %s", j.Denied[0].Profile, j.Denied[0].Reason)
	case len(guards) > 0:
		d.Rule, d.Why = RuleArgument, fmt.Sprintf("profile %s allows it only where %s", p.name, strings.Join(guards, ", or where "))
	}
	d.Add = j.Line
	if j.Never == "" {
		d.Builtin = allowedBy(goarch, call, raw)
	}
	return d
}

// allowedBy lists the built-in profiles that allow a call, the narrowest first.
func allowedBy(goarch, call string, raw [6]uint64) []string {
	var all []*Profile
	for _, name := range Names() {
		p, err := Load(name)
		if err != nil {
			continue // they are part of the program, and tested
		}
		if j, err := p.Judge(call, p.seen(call, raw), goarch); err == nil && j.Outcome == Allowed {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b *Profile) int { return len(a.Calls(goarch)) - len(b.Calls(goarch)) })
	var names []string
	for _, p := range all {
		names = append(names, p.name)
	}
	return names
}

// seen are the arguments that are judged or have a name, by their names.
func (p *Profile) seen(call string, raw [6]uint64) map[uint]Value {
	out := map[uint]Value{}
	for _, r := range p.rules {
		for _, c := range r.Where {
			if r.Call == call {
				out[c.Arg] = Value{fmt.Sprint(uint32(raw[c.Arg])), uint32(raw[c.Arg])}
			}
		}
	}
	known, err := ArgumentsOf(call)
	if err != nil { // the table is part of the program, and tested
		return out
	}
	for _, a := range known {
		v := uint32(raw[a.Arg])
		out[a.Arg] = Value{a.written(v, raw), v}
	}
	return out
}

// conditions is when a rule holds, in words.
func (r Rule) conditions() string {
	var out []string
	for _, c := range r.Where {
		out = append(out, c.String())
	}
	return strings.Join(out, " and ")
}

// Arguments shows those arguments of a call that tell what it was to do: small numbers and
// flags, by their names where they have one. What lies in memory is not among them.
func Arguments(call string, raw [6]uint64) string {
	known, err := ArgumentsOf(call)
	if err != nil {
		return ""
	}
	slices.SortFunc(known, func(a, b Argument) int { return int(a.Arg) - int(b.Arg) })
	var out []string
	for _, a := range known {
		out = append(out, a.written(uint32(raw[a.Arg]), raw))
	}
	return strings.Join(out, ", ")
}

// written is a value of an argument as a program's source has it.
func (a Argument) written(v uint32, raw [6]uint64) string {
	v &= a.Mask
	if a.Name == "mode" {
		return fmt.Sprintf("%#o", v)
	}
	for _, k := range a.Values {
		if k.Value == v && a.means(k.Name, raw) {
			return k.Name
		}
	}
	if !strings.Contains(a.Name, "flags") {
		return plain(v)
	}
	var names []string
	for _, k := range a.Values {
		if k.Value != 0 && v&k.Value == k.Value {
			names = append(names, k.Name)
			v &^= k.Value
		}
	}
	if v != 0 || len(names) == 0 {
		names = append(names, plain(v))
	}
	return strings.Join(names, "|")
}

// means says whether a name of a value fits the other arguments: protocols are numbered
// by each family of sockets anew.
func (a Argument) means(name string, raw [6]uint64) bool {
	const afNetlink = 16
	return a.Name != "protocol" || strings.HasPrefix(name, "NETLINK_") == (uint32(raw[0]) == afNetlink)
}

// plain is a number: small ones as people count, others as they write bits.
func plain(v uint32) string {
	const small = 1 << 12
	if v < small {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%#x", v)
}

// Strings are the arguments of a call that point to a path or a name, counted from 0.
func Strings(call string) []int { return slices.Clone(pointing[call]) }

// pointing are the arguments that point to a path or a name.
var pointing = map[string][]int{
	"mount": {0, 1, 2}, "umount2": {0}, "pivot_root": {0, 1}, "chroot": {0}, "fsopen": {0}, "open_tree": {1}, "move_mount": {1, 3},
	"open": {0}, "openat": {1}, "creat": {0}, "chmod": {0}, "fchmodat": {1}, "fchmodat2": {1}, "mknod": {0}, "mknodat": {1},
	"chown": {0}, "lchown": {0}, "fchownat": {1}, "swapon": {0}, "swapoff": {0}, "acct": {0}, "quotactl": {1}, "name_to_handle_at": {1},
	"add_key": {0, 1}, "request_key": {0, 1}, "memfd_create": {0}, "execveat": {1}, "uselib": {0}, "sethostname": {0}, "setdomainname": {0},
}
