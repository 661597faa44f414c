package cli

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/lock"
)

func (a *App) psCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ps", Short: "list the servers", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			res, err := a.do(control.Request{Op: control.OpList})
			if err != nil {
				return err
			}
			return a.print(res.Servers, func(w io.Writer) { a.showServers(w, res.Servers, res.Kills) })
		},
	}
}

func (a *App) showServers(w io.Writer, servers []control.ServerStatus, kills []string) {
	for _, k := range kills {
		fmt.Fprintf(a.Err, "mcprun: %s %s\n", a.colour(red, "killed:"), clipText(lock.Visible(k)))
	}
	if len(servers) == 0 {
		fmt.Fprintln(a.Err, "mcprun: no server is known to the daemon\nmcprun: hint: mcprun start server.yaml")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NAME\tSTATE\tSINCE\tTOOLS\tWITHHELD\tCLIENTS\tPROFILE\tIMAGE\tWHY")
	for _, s := range servers {
		since := "-"
		if !s.Since.IsZero() {
			since = time.Since(s.Since).Round(time.Second).String()
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%.80s\n", s.Name, s.State, since, s.Tools, s.Withheld, s.Clients, s.Profile, s.Image.Short(), s.Why)
	}
	tw.Flush()
	for _, s := range servers {
		if len(s.Held) > 0 {
			fmt.Fprintf(a.Err, "mcprun: %s holds secrets itself: %s\n", s.Name, strings.Join(s.Held, ", "))
		}
	}
}

func (a *App) inspectCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "inspect NAME", Short: "show what a server may do and what holds it", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name, err := nameOf(args[0])
			if err != nil {
				return err
			}
			if path != "" && !filepath.IsAbs(path) {
				return &mcprun.Error{Class: mcprun.Usage, What: "the path " + lock.Visible(path) + " is not absolute", Hint: "give it as the server has it: --path /workspace/a.txt"}
			}
			res, err := a.do(control.Request{Op: control.OpInspect, Server: name, Path: path})
			if err != nil {
				return err
			}
			if p := res.Inspect.Path; p != nil && !a.json {
				return a.showPath(p)
			}
			return a.print(res.Inspect, func(w io.Writer) { a.showInspection(w, res.Inspect) })
		},
	}
	cmd.Flags().StringVar(&path, "path", "", "say what the server finds at this `path` instead, and why it is not this machine's file")
	return cmd
}

// showPath says what a server finds at a path.
func (a *App) showPath(p *control.PathAnswer) error {
	fmt.Fprintf(a.Out, "%s: %s\n", lock.Visible(p.Path), lock.Visible(p.Says))
	if p.Hint != "" {
		fmt.Fprintf(a.Err, "mcprun: hint: %s\n", lock.Visible(p.Hint))
	}
	return nil
}

func (a *App) showInspection(w io.Writer, in *control.Inspection) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(k, format string, v ...any) { fmt.Fprintf(tw, "%s\t%s\n", k, fmt.Sprintf(format, v...)) }
	row("name", "%s", in.Name)
	row("state", "%s %s", in.State, in.Why)
	for _, l := range in.Labels {
		row("label", "%s", l)
	}
	row("file", "%s", in.File)
	row("image", "%s", in.Image)
	row("instance", "%s (pid %d on the host)", in.Instance, in.Pid)
	row("user", "1000 inside, host ids %s", in.HostIDs)
	row("network", "%s", in.Network)
	for _, r := range in.Egress {
		row("egress", "%s", r)
	}
	for _, c := range in.Secrets {
		row("credential", "%s", c)
	}
	row("seccomp", "profile %s: %d system calls allowed, %d filter instructions", in.Profile, in.Syscalls, in.Filter)
	if in.Landlock != "" {
		row("landlock", "%s", in.Landlock)
	}
	for _, e := range in.Enclosure {
		row("landlock", "%s", e)
	}
	row("capabilities", "none; no_new_privs; read-only root")
	for _, k := range slices.Sorted(maps.Keys(in.Resources)) {
		row("limit", "%s %s", k, in.Resources[k])
	}
	for _, u := range in.Uses {
		row("uses", "%s", useText(u))
	}
	if n := len(in.Denied); n > 0 {
		row("refused", "%s of system calls, see: mcprun profile denials %s", kinds(n), in.Name)
	}
	if in.Unseen != "" {
		row("refused", "not seen: %s", in.Unseen)
	}
	for _, m := range in.Mounts {
		row("mount", "%s", m)
	}
	row("clients", "%d connected, %d calls in flight", in.Clients, in.InFlight)
	for _, k := range in.Kills {
		row("killed", "%s", k)
	}
	for _, k := range in.ByItself {
		row("by itself", "%s", k)
	}
	for _, n := range in.Notes {
		row("note", "%s", n)
	}
	tw.Flush()
	if len(in.Policy) == 0 {
		return
	}
	fmt.Fprintln(w)
	tw = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TOOL\tRISK\tSTATE\tWHY")
	for _, t := range in.Policy {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", t.Tool, t.Risk, t.State, t.Why)
	}
	tw.Flush()
}

// useText is what a container uses of one limit.
func useText(u control.ContainerUse) string {
	text := fmt.Sprintf("%s %s of %s, %s at most", u.Limit, u.Now, u.Max, u.Peak)
	if u.Hits > 0 {
		text += fmt.Sprintf("; ran into it %d times (mcprun logs)", u.Hits)
	}
	return text
}

func (a *App) logsCommand() *cobra.Command {
	var lines int
	var follow bool
	cmd := &cobra.Command{
		Use: "logs NAME", Short: "show what a server wrote to its stderr", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name, err := nameOf(args[0])
			if err != nil {
				return err
			}
			_, err = a.do(control.Request{Op: control.OpLogs, Server: name, Lines: lines, Follow: follow})
			return err
		},
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", 100, "how many of the last lines")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	return cmd
}

func (a *App) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "show the versions of client, daemon and what they rest on", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			out := map[string]any{"client": a.Version}
			res, err := a.do(control.Request{Op: control.OpVersion})
			if err == nil {
				out["daemon"] = res.Version
			}
			return a.print(out, func(w io.Writer) {
				fmt.Fprintf(w, "mcprun      %s\n", a.Version)
				if err != nil {
					fmt.Fprintln(w, "mcprund     no daemon answers")
					return
				}
				fmt.Fprintf(w, "mcprund     %s (pid %d)\n", res.Version.Version, res.Version.Pid)
				for _, p := range slices.Sorted(maps.Keys(res.Version.Parts)) {
					fmt.Fprintf(w, "%-11s %s\n", p, res.Version.Parts[p])
				}
				fmt.Fprintf(w, "record      %s\n", res.Version.Audit)
			})
		},
	}
}
