package profiles

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// own is an operator's profile with the given groups on top of strict.
func own(groups string) string {
	return `{"version":1,"name":"own","extends":"strict","about":"a test","groups":[` + groups + `]}`
}

const because = `"reason":"because the test needs it"`

func TestParse(t *testing.T) {
	many := addable(t)
	var values []string
	for i := range 30 {
		values = append(values, fmt.Sprintf(`"v%d":"%d"`, i, i))
	}
	any30 := strings.Join(values, ",")
	for _, tt := range []struct{ name, in, err string }{
		{"nothing added", own(""), ""},
		{"a call", own(`{` + because + `,"calls":["mlock"]}`), ""},
		{"a call with a condition", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"any":{"a page":"0x1000"}}]}`), ""},
		{"a call of one architecture", own(`{` + because + `,"arch":"amd64","calls":["stat"]}`), ""},
		{"two rules for one call", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"any":{"a":"1"}}]},{` + because + `,"calls":["mlock"],"where":[{"arg":1,"any":{"b":"2"}}]}`), ""},
		{"an answer", own(`{` + because + `,"calls":["mseal"],"answer":"ENOSYS"}`), ""},

		{"empty file", ``, "no JSON value"},
		{"not an object", `[]`, "unmarshal"},
		{"two values", own("") + "{}", "something follows the JSON value"},
		{"a key twice", `{"version":1,"version":1}`, "a key appears twice"},
		{"unknown key", `{"version":1,"nmae":"own"}`, `unknown object member name "nmae"`},
		{"key in another case", `{"Version":1}`, `unknown object member name "Version"`},
		{"unknown key in a group", own(`{` + because + `,"calls":["mlock"],"action":"kill"}`), `unknown object member name "action"`},
		{"unknown key in a condition", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"op":"ne","any":{"a":"1"}}]}`), `unknown object member name "op"`},
		{"no version", `{"name":"own"}`, "version 0; only version 1 is known"},
		{"a later version", `{"version":2}`, "version 2; only version 1 is known"},
		{"too large", strings.Repeat(" ", maxFile+1), "at most 262144"},

		{"no base", `{"version":1,"name":"own","groups":[]}`, "it must extend a built-in profile"},
		{"unknown base", `{"version":1,"name":"own","extends":"loose"}`, `no built-in profile "loose"`},
		{"the refused calls as base", `{"version":1,"name":"own","extends":"never"}`, `no built-in profile "never"`},
		{"a built-in name", `{"version":1,"name":"strict","extends":"strict"}`, "strict is the name of a built-in profile"},
		{"bad name", `{"version":1,"name":"../own","extends":"strict"}`, "use 1 to 40 of a-z, 0-9 and inner hyphens"},
		{"a part", `{"version":1,"name":"own","extends":"strict","part":true}`, "part is for built-in files"},

		{"a name that no kernel knows", own(`{` + because + `,"calls":["mlokc"]}`), "no system call mlokc is known; did you mean mlock?"},
		{"no reason", own(`{"calls":["mlock"]}`), "no reason is given"},
		{"blank reason", own(`{"reason":" \t","calls":["mlock"]}`), "no reason is given"},
		{"no calls", own(`{` + because + `}`), "no call is named"},
		{"not a call", own(`{` + because + `,"calls":["m-lock"]}`), `"m-lock" is not the name of a system call`},
		{"all calls", own(`{` + because + `,"calls":["*"]}`), `"*" is not the name of a system call`},
		{"unknown architecture", own(`{` + because + `,"arch":"386","calls":["mlock"]}`), `arch "386" is not amd64 or arm64`},
		{"unknown answer", own(`{` + because + `,"calls":["mlock"],"answer":"EPERM"}`), `answer "EPERM" is not ENOSYS or EOPNOTSUPP`},
		{"answer with a condition", own(`{` + because + `,"calls":["mlock"],"answer":"ENOSYS","where":[{"arg":1,"any":{"a":"1"}}]}`), "an answer holds for the whole call"},
		{"two faults at once", own(`{"calls":["m-lock"]}`), "is not the name of a system call; names are those of the manual pages of section 2: write each by itself\ngroups[0].reason: no reason is given"},

		{"a refused call", own(`{` + because + `,"calls":["bpf"]}`), "bpf can be in no profile: runs code in the kernel"},
		{"a refused call with a condition", own(`{` + because + `,"calls":["unshare"],"where":[{"arg":0,"any":{"none":"0"}}]}`), "unshare can be in no profile"},
		{"a guarded call whole", own(`{` + because + `,"calls":["clone"]}`), "clone is allowed for certain arguments only"},
		{"a guarded call of another profile", own(`{` + because + `,"calls":["chmod"]}`), "chmod is allowed for certain arguments only"},
		{"a guarded call with more values", own(`{` + because + `,"calls":["socket"],"where":[{"arg":0,"any":{"AF_NETLINK":"16"}},{"arg":1,"mask":"0xf","any":{"SOCK_RAW":"3"}},{"arg":2,"any":{"NETLINK_ROUTE":"0"}}]}`), ""},
		{"a guarded call with too wide values", own(`{` + because + `,"calls":["socket"],"where":[{"arg":0,"any":{"AF_NETLINK":"16"}}]}`), "socket cannot be allowed so: only unix sockets"},
		{"a value that is never allowed", own(`{` + because + `,"calls":["socket"],"where":[{"arg":0,"any":{"one":"16","other":"40"}}]}`), "it would allow AF_VSOCK: talks to the hypervisor"},
		{"a call that is answered", own(`{` + because + `,"calls":["clone3"]}`), "clone3 can be in no own profile: it keeps its flags in memory"},

		{"a call of the base again", own(`{` + because + `,"calls":["read"]}`), "strict allows read already"},
		{"a call twice", own(`{` + because + `,"calls":["mlock","mlock"]}`), "mlock is named twice (own, own)"},
		{"whole and conditional", own(`{` + because + `,"calls":["mlock"]},{` + because + `,"calls":["mlock"],"where":[{"arg":1,"any":{"a":"1"}}]}`), "mlock is named twice"},
		{"on all and on one architecture", own(`{` + because + `,"calls":["mlock"]},{` + because + `,"arch":"arm64","calls":["mlock"]}`), "on arm64: mlock is named twice"},
		{"allowed and answered", own(`{` + because + `,"calls":["mlock"]},{` + because + `,"calls":["mlock"],"answer":"ENOSYS"}`), "mlock is named twice"},
		{"the same condition twice", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"any":{"a":"1"}}]},{` + because + `,"calls":["mlock"],"where":[{"arg":1,"any":{"b":"1"}}]}`), "mlock has the same conditions twice"},

		{"no argument", own(`{` + because + `,"calls":["mlock"],"where":[{"any":{"a":"1"}}]}`), "arg must be 0 to 5"},
		{"a seventh argument", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":6,"any":{"a":"1"}}]}`), "arg must be 0 to 5"},
		{"one argument twice", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"any":{"a":"1"}},{"arg":1,"any":{"b":"2"}}]}`), "argument 1 is judged twice"},
		{"no value", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"any":{}}]}`), "argument 1 has no value"},
		{"a mask that all pass", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"mask":"0","any":{"a":"0"}}]}`), "mask of argument 1 is 0"},
		{"a value outside the mask", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"mask":"0xf","any":{"a":"16"}}]}`), "value a of argument 1 lies outside its mask"},
		{"one value under two names", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"any":{"a":"16","b":"0x10"}}]}`), "values a and b of argument 1 are the same number"},
		{"a value without a name", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"any":{"":"1"}}]}`), "value 1 of argument 1 has no name"},
		{"a value of 33 bits", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"any":{"a":"0x100000000"}}]}`), "is not a number of 32 bits"},
		{"a negative value", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"any":{"a":"-1"}}]}`), "is not a number of 32 bits"},
		{"an octal look-alike", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"any":{"a":"0o17"}}]}`), "is not a number of 32 bits"},

		{"too many calls", own(`{` + because + `,"calls":[` + strings.Join(many, ",") + `]}`), "calls are allowed; at most 250"},
		{"too many combinations", own(`{` + because + `,"calls":["mlock"],"where":[{"arg":0,"any":{` + any30 + `}},{"arg":1,"any":{` + any30 + `}}]}`), "rules; at most 400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Parse([]byte(tt.in))
			switch {
			case tt.err == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.err != "" && err == nil:
				t.Errorf("accepted; want an error with %q", tt.err)
			case tt.err != "" && !strings.Contains(err.Error(), tt.err):
				t.Errorf("error %q, want one with %q", err, tt.err)
			case err != nil && p != nil:
				t.Errorf("a profile was returned beside the error")
			}
		})
	}
}

func TestDigestFollowsEnforcement(t *testing.T) {
	base := own(`{` + because + `,"calls":["mlock","munlock"]},{` + because + `,"calls":["mlock2"],"where":[{"arg":2,"any":{"a":"1","b":"2"}}]}`)
	for _, tt := range []struct {
		name, in string
		same     bool
	}{
		{"itself", base, true},
		{"other name and text", strings.NewReplacer(`"own"`, `"other"`, "a test", "another", "because", "since").Replace(base), true},
		{"other order", own(`{` + because + `,"calls":["mlock2"],"where":[{"arg":2,"any":{"b":"0x2","a":"0x1"}}]},{` + because + `,"calls":["munlock","mlock"]}`), true},
		{"other grouping", own(`{` + because + `,"calls":["mlock"]},{` + because + `,"calls":["munlock"]},{` + because + `,"calls":["mlock2"],"where":[{"arg":2,"any":{"a":"1"}}]},{` + because + `,"calls":["mlock2"],"where":[{"arg":2,"any":{"b":"2"}}]}`), true},
		{"mask written out", strings.Replace(base, `{"arg":2,`, `{"arg":2,"mask":"0xffffffff",`, 1), true},
		{"a call per architecture", strings.Replace(base, `{"reason":"because the test needs it","calls":["mlock","munlock"]}`, `{`+because+`,"calls":["mlock"]},{`+because+`,"arch":"amd64","calls":["munlock"]},{`+because+`,"arch":"arm64","calls":["munlock"]}`, 1), true},

		{"a call more", strings.Replace(base, `"mlock",`, `"mlock","msync",`, 1), false},
		{"a call less", strings.Replace(base, `"mlock",`, ``, 1), false},
		{"other value", strings.Replace(base, `"b":"2"`, `"b":"3"`, 1), false},
		{"other argument", strings.Replace(base, `"arg":2`, `"arg":1`, 1), false},
		{"other mask", strings.Replace(base, `{"arg":2,`, `{"arg":2,"mask":"0xff",`, 1), false},
		{"one architecture only", strings.Replace(base, `"calls":["mlock","munlock"]`, `"arch":"arm64","calls":["mlock","munlock"]`, 1), false},
		{"another answer", strings.Replace(base, `]}`, `]},{`+because+`,"calls":["msync"],"answer":"EOPNOTSUPP"}`, 1), false},
		{"ENOSYS for EPERM", strings.Replace(base, `]}`, `]},{`+because+`,"calls":["msync"],"answer":"ENOSYS"}`, 1), false},
		{"other base", strings.Replace(strings.Replace(base, `"strict"`, `"libc"`, 1), `{"reason":"because the test needs it","calls":["mlock","munlock"]},{"reason":"because the test needs it","calls":["mlock2"],"where":[{"arg":2,"any":{"a":"1","b":"2"}}]}`, ``, 1), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want, err := Parse([]byte(base))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Parse([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if same := got.Digest() == want.Digest(); same != tt.same {
				t.Errorf("digests equal: %v, want %v", same, tt.same)
			}
			diff := cmp.Diff(compile(t, want, "amd64"), compile(t, got, "amd64")) + cmp.Diff(compile(t, want, "arm64"), compile(t, got, "arm64"))
			if (diff == "") != tt.same {
				t.Errorf("the compiled forms do not agree with the digests:\n%s", diff)
			}
		})
	}
}

// addable are all calls that strict lacks and that an own profile could add whole,
// each in quotes.
func addable(t *testing.T) []string {
	t.Helper()
	b, err := newBuilder(Own{Name: "own", Extends: Strict})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, call := range CallNames() {
		if b.never[call] == "" && !b.judged(call) && len(load(t, Strict).Explain(call)) == 0 {
			out = append(out, fmt.Sprintf("%q", call))
		}
	}
	return out
}

// FuzzParse holds an operator's file to what it can do: whatever it says, no call and no
// value that can never be granted is allowed.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		own(""), own(`{` + because + `,"calls":["mlock","munlock"]}`), own(`{` + because + `,"arch":"amd64","calls":["stat"]}`),
		own(`{` + because + `,"calls":["mlock"],"where":[{"arg":1,"mask":"0xff","any":{"a":"0x10","b":"2"}}]}`),
		own(`{` + because + `,"calls":["bpf"]}`), own(`{` + because + `,"calls":["clone"],"answer":"ENOSYS"}`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := Parse(raw)
		if err != nil {
			return
		}
		holdsBounds(t, p)
		again, err := Parse(raw)
		if err != nil || again.Digest() != p.Digest() {
			t.Errorf("a second reading gives %v, digest %s and %s", err, again.Digest(), p.Digest())
		}
	})
}

// holdsBounds looks at the compiled form alone: no call that is never allowed, and of the
// calls that are bounded no rule that passes a value that is never allowed.
func holdsBounds(t *testing.T, p *Profile) {
	t.Helper()
	never, err := Never()
	if err != nil {
		t.Fatal(err)
	}
	limits, err := bounds()
	if err != nil {
		t.Fatal(err)
	}
	for _, goarch := range arches() {
		if n := len(p.Calls(goarch)); n > MaxCalls {
			t.Errorf("%d calls on %s", n, goarch)
		}
		for _, rule := range compile(t, p, goarch).Syscalls {
			for _, call := range rule.Names {
				if rule.Action != specs.ActAllow {
					continue
				}
				if never[call] != "" {
					t.Errorf("%s is allowed", call)
				}
				for _, no := range limits[call].never {
					for _, v := range no.Any {
						if lets(rule.Args, no.Arg, v.Value) {
							t.Errorf("%s is allowed with %s", call, v.Name)
						}
					}
				}
				if limits[call].closed != "" || len(limits[call].within) > 0 && len(rule.Args) == 0 {
					t.Errorf("%s is allowed whole", call)
				}
			}
		}
	}
}

// lets says whether a compiled rule lets a call through with this argument, others as
// it likes them.
func lets(args []specs.LinuxSeccompArg, arg uint, value uint32) bool {
	for _, a := range args {
		if a.Index == arg && uint64(value)&a.Value != a.ValueTwo {
			return false
		}
	}
	return true
}
