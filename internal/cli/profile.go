package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles"
)

func (a *App) profileCommand() *cobra.Command {
	c := &cobra.Command{Use: "profile", Short: "which system calls servers may make: read, explain, compare and check profiles"}
	c.AddCommand(a.profileListCommand(), a.profileShowCommand(), a.profileExplainCommand(), a.profileDiffCommand(), a.profileCheckCommand(), a.profileTestCommand(), a.denialsCommand(), a.profileTightenCommand())
	return c
}

const profileDocs = "docs/profiles.md shows how to write one"

// readProfile takes the name of a built-in profile or the path of an own one.
func readProfile(arg string) (*profiles.Profile, error) {
	if !isPath(arg) {
		p, err := profiles.Load(arg)
		if err != nil || arg == "" {
			return nil, &mcprun.Error{Class: mcprun.Usage, What: "reading a profile", Why: fmt.Sprintf("no built-in profile %q; there are %s", arg, strings.Join(profiles.Names(), ", ")), Hint: "mcprun profile list; a file of your own is a path: ./" + arg + ".yaml"}
		}
		return p, nil
	}
	raw, err := os.ReadFile(arg)
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "reading " + arg, Err: err, Hint: profileDocs}
	}
	p, err := manifest.ParseProfile(arg, raw)
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: "the profile has errors", Why: "\n" + err.Error(), Hint: profileDocs + "; what is known of a call: mcprun profile explain strict CALL"}
	}
	return p, nil
}

// ownProfile reads the profile in a file that a server.yaml names, as it is seen from
// there; nil where it names a built-in one.
func ownProfile(m *manifest.Server, path string) (*profiles.Profile, []byte, error) {
	if !m.OwnProfile() {
		return nil, nil, nil
	}
	return readOwnProfile(m.Profile, path)
}

// readOwnProfile reads the profile at file, as it is seen from the server.yaml at path.
func readOwnProfile(file, path string) (*profiles.Profile, []byte, error) {
	written := file
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(path), file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, &mcprun.Error{Class: mcprun.Usage, What: "reading the profile of " + path, Err: err, Hint: profileDocs + "; profile: " + written + " is seen from where server.yaml is"}
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, manifest.MaxSize+1))
	if err != nil {
		return nil, nil, &mcprun.Error{Class: mcprun.Usage, What: "reading the profile of " + path, Err: err}
	}
	p, err := manifest.ParseProfile(file, raw)
	if err != nil {
		return nil, nil, &mcprun.Error{Class: mcprun.Usage, What: "the profile has errors", Why: "\n" + err.Error(), Hint: "mcprun profile check " + file}
	}
	return p, raw, nil
}

// isPath tells a file from a name: names have neither slash nor dot.
func isPath(arg string) bool { return strings.ContainsAny(arg, "/.") }

// archFlag adds --arch; without it a profile is shown for this machine.
func archFlag(c *cobra.Command, arch *string) {
	c.Flags().StringVar(arch, "arch", thisArch(), "for machines of this `kind`: "+strings.Join(profiles.Arches(), " or "))
}

// thisArch is this machine's kind, or the first that there are profiles for.
func thisArch() string {
	if here := goruntime.GOARCH; slices.Contains(profiles.Arches(), here) {
		return here
	}
	return profiles.Arches()[0]
}

func checkArch(arch string) error {
	if !slices.Contains(profiles.Arches(), arch) {
		return &mcprun.Error{Class: mcprun.Usage, What: fmt.Sprintf("no profiles for machines of kind %q", arch), Hint: "--arch " + strings.Join(profiles.Arches(), " or --arch ")}
	}
	return nil
}

// listed is one line of profile list.
type listed struct {
	Name    string              `json:"name"`
	Calls   int                 `json:"calls"`
	Extends string              `json:"extends,omitempty"`
	Digest  mcprun.Digest       `json:"digest"`
	Servers []mcprun.ServerName `json:"servers"`
	About   string              `json:"about"`
}

