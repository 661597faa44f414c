package profiles

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/strictjson"
)

// maxFile bounds one profile file: the largest built-in one is below 10 KiB.
const maxFile = 256 << 10

// maxCallName is beyond the longest name of a system call (28 characters).
const maxCallName = 40

// maxArg is the last of the six arguments that a system call can have.
const maxArg = 5

// file is a profile as it is written; see README.md.
type file struct {
	Version int     `json:"version"`
	Name    string  `json:"name"`
	Extends string  `json:"extends"`
	Part    bool    `json:"part"`
	About   string  `json:"about"`
	Groups  []group `json:"groups"`
}

type group struct {
	Reason string      `json:"reason"`
	Arch   string      `json:"arch"`
	Calls  []string    `json:"calls"`
	Where  []condition `json:"where"`
	Answer Answer      `json:"answer"`
}

// condition holds its numbers as strings, because JSON has no hexadecimal.
type condition struct {
	Arg  *uint             `json:"arg"`
	Mask string            `json:"mask"`
	Any  map[string]string `json:"any"`
}

// decode reads one file strictly: no unknown key, no duplicate, nothing behind.
func decode(raw []byte) (*file, error) {
	if len(raw) > maxFile {
		return nil, fmt.Errorf("file of %d bytes; at most %d", len(raw), maxFile)
	}
	value, err := strictjson.Parse(raw, strictjson.Request)
	if err != nil {
		return nil, err
	}
	var f file
	if err := json.Unmarshal(value, &f, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("version %d; only version 1 is known", f.Version)
	}
	return &f, nil
}

// ParseJSON reads an own profile that is written as the built-in ones are.
func ParseJSON(raw []byte) (Own, error) {
	f, err := decode(raw)
	if err != nil {
		return Own{}, err
	}
	if f.Part {
		return Own{}, errors.New("part is for built-in files")
	}
	if f.Extends == "" {
		return Own{}, errors.New("it must extend a built-in profile")
	}
	o := Own{Name: f.Name, Extends: f.Extends, About: f.About}
	var faults []error
	for i, g := range f.Groups {
		where, err := conditions(g.Where)
		if err != nil {
			faults = append(faults, fmt.Errorf("group %d (%s): %w", i+1, strings.Join(g.Calls, " "), err))
		}
		e := Entry{Calls: g.Calls, Where: where, Arch: g.Arch, Answer: g.Answer, Reason: g.Reason, Path: fmt.Sprintf("groups[%d]", i)}
		if g.Answer != "" {
			o.Deny = append(o.Deny, e)
		} else {
			o.Allow = append(o.Allow, e)
		}
	}
	return o, errors.Join(faults...)
}

// rules turns the groups into single rules and reports all faults at once.
func (f *file) rules() ([]Rule, error) {
	var rules []Rule
	var faults []error
	for i, g := range f.Groups {
		where, err := g.check()
		if err != nil {
			faults = append(faults, fmt.Errorf("group %d (%s): %w", i+1, strings.Join(g.Calls, " "), err))
			continue
		}
		verdict := mcprun.Allow
		if g.Answer != "" {
			verdict = mcprun.Deny
		}
		for _, call := range g.Calls {
			r := Rule{Call: call, Arch: g.Arch, Verdict: verdict, Answer: g.Answer, Where: where, Reason: g.Reason, Profile: f.Name}
			rules = append(rules, r.clone())
		}
	}
	return rules, errors.Join(faults...)
}

// check judges one group by itself and returns its conditions.
func (g group) check() ([]Condition, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if strings.TrimSpace(g.Reason) == "" {
		fault("no reason is given")
	}
	if len(g.Calls) == 0 {
		fault("no call is named")
	}
	for _, call := range g.Calls {
		if !isCallName(call) {
			fault("%q is not the name of a system call", call)
		}
	}
	if g.Arch != "" && !knownArch(g.Arch) {
		fault("arch %q is not amd64 or arm64", g.Arch)
	}
	if g.Answer != "" && g.Answer.Errno() == 0 {
		fault("answer %q is not %s or %s", g.Answer, ENOSYS, EOPNOTSUPP)
	}
	if g.Answer != "" && len(g.Where) > 0 {
		fault("an answer holds for the whole call; leave out where")
	}
	where, err := conditions(g.Where)
	if err != nil {
		faults = append(faults, err)
	}
	return where, errors.Join(faults...)
}

