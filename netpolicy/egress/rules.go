package egress

import (
	"errors"
	"reflect"
	"slices"

	"github.com/mcprun/mcprun/netpolicy"
)

// ruleSet is a policy with what each of its rules has left. It never changes: a
// change of policy puts another one in its place.
type ruleSet struct {
	policy netpolicy.Policy
	limits []*ruleLimits // by the rule's place in the policy
}

// newRules makes a set; a rule that old has as well goes on with what it has left.
func (w *Way) newRules(p netpolicy.Policy, old *ruleSet) *ruleSet {
	s := &ruleSet{policy: p}
	var had []netpolicy.Rule
	if old != nil {
		had = old.policy.Rules()
	}
	taken := make([]bool, len(had))
	for _, r := range p.Rules() {
		i := slices.IndexFunc(had, func(h netpolicy.Rule) bool { return reflect.DeepEqual(r, h) })
		if i >= 0 && !taken[i] {
			taken[i] = true
			s.limits = append(s.limits, old.limits[i])
		} else {
			s.limits = append(s.limits, w.newLimits(r))
		}
	}
	return s
}

// now are the rules that hold at this moment.
func (w *Way) now() *ruleSet { return w.rules.Load() }

// Name says which names exist for the container.
func (w *Way) Name(h netpolicy.Host) bool { return w.cfg.Fake || w.now().policy.Name(h) }

// ErrNeedsStart means that a policy asks for what the container would have to be
// started with: an authority that its programs trust.
var ErrNeedsStart = errors.New("a rule inspects, and the container was not told whom to trust for that")

// Change puts other rules in force, for every connection from now on. One that
// stands is cut unless all rules about its host and port are the same as before.
// On an error the old rules stay.
func (w *Way) Change(p netpolicy.Policy) error {
	if p.Inspects() && w.authority == nil {
		return ErrNeedsStart
	}
	w.changing.Lock()
	defer w.changing.Unlock()
	if err := w.listenAt(p.Ports()); err != nil {
		return err
	}
	old := w.now()
	rules := w.newRules(p, old)
	w.rules.Store(rules)
	w.cutChanged(old, rules)
	return nil
}

// cutChanged ends what other rules do not allow as the old ones did: connections
// of the container's, and those to hosts that waited for a next request.
func (w *Way) cutChanged(old, rules *ruleSet) {
	w.mu.Lock()
	for _, l := range old.limits {
		l.gone = !slices.Contains(rules.limits, l)
	}
	var conns []*conn
	for c := range w.conns {
		if !c.survives(rules) {
			conns = append(conns, c)
		}
	}
	var idle []*kept
	for k := range w.kept {
		if k.limits.gone {
			idle = append(idle, k)
		}
	}
	w.mu.Unlock()
	for _, c := range conns {
		c.why.CompareAndSwap(nil, ptr("its rules were changed"))
		c.cut()
	}
	for _, k := range idle {
		k.TCPConn.Close()
	}
}

// survives reports whether the connection is as allowed under other rules as it
// was under its own.
func (c *conn) survives(rules *ruleSet) bool {
	return c.rules == rules || reflect.DeepEqual(c.rules.policy.About(c.dest.Host, c.dest.Port), rules.policy.About(c.dest.Host, c.dest.Port))
}