func (a *App) profileListCommand() *cobra.Command {
	var arch string
	c := &cobra.Command{
		Use: "list [FILE...]", Short: "list the built-in profiles, and own ones in files, with the servers that use them",
		Long: "List the built-in profiles and those in the files, with how many system calls each allows and, where a daemon answers, which servers use it.",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkArch(arch); err != nil {
				return err
			}
			users := a.profileUsers()
			var out []listed
			for _, arg := range append([]string{profiles.Strict, "go", "node", "python"}, args...) {
				p, err := readProfile(arg)
				if err != nil {
					return err
				}
				used := users[p.Name()]
				if used == nil {
					used = []mcprun.ServerName{}
				}
				out = append(out, listed{p.Name(), len(p.Calls(arch)), p.Extends(), p.Digest(), used, p.About()})
			}
			return a.print(out, func(w io.Writer) {
				tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(tw, "NAME\tCALLS\tEXTENDS\tSERVERS\tFOR")
				for _, l := range out {
					var servers []string
					for _, s := range l.Servers {
						servers = append(servers, string(s))
					}
					fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\n", l.Name, l.Calls, dash(l.Extends), dash(clipText(strings.Join(servers, " "))), clipText(lock.Visible(l.About)))
				}
				tw.Flush()
			})
		},
	}
	archFlag(c, &arch)
	return c
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// profileUsers asks which servers use which profile; where nobody answers, none are named.
func (a *App) profileUsers() map[string][]mcprun.ServerName {
	out := map[string][]mcprun.ServerName{}
	res, err := a.do(control.Request{Op: control.OpList})
	if err != nil {
		return out
	}
	for _, s := range res.Servers {
		out[s.Profile] = append(out[s.Profile], s.Name)
	}
	return out
}

func (a *App) profileCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "read an own profile: all errors at once, with line and fix", Args: cobra.ExactArgs(1),
		Long: "Read a profile of your own without putting it in force, and say what is wrong with it: names that are no system calls, grants without a reason,\ngrants that nobody can be given, and what does not compile. What is worth a look is said as well. The exit code is 2 if there are errors.",
		RunE: func(_ *cobra.Command, args []string) error {
			if !isPath(args[0]) && slices.Contains(profiles.Names(), args[0]) {
				return &mcprun.Error{Class: mcprun.Usage, What: args[0] + " is a built-in profile, which is checked already", Hint: "mcprun profile show " + args[0]}
			}
			p, err := readProfile(args[0])
			if err != nil {
				return err
			}
			changes, err := againstBase(p)
			if err != nil {
				return err
			}
			return a.print(checked{p.Name(), p.Extends(), p.Digest(), counts(p), changes}, func(w io.Writer) {
				fmt.Fprintf(w, "%s is valid: profile %s, %s\n", args[0], p.Name(), p.Digest())
				for _, arch := range profiles.Arches() {
					fmt.Fprintf(w, "  %s: %d calls allowed\n", arch, len(p.Calls(arch)))
				}
				for _, n := range changes {
					fmt.Fprintln(w, "  note:", n)
				}
				if isPath(args[0]) {
					fmt.Fprintf(a.Err, "mcprun: hint: what it changes, call by call: mcprun profile diff %s %s\n", orStrict(p.Extends()), args[0])
				}
			})
		},
	}
}

type checked struct {
	Name    string         `json:"name"`
	Extends string         `json:"extends"`
	Digest  mcprun.Digest  `json:"digest"`
	Calls   map[string]int `json:"calls"`
	Notes   []string       `json:"notes"`
}

func counts(p *profiles.Profile) map[string]int {
	out := map[string]int{}
	for _, arch := range profiles.Arches() {
		out[arch] = len(p.Calls(arch))
	}
	return out
}

func orStrict(name string) string {
	if name == "" || name == profiles.Nothing {
		return profiles.Strict
	}
	return name
}

// againstBase says what is worth a look in an own profile: lines without an effect, and
// calls that mcprun-init and the runtime make before the server starts.
func againstBase(p *profiles.Profile) ([]string, error) {
	notes := append([]string{}, p.Notes()...)
	strict, err := profiles.Load(profiles.Strict)
	if err != nil {
		return nil, err
	}
	if p.Extends() == "" || p.Extends() == profiles.Nothing {
		var lacks []string
		for _, call := range strict.Calls(profiles.Arches()[0]) {
			if !slices.Contains(p.Calls(profiles.Arches()[0]), call) {
				lacks = append(lacks, call)
			}
		}
		if len(lacks) > 0 {
			notes = append(notes, fmt.Sprintf("it extends no profile, and strict, which is what starts a server at all, allows %d calls more: %s", len(lacks), clipText(strings.Join(lacks, " "))))
		}
		return notes, nil
	}
	base, err := profiles.Load(p.Extends())
	if err != nil {
		return nil, err
	}
	for _, r := range p.Denied() {
		switch {
		case len(r.Where) == 0 && len(base.Explain(r.Call)) == 0:
			notes = append(notes, fmt.Sprintf("line %d: %s refuses %s already", r.Line, p.Extends(), r.Call))
		case len(r.Where) == 0 && len(strict.Explain(r.Call)) > 0 && strict.Explain(r.Call)[0].Verdict == mcprun.Allow:
			notes = append(notes, fmt.Sprintf("line %d: %s is among what starts a server (strict): if it does not start, allow it again", r.Line, r.Call))
		}
	}
	return notes, nil
}

// errNoArgument is for ARG=VALUE without the sign.
var errNoArgument = errors.New("write ARGUMENT=VALUE, e.g. family=AF_NETLINK or 0=16")
