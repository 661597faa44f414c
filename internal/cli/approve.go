package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/lock"
)

func (a *App) approvalsCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "approvals", Short: "list the calls that wait for a human", Args: cobra.NoArgs,
		Long: "List the calls that wait for a human, with what they ask for. A call waits for 15 minutes; the same call made again is the same question.",
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
			return a.print(shown, func(w io.Writer) { a.showApprovals(w, shown) })
		},
	}
	c.Flags().BoolVar(&all, "all", false, "also those that were decided, used or have expired")
	c.AddCommand(a.enrollCommand(), a.confirmCommand(), a.removeCommand(), a.authenticatorsCommand(), a.pageCommand(), a.webhookCommand())
	return c
}

func (a *App) pageCommand() *cobra.Command {
	return &cobra.Command{
		Use: "page", Short: "print an address that opens the approval page", Args: cobra.NoArgs,
		Long: "Print an address of the page on which calls that wait are shown as they come, and decided. It is good once, for two minutes, on this host.\nOn another host forward the same port: ssh -L 7787:localhost:7787 HOST.",
		RunE: func(*cobra.Command, []string) error {
			res, err := a.do(control.Request{Op: control.OpPage})
			if err != nil {
				return err
			}
			return a.print(map[string]string{"url": res.Page}, func(w io.Writer) { fmt.Fprintln(w, res.Page) })
		},
	}
}

func (a *App) webhookCommand() *cobra.Command {
	return &cobra.Command{
		Use: "webhook", Short: "send a trial message to approval.webhook", Args: cobra.NoArgs,
		Long: "Let the daemon send one message to the webhook that policy.yaml names, and say whether it arrived. How real ones fared is in mcprun policy show.",
		RunE: func(*cobra.Command, []string) error {
			if _, err := a.do(control.Request{Op: control.OpWebhook}); err != nil {
				return err
			}
			return a.print(map[string]bool{"delivered": true}, func(w io.Writer) { fmt.Fprintln(w, "the webhook took it") })
		},
	}
}

func (a *App) approveCommand() *cobra.Command {
	var code, why string
	c := &cobra.Command{
		Use: "approve ID", Short: "let one call through", Args: cobra.ExactArgs(1),
		Long: "Approve a call that waits: once, for exactly what mcprun approvals shows. If its client has given up waiting, the same call made again goes through.",
		RunE: func(_ *cobra.Command, args []string) error {
			return a.decide(control.Request{Op: control.OpDecide, ID: args[0], Yes: true, Code: code, Why: why})
		},
	}
	c.Flags().StringVar(&code, "code", "", "the `code` that your authenticator shows")
	c.Flags().StringVar(&why, "why", "", "the reason, for the record")
	return c
}

func (a *App) denyCommand() *cobra.Command {
	var why string
	c := &cobra.Command{
		Use: "deny ID", Short: "refuse one call", Args: cobra.ExactArgs(1),
		Long: "Refuse a call that waits. The client is told why; the same call stays refused until the question would have expired.",
		RunE: func(_ *cobra.Command, args []string) error {
			return a.decide(control.Request{Op: control.OpDecide, ID: args[0], Why: why})
		},
	}
	c.Flags().StringVar(&why, "why", "", "the reason, for the model and the record")
	return c
}

func (a *App) decide(req control.Request) error {
	res, err := a.do(req)
	if err != nil {
		return err
	}
	one := res.Approvals[0]
	return a.print(one, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s: %s/%s for %s\n", one.ID, stateOf(one), one.Server, one.Tool, one.Principal)
		if one.State == "waiting" {
			fmt.Fprintf(a.Err, "mcprun: it needs the yes of %d more\n", one.Needs-len(one.Yes))
		}
	})
}

func (a *App) showApprovals(w io.Writer, list []control.Approval) {
	if len(list) == 0 {
		fmt.Fprintln(a.Err, "mcprun: no call waits")
		return
	}
	for _, one := range list {
		fmt.Fprintf(w, "%s  %s  %s/%s  for %s, asked %s, until %s\n", one.ID, a.colour(stateColour(one.State), stateOf(one)), one.Server, one.Tool, one.Principal, ago(one.Asked), one.Until.Local().Format(time.TimeOnly))
		fmt.Fprintf(w, "    why    %s (%s)\n", lock.Visible(one.Reason), one.Rule)
		showArguments(w, one.Arguments)
		if j := one.Stated; j != nil {
			fmt.Fprintf(w, "    says   %s. It touches: %s. Afterwards: %s (the model's word)\n", lock.Visible(j.Intent), lock.Visible(j.Target), lock.Visible(j.Effect))
		}
		if one.Preview != "" {
			fmt.Fprintln(w, "    dry run, before anybody decided:")
			for line := range strings.Lines(one.Preview) {
				fmt.Fprintf(w, "      | %s\n", lock.Visible(strings.TrimRight(line, "\n")))
			}
		}
		if one.By != "" {
			fmt.Fprintf(w, "    by     %s %s\n", one.By, lock.Visible(one.Why))
		}
	}
	fmt.Fprintln(a.Err, "mcprun: hint: mcprun approve ID, or mcprun deny ID --why '…'")
}

// stateOf is a call's state as people read it: how many have said yes, where more than
// one has to.
func stateOf(one control.Approval) string {
	if one.State == "waiting" && one.Needs > 1 {
		return fmt.Sprintf("waiting (%d of %d said yes)", len(one.Yes), one.Needs)
	}
	return one.State
}

func stateColour(state string) string {
	switch state {
	case "waiting":
		return amber
	case "approved", "used":
		return green
	}
	return red
}

// maxShownValue is how much of one argument is shown; --json has all.
const maxShownValue = 2000

// showArguments prints each argument on lines of its own, invisible characters made
// visible: what is approved is what was read.
func showArguments(w io.Writer, args jsontext.Value) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer tw.Flush()
	for name, value := range members(args) {
		text := lock.Visible(string(value))
		if len(text) > maxShownValue {
			text = fmt.Sprintf("%s… (%d bytes in all; mcprun approvals --json shows them)", text[:maxShownValue], len(value))
		}
		fmt.Fprintf(tw, "    %s\t%s\n", lock.Visible(name), text)
	}
}

// members goes through a JSON object in its own order; what is none has no members.
func members(object jsontext.Value) func(yield func(string, jsontext.Value) bool) {
	return func(yield func(string, jsontext.Value) bool) {
		d := jsontext.NewDecoder(bytes.NewReader(object))
		if t, err := d.ReadToken(); err != nil || t.Kind() != jsontext.KindBeginObject {
			return
		}
		for d.PeekKind() == jsontext.KindString {
			name, err := d.ReadToken()
			if err != nil {
				return
			}
			key := name.String()
			value, err := d.ReadValue()
			if err != nil || !yield(key, value.Clone()) {
				return
			}
		}
	}
}
