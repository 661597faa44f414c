package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/cli/quick"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/tighten"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles/learned"
)

const (
	// tightenDays is a week: what is done on its days is seen.
	tightenDays = 7
	// maxTightenDays keeps a wrong number from becoming another time; records are hardly
	// kept for longer.
	maxTightenDays = 3660
)

func (a *App) profileTightenCommand() *cobra.Command {
	days := tightenDays
	c := &cobra.Command{
		Use: "tighten NAME|SERVER.YAML", Short: "propose what can go from a server.yaml, by what was used", Args: cobra.ExactArgs(1),
		Long: "Read in the record what a server used in the last days, and name the lines of its server.yaml that can go or change: tools that were never called,\n" +
			"egress that nothing went through, memory and processes far above what was used at most. It changes nothing. What is used less often than that is\n" +
			"not seen: read what it proposes. System calls that a profile allows are not in the record; mcprun learn watches them.",
		RunE: func(_ *cobra.Command, args []string) error {
			if days < 1 || days > maxTightenDays {
				return &mcprun.Error{Class: mcprun.Usage, What: fmt.Sprintf("--days %d", days), Why: fmt.Sprintf("it is 1 to %d", maxTightenDays)}
			}
			out, err := a.tighten(args[0], time.Now().Add(-time.Duration(days)*24*time.Hour))
			if err != nil {
				return err
			}
			return a.print(out, func(w io.Writer) { a.showTightened(w, out, days) })
		},
	}
	c.Flags().IntVar(&days, "days", days, "how many `days` to look back")
	return c
}

// tightened is what profile tighten prints.
type tightened struct {
	Server  mcprun.ServerName `json:"server"`
	File    string            `json:"file"`
	Used    *tighten.Use      `json:"used"`
	Quiet   string            `json:"quiet,omitempty"` // why nothing is proposed
	Propose []proposed        `json:"propose"`
	Calls   proposedCalls     `json:"systemCalls"`
}

// proposed is one proposal with the lines that it is about.
type proposed struct {
	tighten.Item
	In string `json:"in"` // server.yaml, or the profile that says this of the server
	manifest.Lines
	Text []string `json:"text"` // these lines; none: server.yaml does not have the key
}

// proposedCalls is what is known of the profile: what was learned, if anything was.
type proposedCalls struct {
	Profile string   `json:"profile"`
	Learned string   `json:"learned,omitempty"` // the file with what was seen
	Trust   string   `json:"trust,omitempty"`
	Unseen  []string `json:"unseen"` // calls that the profile allows, and that no run saw
	Use     string   `json:"use,omitempty"`
}

func (a *App) tighten(arg string, since time.Time) (*tightened, error) {
	file, err := a.fileOf(arg)
	if err != nil {
		return nil, err
	}
	m, err := readServer(file)
	if err != nil {
		return nil, err
	}
	use, err := tighten.New(m.Server, since)
	if err != nil {
		return nil, err
	}
	if err := audit.Since(a.dirs.Audit(), since, func(e audit.Entry) error { use.Record(&e.Record); return nil }); err != nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: "reading the record", Err: err, Hint: "run as root; the record is in " + a.dirs.Audit()}
	}
	a.livePeaks(m.Name, use)
	out := &tightened{Server: m.Name, File: file, Used: use, Quiet: use.Quiet(), Propose: []proposed{}}
	own, profile := linesOf(file, m.raw), linesOf(m.Profile, m.profile)
	for _, item := range use.Propose() {
		from := own
		if slices.Contains(m.taken, topOf(item.Key)) {
			from = profile
		}
		out.Propose = append(out.Propose, from.about(item))
	}
	out.Calls, err = tightenCalls(m.Server, file)
	return out, err
}

// lined is a file that lines of are shown.
type lined struct {
	file string
	keys map[string]manifest.Lines
	text []string
}

func linesOf(file string, raw []byte) lined {
	return lined{file, manifest.ReadLines(raw), strings.Split(string(raw), "\n")}
}

