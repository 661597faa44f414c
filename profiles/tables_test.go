package profiles

import (
	"slices"
	"strings"
	"testing"
)

// Every name in a built-in file is known, and marked for the one machine that has it.
func TestCallTable(t *testing.T) {
	table := callTable()
	if len(table) < 380 {
		t.Fatalf("only %d calls are known: go run ./hack/callnames > profiles/tables/calls.txt", len(table))
	}
	for call, want := range map[string]callNumbers{"read": {"amd64": 0, "arm64": 63}, "stat": {"amd64": 4}, "_sysctl": {"amd64": 156}, "newfstatat": {"amd64": 262, "arm64": 79}} {
		for _, goarch := range arches() {
			n, ok := Number(call, goarch)
			if w, has := want[goarch]; n != w || ok != has {
				t.Errorf("%s on %s is %d, %v; want %d, %v", call, goarch, n, ok, w, has)
			}
		}
	}
	files, err := builtinFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		p, err := loadBuiltin(name, maxExtends)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.rules {
			if n, ok := table[r.Call]; !ok || n.only() != r.Arch {
				t.Errorf("%s: %s is for %q, and the table has %v", name, r.Call, r.Arch, n)
			}
		}
	}
	never, err := Never()
	if err != nil {
		t.Fatal(err)
	}
	for call := range never {
		if _, ok := table[call]; !ok {
			t.Errorf("never: %s is not known", call)
		}
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{"mlokc": "mlock", "opne": "open", "Socket": "socket", "getpid": "getpid", "io_uring": "", "frobnicate": "", "": "", strings.Repeat("x", 1000): ""} {
		if got := Nearest(name); got != want {
			t.Errorf("Nearest(%.20q) = %q, want %q", name, got, want)
		}
	}
}

// The built-in profiles keep within what no own profile can go beyond, and the bounds say
// of each value why.
func TestBoundsHoldForBuiltinProfiles(t *testing.T) {
	limits, err := bounds()
	if err != nil {
		t.Fatal(err)
	}
	never, err := Never()
	if err != nil {
		t.Fatal(err)
	}
	for call, b := range limits {
		if _, ok := callTable()[call]; !ok || never[call] != "" {
			t.Errorf("%s has bounds, and is not known or can be in no profile", call)
		}
		if b.closed == "" && len(b.never)+len(b.within) == 0 || len(b.within) > 0 && len(strings.Fields(b.reason)) < 6 {
			t.Errorf("the bounds of %s say too little", call)
		}
		for _, n := range b.never {
			if len(strings.Fields(n.reason)) < 5 {
				t.Errorf("%s: %v: the reason is %q", call, n.Condition, n.reason)
			}
		}
		if b.refuses(nil) == "" {
			t.Errorf("%s could be allowed whole", call)
		}
	}
	for _, name := range Names() {
		p := load(t, name)
		holdsBounds(t, p)
		for _, r := range p.rules {
			if why := limits[r.Call].refuses(r.Where); why != "" && r.Verdict != 0 {
				t.Errorf("%s: %s: %s", name, r, why)
			}
		}
	}
}

