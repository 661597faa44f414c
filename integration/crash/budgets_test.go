package crash

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/integration/harness"
)

const (
	// left is how many calls each life of the daemon begins with.
	left = 8
	// racers are the clients that race for them, each with as many calls as there are.
	racers = 4
	// resultCap bounds what one call can be charged for that nobody saw the end of.
	resultCap = 4 << 10
)

// TestBudgetsOutliveCrashes kills the daemon a hundred times while its budgets are nearly
// spent and clients race for the rest. Of calls it never forgets one that went ahead, and
// never counts one that did not; of bytes it counts at most what was set aside for those
// that were under way.
func TestBudgetsOutliveCrashes(t *testing.T) {
	t.Parallel()
	d := prepared(t)
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	var answered, bytes, inFlight int64
	used := 0
	for i := range rounds {
		budget := used + left
		d.Write("spent.yaml", fmt.Sprintf("version: 1\nname: spent\nimage: %s\nlimits: {rate: none, repeats: none, result: 4KiB, budget: {calls: %d/month, results: 1GiB/month}}\ntools: {test_simple_text: {risk: low}}\n", harness.Image("gosdk"), budget))
		if i == 0 {
			d.Must("lock", "spent.yaml")
			d.Must("start", "spent.yaml")
		} else {
			d.Must("reload", "spent.yaml")
		}
		race := newRace(t, d)
		<-race.begun
		time.Sleep(time.Duration(rand.IntN(25_000)) * time.Microsecond)
		d.Crash()
		got, seen := race.end()
		answered, bytes = answered+got, bytes+seen
		d.Start()
		if !d.Ready() {
			t.Fatal("the daemon does not start again")
		}
		calls, results := spent(t, d)
		recorded, open := went(t, d)
		inFlight = open
		switch {
		case calls > int64(budget):
			t.Fatalf("round %d: %d calls were charged where %d were allowed", i, calls, budget)
		case calls != recorded:
			t.Fatalf("round %d: %d calls were charged and %d went ahead", i, calls, recorded)
		case recorded < answered:
			t.Fatalf("round %d: %d calls were answered and %d are in the record", i, answered, recorded)
		case results < bytes || results > bytes+(recorded-answered)*resultCap:
			t.Fatalf("round %d: %d bytes were charged; clients saw %d, and %d calls whose end they did not see may have had %d each", i, results, bytes, recorded-answered, resultCap)
		}
		used = int(calls)
	}
	if answered < int64(rounds) || inFlight == 0 {
		t.Errorf("%d answers, %d calls under way in crashes: the crashes came too early or too late to show anything", answered, inFlight)
	}
	t.Logf("%d crashes: %d calls went ahead, %d answers were seen, %d calls were under way; %d bytes were seen", rounds, used, answered, inFlight, bytes)
}

// race is clients that make calls until their connection ends.
type race struct {
	wg             sync.WaitGroup
	cmds           []*exec.Cmd
	answers, bytes atomic.Int64
	begun          chan struct{} // closed when the first client is let in
	once           sync.Once
}

func newRace(t *testing.T, d *harness.Daemon) *race {
	t.Helper()
	r := &race{begun: make(chan struct{})}
	for range racers {
		cmd := d.Command("connect", "spent")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r.cmds = append(r.cmds, cmd)
		fmt.Fprintln(in, `{"jsonrpc":"2.0","id":"hello","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`)
		for i := range left {
			fmt.Fprintf(in, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"test_simple_text","arguments":{}}}`+"\n", i)
		}
		r.wg.Go(func() { r.read(out) })
	}
	return r
}

// read counts the answers that are the server's own.
func (r *race) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var m struct {
			ID     json.RawMessage `json:"id"`
			Result json.RawMessage `json:"result"`
		}
		r.once.Do(func() { close(r.begun) })
		if json.Unmarshal(lines.Bytes(), &m) != nil || string(m.ID) == `"hello"` || m.Result == nil || strings.Contains(string(m.Result), "mcprun refused") {
			continue
		}
		r.answers.Add(1)
		r.bytes.Add(int64(len(lines.Bytes()) + 1))
	}
}

func (r *race) end() (answers, bytes int64) {
	for _, cmd := range r.cmds {
		cmd.Wait()
	}
	r.wg.Wait()
	return r.answers.Load(), r.bytes.Load()
}

// spent is what the daemon says was used.
func spent(t *testing.T, d *harness.Daemon) (calls, results int64) {
	t.Helper()
	d.Must("start", "spent.yaml")
	var rows []struct {
		Scope, Kind string
		Amount      int64 `json:"amount"`
	}
	if err := json.Unmarshal([]byte(d.Must("limits", "spent", "--json")), &rows); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		switch {
		case r.Scope == "server spent" && r.Kind == "calls":
			calls = r.Amount
		case r.Scope == "server spent" && r.Kind == "results":
			results = r.Amount
		}
	}
	return calls, results
}

// went counts the calls that the record has, and those without an end.
func went(t *testing.T, d *harness.Daemon) (calls, open int64) {
	t.Helper()
	begun := map[string]bool{}
	err := audit.Since(d.Dirs.Audit(), time.Time{}, func(e audit.Entry) error {
		switch r := e.Record; {
		case r.Server != "spent" || r.Tool == "":
		case r.Type == audit.TypeCall:
			calls++
			begun[string(r.Call)] = true
		case r.Type == audit.TypeResult:
			delete(begun, string(r.Call))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return calls, int64(len(begun))
}
