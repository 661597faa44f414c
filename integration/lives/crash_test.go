package lives

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"encoding/json"

	"github.com/mcprun/mcprun/integration/harness"
	"github.com/mcprun/mcprun/limits"
)

func TestCrashes(t *testing.T) {
	needs(t)
	d := harness.New(t)
	file := unruly(t, d, "s", "")
	d.Must("start", file)
	d.Must("call", "s", "count")
	if out := d.Must("call", "s", "count"); out != "2\n" {
		t.Fatalf("counted %q", out)
	}
	c := connect(t, d, "s")
	crash := func(t *testing.T) {
		t.Helper()
		before := status(t, d, "s").Instance
		says(t, c.ask("tools/call", `{"name":"end","arguments":{"n":3}}`), "the server ended")
		eventually(t, "the end", func() bool { s := status(t, d, "s"); return s.Instance == "" && s.State != "starting" && before != "" })
	}
	t.Run("one that ended comes back when it is called", func(t *testing.T) {
		crash(t)
		if s := status(t, d, "s"); s.State != "crashed" || !strings.HasPrefix(s.Why, "comes back when it is called: ") || !strings.Contains(s.Why, "unruly: asked to end") {
			t.Errorf("%+v", s)
		}
		says(t, c.ask("tools/list", "{}"), `"name":"count"`) // from the pins: it takes no start
		if s := status(t, d, "s"); s.State != "crashed" {
			t.Errorf("after a list: %+v", s)
		}
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), `"text":"1"`)
		got := records(t, d, "start")
		if len(got) != 2 || got[1].Why != "it was called" || got[1].Principal != "uid:0" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("again and again it waits, and says until when", func(t *testing.T) {
		crash(t)
		asked := time.Now()
		got := c.ask("tools/call", `{"name":"count","arguments":{}}`)
		var e struct {
			Message string
			Data    struct {
				Rule       string    `json:"rule"`
				RetryAfter int       `json:"retryAfter"`
				RetryAt    time.Time `json:"retryAt"`
			} `json:"data"`
		}
		if err := json.Unmarshal([]byte(got), &e); err != nil {
			t.Fatalf("%v: %s", err, got)
		}
		says(t, e.Message, "ended by itself again and again", "mcprun logs s")
		if e.Data.Rule != "crashed" || e.Data.RetryAfter != 1 || e.Data.RetryAt.Sub(asked) > limits.CrashFirst {
			t.Errorf("%+v", e)
		}
		time.Sleep(time.Until(asked.Add(limits.CrashFirst)))
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), `"text":"1"`)
		if r := records(t, d, "refuse"); r[len(r)-1].Rule != "crashed" || r[len(r)-1].Detail["retry"] == "" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("a loop ends", func(t *testing.T) {
		for n := 3; n <= limits.MaxCrashes; n++ {
			crash(t)
			if n < limits.MaxCrashes {
				time.Sleep(limits.CrashFirst << (n - 2))
				says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), `"text":"1"`)
			}
		}
		s := status(t, d, "s")
		if s.State != "failed" || !strings.HasPrefix(s.Why, fmt.Sprintf("stays down, since it ended by itself %d times in 10m0s; mcprun start ", limits.MaxCrashes)) {
			t.Errorf("%+v", s)
		}
		for _, method := range []string{"tools/list", "tools/call"} {
			says(t, c.ask(method, `{"name":"count","arguments":{}}`), "6 times in 10m0s and stays down", "mcprun logs s", "mcprun start")
		}
		stops := records(t, d, "stop")
		last := stops[len(stops)-1]
		if last.Outcome != "crashed" || last.Detail["crashes"] != fmt.Sprintf("%d of %d in 10m0s", limits.MaxCrashes, limits.MaxCrashes) || last.Detail["comes-back"] != "no: until mcprun start" {
			t.Errorf("%+v", last)
		}
	})
	t.Run("an operator's start begins anew", func(t *testing.T) {
		d.Must("start", file)
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), `"text":"1"`)
		crash(t)
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), `"text":"1"`)
	})
	t.Run("one that was stopped or killed does not come back", func(t *testing.T) {
		d.Must("stop", "s")
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), "not running")
		d.Must("start", file)
		crash(t)
		d.Must("stop", "s")
		if s := status(t, d, "s"); s.State != "stopped" {
			t.Errorf("%+v", s)
		}
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), "not running")
		d.Must("start", file)
		crash(t)
		d.Must("kill", "s", "--why", "test")
		says(t, c.ask("tools/call", `{"name":"count","arguments":{}}`), "killed")
		if pids := d.Pids(); len(pids) != 0 {
			t.Errorf("processes %v", pids)
		}
	})
}
