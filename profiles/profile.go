// Package profiles holds the seccomp profiles that servers run under: data
// files in which every rule says why it is there, compiled purely to the form
// that an OCI runtime takes.
//
// A profile is an allowlist. What it does not name is answered with EPERM, a
// call of any other ABI of the same machine (i386, x32) kills the thread, and a
// fixed list of calls (data/never.json) can be in no profile at all.
//
// What it does NOT protect: a filter sees numbers, not what pointers lead to,
// so it decides nothing about paths, addresses or names; mounts, the network
// namespace and the daemon's proxy do. Allowed calls still run kernel code that
// may have bugs. A program may spend what it was granted: memory, processes and
// time are bounded by cgroups, not here. Nothing is enforced by this package;
// mcprun-init loads the filter, before it starts the server.
package profiles

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/mcprun/mcprun"
)

// Strict is the profile of a server that names none: the tightest.
const Strict = "strict"

// maxExtends bounds a chain of profiles that extend each other; the built-in
// ones are at most three long and an operator's file stands on top of one.
const maxExtends = 4

//go:embed data/*.json
var data embed.FS

// Profile is one checked allowlist. It is immutable and safe for concurrent
// use. The zero value allows nothing.
type Profile struct {
	name    string
	about   string
	extends string
	file    string // of an own profile
	own     bool
	part    bool
	rules   []Rule
	notes   []string
	denied  []Rule // what an own profile took out of the one that it extends
	digest  mcprun.Digest
	beside  string // what else an own profile gives a server
}

// Names lists the built-in profiles, sorted.
func Names() []string {
	return []string{"go", "node", "python", Strict}
}

// Load returns the built-in profile called name; the empty name is Strict.
func Load(name string) (*Profile, error) {
	if name == "" {
		name = Strict
	}
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("no built-in profile %q; there are %s", name, strings.Join(Names(), ", "))
	}
	once, _ := loaded.LoadOrStore(name, sync.OnceValues(func() (*Profile, error) { return loadBuiltin(name, maxExtends) }))
	return once.(func() (*Profile, error))()
}

// loaded keeps the built-in profiles, which are part of the program, once they were read:
// the ceilings ask for one at each connection, and to put it together takes a millisecond.
var loaded sync.Map // name → func() (*Profile, error)

// Parse reads an operator's own profile in the form of the built-in ones. It must extend
// one of them; a group with an answer denies, any other allows. manifest.ParseProfile
// reads all forms, with lines.
func Parse(raw []byte) (*Profile, error) {
	o, err := ParseJSON(raw)
	if err != nil {
		return nil, fmt.Errorf("reading profile: %w", err)
	}
	p, faults := o.Build()
	if err := faultsAsError(faults); err != nil {
		return nil, fmt.Errorf("profile %q: %w", o.Name, err)
	}
	return p, nil
}

func loadBuiltin(name string, depth int) (*Profile, error) {
	files, err := builtinFiles()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(files, name) {
		return nil, fmt.Errorf("no built-in profile %q", name)
	}
	raw, err := data.ReadFile("data/" + name + ".json")
	if err != nil {
		return nil, fmt.Errorf("reading built-in profile %s: %w", name, err)
	}
	f, err := decode(raw)
	if err != nil {
		return nil, fmt.Errorf("reading built-in profile %s: %w", name, err)
	}
	return build(f, depth)
}

// build puts the rules of f on top of those that it extends and checks the
// whole.
func build(f *file, depth int) (*Profile, error) {
	if depth == 0 {
		return nil, fmt.Errorf("profile %q: extends more than %d others", f.Name, maxExtends-1)
	}
	p := &Profile{name: f.Name, about: f.About, extends: f.Extends, part: f.Part}
	if f.Extends != "" {
		base, err := loadBuiltin(f.Extends, depth-1)
		if err != nil {
			return nil, fmt.Errorf("profile %q extends %q: %w", f.Name, f.Extends, err)
		}
		p.rules = append(p.rules, base.rules...)
	}
	own, err := f.rules()
	if err != nil {
		return nil, fmt.Errorf("profile %q: %w", f.Name, err)
	}
	p.rules = append(p.rules, own...)
	if err := checkRules(p.rules); err != nil {
		return nil, fmt.Errorf("profile %q: %w", f.Name, err)
	}
	if p.digest, err = digest(p); err != nil {
		return nil, fmt.Errorf("profile %q: %w", f.Name, err)
	}
	return p, nil
}

// builtinFiles names every built-in file with rules, the parts included.
func builtinFiles() ([]string, error) {
	paths, err := fs.Glob(data, "data/*.json")
	if err != nil {
		return nil, fmt.Errorf("listing built-in profiles: %w", err)
	}
	var names []string
	for _, p := range paths {
		name := strings.TrimSuffix(strings.TrimPrefix(p, "data/"), ".json")
		if name != "never" {
			names = append(names, name)
		}
	}
	return names, nil
}

// Name is what server.yaml calls the profile.
func (p *Profile) Name() string { return p.name }

// About says in a sentence whom the profile is for.
func (p *Profile) About() string { return p.about }

// Extends names the profile that this one stands on; empty if it stands by itself.
func (p *Profile) Extends() string { return p.extends }

// Own says whether the profile came from an operator's file.
func (p *Profile) Own() bool { return p.own }

// Beside is what an own profile gives a server beside system calls, as lines of
// server.yaml; "" for nothing.
func (p *Profile) Beside() string { return p.beside }

// Digest changes if and only if what is enforced does, Beside included: names, reasons,
// order and grouping do not count. It covers every architecture.
func (p *Profile) Digest() mcprun.Digest { return p.digest }

// Calls lists what the profile allows on goarch, with or without conditions,
// sorted.
func (p *Profile) Calls(goarch string) []string {
	var calls []string
	for _, r := range p.rules {
		if r.Verdict == mcprun.Allow && r.on(goarch) {
			calls = append(calls, r.Call)
		}
	}
	slices.Sort(calls)
	return slices.Compact(calls)
}

// Explain returns every rule about call, in the order of the files. None means
// that the call is refused.
func (p *Profile) Explain(call string) []Rule {
	var found []Rule
	for _, r := range p.rules {
		if r.Call == call {
			found = append(found, r.clone())
		}
	}
	return found
}

// Rules lists all rules of the profile on goarch, in the order of the files.
func (p *Profile) Rules(goarch string) []Rule {
	var out []Rule
	for _, r := range p.rules {
		if r.on(goarch) {
			out = append(out, r.clone())
		}
	}
	return out
}

// Denied lists what an own profile took out of the one that it extends.
func (p *Profile) Denied() []Rule {
	var out []Rule
	for _, r := range p.denied {
		out = append(out, r.clone())
	}
	return out
}

// File is where an own profile was read from.
func (p *Profile) File() string { return p.file }

// Notes say what an own profile's file has that has no effect.
func (p *Profile) Notes() []string { return slices.Clone(p.notes) }
