package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/internal/cli/quick"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/web/view"
	"github.com/mcprun/mcprun/lock"
)

func (a *App) approvalsCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "approvals", Short: "list the calls that wait for a human", Args: cobra.NoArgs,
		Long: "List the calls that wait for a human, the one that expires first first. A call waits for 15 minutes; the same call made again is the same question.",
		RunE: func(*cobra.Command, []string) error {
			res, err := a.do(control.Request{Op: control.OpApprovals})
			if err != nil {
				return err
			}
			shown := []control.Approval{}
			for _, one := range res.Approvals {
				if all || one.State == "waiting" {
					shown = append(shown, one)
				}
			}
			return a.print(shown, func(w io.Writer) {
				slices.SortStableFunc(shown, func(x, y control.Approval) int { return x.Until.Compare(y.Until) })
				a.listApprovals(w, shown, all)
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "also those that were decided, used or have expired")
	c.AddCommand(a.showCommand(), a.enrollCommand(), a.confirmCommand(), a.removeCommand(), a.authenticatorsCommand(), a.pageCommand(), a.webhookCommand())
	return c
}

// maxReason is how much of a reason stands in the table; a terminal's width may ask for less.
const maxReason = 80

func (a *App) listApprovals(w io.Writer, list []control.Approval, all bool) {
	if len(list) == 0 {
		fmt.Fprintln(a.Err, "mcprun: no call waits")
		return
	}
	var rows strings.Builder
	tw := tabwriter.NewWriter(&rows, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ID\tLEFT\tWHO\tRISK\tCALL\tWHY")
	for _, one := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%s/%s\t%s\n", one.ID, left(one), one.Principal, one.Score, one.Server, lock.Visible(string(one.Tool)), firstReason(one))
	}
	tw.Flush()
	width := a.width()
	for line := range strings.Lines(rows.String()) {
		fmt.Fprintln(w, clipLine(strings.TrimRight(line, " \n"), width))
	}
	if !all || slices.ContainsFunc(list, func(one control.Approval) bool { return one.State == "waiting" }) {
		fmt.Fprintln(a.Err, "mcprun: hint: mcprun approvals show ID, then mcprun approve ID or mcprun deny ID --why '…'")
	}
}

// left is for how long a call still waits, or what became of it.
func left(one control.Approval) string {
	if one.State != "waiting" {
		return one.State
	}
	d := time.Until(one.Until)
	if d < time.Minute {
		return max(d, 0).Round(time.Second).String()
	}
	return fmt.Sprintf("%dm", int(d/time.Minute))
}

// firstReason is the weightiest part of the risk, with who said yes before it where more
// than one has to.
func firstReason(one control.Approval) string {
	why := one.Reason
	if len(one.Risks) > 0 {
		why = slices.MaxFunc(one.Risks, func(x, y control.RiskPart) int { return cmp.Compare(x.Points, y.Points) }).Why
	}
	if one.State == "waiting" && one.Needs > 1 {
		why = fmt.Sprintf("%d of %d said yes; %s", len(one.Yes), one.Needs, why)
	}
	r := []rune(lock.Visible(why))
	if len(r) > maxReason {
		return string(r[:maxReason]) + "…"
	}
	return string(r)
}

// width is that of the terminal; 0 where there is none.
func (a *App) width() int {
	f, ok := a.Out.(*os.File)
	if !ok {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return n
}

// clipLine cuts a line to a width, where there is one.
func clipLine(line string, width int) string {
	if width == 0 || utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-1]) + "…"
}

func (a *App) showCommand() *cobra.Command {
	var full bool
	c := &cobra.Command{
		Use: "show ID", Short: "show one call whole, as the approval page does", Args: cobra.ExactArgs(1),
		Long: "Print all that the approval page shows of one call: who asks, what makes its risk, what the model says, each argument with what would not show made visible, edits as diffs, what differs from the last call that was approved, and what a dry run answered.",
		RunE: func(_ *cobra.Command, args []string) error {
			res, err := a.do(control.Request{Op: control.OpApprovals})
			if err != nil {
				return err
			}
			at := slices.IndexFunc(res.Approvals, func(one control.Approval) bool { return one.ID == args[0] })
			if at < 0 {
				return &mcprun.Error{Class: mcprun.Usage, What: fmt.Sprintf("showing %q", args[0]), Err: approval.ErrUnknown, Hint: "mcprun approvals --all; older ones are in the record: mcprun explain ID"}
			}
			one := res.Approvals[at]
			return a.print(one, func(w io.Writer) {
				s := sheet{App: a, Writer: w, full: full}
				s.show(one, shownAs(res.Approvals, one))
			})
		},
	}
	c.Flags().BoolVar(&full, "full", false, "long arguments without folds")
	return c
}

// shownAs is how the page shows a call of a list that has the newest first.
func shownAs(list []control.Approval, one control.Approval) view.Call {
	var all []approval.Item
	for _, other := range list {
		all = append(all, itemOf(other))
	}
	i := itemOf(one)
	return view.Of(i, view.Last(all, i))
}

// itemOf is a call as it lies on the daemon's desk.
func itemOf(one control.Approval) approval.Item {
	i := approval.Item{
		Binding: approval.Binding{Principal: one.Principal, Server: one.Server, Tool: one.Tool, Image: one.Image, ToolDigest: one.ToolDigest, ArgsDigest: one.ArgsDigest},
		ID:      one.ID, Session: one.Session, Args: one.Arguments, Rule: one.Rule, Reason: one.Reason, Score: one.Score, Preview: one.Preview, Needs: one.Needs, Yes: one.Yes,
		Asked: one.Asked, Until: one.Until, By: one.By, Why: one.Why, Decided: one.Decided,
	}
	for s := approval.Waiting; s <= approval.Expired; s++ {
		if s.String() == one.State {
			i.State = s
		}
	}
	for _, r := range one.Risks {
		least, err := mcprun.ParseRisk(r.Least)
		if err != nil {
			least = mcprun.Block // a class of a later daemon
		}
		i.Risks = append(i.Risks, mcprun.Contribution{Name: r.Name, Points: r.Points, Least: least, Why: r.Why})
	}
	if one.Stated != nil {
		i.Stated = *one.Stated
	}
	return i
}

