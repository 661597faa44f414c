package lives

import (
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// A server that runs into a limit of its container used to be a mystery: the call said
// "the server ended" or what the program made of it, and nothing was recorded.
func TestLimitsOfTheContainerAreNamed(t *testing.T) {
	needs(t)
	d := harness.New(t)
	file := unruly(t, d, "s", "resources: {memory: 64MiB, pids: 48}")
	d.Must("start", file)
	t.Run("control", func(t *testing.T) {
		for _, call := range [][]string{{"call", "s", "fill", `{"n":8}`}, {"call", "s", "child", `{"n":8}`}, {"call", "s", "fork", `{"n":1}`}} {
			d.Must(call...)
		}
		if got := records(t, d, "strain"); len(got) != 0 {
			t.Errorf("recorded of a server within its limits: %+v", got)
		}
		says(t, d.Must("inspect", "s"), "memory", "of 64MiB", "pids", "of 48")
	})
	t.Run("a process of the server uses up the memory", func(t *testing.T) {
		out, errs, code := d.Run("call", "s", "child", `{"n":200}`)
		if code != 1 {
			t.Errorf("exit code %d", code)
		}
		says(t, out+errs, "signal: killed", "its memory of 64MiB was used up", "resources: {memory: 128MiB}")
		got := records(t, d, "strain")
		if len(got) != 1 {
			t.Fatalf("%d records, want one: %+v", len(got), got)
		}
		r := got[0]
		if r.Server != "s" || r.Instance == "" || r.Tool != "child" || r.Rule != "container.memory" || r.Detail["max"] != "64MiB" || r.Detail["peak"] == "" || r.Detail["times"] != "1" {
			t.Errorf("%+v", r)
		}
		says(t, d.Must("logs", "s"), "[mcprun: its memory of 64MiB was used up")
		says(t, d.Must("inspect", "s"), "ran into it 1 times")
		if out := d.Must("call", "s", "count"); out != "1\n" {
			t.Errorf("the server itself goes on, and counts %q", out)
		}
	})
	t.Run("the server starts as many processes as it may", func(t *testing.T) {
		out, errs, _ := d.Run("call", "s", "fork", `{"n":100}`)
		says(t, out+errs, "resource temporarily unavailable", "as many processes and threads as it may, 48", "resources: {pids: 96}")
		got := records(t, d, "strain")
		if r := got[len(got)-1]; r.Rule != "container.pids" || r.Detail["max"] != "48" {
			t.Errorf("%+v", r)
		}
		says(t, d.Must("logs", "s"), "as many processes and threads as it may, 48")
	})
	d.Must("stop", "s")
	d.Must("start", file)
	t.Run("the server itself uses up the memory", func(t *testing.T) {
		_, errs, code := d.Run("call", "s", "fill", `{"n":200}`)
		if code == 0 {
			t.Error("exit code 0")
		}
		says(t, errs, "the server ended", "its memory of 64MiB was used up", "resources: {memory: 128MiB}")
		eventually(t, "why it ended in ps", func() bool { return status(t, d, "s").State == "crashed" })
		says(t, status(t, d, "s").Why, "its memory of 64MiB was used up")
	})
}
