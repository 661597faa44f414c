package detect

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/limits"
)

var start = time.Unix(1_800_000_000, 0)

// board is the switches of a test.
type board map[limits.Target]bool

func (b board) stopped(s limits.Subject) bool {
	for t := range b {
		if t.Has(s) {
			return true
		}
	}
	return false
}

// see has w count one event and throws what it says.
func (b board) see(w *Watch, e Event, at time.Duration) (hits []Hit) {
	w.See(e, start.Add(at), b.stopped, func(h Hit) {
		b[h.Target] = true
		hits = append(hits, h)
	})
	return hits
}

func misuse(server mcprun.ServerName) Event {
	return Event{Name: CredentialMisuse, Server: server, Times: 1}
}

func TestZeroValuesKillNothing(t *testing.T) {
	b := board{}
	var w Watch
	if hits := b.see(&w, misuse("a"), 0); hits != nil {
		t.Errorf("no rules: %v", hits)
	}
	w.SetCommon([]Rule{{}, {After: CredentialMisuse}, {After: CredentialMisuse, Times: 1}, {After: CredentialMisuse, Times: 1, Level: "galaxy"}, {Times: 1, Level: All}})
	for _, e := range []Event{{}, misuse("a"), {Name: CredentialMisuse, Server: "a"}, {Name: CredentialMisuse, Server: "a", Times: -1}} {
		if hits := b.see(&w, e, 0); hits != nil {
			t.Errorf("%+v: %v", e, hits)
		}
	}
	w.SetCommon([]Rule{{After: CredentialMisuse, Times: 1, Level: Server}}) // the control
	if hits := b.see(&w, misuse("a"), 0); len(hits) != 1 {
		t.Errorf("%v", hits)
	}
}

// What is stopped, of all that an event names.
func TestLevels(t *testing.T) {
	full := Event{Name: ToolChanged, Server: "files", Tool: "read", Principal: "uid:7", Times: 1}
	without := func(edit func(*Event)) Event { e := full; edit(&e); return e }
	for _, row := range []struct {
		name  string
		level Level
		event Event
		want  string // limits.Target.Name; "" is nothing
	}{
		{"tool", Tool, full, "tool@files@read"},
		{"a tool that is not known", Tool, without(func(e *Event) { e.Tool = "" }), ""},
		{"a name that no tool can have", Tool, without(func(e *Event) { e.Tool = "a/b" }), ""},
		{"server", Server, full, "server@files"},
		{"no server", Server, without(func(e *Event) { e.Server = "" }), ""},
		{"label", Label, full, "label@team=x"},
		{"a server without the label", Label, without(func(e *Event) { e.Server = "other" }), "server@other"},
		{"client", Principal, full, "principal@uid:7"},
		{"nobody", Principal, without(func(e *Event) { e.Principal = "" }), ""},
		{"nobody that a switch could name", Principal, without(func(e *Event) { e.Principal = "SIGHUP" }), ""},
		{"everything", All, full, "all"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var w Watch
			w.SetCommon([]Rule{{After: ToolChanged, Times: 1, Level: row.level, Label: "team"}})
			w.SetServer("files", nil, []mcprun.Label{"teams=y", "team=x"})
			w.SetServer("other", nil, []mcprun.Label{"tier=1"})
			hits := board{}.see(&w, row.event, 0)
			switch {
			case row.want == "" && len(hits) > 0:
				t.Errorf("killed %s", hits[0].Target)
			case row.want != "" && (len(hits) != 1 || hits[0].Target.Name() != row.want):
				t.Errorf("%v, want %s", hits, row.want)
			}
		})
	}
}

// A server.yaml stops its own server, and nothing else, whatever its rules say.
func TestOwnRules(t *testing.T) {
	var w Watch
	var rules []Rule
	for _, l := range []Level{Label, Principal, All} {
		rules = append(rules, Rule{After: ToolChanged, Times: 1, Level: l, Label: "team"})
	}
	w.SetServer("one", rules, []mcprun.Label{"team=x"})
	b := board{}
	e := Event{Name: ToolChanged, Server: "one", Tool: "read", Principal: "uid:1", Times: 1}
	if hits := b.see(&w, e, 0); hits != nil {
		t.Errorf("killed %v", hits)
	}
	w.SetServer("one", append(rules, Rule{After: ToolChanged, Times: 1, Level: Tool}, Rule{After: ToolChanged, Times: 1, Level: Server}), nil)
	other := e
	other.Server = "two"
	if hits := b.see(&w, other, 0); hits != nil {
		t.Errorf("another server: %v", hits)
	}
	if hits := b.see(&w, e, 0); len(hits) != 2 || hits[0].Target.Tool != "read" || hits[1].Target.Tool != "" || !hits[0].Own {
		t.Errorf("%v", hits)
	}
}

