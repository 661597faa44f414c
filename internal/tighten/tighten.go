// Package tighten proposes what can go from a server.yaml, by what the audit record
// says that the server used. It is pure: it is handed records, and changes nothing.
//
// It does NOT show that what it names is not needed: only that it was not used in the
// time that was looked at. What is used once a month goes unseen in a week. It says
// nothing of folders, variables and system calls, which are not in the record while
// they are allowed. Where the record leaves open which rule let something out, each
// that may have counts as used.
package tighten

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/netpolicy"
)

// Where the record of a life's end has what it used at most.
const (
	DetailMemoryPeak = "memory-peak" // bytes
	DetailPidsPeak   = "pids-peak"   // processes and threads
)

const (
	// farBelow is how many times a limit has to be more than what was used at most to be
	// worth a change: peaks of some lives differ by less.
	farBelow = 4
	// room is how many times of what was used at most is proposed: what a limit ends is
	// lost, and memory that nobody takes costs nothing.
	room = 2
	// memoryStep is what proposed memory is rounded up to.
	memoryStep = 16 << 20
	// maxHosts is up to how many hosts are named in place of a wildcard.
	maxHosts = 3
)

// Use is what a server used. Make one with New.
type Use struct {
	Since       time.Time `json:"since"`       // what was asked for
	First       time.Time `json:"first"`       // of its records since then; zero: there is none
	Starts      int       `json:"starts"`      // of its container
	Calls       int       `json:"calls"`       // of tools, that went ahead
	Connections int       `json:"connections"` // out, that were allowed
	Peaks       int       `json:"peaks"`       // lives of which it is known what they used at most
	Memory      int64     `json:"memory"`      // bytes at most
	Pids        int64     `json:"pids"`        // at most
	server      *manifest.Server
	policy      netpolicy.Policy
	any         []mcprun.ToolName // each tool that an egress rule names
	called      map[mcprun.ToolName]int
	refused     map[mcprun.ToolName]int
	rules       []ruleUse
}

// ruleUse is what was let out by one egress rule.
type ruleUse struct {
	reached, used int // connections; and requests, where it reads them
	hosts         map[string]bool
	methods       map[string]bool
	paths         map[int]bool
}

// New begins to look at what a server used since a time.
func New(m *manifest.Server, since time.Time) (*Use, error) {
	policy, err := m.Policy()
	if err != nil {
		return nil, err
	}
	u := &Use{Since: since, server: m, policy: policy, called: map[mcprun.ToolName]int{}, refused: map[mcprun.ToolName]int{}, rules: make([]ruleUse, len(m.Egress))}
	for i, r := range m.Egress {
		u.any = append(u.any, r.Tools...)
		u.rules[i] = ruleUse{hosts: map[string]bool{}, methods: map[string]bool{}, paths: map[int]bool{}}
	}
	return u, nil
}

// Record looks at one record, of any server and any time.
func (u *Use) Record(r *audit.Record) {
	if r.Server != u.server.Name || r.Time.Before(u.Since) {
		return
	}
	if u.First.IsZero() {
		u.First = r.Time
	}
	switch r.Type {
	case audit.TypeStart:
		u.Starts++
	case audit.TypeCall:
		u.Calls++
		u.called[r.Tool]++
	case audit.TypeRefuse:
		u.refused[r.Tool]++
	case audit.TypeEgress:
		if r.Verdict == mcprun.Allow {
			u.out(r)
		}
	case audit.TypeStop:
		memory, _ := strconv.ParseInt(r.Detail[DetailMemoryPeak], 10, 64)
		pids, _ := strconv.ParseInt(r.Detail[DetailPidsPeak], 10, 64)
		u.Peak(memory, pids)
	}
}

// Peak adds what one life used at most; 0 is what is not known.
func (u *Use) Peak(memory, pids int64) {
	if memory > 0 || pids > 0 {
		u.Peaks++
	}
	u.Memory, u.Pids = max(u.Memory, memory), max(u.Pids, pids)
}

// out counts a connection or a request for each rule that may have allowed it.
func (u *Use) out(r *audit.Record) {
	host, err := netpolicy.ParseHost(r.Detail["host"])
	port, portErr := strconv.ParseUint(r.Detail["port"], 10, 16)
	if err != nil || portErr != nil {
		return
	}
	if r.Outcome == "open" {
		u.Connections++
	}
	d := netpolicy.Dest{Host: host, Port: uint16(port), InFlight: u.any, Own: func(netip.Addr) bool { return false }}
	for _, i := range u.policy.Connect(d).Rules {
		u.rules[i].reached++
		if !u.server.Egress[i].ReadsRequests() {
			u.rules[i].used++
			u.rules[i].host(host)
		}
	}
	if r.Method == "" {
		return
	}
	for _, i := range u.policy.Request(d, r.Method, r.Detail["path"], false).Rules {
		u.rules[i].used++
		u.rules[i].host(host)
		u.rules[i].methods[r.Method] = true
		for j, p := range u.server.Egress[i].Paths {
			if p.Match(r.Detail["path"]) {
				u.rules[i].paths[j] = true
			}
		}
	}
}

