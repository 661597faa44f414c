package quick

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun/internal/control"
)

func (a *App) pauseCommand() *cobra.Command {
	return a.standCommand(control.OpPause, "pause NAME", "have a server stand still until it is resumed or killed", "stands still; go on: mcprun resume %[1]s, end it: mcprun kill %[1]s")
}

func (a *App) resumeCommand() *cobra.Command {
	return a.standCommand(control.OpResume, "resume NAME", "let a paused server go on", "goes on")
}

// standCommand is either of the two; says is what is told when it is done.
func (a *App) standCommand(op control.Op, use, short, says string) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name, err := a.NameOf(args[0])
			if err != nil {
				return err
			}
			res, err := a.Do(control.Request{Op: op, Server: name, Why: why})
			if err != nil {
				return err
			}
			return a.Print(res.Server, func(io.Writer) { fmt.Fprintf(a.Err, "mcprun: %[1]s "+says+"\n", name) })
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the record")
	return cmd
}
