package limits

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mcprun/mcprun"
)

// Unit is what a budget counts.
type Unit uint8

const (
	Calls   Unit = iota
	High         // calls of high risk
	Results      // bytes of results
	Egress       // bytes through the way out, both directions
	CPU          // microseconds of processor time
	Wall         // microseconds from a call's beginning to its end
	Cost         // millionths of the unit that the operator has in mind
	units
)

func (u Unit) String() string {
	return [...]string{"calls", "high", "results", "egress", "cpu", "time", "cost"}[min(u, Cost)]
}

// Text writes an amount as people write it in server.yaml.
func (u Unit) Text(n int64) string {
	switch u {
	case Results, Egress:
		return size(n)
	case CPU, Wall:
		return (time.Duration(n) * time.Microsecond).Round(time.Millisecond).String()
	case Cost:
		return strconv.FormatFloat(float64(n)/1e6, 'f', -1, 64)
	}
	return strconv.FormatInt(n, 10)
}

func size(n int64) string {
	for _, s := range []struct {
		name string
		n    int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= s.n {
			return strconv.FormatFloat(float64(n*10/s.n)/10, 'f', -1, 64) + s.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// Use is an amount of each unit.
type Use [units]int64

// Period is what a budget is for. Periods begin by the calendar, in UTC, so that
// everybody knows when the next one does.
type Period uint8

const (
	Hour Period = iota
	Day
	Month
	periods
)

func (p Period) String() string { return [...]string{"hour", "day", "month"}[min(p, Month)] }

// bounds are the first moment of the period that t is in, and of the next one.
func (p Period) bounds(t time.Time) (from, to time.Time) {
	y, m, d := t.UTC().Date()
	switch p {
	case Hour:
		from = t.UTC().Truncate(time.Hour)
		return from, from.Add(time.Hour)
	case Day:
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC), time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
	}
	return time.Date(y, m, 1, 0, 0, 0, 0, time.UTC), time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
}

// Budget is how much of a unit may be used in a period. Max zero allows nothing.
type Budget struct {
	Unit   Unit
	Period Period
	Max    int64
}

// Rate is how many calls may begin in a time, and how many of them at once. The
// zero value allows none.
type Rate struct {
	Calls int64
	Per   time.Duration
	Burst int64
}

func (r Rate) String() string { return fmt.Sprintf("%d/%s", r.Calls, short(r.Per)) }

func short(d time.Duration) string {
	switch d {
	case time.Second:
		return "s"
	case time.Minute:
		return "min"
	case time.Hour:
		return "hour"
	}
	return d.String()
}

// Set is what one scope is held to. What is nil is not limited by that scope; what
// is there and zero allows nothing.
type Set struct {
	Rate        *Rate
	Concurrency *int64 // calls at the same time
	Repeats     *int64 // the same call with the same arguments in a row, of one client
	Arguments   *int64 // bytes of one call's arguments
	Result      *int64 // bytes of one result
	Budgets     []Budget
}

// Within is a set that lets no more through than either of two. Of two rates it takes
// the lower, and the lower burst.
func (s Set) Within(o Set) Set {
	s.Rate = slower(s.Rate, o.Rate)
	for _, n := range []struct {
		mine  **int64
		other *int64
	}{{&s.Concurrency, o.Concurrency}, {&s.Repeats, o.Repeats}, {&s.Arguments, o.Arguments}, {&s.Result, o.Result}} {
		if *n.mine == nil || n.other != nil && *n.other < **n.mine {
			*n.mine = n.other
		}
	}
	s.Budgets = slices.Concat(s.Budgets, o.Budgets)
	return s
}

func slower(a, b *Rate) *Rate {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	r := *a
	if b.perSecond() < a.perSecond() {
		r = *b
	}
	r.Burst = min(a.Burst, b.Burst)
	return &r
}

func (r Rate) perSecond() float64 {
	if r.Per <= 0 {
		return 0
	}
	return float64(r.Calls) / r.Per.Seconds()
}

// Limits are all sets of one server.
type Limits struct {
	Server    Set
	Tools     map[mcprun.ToolName]Set
	Principal Set           // each principal by itself
	Session   Set           // each client by itself
	Queue     int           // calls that may wait for one of those at work to end
	Wait      time.Duration // how long they may; the caller's part
}

// Common are the sets that hold for all servers together.
type Common struct {
	All       Set
	Principal Set // each principal by itself, over all servers
}

// Scope is whom a count is about; what is empty is any.
type Scope struct {
	Server    mcprun.ServerName `json:"server,omitempty"`
	Tool      mcprun.ToolName   `json:"tool,omitempty"`
	Principal mcprun.Principal  `json:"principal,omitempty"`
	Session   string            `json:"session,omitempty"`
}

func (s Scope) String() string {
	text := "all servers together"
	if s.Server == "" && s.Principal != "" {
		return "all calls of " + string(s.Principal)
	}
	if s.Server != "" {
		text = "server " + string(s.Server)
	}
	if s.Tool != "" {
		text = "tool " + string(s.Server) + "/" + string(s.Tool)
	}
	if s.Principal != "" {
		text += " for " + string(s.Principal)
	}
	if s.Session != "" {
		text += " for one client"
	}
	return text
}

// Refusal is why a call may not go ahead now.
type Refusal struct {
	Rule  string // one of those below
	Scope Scope
	Unit  Unit   // of limit.budget
	Limit string // as it is written in the file
	Used  string
	Frees time.Time // when it is worth to try again; zero is not by waiting
}

// Rules of refusals.
const (
	RuleRate        = "limit.rate"
	RuleConcurrency = "limit.concurrency"
	RuleRepeats     = "limit.repeats"
	RuleBudget      = "limit.budget"
	RuleArguments   = "limit.arguments"
	RuleUnset       = "limit.unset"
)

func (r *Refusal) Error() string {
	switch r.Rule {
	case RuleRate:
		return fmt.Sprintf("%s may be called %s, and was", r.Scope, r.Limit)
	case RuleConcurrency:
		return fmt.Sprintf("%s may do %s calls at the same time, and does; %s", r.Scope, r.Limit, r.Used)
	case RuleRepeats:
		return fmt.Sprintf("the same call with the same arguments was made %s times in a row; it may be made %s times", r.Used, r.Limit)
	case RuleBudget:
		return fmt.Sprintf("%s may use %s of %s, and has used %s", r.Scope, r.Limit, r.Unit, r.Used)
	case RuleArguments:
		return fmt.Sprintf("a call of %s may have arguments of %s, and these have %s", r.Scope, r.Limit, r.Used)
	}
	return fmt.Sprintf("%s has no limits, and so may do nothing", r.Scope)
}