// host keeps one more than are named, and no more.
func (r *ruleUse) host(h netpolicy.Host) {
	if len(r.hosts) <= maxHosts {
		r.hosts[h.String()] = true
	}
}

// Item is one thing in server.yaml that can go or change.
type Item struct {
	Key  string `json:"key"`          // where it stands: egress[1]
	What string `json:"what"`         // in words
	Why  string `json:"why"`          // what was used of it
	To   string `json:"to,omitempty"` // what could stand there; nothing: it can go
}

// Quiet says why nothing can be proposed; "" where something can.
func (u *Use) Quiet() string {
	switch {
	case u.First.IsZero():
		return "the record has nothing of it"
	case u.Calls == 0:
		return "no tool of it was called, so that nothing is known of what it needs"
	}
	return ""
}

// Propose lists what can go or change, in the order of the file's usual keys. It is
// empty where too little is known.
func (u *Use) Propose() []Item {
	if u.Quiet() != "" {
		return nil
	}
	out := u.resources()
	for _, t := range slices.Sorted(maps.Keys(u.server.Tools)) {
		if u.server.Tools[t].Risk == mcprun.Block || u.called[t] > 0 {
			continue
		}
		why := "never called"
		if n := u.refused[t]; n > 0 {
			why = fmt.Sprintf("asked for %s, and never let through", times(n))
		}
		out = append(out, Item{Key: manifest.ToolPath(t), What: "tool " + string(t), Why: why})
	}
	return append(append(out, u.egress()...), u.credentials()...)
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func (u *Use) resources() []Item {
	var out []Item
	if now := u.server.Resources.Memory; u.Memory > 0 && u.Memory*farBelow <= now {
		to := max(manifest.MinMemory, (u.Memory*room+memoryStep-1)/memoryStep*memoryStep)
		if to < now {
			out = append(out, Item{Key: "resources.memory", What: "memory: " + manifest.Size(now), Why: fmt.Sprintf("at most %d MiB were used", (u.Memory+1<<20-1)>>20), To: "memory: " + manifest.Size(to)})
		}
	}
	if now := u.server.Resources.Pids; u.Pids > 0 && u.Pids*farBelow <= now {
		if to := max(manifest.MinPids, u.Pids*room); to < now {
			out = append(out, Item{Key: "resources.pids", What: fmt.Sprintf("pids: %d", now), Why: fmt.Sprintf("at most %d processes and threads at a time", u.Pids), To: fmt.Sprintf("pids: %d", to)})
		}
	}
	return out
}

func (u *Use) egress() []Item {
	var out []Item
	for i, r := range u.server.Egress {
		use, key := u.rules[i], fmt.Sprintf("egress[%d]", i)
		what := "egress to " + netpolicyTarget(r)
		switch {
		case use.reached == 0:
			out = append(out, Item{Key: key, What: what, Why: "never connected to"})
			continue
		case use.used == 0:
			out = append(out, Item{Key: key, What: what, Why: "connected to, with no request that this rule is about"})
			continue
		}
		if strings.HasPrefix(r.Host.String(), "*") && len(use.hosts) <= maxHosts {
			hosts := slices.Sorted(maps.Keys(use.hosts))
			out = append(out, Item{Key: key + ".host", What: what, Why: "of all hosts below it only these were reached", To: "host: " + strings.Join(hosts, ", and a rule with host: ")})
		}
		if unused := without(r.Methods, func(_ int, m string) bool { return use.methods[m] }); r.ReadsRequests() && len(unused) > 0 {
			out = append(out, Item{Key: key + ".methods", What: what + ": methods " + strings.Join(unused, ", "), Why: "never used", To: "methods: [" + strings.Join(slices.Sorted(maps.Keys(use.methods)), ", ") + "]"})
		}
		for _, p := range without(r.Paths, func(j int, _ netpolicy.PathPattern) bool { return use.paths[j] }) {
			out = append(out, Item{Key: key + ".paths", What: what + ": path " + p.String(), Why: "never asked for"})
		}
	}
	return out
}

func netpolicyTarget(r netpolicy.Rule) string { return fmt.Sprintf("%s:%d", r.Host, r.Port) }

func without[T any](list []T, used func(int, T) bool) []T {
	var out []T
	for i, v := range list {
		if !used(i, v) {
			out = append(out, v)
		}
	}
	return out
}

// credentials lists those whose host nothing went to: without its rule, a credential is
// an error in server.yaml. One that the container holds itself has no such host.
func (u *Use) credentials() []Item {
	var out []Item
	for _, c := range u.server.Credentials {
		if c.InContainer {
			continue
		}
		reached := false
		for i, r := range u.server.Egress {
			reached = reached || u.rules[i].used > 0 && r.Port == c.Port && r.Host.Match(c.Host)
		}
		if !reached {
			out = append(out, Item{Key: "credentials." + c.Name, What: "credential " + c.Name, Why: fmt.Sprintf("nothing went to %s:%d", c.Host, c.Port)})
		}
	}
	return out
}
