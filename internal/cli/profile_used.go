package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/profiles/learned"
)

// usedDiff is what a profile and the use of a server differ in.
type usedDiff struct {
	Profile string            `json:"profile"`
	Server  mcprun.ServerName `json:"server"`
	Learned string            `json:"learned,omitempty"` // the file with what runs of mcprun learn saw; nothing: there were none
	Trust   string            `json:"trust,omitempty"`
	Changes []usedChange      `json:"changes"`
	Refused []learned.Call    `json:"refused"` // seen, and the profile would not let it through
	Denied  []deniedUnder     `json:"denied"`  // by the server's own profile since the daemon started
	Denier  string            `json:"denier,omitempty"`
	Silent  string            `json:"silent,omitempty"` // why it is not known what was denied

	seen learned.Seen
}

type usedChange struct {
	Call string      `json:"call"`
	Old  []shownRule `json:"old"` // the profile's
	New  []shownRule `json:"new"` // what was seen
	Seen int64       `json:"seen"`

	change profiles.Change
}

// deniedUnder is a call that was denied, with what the compared profile says of it.
type deniedUnder struct {
	control.DeniedCall
	Under string `json:"under"`
}

// profileDiffUsed compares a profile with what a server used: the exit code is 3 if it
// allows something else than was seen.
func (a *App) profileDiffUsed(profile, server string) error {
	p, err := readProfile(profile)
	if err != nil {
		return err
	}
	out, err := a.used(p, server)
	if err != nil {
		return err
	}
	if err := a.print(out, func(w io.Writer) { a.showUsed(w, p, out) }); err != nil {
		return err
	}
	if len(out.Changes) > 0 {
		return exitCode(mcprun.Denied.ExitCode())
	}
	return nil
}

func (a *App) used(p *profiles.Profile, server string) (*usedDiff, error) {
	file, err := a.fileOf(server)
	if err != nil {
		return nil, err
	}
	_, m, err := readManifest(file)
	if err != nil {
		return nil, err
	}
	out := &usedDiff{Profile: p.Name(), Server: m.Name, Changes: []usedChange{}, Refused: []learned.Call{}, Denied: []deniedUnder{}}
	if out.seen, out.Learned, err = learnedBeside(m, file); err != nil {
		return nil, err
	}
	if out.Learned != "" {
		out.Trust = out.seen.Trust()
		exact, err := exactly(out.seen)
		if err != nil {
			return nil, err
		}
		for _, c := range out.seen.Compare(p, exact) {
			out.Changes = append(out.Changes, usedChange{c.Call, showRules(c.Old), showRules(c.New), out.seen.Times(c.Call), c})
		}
		out.Refused = append(out.Refused, out.seen.Refuses(p)...)
	}
	res, err := a.do(control.Request{Op: control.OpDenials, Server: m.Name})
	switch {
	case err != nil && out.Learned == "":
		return nil, &mcprun.Error{Class: mcprun.Failed, What: "comparing a profile with what " + string(m.Name) + " used", Why: "nothing was learned of it, and it is not known what was denied", Err: err, Hint: "mcprun learn " + file}
	case err != nil:
		out.Silent = err.Error()
		return out, nil
	}
	out.Denier = res.Denials.Profile
	for _, c := range res.Denials.Calls {
		out.Denied = append(out.Denied, deniedUnder{c, underProfile(p, c.Call, out.seen.Arch)})
	}
	return out, nil
}

// exactly is the profile that allows what was seen.
func exactly(seen learned.Seen) (*profiles.Profile, error) {
	p, err := manifest.ParseProfile("seen", []byte(seen.Propose("seen")))
	if err != nil {
		return nil, fmt.Errorf("what was learned is no profile: %w", err)
	}
	return p, nil
}

// underProfile says whether a profile allows a call at all.
func underProfile(p *profiles.Profile, call, arch string) string {
	if arch == "" {
		arch = thisArch()
	}
	j, err := p.Judge(call, nil, arch)
	switch {
	case err != nil || j.Outcome == profiles.Refused:
		return "no"
	case j.Outcome == profiles.Depends:
		return "for some arguments"
	}
	return "yes"
}

