package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
)

// limitsSetCommand changes limits of a container; those of calls stand in files.
func (a *App) limitsSetCommand() *cobra.Command {
	values := map[string]*string{}
	var why string
	cmd := &cobra.Command{
		Use: "set NAME", Short: "change memory, cpu or pids of a running server's container", Args: cobra.ExactArgs(1),
		Long:    "Change what the container of a running server may use, within the operator's ceilings, at once and until\nit ends: the next start goes by server.yaml again. Less memory than it uses is refused; fewer processes\nthan there are end none. It is recorded before it holds.",
		Example: "  mcprun limits set files --memory 1GiB --cpu 0.5 --pids 64",
		RunE: func(_ *cobra.Command, args []string) error {
			name, err := nameOf(args[0])
			if err != nil {
				return err
			}
			asked := map[string]string{}
			for key, v := range values {
				if *v != "" {
					asked[key] = *v
				}
			}
			if len(asked) == 0 {
				return &mcprun.Error{Class: mcprun.Usage, What: "say what to change", Hint: "--memory 1GiB, --cpu 0.5 or --pids 64"}
			}
			res, err := a.do(control.Request{Op: control.OpSetResources, Server: name, Resources: asked, Why: why})
			if err != nil {
				return err
			}
			return a.print(res.Resources, func(w io.Writer) { a.showResources(w, res.Resources) })
		},
	}
	for key, about := range map[string]string{"memory": "memory, as in 512MiB or 1GiB; tmpfs pages count", "cpu": "processors, as in 0.5", "pids": "processes and threads"} {
		values[key] = cmd.Flags().String(key, "", about)
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the record")
	return cmd
}

func (a *App) showResources(w io.Writer, c *control.ResourceChange) {
	var lines []string
	for _, ch := range c.Changes {
		fmt.Fprintf(w, "%s: %s was %s and is %s\n", c.Server, ch.Key, ch.Old, ch.New)
		lines = append(lines, ch.Key+": "+ch.New)
	}
	fmt.Fprintf(a.Err, "mcprun: it lasts until the server ends\nmcprun: hint: to keep it, write in %s: resources: {%s}\n", c.File, strings.Join(lines, ", "))
}
