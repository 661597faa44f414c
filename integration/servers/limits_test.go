package servers

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

// counted is a server under limits with one client.
type counted struct {
	*client
	t *testing.T
	d *harness.Daemon
}

// newCounted starts a server whose file has limits; tools is what the file says of its
// tools.
func newCounted(t *testing.T, limits, tools string) *counted {
	t.Helper()
	d := harness.New(t)
	d.Up("s", "everything", "profile: node\n"+limits+"\ntools: "+tools+"\n")
	return &counted{start(t, d.Command("connect", "s")), t, d}
}

// refused is what a refusal tells a program.
type refused struct {
	Rule       string            `json:"rule"`
	Scope      map[string]string `json:"scope"`
	Limit      string            `json:"limit"`
	Used       string            `json:"used"`
	RetryAfter int64             `json:"retryAfter"`
	RetryAt    time.Time         `json:"retryAt"`
}

// call makes a call and returns its text, and what was said of a refusal.
func (c *counted) call(tool, args string) (text string, no refused) {
	c.t.Helper()
	raw := c.ask("tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, tool, args))
	var got struct {
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
		Meta struct {
			Decision refused `json:"mcprun/decision"`
		} `json:"_meta"`
	}
	if err := json.Unmarshal(raw, &got); err != nil || len(got.Content) == 0 {
		c.t.Fatalf("%s %s: %s", tool, args, raw)
	}
	return got.Content[0].Text, got.Meta.Decision
}

func (c *counted) echo(message string) (string, refused) {
	c.t.Helper()
	return c.call("echo", fmt.Sprintf(`{"message":%q}`, message))
}

// passes makes a call that has to be answered by the server.
func (c *counted) passes(message string) {
	c.t.Helper()
	if text, no := c.echo(message); text != "Echo: "+message {
		c.t.Fatalf("a call within its limits: %q, %+v", text, no)
	}
}

// stops makes a call that has to be refused by a rule.
func (c *counted) stops(message, rule, says string) refused {
	c.t.Helper()
	text, no := c.echo(message)
	if no.Rule != rule || !strings.Contains(text, says) || !strings.HasPrefix(text, "mcprun refused this call: ") {
		c.t.Fatalf("refused by %q, want %q and %q: %s", no.Rule, rule, says, text)
	}
	return no
}

// rows are the limits as mcprun prints them: kind → used of limit, per scope.
func (c *counted) rows() map[string]string {
	c.t.Helper()
	var rows []struct{ Scope, Kind, Used, Limit string }
	if err := json.Unmarshal([]byte(c.d.Must("limits", "--json")), &rows); err != nil {
		c.t.Fatal(err)
	}
	out := map[string]string{}
	for _, r := range rows {
		out[r.Scope+" "+r.Kind] = r.Used + " of " + r.Limit
	}
	return out
}

// Calls that come too fast are refused with the time when the next one is let through,
// and it is. Another tool of the same server has a rate of its own.
func TestRateOfCalls(t *testing.T) {
	c := newCounted(t, "", "{echo: {risk: low, limits: {rate: 30/min, burst: 3}}, get-sum: {risk: low}}")
	for i := range 3 {
		c.passes(fmt.Sprint("call ", i))
	}
	no := c.stops("one too many", "limit.rate", "may be called 30/min, and was. Hint: make it again in ")
	if no.Scope["tool"] != "echo" || no.RetryAfter < 1 || no.RetryAfter > 2 || time.Until(no.RetryAt) > 3*time.Second {
		t.Errorf("%+v", no)
	}
	if text, no := c.call("get-sum", `{"a":1,"b":2}`); !strings.Contains(text, "3") {
		t.Errorf("a call of another tool: %s %+v", text, no)
	}
	time.Sleep(time.Duration(no.RetryAfter) * time.Second)
	c.passes("after the wait that it was told")
	// What is no tool call is told in the data of an error.
	if out := c.d.Must("audit", "tail", "-n", "20", "--json"); !strings.Contains(out, `"limit.rate"`) || !strings.Contains(out, "frees") {
		t.Errorf("the record does not tell of it: %s", out)
	}
}

// Requests that are no tool calls count for the server too; the refusal is an error
// with data.
func TestRateOfOtherRequests(t *testing.T) {
	c := newCounted(t, "limits: {rate: 60/hour, burst: 2}", "{echo: {risk: low}}")
	for range 2 {
		if raw := string(c.ask("resources/list", `{}`)); !strings.Contains(raw, `"resources"`) {
			t.Fatal(raw)
		}
	}
	raw := c.ask("resources/list", `{}`)
	var no struct {
		Code int     `json:"code"`
		Data refused `json:"data"`
	}
	if err := json.Unmarshal(raw, &no); err != nil || no.Code != -32000 || no.Data.Rule != "limit.rate" || no.Data.RetryAfter < 1 {
		t.Errorf("%s", raw)
	}
	c.stops("of the same server", "limit.rate", "server s may be called 60/hour")
	if raw := string(c.ask("ping", `{}`)); raw != `{}` {
		t.Errorf("a ping counts: %s", raw)
	}
}

// A budget is used up for good, through a crash of the daemon and a start, until an
// operator gives it back.
func TestBudgetOutlivesACrash(t *testing.T) {
	c := newCounted(t, "limits: {budget: {calls: 4/month, cost: 1/month}}", "{echo: {risk: low, cost: 0.25}}")
	for i := range 3 {
		c.passes(fmt.Sprint("call ", i))
	}
	c.d.Crash()
	c.d.Start()
	if !c.d.Ready() {
		t.Fatal("the daemon does not start again")
	}
	c.d.Must("start", "s.yaml")
	c.client = start(t, c.d.Command("connect", "s"))
	if got := c.rows(); got["server s calls"] != "3 of 4 a month" || got["server s cost"] != "0.75 of 1 a month" {
		t.Fatalf("after a crash: %v", got)
	}
	c.passes("the last one")
	no := c.stops("one too many", "limit.budget", "server s may use ")
	if !strings.Contains(no.Limit, "/month") || no.RetryAt.Before(time.Now()) || no.RetryAt.UTC().Day() != 1 {
		t.Errorf("%+v", no)
	}
	if _, errs, code := c.d.Run("limits", "reset", "s"); code == 0 || !strings.Contains(errs, "no reason was given") {
		t.Errorf("a reset without a reason: %d %s", code, errs)
	}
	c.d.Must("limits", "reset", "s", "--why", "the work is worth it")
	c.passes("after a reset")
	if out := c.d.Must("audit", "tail", "-n", "20"); !strings.Contains(out, "the work is worth it") {
		t.Errorf("the reset is not in the record: %s", out)
	}
	c.d.Crash()
	c.d.Start()
	c.d.Ready()
	c.d.Must("start", "s.yaml")
	if got := c.rows(); got["server s calls"] != "1 of 4 a month" {
		t.Errorf("after a reset and a crash: %v", got)
	}
}

// A model that makes the same call again and again is stopped; any other call ends the
// loop.
func TestLoop(t *testing.T) {
	c := newCounted(t, "limits: {repeats: 3}", "{echo: {risk: low}}")
	for range 3 {
		c.passes("again")
	}
	c.stops("again", "limit.repeats", "3 times in a row; it may be made 3 times. Hint: it will not answer otherwise")
	c.stops("again", "limit.repeats", "4 times in a row")
	c.passes("something else")
	c.passes("again")
}

// One call at a time: a second one waits for its place, for so long, and a third finds
// the queue full.
func TestPlaces(t *testing.T) {
	c := newCounted(t, "limits: {concurrency: 1, queue: 1, wait: 4s}", "{echo: {risk: low}, trigger-long-running-operation: {risk: low}}")
	other := &counted{start(t, c.d.Command("connect", "s")), t, c.d}
	slow := func(seconds int) <-chan string {
		out := make(chan string, 1)
		go func() {
			stdout, stderr, _ := c.d.Run("call", "s", "trigger-long-running-operation", fmt.Sprintf(`{"duration":%d,"steps":1}`, seconds))
			out <- stdout + stderr
		}()
		return out
	}
	first := slow(2)
	c.eventually("server s concurrency", "1 of 1 at the same time")
	begun := time.Now()
	done := make(chan struct{})
	go func() { c.passes("waits for its place"); close(done) }()
	time.Sleep(300 * time.Millisecond)
	other.stops("finds the queue full", "limit.concurrency", "may do 1 calls at the same time, and does; 1 more wait")
	<-done
	if waited := time.Since(begun); waited < time.Second {
		t.Errorf("the second call went ahead after %v, beside the first", waited)
	}
	if out := <-first; !strings.Contains(out, "completed") {
		t.Error(out)
	}
	long := slow(8)
	c.eventually("server s concurrency", "1 of 1 at the same time")
	c.stops("waits in vain", "limit.concurrency", "none ended while the call waited")
	if out := <-long; !strings.Contains(out, "completed") {
		t.Error(out)
	}
	c.passes("when all is quiet")
}

func (c *counted) eventually(row, want string) {
	c.t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if got := c.rows()[row]; got == want {
			return
		} else if time.Now().After(end) {
			c.t.Fatalf("%s: %q, want %q", row, got, want)
		}
	}
}