func (a *App) showUsed(w io.Writer, p *profiles.Profile, d *usedDiff) {
	never := d.neverSeen()
	for _, c := range d.Changes {
		if len(c.change.New) == 0 {
			continue
		}
		for _, r := range c.change.Old {
			if !hasRule(c.change.New, r) {
				fmt.Fprintln(w, a.colour(red, "- "+r.String())+a.colour(faint, "  (more than was seen)"))
			}
		}
		for _, r := range c.change.New {
			if !hasRule(c.change.Old, r) {
				fmt.Fprintln(w, a.colour(green, "+ "+r.String())+a.colour(faint, "  ("+d.seen.Reason(c.Call)+")"))
			}
		}
	}
	if len(never) > 0 {
		fmt.Fprintln(w, a.colour(red, "- never seen:"))
		for _, line := range wrap(never, usedColumns) {
			fmt.Fprintln(w, "    "+line)
		}
	}
	if d.Learned == "" {
		fmt.Fprintf(w, "What %s makes of what %s allows is not known: no run of mcprun learn is kept beside its server.yaml.\n", d.Server, p.Name())
	} else {
		a.showUsedSum(w, p, d)
	}
	a.showUsedDenied(w, p, d)
}

// usedColumns is as wide as lists of calls become: what a terminal has, with room for
// where they stand.
const usedColumns = 96

// neverSeen are the calls that the profile allows for nothing that was seen.
func (d *usedDiff) neverSeen() []string {
	var out []string
	for _, c := range d.Changes {
		if len(c.change.New) == 0 {
			out = append(out, c.Call)
		}
	}
	return out
}

// wrap puts words on lines of at most so many columns.
func wrap(words []string, columns int) []string {
	var out []string
	for _, word := range words {
		if n := len(out); n > 0 && len(out[n-1])+1+len(word) <= columns {
			out[n-1] += " " + word
		} else {
			out = append(out, word)
		}
	}
	return out
}

func (a *App) showUsedSum(w io.Writer, p *profiles.Profile, d *usedDiff) {
	fmt.Fprintf(w, "%s allows %s on %s, of which %d were never seen (%s).\n", p.Name(), count(len(p.Calls(d.seen.Arch)), "call"), d.seen.Arch, len(d.neverSeen()), d.Trust)
	if len(d.Refused) == 0 {
		fmt.Fprintf(w, "It lets through all that was seen.\n")
		return
	}
	var names []string
	for _, c := range d.Refused {
		if text := c.Call + "(" + lock.Visible(c.Args) + ")"; !slices.Contains(names, text) {
			names = append(names, text)
		}
	}
	fmt.Fprintf(w, "%s: %s\n", a.colour(red, "It would refuse what was seen"), clipText(strings.Join(names, " ")))
}

func (a *App) showUsedDenied(w io.Writer, p *profiles.Profile, d *usedDiff) {
	switch {
	case d.Silent != "":
		fmt.Fprintf(a.Err, "mcprun: what was denied is not known: %s\n", d.Silent)
		return
	case len(d.Denied) == 0:
		fmt.Fprintln(w, "Since the daemon started, nothing was denied.")
		return
	}
	fmt.Fprintf(w, "Since the daemon started, profile %s denied:\n", d.Denier)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "  SYSTEM CALL\tTIMES\tDURING\t%s ALLOWS IT\n", strings.ToUpper(p.Name()))
	for _, c := range d.Denied {
		fmt.Fprintf(tw, "  %s\t%d\t%s\t%s\n", deniedCall(c.DeniedCall), c.Count, orDash(toolNames(c.Tools)), c.Under)
	}
	tw.Flush()
	fmt.Fprintf(a.Err, "mcprun: hint: why each, and what would allow it: mcprun profile denials %s\n", d.Server)
}
