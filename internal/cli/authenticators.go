package cli

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun/internal/control"
)

func (a *App) enrollCommand() *cobra.Command {
	var passkey bool
	c := &cobra.Command{
		Use: "enroll", Short: "set up an authenticator of yours", Args: cobra.NoArgs,
		Long: "Make a secret for an authenticator that shows codes (TOTP) and print it once. It is of the user who asks, and counts only once it is confirmed: an agent may run as that user.\nWith --passkey print an address of the page on which a passkey is made instead.",
		RunE: func(*cobra.Command, []string) error {
			if passkey {
				return a.passkeyAddress()
			}
			res, err := a.do(control.Request{Op: control.OpEnroll})
			if err != nil {
				return err
			}
			one := res.Authenticators[0]
			return a.print(map[string]string{"url": res.Enrolled, "id": one.ID}, func(w io.Writer) {
				fmt.Fprintln(w, res.Enrolled)
				fmt.Fprintln(a.Err, "mcprun: hint: give it to your authenticator now (as a QR code, or its secret); it is not shown again")
				fmt.Fprintf(a.Err, "mcprun: hint: it counts once it is confirmed, within a day: as root, mcprun approvals confirm %s --new-code CODE, with what it shows then\n", one.ID)
			})
		},
	}
	c.Flags().BoolVar(&passkey, "passkey", false, "make a passkey, on the page")
	return c
}

// passkeyAddress prints one of the page that is about to make a passkey. The part behind
// # is for the page alone.
func (a *App) passkeyAddress() error {
	res, err := a.do(control.Request{Op: control.OpPage})
	if err != nil {
		return err
	}
	address := res.Page + "&passkey"
	return a.print(map[string]string{"url": address}, func(w io.Writer) {
		fmt.Fprintln(w, address)
		fmt.Fprintln(a.Err, "mcprun: hint: open it in a browser on this host within two minutes, and press Add a passkey; the page then says how to have it confirmed")
	})
}

func (a *App) confirmCommand() *cobra.Command {
	var code, newCode string
	c := &cobra.Command{
		Use: "confirm ID", Short: "have a new authenticator count", Args: cobra.ExactArgs(1),
		Long: "Have a new authenticator count. Root can, and who approves calls and has one that counts already. What the new one shows proves that it is the one that is meant.\nOf a passkey take the id from the screen on which it was made, not from the list: an agent that runs as its owner can make one, too.",
		RunE: func(_ *cobra.Command, args []string) error {
			res, err := a.do(control.Request{Op: control.OpConfirm, ID: args[0], Code: code, NewCode: newCode})
			if err != nil {
				return err
			}
			one := res.Authenticators[0]
			return a.print(one, func(w io.Writer) { fmt.Fprintf(w, "%s counts from now on: a %s of %s\n", one.ID, noun(one), one.Name) })
		},
	}
	c.Flags().StringVar(&newCode, "new-code", "", "the `code` that the new authenticator shows; a passkey has none")
	c.Flags().StringVar(&code, "code", "", "a `code` of your own one that counts already; root needs none")
	return c
}

func (a *App) removeCommand() *cobra.Command {
	var code string
	c := &cobra.Command{
		Use: "remove ID", Short: "have an authenticator count no more", Args: cobra.ExactArgs(1),
		Long: "Have an authenticator count no more, at once. Root can remove each, everybody their own: with a code, or without one as long as it does not count.\nAfter the last one approvals need no proof any more, unless policy.yaml asks for it (approval.proof).",
		RunE: func(_ *cobra.Command, args []string) error {
			res, err := a.do(control.Request{Op: control.OpRemove, ID: args[0], Code: code})
			if err != nil {
				return err
			}
			one := res.Authenticators[0]
			return a.print(one, func(w io.Writer) { fmt.Fprintf(w, "%s is removed: a %s of %s\n", one.ID, noun(one), one.Name) })
		},
	}
	c.Flags().StringVar(&code, "code", "", "a `code` of your own one that counts; root needs none")
	return c
}

func (a *App) authenticatorsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "authenticators", Short: "list the authenticators of those who approve calls", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			res, err := a.do(control.Request{Op: control.OpAuthenticators})
			if err != nil {
				return err
			}
			return a.print(res.Authenticators, func(w io.Writer) { a.showAuthenticators(w, res.Authenticators) })
		},
	}
}

func (a *App) showAuthenticators(w io.Writer, list []control.Authenticator) {
	if len(list) == 0 {
		fmt.Fprintln(a.Err, "mcprun: nobody has set up an authenticator\nmcprun: hint: mcprun approvals enroll")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ID\tOF\tKIND\tSTATE\tADDED\tUSED\tCONFIRMED BY")
	for _, one := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", one.ID, one.Name, noun(one), one.State, day(one.Added), day(one.Used), orDash(string(one.By)))
	}
	tw.Flush()
	for _, one := range list {
		if one.State == control.AuthenticatorWaits {
			fmt.Fprintf(a.Err, "mcprun: %s waits to be confirmed until %s and counts nothing till then\n", one.ID, one.Until.Local().Format("2006-01-02 15:04"))
		}
		if one.State == control.AuthenticatorCopied {
			fmt.Fprintf(a.Err, "mcprun: the counter of %s went back, so that somebody may have a copy of it: it counts no more\nmcprun: hint: mcprun approvals remove %s\n", one.ID, one.ID)
		}
	}
}

// noun is what an authenticator is: a passkey that devices share is worth what their
// account is.
func noun(one control.Authenticator) string {
	if one.Synced {
		return "synced " + one.Kind
	}
	return one.Kind
}

func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
