package cli

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/lock"
)

func (a *App) drillCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "drill", Short: "try what has to work when it is needed"}
	cmd.AddCommand(a.drillKill())
	return cmd
}

func (a *App) drillKill() *cobra.Command {
	var rounds, servers int
	var why string
	cmd := &cobra.Command{
		Use: "kill", Short: "kill a decoy in every way, and measure how long it takes", Args: cobra.NoArgs,
		Long: "Start a decoy server, have it hold calls, connections, processes and memory, and kill it in every way that harms\nno other server. Each step is held against what is aimed at, and the figures go into the record.\nNothing of it is left. Exit code 1 if an aim was missed.",
		RunE: func(*cobra.Command, []string) error {
			r, err := a.askDrill(control.Request{Op: control.OpDrill, Rounds: rounds, Servers: servers, Why: why})
			if err != nil {
				return err
			}
			if err := a.print(r, func(w io.Writer) { a.showDrill(w, r) }); err != nil {
				return err
			}
			if r.Missed > 0 {
				fmt.Fprintf(a.Err, "mcprun: %d of %d aims were missed\nmcprun: hint: try again when the host is less busy; what runs on it: mcprun ps\n", r.Missed, r.Aims)
				return exitCode(mcprun.Failed.ExitCode())
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&rounds, "rounds", 0, "how often each kill is made, up to 200 (default 5)")
	cmd.Flags().IntVar(&servers, "servers", 0, "kill so many servers at once too, up to 50")
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the record")
	return cmd
}

// askDrill waits for the daemon to clean up also where it is interrupted.
func (a *App) askDrill(req control.Request) (*control.Drill, error) {
	c, err := control.Dial(a.dirs.Socket())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		fmt.Fprintln(a.Err, "mcprun: interrupted; the decoy is being removed")
		c.CloseWrite()
		signal.Reset() // once more ends the wait; the daemon goes on with it
	}()
	res, err := c.Do(req, a.events())
	if err != nil {
		return nil, err
	}
	return res.Drill, nil
}

// drillColumns are what the table shows; --json has every step.
var drillColumns = []struct{ title, step string }{
	{"HEARD", "heard"}, {"DENY", "deny"}, {"CALLS TOLD", "calls told"}, {"WAYS OUT CUT", "ways out cut"}, {"PROCESSES GONE", "processes gone"}, {"ALL OF IT", "revoked"},
}

// cell is one figure of the table; met and missed say it in words, and in colour.
type cell struct{ text, colour string }

func (a *App) showDrill(w io.Writer, r *control.Drill) {
	rows := [][]cell{{{text: "KILLED"}, {text: "BY"}, {text: "DOING"}}}
	for _, c := range drillColumns {
		rows[0] = append(rows[0], cell{text: c.title})
	}
	for _, k := range r.Kills {
		row := []cell{{text: k.Target}, {text: k.Way}, {text: k.Load}}
		for _, c := range drillColumns {
			row = append(row, figureCell(k, c.step))
		}
		rows = append(rows, row)
	}
	a.showCells(w, rows)
	fmt.Fprintf(w, "\nmilliseconds since the switch was thrown (deny: since the daemon heard of it), median / p99, against the (aim); rounds: %d\n", r.Rounds)
	fmt.Fprintf(w, "of fewer than 100 rounds the p99 is the slowest; each kill found %d calls in flight, %s\n", drillCalls(r), outward(r))
	for _, k := range r.Kills {
		for _, f := range k.Faults {
			fmt.Fprintf(w, "%s %s by %s, %s: %s\n", a.colour(red, "FAULT"), k.Target, k.Way, k.Load, clipText(lock.Visible(f)))
		}
	}
	if f := r.Revoked; f != nil {
		fmt.Fprintf(w, "median time to revoke: %s ms; the slowest of %d kills %s ms\n", number(f.MedianMS), f.N, number(f.SlowMS))
	}
	if r.Missed == 0 {
		fmt.Fprintf(w, "%s: %d of %d aims\n", a.colour(green, "met"), r.Aims, r.Aims)
	} else {
		fmt.Fprintf(w, "%s: %d of %d aims\n", a.colour(red, "MISSED"), r.Missed, r.Aims)
	}
	fmt.Fprintln(w, "\nnot tried:")
	for _, n := range r.NotTried {
		fmt.Fprintf(w, "  %s: %s; %s\n", n.Way, n.Why, n.How)
	}
}

func outward(r *control.Drill) string {
	if len(r.Kills) == 0 || r.Kills[0].Outward == 0 {
		return "and no way out that was open"
	}
	return fmt.Sprintf("and %d open ways out", r.Kills[0].Outward)
}

func drillCalls(r *control.Drill) int {
	if len(r.Kills) == 0 {
		return 0
	}
	return r.Kills[0].Calls
}

func figureCell(k control.DrillKill, step string) cell {
	for _, f := range k.Figures {
		if f.Step != step {
			continue
		}
		c := cell{text: number(f.MedianMS) + " / " + number(f.P99MS)}
		if f.AimMS > 0 {
			c.text += fmt.Sprintf(" (%g)", f.AimMS)
			c.colour = green
		}
		if !f.Met {
			c.text, c.colour = c.text+" MISSED", red
		}
		return c
	}
	return cell{text: "-"}
}

// number has as many digits as matter.
func number(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.2f", ms)
	}
	return fmt.Sprintf("%.1f", ms)
}

// showCells prints a table whose colours do not move its columns.
func (a *App) showCells(w io.Writer, rows [][]cell) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			text := c.text
			if c.colour != "" {
				text = a.colour(c.colour, text)
			}
			line.WriteString(text + strings.Repeat(" ", width[i]-utf8.RuneCountInString(c.text)+2))
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}
