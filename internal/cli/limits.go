package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun/internal/cli/quick"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/lock"
)

// limitsEvery is how often a live view is drawn anew.
const limitsEvery = time.Second

func (a *App) limitsCommand() *cobra.Command {
	var live bool
	cmd := &cobra.Command{
		Use: "limits [NAME]", Short: "show what was used of every limit", Args: cobra.MaximumNArgs(1),
		Long: "Show the limits of all servers, or of one, and what was used of each: calls, places, budgets.\nA budget begins anew with its hour, day or month, in UTC.",
		RunE: func(cmd *cobra.Command, args []string) error {
			req := control.Request{Op: control.OpLimits}
			if len(args) > 0 {
				name, err := nameOf(args[0])
				if err != nil {
					return err
				}
				req.Server = name
			}
			for {
				res, err := a.do(req)
				if err != nil {
					return err
				}
				if live && a.onTerminal() {
					fmt.Fprint(a.Out, "\x1b[H\x1b[2J") // to the top, and all clear
				}
				if err := a.print(res.Limits, func(w io.Writer) { a.showLimits(w, res.Limits) }); err != nil || !live {
					return err
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(limitsEvery):
				}
			}
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "draw it anew every second until interrupted")
	cmd.AddCommand(a.limitsResetCommand(), a.limitsSetCommand())
	return cmd
}

func (a *App) limitsResetCommand() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "reset NAME[/TOOL]", Short: "give back what a server, or one tool of it, has used", Args: cobra.ExactArgs(1),
		Long: "Give back what was used of all budgets and rates of a server, or of one tool of it. Those of principals and of all servers together stay. It is recorded, with the reason.",
		RunE: func(_ *cobra.Command, args []string) error {
			req, err := new(quick.Targets).Request(control.Request{Op: control.OpResetLimits, Why: why}, args)
			if err != nil {
				return err
			}
			if _, err := a.do(req); err != nil {
				return err
			}
			return a.print(struct {
				Reset string `json:"reset"`
			}{args[0]}, func(io.Writer) { fmt.Fprintf(a.Err, "mcprun: %s begins anew\n", args[0]) })
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the record")
	return cmd
}

func (a *App) showLimits(w io.Writer, rows []control.Limit) {
	if len(rows) == 0 {
		fmt.Fprintln(a.Err, "mcprun: no server has started\nmcprun: hint: mcprun start server.yaml")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	scope := ""
	for _, r := range rows {
		if r.Scope != scope {
			scope = r.Scope
			fmt.Fprintf(tw, "%s\n", lock.Visible(scope))
		}
		frees := ""
		if !r.Frees.IsZero() {
			frees = "anew in " + until(r.Frees)
		}
		fmt.Fprintf(tw, "  %s\t%s\t%3.0f%%\t%s of %s\t%s\n", r.Kind, a.bar(r.Share), r.Share*100, r.Used, r.Limit, frees)
	}
	tw.Flush()
}

// barWidth is what fits beside the words on 80 columns.
const barWidth = 20

// bar draws a share; its colour says what the number beside it says too. All codes have
// the same length, so that columns stay in line.
func (a *App) bar(share float64) string {
	full := min(barWidth, int(share*barWidth))
	if share > 0 && full == 0 {
		full = 1
	}
	colour := green
	switch {
	case share >= 1:
		colour = red
	case share >= 0.8:
		colour = amber
	}
	return a.colour(colour, strings.Repeat("█", full)+strings.Repeat("░", barWidth-full))
}

// until is a time to come as people read it.
func until(t time.Time) string {
	d := time.Until(t)
	switch {
	case d <= time.Second:
		return "1s"
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
