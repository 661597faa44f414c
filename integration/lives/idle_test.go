package lives

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/internal/strictjson"
)

// outcomes are those of the rest records, the oldest first.
func outcomes(t *testing.T, d *harness.Daemon) string {
	t.Helper()
	var out []string
	for _, r := range records(t, d, "rest") {
		out = append(out, r.Outcome)
	}
	return strings.Join(out, " ")
}

// cpuOf is the processor time that a process has used, in clock ticks.
func cpuOf(t *testing.T, pid int) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return user + system
}

func TestIdleFreeze(t *testing.T) {
	needs(t)
	d := harness.New(t)
	file := unruly(t, d, "s", "idle: freeze\ntimeouts: {idle: 1s}")
	d.Must("start", file)
	c := connect(t, d, "s")
	frozen := func() bool { return status(t, d, "s").State == "frozen" }
	t.Run("not while a call is in flight", func(t *testing.T) {
		id := c.send("tools/call", `{"name":"wait","arguments":{"n":2500}}`)
		for end := time.Now().Add(2300 * time.Millisecond); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if frozen() {
				t.Fatal("it was frozen under a call")
			}
		}
		says(t, c.answer(id), "waited")
	})
	t.Run("it stands still, and goes on where it was", func(t *testing.T) {
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), `"text":"1"`)
		eventually(t, "the rest", frozen)
		s := status(t, d, "s")
		before := cpuOf(t, s.Pid)
		says(t, c.ask("tools/list", "{}"), `"name":"count"`)
		says(t, c.ask("ping", "{}"), "{}")
		if !frozen() || cpuOf(t, s.Pid) != before {
			t.Errorf("lists and pings woke it: %+v", status(t, d, "s"))
		}
		begun := time.Now()
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), `"text":"2"`)
		t.Logf("the call that woke it took %v", time.Since(begun))
		if got := status(t, d, "s"); got.State != "running" || got.Instance != s.Instance {
			t.Errorf("it is %+v, was %+v", got, s)
		}
		if got := outcomes(t, d); got != "frozen woken" {
			t.Errorf("recorded %q", got)
		}
	})
	t.Run("not while a resource is watched", func(t *testing.T) {
		watcher := connect(t, d, "s")
		watcher.ask("resources/subscribe", `{"uri":"test://one"}`)
		time.Sleep(2 * time.Second)
		if frozen() {
			t.Error("it was frozen under a subscription")
		}
		watcher.ask("resources/unsubscribe", `{"uri":"test://one"}`)
		eventually(t, "the rest", frozen)
	})
	t.Run("many clients wake it once", func(t *testing.T) {
		eventually(t, "the rest", frozen)
		before := len(records(t, d, "rest"))
		var ids []int
		for range 50 {
			ids = append(ids, c.send("tools/call", `{"name":"count","arguments":{}}`))
		}
		other := connect(t, d, "s")
		says(t, other.ask("tools/call", `{"name":"count","arguments":{}}`), `"text"`)
		for _, id := range ids {
			says(t, c.answer(id), `"text"`)
		}
		if n := len(records(t, d, "rest")) - before; n != 1 {
			t.Errorf("%d records, want one", n)
		}
	})
	t.Run("a frozen one can be stopped", func(t *testing.T) {
		eventually(t, "the rest", frozen)
		begun := time.Now()
		d.Must("stop", "s")
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), "not running")
		if pids := d.Pids(); len(pids) != 0 {
			t.Errorf("processes %v", pids)
		}
	})
	t.Run("a frozen one can be killed", func(t *testing.T) {
		d.Must("start", file)
		eventually(t, "the rest", frozen)
		begun := time.Now()
		d.Must("kill", "s", "--why", "test")
		t.Logf("the kill took %v, with the start of the command", time.Since(begun))
		if pids := d.Pids(); len(pids) != 0 {
			t.Errorf("processes %v", pids)
		}
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), "killed")
	})
}

