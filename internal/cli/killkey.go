package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun/internal/control"
)

func (a *App) killKeyCommand() *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use: "kill-key", Short: "make the key with which programs kill over HTTP", Args: cobra.NoArgs,
		Long: "Make a key in place of the one before, and print it. Whoever has it can kill, and nothing else: not look, not revive.",
		RunE: func(*cobra.Command, []string) error {
			res, err := a.do(control.Request{Op: control.OpKillKey, Remove: remove})
			if err != nil {
				return err
			}
			if remove {
				fmt.Fprintln(a.Err, "mcprun: no key is good any more")
				return nil
			}
			k := res.KillKey
			return a.print(k, func(w io.Writer) {
				fmt.Fprintln(w, k.Key)
				if k.URL == "" {
					fmt.Fprintln(a.Err, "mcprun: the daemon serves nothing over HTTP: start it with -web localhost:PORT")
					return
				}
				fmt.Fprintf(a.Err, "mcprun: it is in %s too, for root alone; any key before it is good no more\n", k.File)
				fmt.Fprintf(a.Err, "mcprun: hint: curl -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' -d '{\"target\":\"server@NAME\",\"why\":\"…\"}' %s\n", k.URL)
			})
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "remove it instead")
	return cmd
}