// conditions reads where.
func conditions(where []condition) ([]Condition, error) {
	var out []Condition
	for _, c := range where {
		parsed, err := c.parse()
		if err != nil {
			return nil, err
		}
		out = append(out, parsed)
	}
	return Conditions(out)
}

func (c condition) parse() (Condition, error) {
	if c.Arg == nil || *c.Arg > maxArg {
		return Condition{}, fmt.Errorf("arg must be 0 to %d", maxArg)
	}
	out := Condition{Arg: *c.Arg, Mask: wholeArg}
	if c.Mask != "" {
		mask, err := number(c.Mask)
		if err != nil {
			return Condition{}, fmt.Errorf("mask of argument %d: %w", out.Arg, err)
		}
		out.Mask = mask
	}
	var any []Value
	for name, text := range c.Any {
		v, err := number(text)
		if err != nil {
			return Condition{}, fmt.Errorf("value %s of argument %d: %w", name, out.Arg, err)
		}
		any = append(any, Value{Name: name, Value: v})
	}
	return NewCondition(out.Arg, out.Mask, any)
}

// NewCondition checks and orders one condition.
func NewCondition(arg uint, mask uint32, any []Value) (Condition, error) {
	out := Condition{Arg: arg, Mask: mask, Any: slices.Clone(any)}
	switch {
	case arg > maxArg:
		return Condition{}, fmt.Errorf("arg must be 0 to %d", maxArg)
	case mask == 0:
		return Condition{}, fmt.Errorf("mask of argument %d is 0, which everything passes", arg)
	case len(any) == 0:
		return Condition{}, fmt.Errorf("argument %d has no value, which nothing passes", arg)
	}
	for _, v := range any {
		if strings.TrimSpace(v.Name) == "" {
			return Condition{}, fmt.Errorf("value %d of argument %d has no name", v.Value, arg)
		}
		if v.Value&^mask != 0 {
			return Condition{}, fmt.Errorf("value %s of argument %d lies outside its mask, so nothing passes", v.Name, arg)
		}
	}
	slices.SortFunc(out.Any, func(a, b Value) int {
		return cmp.Or(cmp.Compare(a.Value, b.Value), cmp.Compare(a.Name, b.Name))
	})
	for i := range len(out.Any) - 1 {
		if out.Any[i].Value == out.Any[i+1].Value {
			return Condition{}, fmt.Errorf("values %s and %s of argument %d are the same number", out.Any[i].Name, out.Any[i+1].Name, arg)
		}
	}
	return out, nil
}

// Conditions orders the conditions of one rule. An argument can be judged once in it:
// OCI runtimes take two conditions on one argument as alternatives, not as both.
func Conditions(where []Condition) ([]Condition, error) {
	seen := map[uint]bool{}
	for _, c := range where {
		if seen[c.Arg] {
			return nil, fmt.Errorf("argument %d is judged twice", c.Arg)
		}
		seen[c.Arg] = true
	}
	out := slices.Clone(where)
	slices.SortFunc(out, func(a, b Condition) int { return cmp.Compare(a.Arg, b.Arg) })
	return out, nil
}

// number reads 32 bits, decimal or with 0x. A leading zero is octal to some readers.
func number(s string) (uint32, error) {
	digits, base := s, 10
	if len(s) > 1 && s[0] == '0' && '0' <= s[1] && s[1] <= '9' {
		return 0, fmt.Errorf("%q has a leading zero, which some take for octal", s)
	}
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number of 32 bits, decimal or with 0x", s)
	}
	return uint32(n), nil
}

func isCallName(s string) bool {
	if s == "" || len(s) > maxCallName {
		return false
	}
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}
