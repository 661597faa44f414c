package cli

import (
	"fmt"
	"io"
	"net"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/lock"
)

func (a *App) egressCommand() *cobra.Command {
	return &cobra.Command{
		Use: "egress NAME", Short: "show where a server went and tried to go", Args: cobra.ExactArgs(1),
		Long: "Show every destination that a server reached or tried to reach since the daemon started, with counts and bytes.\nFor what was refused: why, and the lines of server.yaml that would allow it.",
		RunE: func(_ *cobra.Command, args []string) error {
			name, err := nameOf(args[0])
			if err != nil {
				return err
			}
			res, err := a.do(control.Request{Op: control.OpEgress, Server: name})
			if err != nil {
				return err
			}
			return a.print(res.Egress, func(w io.Writer) { a.showEgress(w, res.Egress) })
		},
	}
}

func (a *App) showEgress(w io.Writer, e *control.Egress) {
	if len(e.Rules) == 0 {
		fmt.Fprintf(a.Err, "mcprun: %s has no egress rule: it has no network\n", e.Server)
	}
	if len(e.Destinations) == 0 {
		fmt.Fprintln(a.Err, "mcprun: it has tried to reach nothing since the daemon started")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\tDESTINATION\tVIA\tTIMES\tSENT\tRECEIVED\tFIRST\tLAST\tWHY")
	for _, d := range e.Destinations {
		word := a.colour(red, "refused")
		if d.Allowed {
			word = a.colour(green, "allowed")
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", word, destination(d), d.Protocol, d.Count, bytesText(d.Sent), bytesText(d.Received), ago(d.First), ago(d.Last), d.Why)
	}
	tw.Flush()
	for _, lines := range suggestions(e.Destinations) {
		fmt.Fprintf(a.Err, "mcprun: hint: if it was wanted, add to server.yaml:\n%s\n", lines)
	}
}

// destination is a host and a port as people write them; a name that was only
// asked for has no port.
func destination(d control.Destination) string {
	host := lock.Visible(d.Host)
	if d.Port == 0 {
		return host
	}
	return net.JoinHostPort(host, fmt.Sprint(d.Port))
}

func ago(t time.Time) string { return time.Since(t).Round(time.Second).String() + " ago" }

// bytesText is a size as people read it.
func bytesText(n int64) string {
	const unit = 1024
	switch {
	case n == 0:
		return "-"
	case n < unit:
		return fmt.Sprintf("%d B", n)
	case n < unit*unit:
		return fmt.Sprintf("%.1f KiB", float64(n)/unit)
	case n < unit*unit*unit:
		return fmt.Sprintf("%.1f MiB", float64(n)/(unit*unit))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(unit*unit*unit))
}

// suggestions are the lines to add, each rule once under one egress key.
func suggestions(all []control.Destination) []string {
	var rules []string
	seen := map[string]bool{}
	for _, d := range all {
		_, lines, ok := strings.Cut(d.Add, "\n")
		if ok && !seen[lines] {
			seen[lines] = true
			rules = append(rules, lines)
		}
	}
	if len(rules) == 0 {
		return nil
	}
	return []string{"egress:\n" + strings.Join(rules, "\n")}
}