func TestIdleStop(t *testing.T) {
	needs(t)
	d := harness.New(t)
	file := unruly(t, d, "s", "idle: stop\ntimeouts: {idle: 1s, stop: 1s}")
	if out := d.Must("start", file); !strings.HasPrefix(out, "s is ready: 6 tools, ") {
		t.Errorf("%q", out)
	}
	c := connect(t, d, "s")
	says(t, c.ask("tools/list", "{}"), `"name":"count"`)
	if s, pids := status(t, d, "s"), d.Pids(); s.State != "ready" || s.Tools != 6 || len(pids) != 0 {
		t.Fatalf("%+v, processes %v", s, pids)
	}
	t.Run("the first call starts it", func(t *testing.T) {
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), `"text":"1"`)
		if s := status(t, d, "s"); s.State != "running" {
			t.Errorf("%+v", s)
		}
		got := records(t, d, "start")
		if len(got) != 1 || got[0].Why != "it was called" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("and it ends when nobody uses it", func(t *testing.T) {
		eventually(t, "its end", func() bool { return status(t, d, "s").State == "ready" && len(d.Pids()) == 0 })
		if got := outcomes(t, d); got != "ready stopped" {
			t.Errorf("recorded %q", got)
		}
		if got := status(t, d, "s"); got.Why != "nobody uses it; it is started when it is called" {
			t.Errorf("%+v", got)
		}
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), `"text":"1"`) // a life of its own
		says(t, c.ask("resources/list", "{}"), "test://one")
	})
	t.Run("a call that is given up is not made", func(t *testing.T) {
		eventually(t, "its end", func() bool { return status(t, d, "s").State == "ready" && len(d.Pids()) == 0 })
		before := len(records(t, d, "call"))
		id := c.send("tools/call", `{"name":"fill","arguments":{"n":1}}`)
		c.tell("notifications/cancelled", `{"requestId":`+strconv.Itoa(id)+`}`)
		eventually(t, "the start", func() bool { return status(t, d, "s").State == "running" })
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), `"text":"1"`)
		for _, r := range records(t, d, "call")[before:] {
			if r.Tool == "fill" {
				t.Errorf("%+v", r)
			}
		}
	})
	t.Run("one that was stopped does not come back", func(t *testing.T) {
		d.Must("stop", "s")
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), "not running")
		d.Must("start", file)
		d.Must("stop", "s")
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), "not running")
		d.Must("start", file)
		d.Must("kill", "s")
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), "killed")
	})
	t.Run("what is not as it was pinned does not come up", func(t *testing.T) {
		d.Must("revive", "s", "--why", "test")
		lock := filepath.Join(d.Dir, "s.lock")
		raw, err := os.ReadFile(lock)
		if err != nil {
			t.Fatal(err)
		}
		other := strings.Replace(string(raw), `"profile": "go"`, `"profile": "node"`, 1)
		d.Write("s.lock", strings.Replace(other, digestOf(t, other), "sha256:"+strings.Repeat("0", 64), 1))
		_, errs, code := d.Run("start", file)
		if code != 3 {
			t.Errorf("exit code %d: %s", code, errs)
		}
		says(t, errs, "the profile", "is not the one that was pinned")
	})
}

// digestOf is the profile's digest in a lock file.
func digestOf(t *testing.T, lock string) string {
	t.Helper()
	_, rest, ok := strings.Cut(lock, `"profileDigest": "`)
	digest, _, ok2 := strings.Cut(rest, `"`)
	if !ok || !ok2 {
		t.Fatal("the lock file has another form")
	}
	return digest
}

// What clients are told of a server that does not run is what it says itself, byte for
// byte in canonical form: real servers with annotations, output schemas and numbers.
func TestPinnedListIsTheServersOwn(t *testing.T) {
	needs(t)
	d := harness.New(t)
	for _, s := range []struct{ name, yaml string }{
		{"everything", "profile: node\n"},
		{"memory", "profile: node\n"}, {"gosdk", "profile: go\n"},
	} {
		t.Run(s.name, func(t *testing.T) {
			file := s.name + ".yaml"
			d.Write(file, "version: 1\nname: "+s.name+"\nimage: "+harness.Image(s.name)+"\nidle: stop\n"+s.yaml)
			d.Must("lock", file)
			d.Must("policy", "init", "--write", file)
			d.Must("start", file)
			c := connect(t, d, s.name)
			const hello = `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}`
			pinned := [2]string{c.ask("initialize", hello), c.ask("tools/list", "{}")}
			if got := status(t, d, s.name); got.State != "ready" {
				t.Fatalf("%+v", got)
			}
			if got := c.ask("prompts/list", "{}"); got == "" { // starts it, whatever the answer
				t.Error("no answer")
			}
			if got := status(t, d, s.name); got.State != "running" || got.Tools < 5 {
				t.Fatalf("%+v", got)
			}
			own := [2]string{c.ask("initialize", hello), c.ask("tools/list", "{}")}
			for i, what := range []string{"initialize", "tools/list"} {
				if a, b := canonical(t, pinned[i]), canonical(t, own[i]); a != b {
					t.Errorf("%s from the pins:\n%.2000s\nfrom the server:\n%.2000s", what, a, b)
				}
			}
			d.Must("stop", s.name)
		})
	}
}

func canonical(t *testing.T, text string) string {
	t.Helper()
	raw, err := strictjson.Canonical([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
