package lives

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// What a profile refuses is refused by the kernel, and seen: in the record with the call
// of a tool that it came from, in the log, and with what would allow it.
func TestRefusedCallsAreSeen(t *testing.T) {
	needs(t)
	d := harness.New(t)
	d.Must("start", unruly(t, d, "s", "", "backdoor: {risk: low}", "hammer: {risk: low}"))
	c := connect(t, d, "s")
	if before := records(t, d, "syscall"); len(before) != 0 {
		t.Errorf("a well-behaved start leaves %+v", before)
	}
	t.Run("each is refused", func(t *testing.T) {
		says(t, c.ask("tools/call", `{"name":"backdoor","arguments":{}}`),
			"alg: operation not permitted; ptrace: operation not permitted; chroot: operation not permitted; sync: operation not permitted; unix: errno 0")
	})
	t.Run("recorded", func(t *testing.T) {
		want := map[string]string{"socket(AF_ALG, SOCK_SEQPACKET, unspecified)": "seccomp.never", "ptrace(PTRACE_ATTACH)": "seccomp.never", "chroot()": "seccomp.never", "sync()": "seccomp.unnamed"}
		for _, r := range records(t, d, "syscall") {
			call := r.Detail["call"] + "(" + r.Detail["args"] + ")"
			if want[call] != r.Rule || r.Tool != "backdoor" || r.Server != "s" || !strings.HasSuffix(r.Detail["program"], "/unruly") {
				t.Errorf("%s: %+v", call, r)
			}
			if call == "chroot()" && !strings.Contains(r.Detail["pointing-to"], "/proc/1/root") {
				t.Errorf("it does not say where to: %+v", r)
			}
			delete(want, call)
		}
		if len(want) > 0 {
			t.Errorf("not recorded: %v", want)
		}
	})
	t.Run("shown", func(t *testing.T) {
		out, hint, _ := d.Run("profile", "denials", "s")
		says(t, out, "socket(AF_ALG, SOCK_SEQPACKET, unspecified)", "backdoor", "cryptography as sockets", "no profile can allow it: reads or steers another process",
			"chroot: needs CAP_SYS_CHROOT, and no server has a capability")
		if strings.Contains(out, "sync: needs") || strings.Contains(out, "WAY OUT") {
			t.Errorf("it says of what was not tried or needs no capability:\n%s", out)
		}
		says(t, hint, "- calls: [sync]", "extends: go")
		says(t, d.Must("logs", "s"), "system call refused: ptrace(PTRACE_ATTACH)")
		says(t, d.Must("inspect", "s"), "4 kinds", "mcprun profile denials s")
	})
	t.Run("repeats are counted", func(t *testing.T) {
		says(t, c.ask("tools/call", `{"name":"backdoor","arguments":{"n":1}}`), "alg: operation not permitted")
		if got := denied(t, d, "s")["sync"]; got != 2 {
			t.Errorf("sync is counted %d times", got)
		}
		if n := len(records(t, d, "syscall")); n != 4 {
			t.Errorf("%d records", n)
		}
	})
	t.Run("from 32 threads without end", func(t *testing.T) {
		says(t, c.ask("tools/call", `{"name":"hammer","arguments":{"n":32}}`), "hammering")
		eventually(t, "many refusals", func() bool { return denied(t, d, "s")["socket"] > 2000 })
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), `"isError":false`)
		if n := len(records(t, d, "syscall")); n > 8 {
			t.Errorf("%d records", n)
		}
	})
	t.Run("it can be paused, resumed and stopped while calls wait", func(t *testing.T) {
		d.Must("pause", "s", "--why", "test")
		d.Must("resume", "s", "--why", "test")
		says(t, c.ask("tools/call", `{"name":"count","arguments":{"n":2}}`), `"isError":false`)
		d.Must("stop", "s")
		if left := d.Pids(); len(left) > 0 {
			t.Errorf("processes %v", left)
		}
		last := map[string]int{}
		for _, r := range records(t, d, "syscall") {
			var n int
			if err := json.Unmarshal([]byte(r.Detail["times"]), &n); err != nil {
				t.Fatal(err)
			}
			last[r.Detail["call"]] += n
		}
		for call, n := range denied(t, d, "s") {
			if last[call] != n {
				t.Errorf("%s: %d in the record, counted %d", call, last[call], n)
			}
		}
	})
}

// What a server tries is recorded by its name, and kills it where a rule says so, whatever it
// has made up before.
func TestNothingHidesBehindMadeUpCalls(t *testing.T) {
	needs(t)
	d := harness.New(t)
	d.Must("start", unruly(t, d, "s", "kill: [{after: syscall.never}]", "smoke: {risk: low}"))
	c := connect(t, d, "s")
	c.send("tools/call", `{"name":"smoke","arguments":{"n":700}}`)
	eventually(t, "its end", func() bool { return status(t, d, "s").State == "killed" })
	var never []string
	for _, r := range records(t, d, "syscall") {
		if r.Rule == "seccomp.never" {
			never = append(never, r.Detail["call"])
		}
	}
	if len(never) != 1 || never[0] != "ptrace" {
		t.Errorf("recorded %v", never)
	}
	if got := denied(t, d, "s"); got["prctl"] != 700 || got["ptrace"] != 1 {
		t.Errorf("counted %v", got)
	}
}

// denied is how often each call was refused.
func denied(t *testing.T, d *harness.Daemon, name string) map[string]int {
	t.Helper()
	var all struct {
		Calls []struct {
			Call  string
			Count int
		}
	}
	if err := json.Unmarshal([]byte(d.Must("profile", "denials", name, "--json")), &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, c := range all.Calls {
		out[c.Call] += c.Count
	}
	return out
}

// The first process does not keep the listener of the filter: with the daemon gone, what is
// refused must not wait for an answer that nobody gives.
func TestNobodyElseHoldsTheListener(t *testing.T) {
	needs(t)
	d := harness.New(t)
	d.Must("start", unruly(t, d, "s", ""))
	pids := d.Pids()
	if len(pids) < 2 {
		t.Fatalf("processes %v", pids)
	}
	for _, pid := range pids {
		fds, err := filepath.Glob(filepath.Join("/proc", itoa(pid), "fd", "*"))
		if err != nil || len(fds) == 0 {
			t.Errorf("process %d: %v, %v", pid, fds, err)
		}
		for _, fd := range fds {
			if link, _ := os.Readlink(fd); strings.Contains(link, "seccomp") {
				t.Errorf("process %d holds %s", pid, link)
			}
		}
	}
	held := false // by the daemon: the control
	fds, _ := filepath.Glob(filepath.Join("/proc", itoa(d.Pid()), "fd", "*"))
	for _, fd := range fds {
		link, _ := os.Readlink(fd)
		held = held || strings.Contains(link, "seccomp")
	}
	if !held {
		t.Error("the daemon does not hold it either: the search shows nothing")
	}
}