// topOf is the outermost key that a key is below.
func topOf(key string) string {
	if i := strings.IndexAny(key, ".["); i >= 0 {
		return key[:i]
	}
	return key
}

// about finds the lines that a proposal is about.
func (l lined) about(item tighten.Item) proposed {
	p := proposed{Item: item, In: l.file}
	if at, ok := l.keys[item.Key]; ok && at.Last <= len(l.text) {
		p.Lines, p.Text = at, l.text[at.First-1:at.Last]
	} else { // it goes in there, if that is there
		p.Lines = l.keys[topOf(item.Key)]
	}
	return p
}

// fileOf finds the server.yaml of a server: the one that was given, or that it was
// started with, as the daemon knows or the record says.
func (a *App) fileOf(arg string) (string, error) {
	if quick.IsFile(arg) {
		return arg, nil
	}
	name, err := nameOf(arg)
	if err != nil {
		return "", err
	}
	if res, err := a.do(control.Request{Op: control.OpInspect, Server: name}); err == nil && res.Inspect.File != "" {
		return res.Inspect.File, nil
	}
	file := ""
	err = audit.Since(a.dirs.Audit(), time.Time{}, func(e audit.Entry) error {
		if r := &e.Record; r.Type == audit.TypeStart && r.Server == name && r.Detail["file"] != "" {
			file = r.Detail["file"]
		}
		return nil
	})
	if err != nil || file == "" {
		return "", &mcprun.Error{Class: mcprun.Failed, What: "finding the server.yaml of " + string(name), Why: "neither a daemon nor the record knows it", Err: err, Hint: "name the file itself, as root: mcprun profile tighten server.yaml"}
	}
	return file, nil
}

// livePeaks adds what a server that runs has used so far: its record comes with its end.
func (a *App) livePeaks(name mcprun.ServerName, use *tighten.Use) {
	res, err := a.do(control.Request{Op: control.OpInspect, Server: name})
	if err != nil {
		return
	}
	high := map[string]int64{}
	for _, u := range res.Inspect.Uses {
		high[u.Limit] = u.High
	}
	use.Peak(high["memory"], high["pids"])
}

// tightenCalls holds the profile against what runs of mcprun learn saw, where they are
// kept beside server.yaml.
func tightenCalls(m *manifest.Server, file string) (proposedCalls, error) {
	out := proposedCalls{Profile: m.Profile, Unseen: []string{}}
	seen, from, err := learnedBeside(m, file)
	if err != nil || from == "" {
		return out, err
	}
	p, _, err := ownProfile(m, file)
	if err == nil && p == nil {
		p, err = readProfile(m.Profile)
	}
	if err != nil {
		return out, err
	}
	out.Learned, out.Trust = from, seen.Trust()
	if out.Unseen, err = unseen(p, seen); err != nil {
		return out, err
	}
	if len(out.Unseen) > 0 {
		out.Use = "profile: ./" + strings.TrimSuffix(from[strings.LastIndex(from, "/")+1:], ".json") + ".yaml"
	}
	return out, nil
}

// unseen are the calls that a profile allows and that one made of what was seen would not.
func unseen(p interface{ Calls(string) []string }, seen learned.Seen) ([]string, error) {
	exact, err := exactly(seen)
	if err != nil {
		return nil, err
	}
	arch := seen.Arch
	if arch == "" {
		arch = thisArch()
	}
	known := map[string]bool{}
	for _, c := range exact.Calls(arch) {
		known[c] = true
	}
	out := []string{}
	for _, c := range p.Calls(arch) {
		if !known[c] {
			out = append(out, c)
		}
	}
	return out, nil
}

