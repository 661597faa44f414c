package profiles

import (
	"slices"
	"strings"
	"testing"
)

// oci is an OCI profile with these rules.
func oci(rules string) string {
	return `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_AARCH64"],"syscalls":[` + rules + `]}`
}

func TestParseOCI(t *testing.T) {
	const allow = `"action":"SCMP_ACT_ALLOW"`
	for _, tt := range []struct{ name, in, fault, note string }{
		{"nothing", oci(""), "", ""},
		{"calls", oci(`{"names":["read","write"],` + allow + `}`), "", ""},
		{"the older form", oci(`{"name":"read",` + allow + `}`), "", ""},
		{"a value", oci(`{"names":["kill"],` + allow + `,"args":[{"index":1,"value":15,"op":"SCMP_CMP_EQ"}]}`), "", ""},
		{"a mask", oci(`{"names":["clone"],` + allow + `,"args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]}`), "", ""},
		{"an answer", oci(`{"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38}`), "", ""},
		{"a refusal as the default", oci(`{"names":["mount"],"action":"SCMP_ACT_ERRNO"}`), "", ""},
		{"podman's words", strings.Replace(oci(`{"names":["clone3"],"action":"SCMP_ACT_ERRNO","errno":"ENOSYS"}`), `"architectures"`, `"defaultErrno":"EPERM","architectures"`, 1), "", ""},
		{"a call that is judged, whole", oci(`{"names":["openat","read"],` + allow + `}`), "", "syscalls[0].names[0] is taken for the arguments that the built-in profiles allow"},
		{"a call of other machines", oci(`{"names":["chown32","chown"],` + allow + `}`), "", "syscalls[0]: chown32 are calls of other machines"},
		{"for capabilities", oci(`{"names":["mount"],` + allow + `,"includes":{"caps":["CAP_SYS_ADMIN"]}}`), "", "no server has a capability"},
		{"without capabilities", oci(`{"names":["read"],` + allow + `,"excludes":{"caps":["CAP_SYS_ADMIN"]}}`), "", ""},
		{"for one machine", oci(`{"names":["stat"],` + allow + `,"includes":{"arches":["amd64","x32"]}}`), "", ""},
		{"for another machine", oci(`{"names":["read"],` + allow + `,"includes":{"arches":["s390x"]}}`), "", "for other machines"},
		{"docker's map of ABIs", strings.Replace(oci(""), `"syscalls"`, `"archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],"syscalls"`, 1), "", "archMap is not used"},

		{"no JSON", `{"defaultAction":`, "cut off", ""},
		{"a key that is none", strings.Replace(oci(""), "syscalls", "sysCalls", 1), "unknown object member", ""},
		{"allowing what is not named", `{"defaultAction":"SCMP_ACT_ALLOW"}`, "allows what it does not name", ""},
		{"killing", `{"defaultAction":"SCMP_ACT_KILL_PROCESS"}`, "is answered with EPERM here", ""},
		{"another default", `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38}`, "defaultErrnoRet: what no rule allows is answered with EPERM", ""},
		{"another ABI", strings.Replace(oci(""), "SCMP_ARCH_AARCH64", "SCMP_ARCH_X32", 1), "architectures[1]: SCMP_ARCH_X32", ""},
		{"flags", strings.Replace(oci(""), `"syscalls"`, `"flags":["SECCOMP_FILTER_FLAG_SPEC_ALLOW"],"syscalls"`, 1), "flags of the filter", ""},
		{"a listener", strings.Replace(oci(""), `"syscalls"`, `"listenerPath":"/run/x","syscalls"`, 1), "no other program answers", ""},
		{"notification", oci(`{"names":["read"],"action":"SCMP_ACT_NOTIFY"}`), "syscalls[0].action: action \"SCMP_ACT_NOTIFY\"", ""},
		{"another error", oci(`{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":2}`), "with no other error", ""},
		{"what must not be", oci(`{"names":["socket"],` + allow + `,"args":[{"index":0,"value":40,"op":"SCMP_CMP_NE"}]}`), "SCMP_CMP_NE says what is not allowed", ""},
		{"64 bits", oci(`{"names":["mlock"],` + allow + `,"args":[{"index":0,"value":4294967296,"op":"SCMP_CMP_EQ"}]}`), "more than 32 bits", ""},
		{"alternatives that look like both", oci(`{"names":["mlock"],` + allow + `,"args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}`), "take two as alternatives", ""},
		{"a kernel", oci(`{"names":["ptrace"],` + allow + `,"includes":{"minKernel":"4.8"}}`), "does not depend on the kernel", ""},
		{"a call that nobody gets", oci(`{"names":["bpf"],` + allow + `}`), "bpf can be in no profile", ""},
		{"a value that nobody gets", oci(`{"names":["socket"],` + allow + `,"args":[{"index":0,"value":38,"op":"SCMP_CMP_EQ"}]}`), "it would allow AF_ALG", ""},
		{"a flag that nobody gets", oci(`{"names":["clone"],` + allow + `,"args":[{"index":0,"value":268435456,"valueTwo":268435456,"op":"SCMP_CMP_MASKED_EQ"}]}`), "it would allow CLONE_NEW", ""},
		{"a name that is none", oci(`{"names":["raed"],` + allow + `}`), "no system call raed is known; did you mean read?", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own, faults := ParseOCI([]byte(tt.in), "own")
			var p *Profile
			if len(faults) == 0 {
				p, faults = own.Build()
			}
			err := faultsAsError(faults)
			switch {
			case tt.fault == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)):
				t.Errorf("error %v, want one with %q", err, tt.fault)
			case p != nil:
				holdsBounds(t, p)
			}
			if tt.note != "" && !slices.ContainsFunc(own.Notes, func(n string) bool { return strings.Contains(n, tt.note) }) {
				t.Errorf("notes %q, want one with %q", own.Notes, tt.note)
			}
		})
	}
}

// Taken whole from an OCI profile, a judged call is exactly what the built-in ones allow.
func TestOCITakesJudgedCallsAsBuiltinOnesDo(t *testing.T) {
	own, faults := ParseOCI([]byte(oci(`{"names":["openat","clone3","socket"],"action":"SCMP_ACT_ALLOW"}`)), "own")
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	p, faults := own.Build()
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	for _, call := range []string{"openat", "clone3", "socket"} {
		want, got := texts(load(t, "node").Explain(call), Rule.String), texts(p.Explain(call), Rule.String)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", call, got, want)
		}
	}
	if p.Extends() != "" || len(p.Calls("amd64")) != 2 {
		t.Errorf("extends %q, allows %v", p.Extends(), p.Calls("amd64"))
	}
}
