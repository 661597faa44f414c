package manifest

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcprun/mcprun/gate/when"
	"github.com/mcprun/mcprun/limits"
)

// decodeCallLimits reads limits of server.yaml.
func decodeCallLimits(o object, dst *limits.Limits) {
	queue := int64(dst.Queue)
	o.number("queue", "64", &queue)
	dst.Queue = int(min(queue, maxCount))
	o.duration("wait", &dst.Wait)
	decodeSet(o, "limits", &dst.Server)
	decodeSet(openAt(o, "principal", "limits.principal"), "limits.principal", &dst.Principal)
	decodeSet(openAt(o, "session", "limits.session"), "limits.session", &dst.Session)
}

// decodeSet reads what one scope is held to. The word none takes a default away.
func decodeSet(o object, schemaPath string, dst *limits.Set) {
	if _, ok := o.fields["rate"]; ok {
		dst.Rate = nil
		set(o, "rate", &dst.Rate, readCallRate)
	}
	if _, ok := o.fields["burst"]; ok {
		if dst.Rate == nil && !o.r.bad[join(o.path, "rate")] {
			o.r.fail(join(o.path, "burst"), "add rate, e.g. rate: 60/min", "there is no rate that it belongs to")
		}
		burst := int64(0)
		o.number("burst", "10", &burst)
		if dst.Rate != nil {
			r := *dst.Rate
			r.Burst = burst
			dst.Rate = &r
		}
	}
	optionalCount(o, "concurrency", "4", &dst.Concurrency)
	optionalCount(o, "repeats", "20", &dst.Repeats)
	optionalSize(o, "arguments", &dst.Arguments)
	optionalSize(o, "result", &dst.Result)
	dst.Budgets = decodeBudgets(openAt(o, "budget", join(schemaPath, "budget")))
}

func optionalCount(o object, name, example string, dst **int64) {
	set(o, name, dst, func(n node) (*int64, problem) {
		if n.kind == scalarKind && n.text == "none" {
			return nil, problem{}
		}
		v, p := readInt(n, example)
		return &v, p
	})
}

func optionalSize(o object, name string, dst **int64) {
	set(o, name, dst, func(n node) (*int64, problem) {
		if n.kind == scalarKind && n.text == "none" {
			return nil, problem{}
		}
		v, p := readSize(n)
		return &v, p
	})
}

var callRate = regexp.MustCompile(`^([1-9][0-9]{0,8})/(s|min|hour)$`)

var ratePeriods = map[string]time.Duration{"s": time.Second, "min": time.Minute, "hour": time.Hour}

// readCallRate reads a rate; without a burst of its own it lets a tenth of it, and at
// least one call, through at once.
func readCallRate(n node) (*limits.Rate, problem) {
	text, p := readText(n, "60/min")
	if !p.none() || text == "none" {
		return nil, p
	}
	m := callRate.FindStringSubmatch(text)
	if m == nil {
		return nil, problem{show(text) + " is not a rate", "write a number of calls and /s, /min or /hour, e.g. 60/min, or none"}
	}
	calls, _ := strconv.ParseInt(m[1], 10, 64)
	return &limits.Rate{Calls: calls, Per: ratePeriods[m[2]], Burst: max(1, calls/10)}, problem{}
}

var budgetExamples = map[limits.Unit]string{limits.Calls: "5000/day", limits.High: "20/day", limits.Results: "100MiB/day", limits.Egress: "100MiB/day",
	limits.CPU: "30m/day", limits.Wall: "2h/day", limits.Cost: "5.00/day"}

func decodeBudgets(o object) []limits.Budget {
	var out []limits.Budget
	for _, u := range budgetUnits {
		name := u.String()
		n, path, ok := o.take(name)
		if !ok {
			continue
		}
		items := []node{n}
		if n.kind == listKind {
			items = n.items
			if len(items) == 0 || len(items) > maxBudgets {
				o.r.fail(path, "write one for each period, e.g. [100/hour, 1000/day]", "has %d entries", len(items))
				continue
			}
		}
		seen := map[limits.Period]bool{}
		for i, item := range items {
			at := path
			if n.kind == listKind {
				at = fmt.Sprintf("%s[%d]", path, i)
				o.r.where[at] = place{item.pos, fmt.Sprintf("%s[%d]", o.r.at(path).key, i)}
			}
			b := limits.Budget{Unit: u}
			setAt(o.r, at, item, &b, func(n node) (limits.Budget, problem) { return readBudget(n, u) })
			if !o.r.bad[at] && seen[b.Period] {
				o.r.fail(at, "keep one of the two", "there are two for a %s", b.Period)
			}
			seen[b.Period] = true
			out = append(out, b)
		}
	}
	sortBudgets(out)
	return out
}

func sortBudgets(list []limits.Budget) {
	slices.SortStableFunc(list, func(a, b limits.Budget) int {
		return cmp.Or(cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Period, b.Period))
	})
}

var periodNames = map[string]limits.Period{"hour": limits.Hour, "day": limits.Day, "month": limits.Month}

func readBudget(n node, u limits.Unit) (limits.Budget, problem) {
	b := limits.Budget{Unit: u}
	example := budgetExamples[u]
	if n.kind == scalarKind && !strings.Contains(n.text, "/") {
		return b, problem{show(n.text) + " is no budget", "say for how long: /hour, /day or /month, e.g. " + example}
	}
	text, p := readText(n, example)
	if !p.none() {
		return b, p
	}
	amount, period, _ := strings.Cut(text, "/")
	var ok bool
	if b.Period, ok = periodNames[period]; !ok {
		return b, problem{show(text) + " is no budget", "write an amount and /hour, /day or /month, e.g. " + example}
	}
	part := n
	part.text = amount
	b.Max, p = readAmount(part, u, example)
	return b, p
}

func readAmount(n node, u limits.Unit, example string) (int64, problem) {
	switch u {
	case limits.Results, limits.Egress:
		return readSize(n)
	case limits.CPU, limits.Wall:
		d, p := readDuration(n)
		return d.Microseconds(), p
	case limits.Cost:
		return readCost(n, example)
	}
	return readInt(n, example)
}

var costNumber = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?$`)

// readCost reads a decimal number as millionths.
func readCost(n node, example string) (int64, problem) {
	if n.kind != scalarKind {
		return 0, wrongKind(n, "a number", example)
	}
	if p := plainNumber(n, costNumber, "a number with at most six decimals", example); !p.none() {
		return 0, p
	}
	whole, fraction, _ := strings.Cut(n.text, ".")
	v, err := strconv.ParseInt(whole+(fraction + "000000")[:6], 10, 64)
	if err != nil {
		return 0, problem{"the number is too large", "write e.g. " + example}
	}
	return v, problem{}
}

// decodeCost reads what a call of a tool costs: a number, or how to read it from the
// result.
func decodeCost(tool object, dst *Cost) {
	n, path, ok := tool.take("cost")
	if !ok {
		return
	}
	if n.kind == scalarKind {
		setAt(tool.r, path, n, &dst.Each, func(n node) (int64, problem) { return readCost(n, "0.01") })
		return
	}
	o := openObject(tool.r, "tools.*.cost", path, n)
	if o.fields != nil {
		o.need("from", `write an expression over result, e.g. from: "result._meta.usage * 0.001"`)
		o.need("most", "write what one call costs at most: so much is set aside before it begins")
	}
	set(o, "from", &dst.From, parsed(`"result._meta.cost"`, when.CompileAmount))
	set(o, "most", &dst.Most, func(n node) (int64, problem) { return readCost(n, "0.50") })
}