// What is too much at once is refused on the way in and cut on the way out; a budget of
// results leaves less and less.
func TestSizes(t *testing.T) {
	c := newCounted(t, "limits: {arguments: 8KiB, result: 4KiB, budget: {results: 6KiB/month}}", "{echo: {risk: low}}")
	c.stops(strings.Repeat("x", 9<<10), "limit.arguments", "may have arguments of 8KiB, and these have 9KiB")
	text, _ := c.echo(strings.Repeat("y", 7<<10))
	if len(text) > 4<<10 || !strings.Contains(text, "yyyy") || !strings.Contains(text, "cut") {
		t.Errorf("a result of 7 KiB where 4 are allowed: %d bytes, ending %q", len(text), text[max(0, len(text)-120):])
	}
	text, _ = c.echo(strings.Repeat("z", 3<<10))
	if len(text) > 2500 || !strings.Contains(text, "zzzz") {
		t.Errorf("a result where about 2 KiB are left: %d bytes", len(text))
	}
	c.stops("no more", "limit.budget", "of results")
}

// A call that waits for a human takes nothing before it goes ahead, and one that could
// not go ahead anyway waits for nobody.
func TestHeldCallsTakeNothing(t *testing.T) {
	o := &office{t: t, d: harness.New(t)}
	o.workspace()
	o.d.Up("files", "filesystem", "profile: node\nlimits: {budget: {high: 1/month}}\nfiles: [{from: ./workspace, to: /workspace, access: write}]\ntimeouts: {approval: 20s}\n"+
		"tools:\n  write_file: {risk: high, arguments: {path: {path: {under: [/workspace]}}}}\n  list_directory: {risk: low}\n")
	c := &counted{t: t, d: o.d}
	denied := o.call("no")
	o.d.Must("deny", o.waiting())
	if out := <-denied; !strings.Contains(out, "said no") {
		t.Fatal(out)
	}
	if got := c.rows()["server files high"]; got != "0 of 1 a month" {
		t.Fatalf("a call that was denied: %s", got)
	}
	o.enroll()
	allowed := o.call("yes")
	o.d.Must("approve", o.waiting(), "--code", o.code())
	if out := <-allowed; !strings.Contains(out, "Successfully wrote") {
		t.Fatal(out)
	}
	if got := c.rows()["server files high"]; got != "1 of 1 a month" {
		t.Fatalf("a call that was approved: %s", got)
	}
	if out := <-o.call("one more"); !strings.Contains(out, "limit.budget") {
		t.Errorf("nobody is to be asked about a call that cannot be made: %s", out)
	}
	if out, _, _ := o.d.Run("call", "files", "list_directory", `{"path":"/workspace"}`); !strings.Contains(out, "note.txt") {
		t.Errorf("a call of low risk: %s", out)
	}
}