func (a *App) showTightened(w io.Writer, t *tightened, days int) {
	u := t.Used
	fmt.Fprintf(w, "%s in the last %s: %s, %s, %s out.\n", t.Server, count(days, "day"), count(u.Starts, "start"), count(u.Calls, "call"), count(u.Connections, "connection"))
	if begins := u.First.Sub(u.Since); !u.First.IsZero() && begins > 24*time.Hour {
		fmt.Fprintf(w, "Its record begins %s ago: what it needs less often is not in it.\n", agePlain(time.Since(u.First)))
	}
	switch {
	case t.Quiet != "":
		fmt.Fprintf(w, "Nothing is proposed: %s.\n", t.Quiet)
	case len(t.Propose) == 0:
		fmt.Fprintln(w, "All of its tools and rules were used, and no limit that is known of is far above it.")
	}
	for _, p := range t.Propose {
		word := a.colour(red, "can go")
		if p.To != "" {
			word = a.colour(amber, "can change")
		}
		at := p.In
		if p.First > 0 {
			at = fmt.Sprintf("%s:%d", at, p.First)
		}
		fmt.Fprintf(w, "\n%s %s: %s: %s\n", at, word, lock.Visible(p.What), p.Why)
		for _, line := range p.Text {
			fmt.Fprintln(w, a.colour(red, "- "+lock.Visible(line)))
		}
		if p.To != "" {
			fmt.Fprintln(w, a.colour(green, "+ "+lock.Visible(p.line())))
		}
	}
	fmt.Fprintln(w)
	if u.Peaks == 0 && t.Quiet == "" {
		fmt.Fprintln(w, "What it used at most of memory and processes is not known: no life of it has ended, and none runs.")
	}
	a.showTightenedCalls(w, t)
	fmt.Fprintln(w, "Nothing is known of folders and variables that it did not need. What it needs less often than this is not seen either.")
	if len(t.Propose) > 0 {
		fmt.Fprintf(a.Err, "mcprun: hint: nothing was changed; take out what you agree with, then: mcprun check %s\n", t.File)
	}
}

func (a *App) showTightenedCalls(w io.Writer, t *tightened) {
	c := t.Calls
	switch {
	case c.Learned == "":
		fmt.Fprintf(w, "System calls: those that profile %s allows are not in the record. To see which it makes: mcprun learn %s\n", c.Profile, t.File)
	case len(c.Unseen) == 0:
		fmt.Fprintf(w, "System calls: all that profile %s allows was seen, or goes with what was seen, when it was learned (%s).\n", c.Profile, c.Trust)
	default:
		fmt.Fprintf(w, "System calls: profile %s allows %s that no run of mcprun learn saw (%s): %s\n", c.Profile, count(len(c.Unseen), "call"), c.Trust, clipText(strings.Join(c.Unseen, " ")))
		fmt.Fprintf(w, "  what was learned instead: %s\n", c.Use)
	}
}

// line is what to write; of resources that the file does not have, with their key.
func (p proposed) line() string {
	if of, _, nested := strings.Cut(p.Key, "."); nested && of == "resources" && p.First == 0 {
		return "resources: {" + p.To + "}"
	}
	return p.To
}

// agePlain is a time in the unit that it is thought of in.
func agePlain(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < time.Hour:
		return count(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return count(int(d/time.Hour), "hour")
	}
	return count(int(d/(24*time.Hour)), "day")
}

// count is a number of things.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// learnedBeside is what runs of mcprun learn saw of a server, and the file that has it:
// beside the profile that server.yaml names, or where they are kept unless one says so.
func learnedBeside(m *manifest.Server, file string) (learned.Seen, string, error) {
	for _, path := range learnedPlaces(m, file) {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		seen, err := readSeen(path)
		if err == nil && (seen.Server != m.Name || len(seen.Runs) == 0) {
			continue // of something else
		}
		return seen, path, err
	}
	return learned.Seen{}, "", nil
}

func learnedPlaces(m *manifest.Server, file string) []string {
	dir := filepath.Dir(file)
	out := []string{filepath.Join(dir, string(m.Name)+"-learned.json")}
	if m.OwnProfile() && filepath.Ext(m.Profile) == ".yaml" {
		own := m.Profile
		if !filepath.IsAbs(own) {
			own = filepath.Join(dir, own)
		}
		out = append([]string{seenPath(own)}, out...)
	}
	return out
}