// Both files' rules hold, and one burst makes one kill of one thing.
func TestOneBurstOneKill(t *testing.T) {
	var w Watch
	w.SetCommon([]Rule{{After: CredentialMisuse, Times: 2, Within: time.Minute, Level: Server, CoolDown: time.Second}, {After: CredentialMisuse, Times: 3, Within: time.Hour, Level: Server}})
	w.SetServer("a", []Rule{{After: CredentialMisuse, Times: 2, Within: time.Hour, Level: Server}}, nil)
	b := board{}
	n := 0
	for i := range 100 {
		n += len(b.see(&w, misuse("a"), time.Duration(i)*time.Millisecond))
	}
	if n != 1 {
		t.Errorf("%d kills", n)
	}
	// What is stopped counts nothing, and its cool-down goes on.
	delete(b, limits.Target{Server: "a"})
	if hits := b.see(&w, misuse("a"), 200*time.Millisecond); hits != nil {
		t.Errorf("at once after the revival: %v", hits)
	}
	w.SetServer("a", nil, nil)
	if hits := append(b.see(&w, misuse("a"), 2*time.Second), b.see(&w, misuse("a"), 3*time.Second)...); len(hits) != 1 || hits[0].Seen != 2 {
		t.Errorf("after it: %v", hits)
	}
}

// Many see the same at once, and one kill comes of it.
func TestOneKillOfMany(t *testing.T) {
	var w Watch
	w.SetCommon([]Rule{{After: CredentialMisuse, Times: 100, Within: time.Hour, Level: Server}, {After: CredentialMisuse, Times: 200, Within: time.Hour, Level: Server}})
	var thrown atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				w.See(misuse("a"), start, func(limits.Subject) bool { return thrown.Load() > 0 }, func(Hit) { thrown.Add(1) })
			}
		})
	}
	all.Wait()
	if n := thrown.Load(); n != 1 {
		t.Errorf("%d kills", n)
	}
}

func TestClockBack(t *testing.T) {
	var w Watch
	w.SetCommon([]Rule{{After: CredentialMisuse, Times: 2, Within: time.Minute, Level: Server, CoolDown: time.Minute}})
	b := board{}
	b.see(&w, misuse("a"), time.Hour)
	if hits := b.see(&w, misuse("a"), 0); len(hits) != 1 {
		t.Error("a clock that went back hides the second")
	}
}

// There is room for so many counters and no more; those in use stay.
func TestCountersAreBounded(t *testing.T) {
	var w Watch
	w.SetCommon([]Rule{{After: AccessDenied, Times: 2, Within: time.Hour, Level: Principal}})
	b := board{}
	knock := func(uid int, at time.Duration) []Hit {
		return b.see(&w, Event{Name: AccessDenied, Principal: mcprun.Principal(fmt.Sprint("uid:", uid)), Times: 1}, at)
	}
	for i := range 3 * MaxCounters {
		knock(i, time.Duration(i)*time.Millisecond)
	}
	if n := len(w.counters); n > MaxCounters {
		t.Errorf("%d counters", n)
	}
	if hits := knock(3*MaxCounters-1, time.Minute); len(hits) != 1 {
		t.Error("the newest was forgotten")
	}
	knock(1<<20, 3*time.Hour)
	if n := len(w.counters); n > 2 {
		t.Errorf("%d counters hold nothing", n)
	}
	var big Watch
	big.SetCommon([]Rule{{After: AccessDenied, Times: MaxTimes, Within: MaxWithin, Level: Principal}})
	for i := range 10 * MaxTimes {
		b.see(&big, Event{Name: AccessDenied, Principal: "uid:1", Times: 1}, time.Duration(i)*time.Hour)
		for _, c := range big.counters {
			if len(c.seen) >= MaxTimes || c.sum >= MaxTimes {
				t.Fatalf("a counter remembers %d", len(c.seen))
			}
		}
	}
}

func TestClosed(t *testing.T) {
	var w Watch
	w.SetCommon([]Rule{{After: CredentialMisuse, Times: 1, Level: Server}})
	w.Close()
	if hits := (board{}).see(&w, misuse("a"), 0); hits != nil {
		t.Errorf("%v", hits)
	}
}

func TestWords(t *testing.T) {
	r := Rule{After: EgressDenied, Times: 50, Within: time.Minute, Level: Server}
	for got, want := range map[string]string{
		r.String(): "after egress.denied, 50 times within 1m: the server is killed",
		Rule{After: CredentialMisuse, Times: 1, Level: Label, Label: "team"}.String(): "after credential.misuse: all servers with the same team are killed",
		Hit{Rule: r, Seen: 61}.Why(): "egress.denied was seen 61 times within 1m, a kill rule of policy.yaml",
		Hit{Rule: Rule{After: CredentialMisuse, Times: 1, Level: Tool, Reason: "call 555"}, Own: true, Seen: 1}.Why(): "credential.misuse was seen, a kill rule of server.yaml: call 555",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, d := range Detections() {
		if one, ok := Find(d.Name); !ok || one.About == "" || len(one.Levels) == 0 || strings.Contains(one.About, "|") {
			t.Errorf("%+v", d)
		}
	}
	if _, ok := Find("egress"); ok {
		t.Error("a name that is none")
	}
}
