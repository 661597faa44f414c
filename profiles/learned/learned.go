// Package learned turns what a server was seen to do into a profile that allows that and
// little more: which calls, with which arguments that a profile can judge, how often, in
// which tool's calls, and how far it is to be trusted.
//
// It is pure. What it does NOT do: it cannot know what was not tried. A profile learned from
// some calls of some tools refuses what the others need, and allows what a back door did
// while it was learned; both are for a person to look at.
package learned

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/profiles"
)

// Version is that of the form in which runs are kept.
const Version = 2

const (
	// maxLines bounds the different calls of one run. A server of Node makes some 150;
	// one that makes up arguments must not cost the daemon memory.
	maxLines = 2048
	// maxFolders and maxHosts bound what is kept for people to look at.
	maxFolders = 256
	maxHosts   = 256
)

// Seen is what was seen of one server, in one run or in all that were put together.
type Seen struct {
	Version int               `json:"version"`
	Server  mcprun.ServerName `json:"server"`
	Image   mcprun.Digest     `json:"image"`
	Arch    string            `json:"arch"`
	Runs    []Run             `json:"runs"`
	Calls   []Call            `json:"calls"`
	Refused []Call            `json:"refused,omitempty"` // tried, and nobody can be given it
	Folders []Folder          `json:"folders,omitempty"`
	Hosts   []Host            `json:"hosts,omitempty"`
	// Environment are the names of its variables. Which of them it read cannot be seen: no
	// system call is made for it.
	Environment []string          `json:"environment,omitempty"`
	Listed      []mcprun.ToolName `json:"listed"` // the tools that are granted
	Called      []mcprun.ToolName `json:"called"` // of these
	Memory      int64             `json:"memory"` // bytes at most
	Pids        int64             `json:"pids"`   // processes and threads at most
	CPU         int64             `json:"cpu"`    // microseconds, of all runs
	Lost        int64             `json:"lost,omitempty"`
}

// Run is one time that a server was watched.
type Run struct {
	When  time.Time `json:"when"`
	Took  int64     `json:"tookMs"` // milliseconds
	Lines int       `json:"lines"`  // of what would be a line of a profile, that no run before had
}

// Call is a system call as a profile can tell it from others.
type Call struct {
	Call  string               `json:"call"`
	Where []profiles.Condition `json:"where,omitempty"`
	Args  string               `json:"args,omitempty"` // of the first, in words
	Why   string               `json:"why,omitempty"`  // of a refused one
	Counts
}

// Folder is where files were opened.
type Folder struct {
	folder
	Counts
}

type folder struct {
	Path  string `json:"path"`
	Write bool   `json:"write"`
}

// Watch collects one run. One goroutine may use it.
type Watch struct {
	arch    string
	never   []profiles.Forbidden // by policy.yaml
	called  bool                 // a tool was
	calls   map[string]*Call
	refused map[string]*Call
	folders map[folder]*Counts
	lost    int64
}

// NewWatch begins a run on a machine of kind goarch, in which the operator's ceilings hold.
func NewWatch(goarch string, never []profiles.Forbidden) *Watch {
	return &Watch{arch: goarch, never: never, calls: map[string]*Call{}, refused: map[string]*Call{}, folders: map[folder]*Counts{}}
}

// Decide says whether a call can be let through to be learned, and counts it. tools are
// those being called; none before the first.
func (w *Watch) Decide(call string, raw [6]uint64, tools []mcprun.ToolName) (profiles.Grant, error) {
	g, err := profiles.GrantFor(w.arch, call, raw)
	if err != nil {
		return profiles.Grant{}, err
	}
	for _, f := range w.never {
		if f.Is(call, raw) {
			g = profiles.Grant{Why: "policy.yaml lets no profile allow " + f.String()}
		}
	}
	if g.Answer != "" {
		return g, nil // every profile answers it so
	}
	w.called = w.called || len(tools) > 0
	into, key := w.calls, call+conditionsText(g.Where)
	if !g.OK {
		into, key = w.refused, call+"("+profiles.Arguments(call, raw)
	}
	c := into[key]
	if c == nil {
		if len(w.calls)+len(w.refused) >= maxLines {
			w.lost++
			return g, nil
		}
		c = &Call{Call: call, Where: g.Where, Args: profiles.Arguments(call, raw), Why: g.Why}
		into[key] = c
	}
	c.note(w.called, tools)
	return g, nil
}

// Opened notes where a file was opened, while these tools were being called.
func (w *Watch) Opened(path string, write bool, tools []mcprun.ToolName) {
	f := folder{Path: folderOf(path), Write: write}
	if w.folders[f] == nil {
		if len(w.folders) >= maxFolders {
			return
		}
		w.folders[f] = &Counts{}
	}
	w.folders[f].note(w.called, tools)
}