// sheet prints one call. What others wrote stands behind a mark at the beginning of each
// of its lines, so that it cannot pass for ours.
type sheet struct {
	*App
	io.Writer
	full   bool
	folded bool // something was
}

func (s *sheet) show(one control.Approval, c view.Call) {
	s.head(one, c)
	s.risk(one, c)
	if len(c.Stated) > 0 {
		fmt.Fprintln(s, "\nwhat the model says of it, its word alone:")
		for _, j := range c.Stated {
			s.named("  "+j.Of, "", j.Text)
		}
	}
	fmt.Fprintln(s, "\narguments:")
	if len(c.Rows) == 0 {
		fmt.Fprintln(s, "  none")
	}
	for _, r := range c.Rows {
		s.named("  "+s.text(r.Name), r.Note, r.Lines)
	}
	s.since(c.Since)
	if len(c.Preview) > 0 {
		fmt.Fprintln(s, "\nits dry run answered, before anybody decided:")
		s.lines(c.Preview)
	}
	s.next(one, c)
}

func (s *sheet) head(one control.Approval, c view.Call) {
	state := stateOf(one)
	if one.State == "waiting" {
		state += fmt.Sprintf(", %s left, until %s", left(one), one.Until.Local().Format(time.TimeOnly))
	}
	fmt.Fprintf(s, "%s  %s\n", one.ID, s.colour(stateColour(one.State), state))
	tw := tabwriter.NewWriter(s, 0, 0, 2, ' ', 0)
	row := func(k, format string, v ...any) { fmt.Fprintf(tw, "%s\t%s\n", k, fmt.Sprintf(format, v...)) }
	row("asked by", "%s %s", quick.PersonName(c.Principal), ago(one.Asked))
	row("session", "%s", s.text(c.Session))
	row("call", "%s of server %s", s.text(c.Tool), c.Server)
	for _, p := range one.Yes {
		row("said yes", "%s", quick.PersonName(p))
	}
	if one.By != "" && one.State != "waiting" {
		row("decided by", "%s", one.By)
	}
	if one.Why != "" {
		row("reason", "%s", lock.Visible(one.Why))
	}
	tw.Flush()
}

func (s *sheet) risk(one control.Approval, c view.Call) {
	fmt.Fprintf(s, "\nrisk %d: %s [%s]\n", c.Score, s.text(c.Why), c.Rule)
	tw := tabwriter.NewWriter(s, 0, 0, 2, ' ', 0)
	for _, r := range c.Reasons {
		least := ""
		if r.Class != "" {
			least = " (" + r.Class + " at least)"
		}
		fmt.Fprintf(tw, "%6d\t%s\t%s%s\n", r.Points, r.Name, s.text(r.Why), least)
	}
	tw.Flush()
}

func (s *sheet) since(d *view.Since) {
	if d == nil {
		return
	}
	fmt.Fprintf(s, "\nsince the last call of this tool that was approved (%s, %s, by %s):\n", d.ID, d.When.Local().Format(time.TimeOnly), d.By)
	if d.Other {
		fmt.Fprintln(s, "  the definition of the tool is another one")
	}
	if d.Same {
		fmt.Fprintln(s, "  the arguments are the same")
	}
	s.lines(d.Lines)
}

func (s *sheet) next(one control.Approval, c view.Call) {
	fmt.Fprintf(s, "\nan approval is for these arguments, this tool definition and this image alone:\n  args   %s\n  tool   %s\n  image  %s\n", c.ArgsDigest, c.ToolDigest, one.Image)
	if s.folded {
		fmt.Fprintln(s.Err, "mcprun: hint: without folds: mcprun approvals show "+one.ID+" --full")
	}
	switch one.State {
	case "waiting":
		fmt.Fprintf(s.Err, "mcprun: hint: mcprun approve %s (with --code and what your authenticator shows), or mcprun deny %s --why '…'\n", one.ID, one.ID)
	case "approved":
		fmt.Fprintf(s.Err, "mcprun: hint: the same call goes through once, until %s\n", one.Until.Local().Format(time.TimeOnly))
	}
}

// named prints lines under a name.
func (s *sheet) named(name, note string, lines []view.Line) {
	if note != "" {
		note = " (" + note + ")"
	}
	fmt.Fprintln(s, name+note)
	s.lines(lines)
}

func (s *sheet) lines(lines []view.Line) {
	for _, l := range lines {
		switch {
		case len(l.Fold) > 0 && s.full:
			s.lines(l.Fold)
		case len(l.Fold) > 0:
			s.folded = true
			fmt.Fprintln(s, s.colour(faint, "    … "+l.Label))
		default:
			mark := map[view.Kind]string{view.Same: "|", view.Old: s.colour(red, "-"), view.New: s.colour(green, "+"), view.More: ">"}[l.Kind]
			fmt.Fprintf(s, "    %s %s\n", mark, s.text(l.Pieces))
		}
	}
}

// text is a text with its marks.
func (s *sheet) text(pieces []view.Piece) string {
	var b strings.Builder
	for _, p := range pieces {
		if p.Mark {
			p.Text = s.colour(amber, p.Text)
		}
		b.WriteString(p.Text)
	}
	return b.String()
}
