package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// docsCommand writes the man pages; make docs calls it.
func (a *App) docsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man FOLDER", Short: "write the man pages into a folder", Args: cobra.ExactArgs(1), Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true
			return doc.GenManTree(root, &doc.GenManHeader{Title: "MCPRUN", Section: "1", Source: "mcprun", Manual: "mcprun"}, args[0])
		},
	}
}