// folderOf keeps as much of a path as tells what it is about, and not what is in it: names
// of files can be private.
func folderOf(path string) string {
	if !strings.HasPrefix(path, "/") {
		return "the folder that it was in"
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) <= 1 {
		return "/"
	}
	return "/" + parts[0]
}

// Result is what the run has seen, for the rest to be filled in by who knows it.
func (w *Watch) Result() Seen {
	s := Seen{Version: Version, Arch: w.arch, Lost: w.lost}
	for _, c := range w.calls {
		s.Calls = append(s.Calls, *c)
	}
	for _, c := range w.refused {
		s.Refused = append(s.Refused, *c)
	}
	for f, n := range w.folders {
		s.Folders = append(s.Folders, Folder{f, *n})
	}
	s.sort()
	return s
}

func (s *Seen) sort() {
	for _, calls := range [][]Call{s.Calls, s.Refused} {
		slices.SortFunc(calls, func(a, b Call) int { return cmp.Or(cmp.Compare(a.key(), b.key()), cmp.Compare(a.Args, b.Args)) })
	}
	slices.SortFunc(s.Folders, func(a, b Folder) int { return cmp.Or(cmp.Compare(a.Path, b.Path), b2i(a.Write)-b2i(b.Write)) })
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (c Call) key() string { return c.Call + conditionsText(c.Where) }

func conditionsText(where []profiles.Condition) string {
	var b strings.Builder
	for _, c := range where {
		fmt.Fprintf(&b, " %d&%x", c.Arg, c.Mask)
		for _, v := range c.Any {
			fmt.Fprintf(&b, "=%x", v.Value)
		}
	}
	return b.String()
}

// Merge adds a run to what earlier ones have seen. Of another image nothing is kept: it is
// another server.
func Merge(old, run Seen) Seen {
	if old.Image != run.Image || old.Server != run.Server || old.Arch != run.Arch || old.Version != Version {
		old = Seen{}
	}
	out := run
	have := map[string]bool{}
	for _, c := range old.Calls {
		have[c.key()] = true
	}
	fresh := 0
	for _, c := range run.Calls {
		if !have[c.key()] {
			fresh++
		}
	}
	out.Runs = slices.Clone(old.Runs)
	for _, r := range run.Runs {
		r.Lines = fresh
		out.Runs = append(out.Runs, r)
	}
	out.Calls, out.Refused = mergeCalls(old.Calls, run.Calls), mergeCalls(old.Refused, run.Refused)
	out.Called = union(old.Called, run.Called)
	out.Memory, out.Pids, out.CPU, out.Lost = max(old.Memory, run.Memory), max(old.Pids, run.Pids), old.CPU+run.CPU, old.Lost+run.Lost
	out.Folders = mergeFolders(old.Folders, run.Folders)
	out.Hosts = mergeHosts(old.Hosts, run.Hosts)
	out.Environment = union(old.Environment, run.Environment)
	out.sort()
	return out
}

func mergeCalls(a, b []Call) []Call {
	all := map[string]Call{}
	for _, c := range slices.Concat(a, b) {
		key := c.key()
		if c.Why != "" {
			key += "(" + c.Args
		}
		have, ok := all[key]
		if !ok {
			c.Tools = maps.Clone(c.Tools)
			all[key] = c
			continue
		}
		have.add(c.Counts)
		all[key] = have
	}
	return slices.Collect(maps.Values(all))
}

func mergeFolders(a, b []Folder) []Folder {
	all := map[folder]Counts{}
	for _, f := range slices.Concat(a, b) {
		n := all[f.folder]
		n.add(f.Counts)
		all[f.folder] = n
	}
	var out []Folder
	for f, n := range all {
		out = append(out, Folder{f, n})
	}
	return out
}

func union[T cmp.Ordered](a, b []T) []T {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// Trust says in a sentence how far what was seen is all that the server does.
func (s Seen) Trust() string {
	quiet := 0
	for _, r := range slices.Backward(s.Runs) {
		if r.Lines > 0 {
			break
		}
		quiet++
	}
	text := fmt.Sprintf("%d of %d tools were called, in %d runs", len(s.Called), len(s.Listed), len(s.Runs))
	if len(s.Runs) == 1 {
		text = fmt.Sprintf("%d of %d tools were called, in one run", len(s.Called), len(s.Listed))
	}
	if quiet == 0 {
		return text + "; the last of them saw something new"
	}
	if quiet == 1 {
		return text + "; the last of them saw nothing new"
	}
	return text + fmt.Sprintf("; the last %d saw nothing new", quiet)
}
