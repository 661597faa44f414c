package learned

import (
	"fmt"
	"testing"

	"github.com/mcprun/mcprun"
)

func at(host string, port uint16, method, path string) Host {
	return Host{Place: Place{Host: host, Port: port, Protocol: "tls", Method: method, Path: path, Allowed: true}}
}

// A name that was connected to and a connection of which requests were read say nothing
// further; what stands alone stays. Counts say when and in whose calls, over all runs.
func TestHostsAreSettledAndCounted(t *testing.T) {
	var one Hosts
	look, other := []mcprun.ToolName{"look"}, []mcprun.ToolName{"look", "other"}
	one.Note(at("api", 0, "", ""), false, nil)
	one.Note(at("api", 443, "", ""), false, nil)
	one.Note(at("api", 443, "GET", "/a"), false, nil)
	one.Note(at("api", 443, "GET", "/a"), true, look)
	one.Note(at("api", 443, "GET", "/a"), true, other)
	one.Note(at("raw", 5432, "", ""), true, nil)
	one.Note(at("name", 0, "", ""), false, look)
	got, lost := one.List()
	if len(got) != 3 || lost != 0 {
		t.Fatalf("%d are kept: %+v", len(got), got)
	}
	for i, want := range []string{
		"Asked for GET /a at api, port 443: 3 times, while it started and in calls of look and while no tool, or several, were being called.",
		"Went to name: once, in calls of look.",
		"Went to raw, port 5432 (tls): once, while no tool, or several, were being called.",
	} {
		if got[i].line() != want {
			t.Errorf("%s\nwant %s", got[i].line(), want)
		}
	}
	both := mergeHosts(got, got)
	if len(both) != 3 || both[0].total() != 6 || got[0].total() != 3 {
		t.Errorf("merged: %+v, of %+v", both, got)
	}
	named := []Host{at("late", 0, "", "")}
	if all := mergeHosts(named, []Host{at("late", 443, "", "")}); len(all) != 1 || all[0].Port != 443 {
		t.Errorf("a name that a later run connected to: %+v", all)
	}
}

// A server that makes up hosts costs bounded memory, and what is left out is counted.
func TestHostsAreBounded(t *testing.T) {
	var h Hosts
	for i := range maxHosts + 10 {
		h.Note(at(fmt.Sprint("h", i), 443, "", ""), false, nil)
	}
	h.Note(at("h1", 443, "", ""), false, nil)
	all, lost := h.List()
	if len(all) != maxHosts || lost != 10 {
		t.Errorf("%d are kept, %d are not", len(all), lost)
	}
}
