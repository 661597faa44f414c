package manifest

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"github.com/mcprun/mcprun"
)

// Validate runs the checks of ParseCeilings on a value that a program made.
func (c *Ceilings) Validate() error {
	r := newReport()
	checkCeilings(c, r)
	return r.list("")
}

func checkCeilings(c *Ceilings, r *report) {
	for _, check := range []func(*Ceilings, *report){
		checkCeilingLists, checkCeilingPaths, checkFloors, checkCeilingLimits, checkApproval, checkWebhook, checkRevive, checkIsolationFloors, checkCommonKills,
	} {
		check(c, r)
	}
}

// checkCeilingLists: a list that nobody can read protects nobody, and a line that
// stands there twice hides which of the two was meant to be changed.
func checkCeilingLists(c *Ceilings, r *report) {
	bounded(r, "images.allow", listed(c.Images.Allow))
	bounded(r, "files.allow", c.Files.Allow)
	bounded(r, "files.forbid", c.Files.Forbid)
	bounded(r, "files.read-only", c.Files.ReadOnly)
	bounded(r, "egress.allow", listed(c.Egress.Allow))
	bounded(r, "egress.forbid", listed(c.Egress.Forbid))
	bounded(r, "never-calls", listed(c.NeverCalls))
	var own []string
	for _, d := range c.OwnProfiles.Allow {
		own = append(own, string(d))
	}
	bounded(r, "own-profiles", own)
	var who []string
	for _, p := range c.Approval.Approvers {
		who = append(who, string(p))
	}
	bounded(r, "approval.approvers", who)
	bounded(r, "minimum-isolation.trusted", listed(c.Isolation.Trusted))
}

// listed is a list as text.
func listed[T fmt.Stringer](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

func bounded(r *report, key string, list []string) {
	if len(list) > maxCeilingList {
		r.fail(key, "name wider ranges", "%d entries; at most %d", len(list), maxCeilingList)
		return
	}
	seen := map[string]int{}
	for i, text := range list {
		if first, ok := seen[text]; ok {
			r.fail(fmt.Sprintf("%s[%d]", key, i), "take one of the two out", "%s is already entry %d", show(text), first+1)
			continue
		}
		seen[text] = i
	}
}

// checkCeilingPaths: a path that reads differently in a mount table would not be
// found there.
func checkCeilingPaths(c *Ceilings, r *report) {
	pathsOf(r, "files.allow", c.Files.Allow)
	pathsOf(r, "files.forbid", c.Files.Forbid)
	pathsOf(r, "files.read-only", c.Files.ReadOnly)
}

func pathsOf(r *report, key string, list []string) {
	for i, p := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		if what, fix := badPathText(p); what != "" {
			r.fail(at, fix, "%s", what)
		} else if !strings.HasPrefix(p, "/") {
			r.fail(at, "write the whole path, e.g. /srv/agents; ~ and ./ mean something else for each reader", "%s is not absolute", show(p))
		} else if clean := path.Clean(p); clean != p {
			r.fail(at, "write "+clean, "%s is not in its shortest form", show(p))
		}
	}
}

// checkFloors: a floor that demands nothing is a slip.
func checkFloors(c *Ceilings, r *report) {
	if len(c.Risk.Tools) > maxFloors {
		r.fail("risk.tools", "use * in names", "%d entries; at most %d", len(c.Risk.Tools), maxFloors)
	}
	for i, f := range c.Risk.Tools {
		at := fmt.Sprintf("risk.tools[%d]", i)
		if f.Risk >= mcprun.Low {
			r.fail(at+".risk", "write medium, high or block", "%s is the least there is", f.Risk)
		}
		if _, err := ParseGlob(string(f.Name)); err != nil {
			r.fail(at+".name", `write e.g. "*delete*"`, "%s", shortError(err))
		}
		if _, err := ParseGlob(string(f.Server)); err != nil && f.Server != "" {
			r.fail(at+".server", "write e.g. github", "%s", shortError(err))
		}
	}
}