func TestPermitsAndImplies(t *testing.T) {
	where := func(arg uint, mask uint32, values ...uint32) []Condition {
		c := Condition{Arg: arg, Mask: mask}
		for _, v := range values {
			c.Any = append(c.Any, Value{Name: "v", Value: v})
		}
		return []Condition{c}
	}
	for _, tt := range []struct {
		name  string
		where []Condition
		mask  uint32
		value uint32
		want  bool
	}{
		{"no condition", nil, wholeArg, 40, true},
		{"on another argument", where(1, wholeArg, 1), wholeArg, 40, true},
		{"another value", where(0, wholeArg, 1, 2), wholeArg, 40, false},
		{"the value among others", where(0, wholeArg, 1, 40), wholeArg, 40, true},
		{"a mask that hides the difference", where(0, 0xf, 8), wholeArg, 40, true}, // 40 is 0x28
		{"a mask that shows it", where(0, 0xf, 1), wholeArg, 40, false},
		{"a bit that must be unset", where(0, 0x10, 0), 0x10, 0x10, false},
		{"a bit that is set", where(0, 0x30, 0x10), 0x10, 0x10, true},
		{"a bit that is not looked at", where(0, 0x20, 0), 0x10, 0x10, true},
		{"a range of commands", where(0, wholeArg, 0xb701), 0xff00, 0xb700, true},
	} {
		if got := permits(tt.where, 0, tt.mask, tt.value); got != tt.want {
			t.Errorf("%s: permits %v, want %v", tt.name, got, tt.want)
		}
	}
	need := where(0, 0xf, 1, 2)
	for _, tt := range []struct {
		name  string
		where []Condition
		want  bool
	}{
		{"no condition", nil, false},
		{"the same", where(0, 0xf, 1, 2), true},
		{"fewer values", where(0, 0xf, 2), true},
		{"more bits", where(0, 0xff, 0x81), true},
		{"fewer bits", where(0, 0x3, 1), false},
		{"another value", where(0, 0xf, 1, 3), false},
		{"another argument", where(1, 0xf, 1), false},
	} {
		if got := implies(tt.where, need); got != tt.want {
			t.Errorf("%s: implies %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestArguments(t *testing.T) {
	all, err := argumentTable()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, a := range all {
		for _, call := range a.Calls {
			if _, ok := callTable()[call]; !ok {
				t.Errorf("%s is not known", call)
			}
			for _, key := range []string{call + " " + a.Name, call + " " + string(rune('0'+a.Arg))} {
				if seen[key] {
					t.Errorf("%s is there twice", key)
				}
				seen[key] = true
			}
		}
	}
	for _, tt := range []struct {
		call, arg, value string
		n                uint
		want             uint32
		err              string
	}{
		{"socket", "family", "AF_NETLINK", 0, 16, ""},
		{"socket", "0", "16", 0, 16, ""},
		{"socket", "1", "SOCK_RAW", 1, 3, ""},
		{"clone", "flags", "CLONE_NEWUSER|CLONE_NEWNET", 0, 0x50000000, ""},
		{"mlock", "1", "0x1000", 1, 4096, ""},
		{"mlock", "6", "1", 0, 0, "no argument"},
		{"socket", "famly", "1", 0, 0, "write family, type, protocol"},
		{"socket", "family", "af_netlink", 0, 0, "did you mean AF_NETLINK?"},
		{"socket", "family", "010", 0, 0, "no name that is known here"},
	} {
		a, err := FindArgument(tt.call, tt.arg)
		var v Value
		if err == nil {
			v, err = a.Find(tt.value)
		}
		switch {
		case tt.err == "" && (err != nil || a.Arg != tt.n || v.Value != tt.want):
			t.Errorf("%s %s=%s: argument %d, %d, %v", tt.call, tt.arg, tt.value, a.Arg, v.Value, err)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s %s=%s: error %v, want one with %q", tt.call, tt.arg, tt.value, err, tt.err)
		}
	}
	if a, err := ArgumentsOf("read"); err != nil || len(a) != 0 {
		t.Errorf("read has %v, %v", a, err)
	}
	if again, _ := ArgumentsOf("socket"); !slices.ContainsFunc(again, func(a Argument) bool { return a.Name == "family" }) {
		t.Error("asking about one call took the arguments of another away")
	}
}

func TestCompare(t *testing.T) {
	changes := Compare(load(t, "strict"), load(t, "go"), "amd64")
	byCall := map[string]Change{}
	for _, c := range changes {
		byCall[c.Call] = c
	}
	if c := byCall["stat"]; len(c.Old) != 0 || len(c.New) != 1 || c.Same {
		t.Errorf("stat: %+v", c)
	}
	if c := byCall["ioctl"]; len(c.Old) != 1 || len(c.New) != 3 {
		t.Errorf("ioctl: %+v", c)
	}
	if _, ok := byCall["read"]; ok {
		t.Error("read is in both")
	}
	if len(Compare(load(t, "node"), load(t, "node"), "arm64")) != 0 {
		t.Error("a profile differs from itself")
	}
	other, err := Parse([]byte(own(`{` + because + `,"calls":["mlock"]}`)))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse([]byte(strings.ReplaceAll(own(`{`+because+`,"calls":["mlock"]}`), "because", "since")))
	if err != nil {
		t.Fatal(err)
	}
	if c := Compare(other, again, "amd64"); len(c) != 1 || !c[0].Same {
		t.Errorf("only the reason differs, and not %+v", c)
	}
}
