package lives

import (
	"fmt"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// seen counts how often the record has something of a server.
func seen(t *testing.T, d *harness.Daemon, server, rule string) (n int) {
	t.Helper()
	for _, kind := range []string{"strain", "stop", "drop", "result", "tool-change", "syscall"} {
		for _, r := range records(t, d, kind) {
			if r.Server == server && (r.Rule == rule || rule == "syscall.never" && r.Rule == "seccomp.never" || rule == "server.crashed" && r.Outcome == "crashed") {
				n++
			}
		}
	}
	return n
}

// killedByItself is who killed a server or a tool of it and why; "" if nobody did.
func killedByItself(t *testing.T, d *harness.Daemon, server string) (why string) {
	t.Helper()
	for _, r := range records(t, d, "kill") {
		if r.Server == server && r.Detail["way"] == "policy" {
			why = r.Who + ": " + r.Why
		}
	}
	return why
}

// Each thing that a server can be detected at kills it where its file says so, once it
// was seen as often as that says and not before, and the one beside it goes on.
func TestKillsByItself(t *testing.T) {
	needs(t)
	d := harness.New(t)
	d.Must("start", unruly(t, d, "quiet", "kill: [{after: server.crashed, reason: \"it never did\"}]"))
	archive, err := image()
	if err != nil {
		t.Fatal(err)
	}
	const times = 2
	for _, row := range []struct {
		detection, tool string
		n               int
		level           string
		many            bool // one call is seen more than once
	}{
		{"container.memory", "child", 200, "server", false},
		{"container.pids", "fork", 100, "server", true},
		{"syscall.never", "backdoor", 0, "server", true},
		{"server.crashed", "end", 1, "server", false},
		{"protocol.violation", "shout", 0, "server", true},
		{"result.invalid", "lie", 0, "tool", false},
		{"tool.changed", "turn", 0, "server", false},
	} {
		t.Run(row.detection, func(t *testing.T) {
			name := row.tool
			d.Write(name+".yaml", fmt.Sprintf("version: 1\nname: %s\nimage: %s\nprofile: go\nresources: {memory: 64MiB, pids: 48}\ntimeouts: {call: 3s}\n"+
				"tools: {%s: {risk: low}, count: {risk: low}, wait: {risk: low}}\nkill: [{after: %s, times: %d, within: 1h, level: %s, reason: mind it}]\n", name, archive, row.tool, row.detection, times, row.level))
			d.Must("lock", name+".yaml")
			says(t, d.Must("check", name+".yaml"), "by itself: after "+row.detection+", 2 times within 1h: the "+row.level+" is killed (server.yaml)")
			d.Must("start", name+".yaml")
			d.Run("call", name, row.tool, fmt.Sprintf(`{"n":%d}`, row.n))
			eventually(t, "it is seen", func() bool { return seen(t, d, name, row.detection) > 0 })
			if !row.many { // below the number nothing happens
				eventually(t, "it can be called again", func() bool { _, _, code := d.Run("call", name, "count"); return code == 0 })
				if why := killedByItself(t, d, name); why != "" {
					t.Fatalf("killed after it was seen once: %s", why)
				}
				d.Run("call", name, row.tool, fmt.Sprintf(`{"n":%d}`, row.n))
			}
			eventually(t, "the kill", func() bool { return killedByItself(t, d, name) != "" })
			says(t, killedByItself(t, d, name), "policy: "+row.detection+" was seen ", " times within 1h, a kill rule of server.yaml: mind it")
			out, errs, _ := d.Run("call", name, row.tool, `{"n":0}`)
			says(t, out+errs, "killed", "policy", row.detection, "mind it")
			if row.level == "server" {
				eventually(t, "nothing of it is left", func() bool { return len(ofServer(d, name)) == 0 })
				if st := status(t, d, name); st.State != "killed" {
					t.Errorf("%+v", st)
				}
			} else {
				d.Must("call", name, "count")
				d.Must("stop", name)
			}
			d.Must("call", "quiet", "count")
		})
	}
	d.Must("audit", "verify")
}