// policy.yaml bounds each server, and all of them together, whatever their files say;
// a reload counts at once, and what was used before counts.
func TestLimitsOfTheOperator(t *testing.T) {
	r := newRealm(t, "limits: {server: {budget: {calls: 3/month}}}")
	r.d.Must("lock", r.server("one", "limits: {budget: {calls: 100/month}}\ntools: {echo: {risk: low}}\n"))
	r.d.Must("start", "one.yaml")
	r.d.Must("lock", r.server("two", "tools: {echo: {risk: low}}\n"))
	r.d.Must("start", "two.yaml")
	one, two := &counted{start(t, r.d.Command("connect", "one")), t, r.d}, &counted{start(t, r.d.Command("connect", "two")), t, r.d}
	for i := range 3 {
		one.passes(fmt.Sprint("call ", i))
	}
	one.stops("beyond the ceiling", "limit.budget", "server one may use 3/month of calls, and has used 3")
	two.passes("of another server")
	r.write("limits: {all: {budget: {calls: 5/month}}}")
	r.d.Must("policy", "reload")
	one.passes("the fifth of all")
	two.stops("the sixth of all", "limit.budget", "all servers together may use 5/month of calls, and has used 5")
	r.write("limits: {principal: {budget: {calls: 6/month}}}")
	r.d.Must("policy", "reload")
	two.passes("the sixth of this user")
	one.stops("the seventh", "limit.budget", fmt.Sprintf("all calls of uid:%d may use 6/month", os.Getuid()))
}
