package profiles

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/mcprun/mcprun/internal/strictjson"
)

// ociFile is the linux.seccomp object of an OCI runtime, with what Docker, containerd
// and podman write beside it.
type ociFile struct {
	DefaultAction    string    `json:"defaultAction"`
	DefaultErrnoRet  *uint     `json:"defaultErrnoRet"`
	DefaultErrno     string    `json:"defaultErrno"` // podman
	Architectures    []string  `json:"architectures"`
	ArchMap          []any     `json:"archMap"`
	Flags            []string  `json:"flags"`
	ListenerPath     string    `json:"listenerPath"`
	ListenerMetadata string    `json:"listenerMetadata"`
	Syscalls         []ociRule `json:"syscalls"`
}

type ociRule struct {
	Names    []string     `json:"names"`
	Name     string       `json:"name"` // older form
	Action   string       `json:"action"`
	ErrnoRet *uint        `json:"errnoRet"`
	Errno    string       `json:"errno"` // podman
	Args     []ociArg     `json:"args"`
	Comment  string       `json:"comment"`
	Includes ociCondition `json:"includes"`
	Excludes ociCondition `json:"excludes"`
}

type ociArg struct {
	Index    uint   `json:"index"`
	Value    uint64 `json:"value"`
	ValueTwo uint64 `json:"valueTwo"`
	Op       string `json:"op"`
}

// ociCondition says on which machine, and for which container, a rule is there.
type ociCondition struct {
	Caps      []string `json:"caps"`
	Arches    []string `json:"arches"`
	MinKernel string   `json:"minKernel"`
}

// IsOCI tells the OCI form from the form of the built-in profiles.
func IsOCI(raw []byte) bool {
	var f map[string]any
	value, err := strictjson.Parse(raw, strictjson.Request)
	if err != nil || json.Unmarshal(value, &f) != nil {
		return false
	}
	_, ok := f["defaultAction"]
	return ok
}

// ParseOCI reads an OCI profile as an own one that extends nothing. What it says and no
// own profile can say is a fault: it is never taken for something else.
func ParseOCI(raw []byte, name string) (Own, []Fault) {
	own := Own{Name: name}
	if len(raw) > maxFile {
		return own, []Fault{{What: fmt.Sprintf("file of %d bytes; at most %d", len(raw), maxFile)}}
	}
	value, err := strictjson.Parse(raw, strictjson.Request)
	if err != nil {
		return own, []Fault{{What: err.Error()}}
	}
	var f ociFile
	if err := json.Unmarshal(value, &f, json.RejectUnknownMembers(true)); err != nil {
		return own, []Fault{{What: err.Error(), Fix: "write the linux.seccomp object of the OCI runtime specification"}}
	}
	o := ociReader{own: own}
	o.defaults(f)
	for i, r := range f.Syscalls {
		o.rule(fmt.Sprintf("syscalls[%d]", i), r)
	}
	return o.own, o.faults
}

type ociReader struct {
	own    Own
	faults []Fault
}

func (o *ociReader) fault(path, fix, format string, args ...any) {
	o.faults = append(o.faults, Fault{path, fmt.Sprintf(format, args...), fix})
}

func (o *ociReader) note(format string, args ...any) {
	o.own.Notes = append(o.own.Notes, fmt.Sprintf(format, args...))
}

func (o *ociReader) defaults(f ociFile) {
	switch f.DefaultAction {
	case string(specs.ActErrno):
	case string(specs.ActAllow):
		o.fault("defaultAction", "list what is allowed, with SCMP_ACT_ERRNO as default", "a profile that allows what it does not name")
	default:
		o.fault("defaultAction", "write SCMP_ACT_ERRNO", "%q: what no rule allows is answered with EPERM here", f.DefaultAction)
	}
	if f.DefaultErrnoRet != nil && *f.DefaultErrnoRet != eperm || f.DefaultErrno != "" && f.DefaultErrno != "EPERM" {
		o.fault("defaultErrnoRet", "write 1, and a rule with SCMP_ACT_ERRNO for each call that programs do without after ENOSYS", "what no rule allows is answered with EPERM here")
	}
	for i, name := range f.Architectures {
		if name != string(specs.ArchX86_64) && name != string(specs.ArchAARCH64) {
			o.fault(fmt.Sprintf("architectures[%d]", i), "take it out", "%s: one ABI of each machine is let through, which halves the kernel's entry points", name)
		}
	}
	if len(f.ArchMap) > 0 {
		o.note("archMap is not used: one ABI of each machine is let through, and none beside it")
	}
	if len(f.Flags) > 0 {
		o.fault("flags", "take it out", "flags of the filter are the runtime's to say")
	}
	if f.ListenerPath+f.ListenerMetadata != "" {
		o.fault("listenerPath", "take it out", "no other program answers for system calls")
	}
}

func (o *ociReader) rule(path string, r ociRule) {
	names := r.Names
	if r.Name != "" {
		names = append([]string{r.Name}, names...)
	}
	arches, ok := o.applies(path, r)
	if !ok {
		return
	}
	before := len(o.faults)
	answer, denies := o.action(path, r)
	where := o.args(path, r.Args)
	if len(o.faults) > before {
		return
	}
	var elsewhereOnly []string
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		if elsewhere(n) {
			elsewhereOnly = append(elsewhereOnly, n)
			return true
		}
		return false
	})
	if len(elsewhereOnly) > 0 {
		o.note("%s: %s are calls of other machines, and left out", path, strings.Join(elsewhereOnly, ", "))
	}
	if len(names) == 0 && len(elsewhereOnly) > 0 {
		return
	}
	e := Entry{Calls: names, Where: where, Answer: answer, Reason: r.Comment, Path: path, Key: "names", written: r.Names}
	if strings.TrimSpace(e.Reason) == "" {
		e.Reason = "taken over from an OCI profile, which gives no reason"
	}
	for _, arch := range arches {
		e.Arch = arch
		switch {
		case denies && answer == "": // as the default
		case denies:
			o.own.Deny = append(o.own.Deny, e)
		case len(where) == 0:
			o.allow(e)
		default:
			o.own.Allow = append(o.own.Allow, e)
		}
	}
}

