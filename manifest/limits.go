package manifest

import (
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate/when"
	"github.com/mcprun/mcprun/limits"
)

// Bounds on limits. The defaults are far above what a model does that works, and far
// below what one does that has lost its way.
const (
	// DefaultRate: a model makes a few calls a second at most, in bursts.
	DefaultRate  = 600 // a minute
	DefaultBurst = 120

	// DefaultConcurrency: a server that does more at once than this is slower for all.
	DefaultConcurrency = 32
	DefaultQueue       = 64
	DefaultWait        = 30 * time.Second
	// DefaultRepeats: who waits for something asks again and again, but not so often in
	// a row without doing anything else.
	DefaultRepeats = 100

	// DefaultResult: an image of 3 MiB fits, and a model reads no text of that length.
	DefaultResult = 4 * mib

	// maxCount bounds every number of a limit: what is larger is no limit.
	maxCount = 1_000_000_000
	// maxQueue is what one server may keep in memory of calls that wait.
	maxQueue = 512
	// maxBudgets bounds one list: three periods of each unit.
	maxBudgets = 3
	// maxCost is a thousand million of the operator's unit, in millionths.
	maxCost = 1_000_000_000 * 1_000_000
)

// Cost is what one call costs, in millionths of the unit that the operator has in
// mind. The zero value costs nothing.
type Cost struct {
	Each int64
	From *when.Amount // reads it from the result; nil: it is Each
	Most int64        // with From: what is set aside before the result is there
}

// DefaultLimits are those of a server that names none.
func DefaultLimits() limits.Limits {
	concurrency, repeats, result := int64(DefaultConcurrency), int64(DefaultRepeats), DefaultResult
	return limits.Limits{
		Server: limits.Set{Rate: &limits.Rate{Calls: DefaultRate, Per: time.Minute, Burst: DefaultBurst}, Concurrency: &concurrency, Repeats: &repeats, Result: &result},
		Queue:  DefaultQueue, Wait: DefaultWait,
	}
}

// CallLimits are all that calls of the server are held to by its file and the
// operator's ceiling for every server, whichever is stricter.
func (s *Server) CallLimits(c *Ceilings) limits.Limits {
	l := s.Limits
	l.Server = l.Server.Within(c.Limits.Server)
	l.Tools = make(map[mcprun.ToolName]limits.Set, len(s.Tools))
	for name, t := range s.Tools {
		l.Tools[name] = t.Limits
	}
	return l
}

// budgetUnits are the keys of a budget, in the order in which they are written.
var budgetUnits = []limits.Unit{limits.Calls, limits.High, limits.Results, limits.Egress, limits.CPU, limits.Wall, limits.Cost}

// setKeysAs are those of a set that is described under another path.
func setKeysAs(path, as string) []key {
	keys := setKeys(path, limits.Set{})
	for i, k := range keys {
		keys[i].Reason = "as " + as + strings.TrimPrefix(k.Path, path)
	}
	return keys
}

// setKeys are the rows of the schema for what one scope is held to.
func setKeys(path string, d limits.Set) []key {
	text := func(v *int64) string {
		if v == nil {
			return "none"
		}
		return decimal(*v)
	}
	result := "none"
	if d.Result != nil {
		result = sizeString(*d.Result)
	}
	rate, burst := "none", "a tenth of the rate, at least 1"
	if d.Rate != nil {
		rate, burst = callRateText(*d.Rate), decimal(d.Rate.Burst)
	}
	keys := []key{
		{path + ".rate", "text", rate, "a number and /s, /min or /hour; none", "how many calls may begin in a time"},
		{path + ".burst", "number", burst, between(1, maxCount), "how many of them at once"},
		{path + ".concurrency", "number", text(d.Concurrency), "1 or more; none", "calls at the same time"},
		{path + ".repeats", "number", text(d.Repeats), "1 or more; none", "the same call with the same arguments in a row, of one client: a model in a loop"},
		{path + ".arguments", "size", "none", "1KiB or more", "the arguments of one call"},
		{path + ".result", "size", result, "1KiB or more; none, which is 16MiB", "one result; text that is longer is cut, and says so"},
		{path + ".budget", "mapping", "none", "", "what may be used in an hour, a day or a month, by the calendar in UTC; each is one text, or a list of them"},
	}
	for _, u := range budgetUnits {
		keys = append(keys, key{path + ".budget." + u.String(), "text or list of text", "none", "an amount and /hour, /day or /month, e.g. " + budgetExamples[u], budgetReasons[u]})
	}
	return keys
}

var budgetReasons = map[limits.Unit]string{
	limits.Calls: "calls", limits.High: "calls of high risk", limits.Results: "bytes of results", limits.Egress: "bytes through the way out, both directions; of a whole server only",
	limits.CPU: "processor time; of a whole server only", limits.Wall: "time of calls from beginning to end", limits.Cost: "what tools.*.cost says, in a unit of your own",
}

// namedSet is one of the sets of policy.yaml.
type namedSet struct {
	name string
	set  *limits.Set
}

func (l *Limits) sets() []namedSet {
	return []namedSet{{"server", &l.Server}, {"principal", &l.Principal}, {"all", &l.All}}
}
