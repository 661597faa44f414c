package cli

import (
	"fmt"
	"github.com/spf13/cobra"
	"io"

	"github.com/mcprun/mcprun/internal/control"
)

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
		Long: "Approve a call that waits: once, for exactly what mcprun approvals show ID shows. If its client has given up waiting, the same call made again goes through.",
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
