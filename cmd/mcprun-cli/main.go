// Command mcprun-cli is the full client: it asks the daemon, prints and exits. Users
// type mcprun, which becomes this program for all that it does not do itself.
package main

import (
	"os"

	"github.com/mcprun/mcprun/internal/cli"
)

var version = "development" // set by the linker

func main() {
	app := &cli.App{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: version}
	os.Exit(app.Main(os.Args[1:]))
}