// allow takes calls over that are allowed whole. Of those that the built-in profiles
// allow for certain arguments only, that much is taken: programs that record what they
// see do not look at arguments, and would name openat whole.
func (o *ociReader) allow(e Entry) {
	plain := e
	plain.Calls = nil
	for _, call := range e.Calls {
		rules := judgedRules(call)
		if len(rules) == 0 {
			plain.Calls = append(plain.Calls, call)
			continue
		}
		o.note("%s is taken for the arguments that the built-in profiles allow: mcprun profile explain node %s", e.call(call), call)
		for _, r := range rules {
			one := e
			one.Calls, one.Where, one.Answer, one.Reason, one.Arch = []string{call}, r.Where, r.Answer, r.Reason, r.Arch
			if one.Answer != "" {
				o.own.Deny = append(o.own.Deny, one)
			} else {
				o.own.Allow = append(o.own.Allow, one)
			}
		}
	}
	if len(plain.Calls) > 0 || len(e.Calls) == 0 {
		o.own.Allow = append(o.own.Allow, plain)
	}
}

// judgedRules are the rules of the built-in files about a call that none of them allows
// whole, each once.
func judgedRules(call string) []Rule {
	judged, err := guarded()
	limits, err2 := bounds()
	if err != nil || err2 != nil || !judged[call] && limits[call].closed == "" {
		return nil
	}
	var out []Rule
	for _, name := range Names() {
		p, err := loadBuiltin(name, maxExtends)
		if err != nil {
			return nil
		}
		for _, r := range p.rules {
			if r.Call == call && !slices.ContainsFunc(out, func(have Rule) bool { return have.String() == r.String() }) {
				out = append(out, r)
			}
		}
	}
	return out
}

// applies says on which machines a rule is there; the empty one stands for all.
func (o *ociReader) applies(path string, r ociRule) ([]string, bool) {
	if r.Includes.MinKernel+r.Excludes.MinKernel != "" {
		o.fault(path+".includes", "take minKernel out, or the rule", "what a rule allows does not depend on the kernel here")
		return nil, false
	}
	if len(r.Includes.Caps) > 0 {
		o.note("%s is left out: it is for containers with %s, and no server has a capability", path, strings.Join(r.Includes.Caps, ", "))
		return nil, false
	}
	if len(r.Includes.Arches)+len(r.Excludes.Arches) == 0 {
		return []string{""}, true
	}
	var on []string
	for _, goarch := range arches() {
		in := len(r.Includes.Arches) == 0 || slices.Contains(r.Includes.Arches, goarch)
		if in && !slices.Contains(r.Excludes.Arches, goarch) {
			on = append(on, goarch)
		}
	}
	if len(on) == len(arches()) {
		return []string{""}, true
	}
	if len(on) == 0 {
		o.note("%s is left out: it is for other machines", path)
	}
	return on, len(on) > 0
}

// action reads what a rule does; denies says that it is not to allow.
func (o *ociReader) action(path string, r ociRule) (answer Answer, denies bool) {
	switch r.Action {
	case string(specs.ActAllow):
		return "", false
	case string(specs.ActErrno):
	default:
		o.fault(path+".action", "write SCMP_ACT_ALLOW or SCMP_ACT_ERRNO", "action %q is not used here", r.Action)
		return "", true
	}
	for _, a := range []Answer{ENOSYS, EOPNOTSUPP} {
		if r.ErrnoRet != nil && *r.ErrnoRet == a.Errno() || r.ErrnoRet == nil && r.Errno == string(a) {
			answer = a
		}
	}
	if answer == "" && (r.ErrnoRet != nil && *r.ErrnoRet != eperm || r.ErrnoRet == nil && r.Errno != "" && r.Errno != "EPERM") {
		o.fault(path+".errnoRet", "write 1 (EPERM), 38 (ENOSYS) or 95 (EOPNOTSUPP)", "calls are answered with no other error")
	}
	return answer, true
}

// args reads the comparisons that an own profile can say: equal, and equal under a mask.
func (o *ociReader) args(path string, args []ociArg) []Condition {
	var out []Condition
	for i, a := range args {
		at := fmt.Sprintf("%s.args[%d]", path, i)
		mask, value := uint64(wholeArg), a.Value
		switch a.Op {
		case string(specs.OpEqualTo):
		case string(specs.OpMaskedEqual):
			mask, value = a.Value, a.ValueTwo
		default:
			o.fault(at, "write what is allowed, with SCMP_CMP_EQ or SCMP_CMP_MASKED_EQ", "%s says what is not allowed, or a range: a profile here lists what is", a.Op)
			continue
		}
		if mask > math.MaxUint32 || value > math.MaxUint32 {
			o.fault(at, "compare the low 32 bits", "more than 32 bits are compared")
			continue
		}
		c, err := NewCondition(a.Index, uint32(mask), []Value{{Name: fmt.Sprint(value), Value: uint32(value)}})
		if err != nil {
			o.fault(at, "", "%v", err)
			continue
		}
		out = append(out, c)
	}
	where, err := Conditions(out)
	if err != nil {
		o.fault(path+".args", "write a rule for each: OCI runtimes take two as alternatives", "%v", err)
	}
	return where
}
