package cli

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/profiles"
)

func (a *App) denialsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "denials NAME", Short: "show what a server was refused: system calls and ways out", Args: cobra.ExactArgs(1),
		Long: "Show each kind of system call that a server's profile refused since the daemon started: how often, by which program,\nduring a call of which tool, why, and what would allow it; then where it tried to go and was not let.\nMost programs go on without: look here when one does not work.",
		RunE: func(_ *cobra.Command, args []string) error {
			name, err := nameOf(args[0])
			if err != nil {
				return err
			}
			res, err := a.do(control.Request{Op: control.OpDenials, Server: name})
			if err != nil {
				return err
			}
			ways, err := a.do(control.Request{Op: control.OpEgress, Server: name})
			if err != nil {
				return err
			}
			all := refusals{res.Denials, refusedWays(ways.Egress.Destinations)}
			return a.print(all, func(w io.Writer) { a.showRefusals(w, all) })
		},
	}
}

// refusals are all that a server was refused below its tools.
type refusals struct {
	*control.Denials
	Egress []control.Destination `json:"egress"`
}

func refusedWays(all []control.Destination) []control.Destination {
	return slices.DeleteFunc(slices.Clone(all), func(d control.Destination) bool { return d.Allowed })
}

func (a *App) showRefusals(w io.Writer, r refusals) {
	if r.Unseen != "" {
		fmt.Fprintf(a.Err, "mcprun: %s; to see which ones %s is refused, start it with isolation: runc for the time\n", r.Unseen, r.Server)
	}
	switch {
	case r.Unseen != "" && len(r.Calls) == 0 && len(r.Egress) == 0:
		fmt.Fprintf(a.Err, "mcprun: %s was refused no way out since the daemon started\n", r.Server)
		return
	case len(r.Calls) == 0 && len(r.Egress) == 0:
		fmt.Fprintf(a.Err, "mcprun: %s was refused no system call and no way out since the daemon started\n", r.Server)
		return
	}
	if len(r.Calls) > 0 {
		a.showDenials(w, r.Denials)
	}
	if len(r.Egress) > 0 {
		a.showRefusedWays(w, r.Egress)
	}
}

func (a *App) showDenials(w io.Writer, d *control.Denials) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SYSTEM CALL\tTIMES\tPROGRAM\tDURING\tFIRST\tLAST\tCAN BE ALLOWED")
	for _, c := range d.Calls {
		can := "yes"
		if c.Add == "" {
			can = a.colour(red, "no")
		}
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", deniedCall(c), c.Count, orDash(programName(c.Program)), orDash(toolNames(c.Tools)), ago(c.First), ago(c.Last), can)
	}
	tw.Flush()
	for _, why := range deniedWhys(d.Calls) {
		fmt.Fprintln(w, why)
	}
	for _, why := range deniedCapabilities(d.Calls) {
		fmt.Fprintln(w, why)
	}
	if adds := deniedAdds(d.Calls); len(adds) > 0 {
		fmt.Fprintf(a.Err, "mcprun: hint: a program may try these and do without. Where it does not, %s\n", allowing(d, adds))
	}
}

// hintRefused says which system calls a profile refused while a call of a tool went wrong:
// the tool's own words for that are often about something else. It is silent where that
// is nobody's business who asks.
func (a *App) hintRefused(name mcprun.ServerName, tool mcprun.ToolName, since time.Time) {
	res, err := a.do(control.Request{Op: control.OpDenials, Server: name})
	if err != nil || res.Denials == nil {
		return
	}
	var calls []string
	for _, c := range res.Denials.Calls {
		if text := deniedCall(c); c.Last.After(since) && slices.Contains(c.Tools, tool) && !slices.Contains(calls, text) {
			calls = append(calls, text)
		}
	}
	if len(calls) > 0 {
		fmt.Fprintf(a.Err, "mcprun: hint: while it ran, profile %s refused %s: mcprun profile denials %s says what would allow that\n", res.Denials.Profile, strings.Join(clipList(calls), ", "), name)
	}
}

// clipList is the beginning of a list for one line.
func clipList(list []string) []string {
	const most = 4
	if len(list) > most {
		return append(slices.Clone(list[:most]), fmt.Sprintf("and %d more", len(list)-most))
	}
	return list
}

func (a *App) showRefusedWays(w io.Writer, ways []control.Destination) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "WAY OUT\tTIMES\tVIA\tFIRST\tLAST\tWHY NOT")
	for _, d := range ways {
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\t%s\n", destination(d), d.Count, orDash(d.Protocol), ago(d.First), ago(d.Last), d.Why)
	}
	tw.Flush()
	for _, lines := range suggestions(ways) {
		fmt.Fprintf(a.Err, "mcprun: hint: if it was wanted, add to server.yaml:\n%s\n", lines)
	}
}

// deniedCapabilities says of calls that need a capability why none is to be had, once for
// each capability.
func deniedCapabilities(calls []control.DeniedCall) []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range calls {
		needs := profiles.Needs(c.Call)
		if needs == "" || seen[needs] {
			continue
		}
		seen[needs] = true
		out = append(out, fmt.Sprintf("  %s: needs %s, and no server has a capability or can mount; folders are given by files in server.yaml", c.Call, needs))
	}
	return out
}

// deniedCall is a refused call as C writes it.
func deniedCall(c control.DeniedCall) string {
	if strings.Contains(c.Call, " ") { // no name, but words for what has none
		return c.Call
	}
	text := c.Call + "(" + c.Args
	if c.PointingTo != "" {
		if c.Args != "" {
			text += ", "
		}
		text += clipText(lock.Visible(c.PointingTo))
	}
	return text + ")"
}

// deniedWhys says once why each call is refused.
func deniedWhys(calls []control.DeniedCall) []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range calls {
		if !seen[c.Call] {
			seen[c.Call] = true
			out = append(out, fmt.Sprintf("  %s: %s", orDash(c.Call), lock.Visible(c.Why)))
		}
	}
	return out
}

// deniedAdds are the entries of an own profile that would allow what was refused, once each.
func deniedAdds(calls []control.DeniedCall) []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range calls {
		if c.Add != "" && !seen[c.Add] {
			seen[c.Add] = true
			out = append(out, c.Add)
		}
	}
	return out
}

// allowing says what to write for a server to be allowed these.
func allowing(d *control.Denials, adds []string) string {
	lines := "  " + strings.ReplaceAll(strings.TrimRight(strings.Join(adds, ""), "\n"), "\n", "\n  ")
	if d.File != "" {
		return fmt.Sprintf("put the lines that it needs into allow of %s, each with its reason:\n%s", d.File, lines)
	}
	file := "./" + string(d.Server) + "-profile.yaml"
	builtin := ""
	if d.Instead != "" {
		builtin = fmt.Sprintf("write in server.yaml: profile: %s, which allows all of them that can be; or, tighter, ", d.Instead)
	}
	return fmt.Sprintf(builtin+"write %s with the lines that it needs, each with its reason:\nversion: 1\nname: %s-own\nextends: %s\nallow:\n%s\nand in server.yaml: profile: %s\nThen: mcprun lock, and start it again", file, d.Server, d.Profile, lines, file)
}

func toolNames(tools []mcprun.ToolName) string {
	var out []string
	for _, t := range tools {
		out = append(out, string(t))
	}
	return strings.Join(out, " ")
}

// programName is the last part of a program's path.
func programName(p string) string {
	if p == "" {
		return ""
	}
	return lock.Visible(path.Base(p))
}

func kinds(n int) string {
	if n == 1 {
		return "1 kind"
	}
	return fmt.Sprintf("%d kinds", n)
}
