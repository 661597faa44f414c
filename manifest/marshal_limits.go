package manifest

import (
	"fmt"
	"strings"
	"time"

	"github.com/mcprun/mcprun/limits"
)

// setFields writes a set; all writes also what is not limited, where that is not the
// default.
func setFields(s limits.Set, all bool) fields {
	var f fields
	switch {
	case s.Rate != nil:
		f.add(true, "rate: %s", callRateText(*s.Rate))
		f.add(true, "burst: %d", s.Rate.Burst)
	case all:
		f.add(true, "rate: none")
	}
	for _, one := range []struct {
		key string
		v   *int64
	}{{"concurrency", s.Concurrency}, {"repeats", s.Repeats}} {
		if one.v != nil {
			f.add(true, "%s: %d", one.key, *one.v)
		} else {
			f.add(all, "%s: none", one.key)
		}
	}
	if s.Arguments != nil {
		f.add(true, "arguments: %s", sizeString(*s.Arguments))
	}
	if s.Result != nil {
		f.add(true, "result: %s", sizeString(*s.Result))
	} else {
		f.add(all, "result: none")
	}
	f.add(len(s.Budgets) > 0, "budget: %s", budgetFields(s.Budgets))
	return f
}

func budgetFields(list []limits.Budget) fields {
	texts := map[limits.Unit][]string{}
	for _, b := range list {
		texts[b.Unit] = append(texts[b.Unit], amountText(b.Unit, b.Max)+"/"+b.Period.String())
	}
	var f fields
	for _, u := range budgetUnits {
		switch t := texts[u]; len(t) {
		case 0:
		case 1:
			f.add(true, "%s: %s", u, t[0])
		default:
			f.add(true, "%s: [%s]", u, strings.Join(t, ", "))
		}
	}
	return f
}

// amountText writes an amount so that it is read back as the same.
func amountText(u limits.Unit, n int64) string {
	switch u {
	case limits.Results, limits.Egress:
		return sizeString(n)
	case limits.CPU, limits.Wall:
		return durationString(time.Duration(n) * time.Microsecond)
	}
	return u.Text(n)
}

func callRateText(r limits.Rate) string {
	for name, per := range ratePeriods {
		if per == r.Per {
			return fmt.Sprintf("%d/%s", r.Calls, name)
		}
	}
	return fmt.Sprintf("%d/%s", r.Calls, r.Per)
}

// LimitsText writes the limits of all calls as server.yaml has them, on one line.
func (s *Server) LimitsText() string { return limitFields(s.Limits).String() }

func limitFields(l limits.Limits) fields {
	f := setFields(l.Server, true)
	f.add(true, "queue: %d", l.Queue)
	f.add(true, "wait: %s", durationString(l.Wait))
	p, s := setFields(l.Principal, false), setFields(l.Session, false)
	f.add(len(p) > 0, "principal: %s", p)
	f.add(len(s) > 0, "session: %s", s)
	return f
}

func costText(c Cost) string {
	if c.From == nil {
		return limits.Cost.Text(c.Each)
	}
	return fmt.Sprintf("{from: %s, most: %s}", quote(c.From.String()), limits.Cost.Text(c.Most))
}