// checkCeilingLimits: a limit below what any server.yaml can say would refuse all of
// them, one above would be no limit.
func checkCeilingLimits(c *Ceilings, r *report) {
	inRange(r, "limits.memory", c.Limits.Memory, MinMemory, MaxMemory, sizeString)
	inRange(r, "limits.cpu", c.Limits.MilliCPU, MinMilliCPU, MaxMilliCPU, milliString)
	inRange(r, "limits.pids", c.Limits.Pids, MinPids, MaxPids, decimal)
	inRange(r, "limits.tmp", c.Limits.Tmp, MinTmpfs, MaxTmpfsTotal, sizeString)
	inRange(r, "limits.call", c.Limits.Call, MinCall, MaxCall, durationString)
	inRange(r, "limits.approval", c.Limits.Approval, MinApproval, MaxApproval, durationString)
	for _, one := range c.Limits.sets() {
		checkSet(r, "limits."+one.name, *one.set, one.name != "principal")
	}
	wholeKiB(r, "limits.memory", c.Limits.Memory)
	wholeKiB(r, "limits.tmp", c.Limits.Tmp)
}

// checkApproval: more approvals than there are approvers would never be had.
func checkApproval(c *Ceilings, r *report) {
	a := c.Approval
	inRange(r, "approval.needs", int64(a.Needs), 1, MaxApprovers, decimal)
	if len(a.Approvers) > 0 && a.Needs > len(a.Approvers) {
		r.fail("approval.needs", "name more approvers, or need fewer", "%d must say yes, of %d approvers", a.Needs, len(a.Approvers))
	}
	for i, p := range a.Approvers {
		if _, err := parseApprover(string(p)); err != nil {
			r.fail(fmt.Sprintf("approval.approvers[%d]", i), "write e.g. uid:1000", "%s", shortError(err))
		}
	}
}

// checkRevive: a switch that nobody could take back would be taken back by hand.
func checkRevive(c *Ceilings, r *report) {
	inRange(r, "revive.approvers", int64(c.Revive.Approvers), 1, MaxApprovers, decimal)
}

// checkWebhook: what a call is about goes there, so it must not go in the clear.
func checkWebhook(c *Ceilings, r *report) {
	const at = "approval.webhook"
	w := c.Approval.Webhook
	fromSource := w.Source.String() != noSource
	switch {
	case w.URL == "" && !fromSource:
		if r.written(at) && !r.bad[at+".url"] && !r.bad[at+".source"] {
			r.fail(at, "write {source: env:MCPRUN_WEBHOOK} or {url: https://…}", "says neither url nor source")
		}
	case w.URL != "" && fromSource:
		r.fail(at, "keep one of the two", "has both url and source")
	case fromSource:
		if w.Source.Env == "" && w.Source.File == "" || w.Source.Validate() != nil {
			r.fail(at+".source", "write env:NAME or file:/path", "is not the name of a variable or a path")
		}
	default:
		if what := BadWebhookURL(w.URL); what != "" {
			r.fail(at+".url", "write e.g. https://hooks.example.com/mcprun", "%s", what)
		}
	}
}

// BadWebhookURL says what is wrong with the address of a webhook, without repeating
// it; "" if nothing is.
func BadWebhookURL(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || len(s) > MaxRef*4 || badText(s) != "":
		return "is not an address"
	case u.Hostname() == "" || u.Opaque != "":
		return "has no host"
	case u.User != nil:
		return "holds a name or a password"
	case u.Fragment != "":
		return "has a fragment, which is never sent"
	case u.Scheme == "https":
		return ""
	case u.Scheme != "http":
		return "is neither https nor http"
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err != nil || !addr.IsLoopback() {
		return "is http to another machine, where everybody on the way can read it"
	}
	return ""
}

// lineOf is where a key of policy.yaml stands; 0 for one that it does not have.
func (c *Ceilings) lineOf(key string) int {
	for p := key; p != ""; p = parent(p) {
		if line, ok := c.lines[p]; ok {
			return line
		}
	}
	return 0
}

// checkIsolationFloors: a list of what is trusted that no other line asks about would
// look like a fence.
func checkIsolationFloors(c *Ceilings, r *report) {
	if f := c.Isolation; len(f.Trusted) > 0 && f.Untrusted == Runc {
		r.fail("minimum-isolation.trusted", "write untrusted: gvisor beside it", "says what is trusted, and nothing is demanded of what is not")
	}
}
