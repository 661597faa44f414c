// Command mcprun is the client's small half: it connects and throws the switches
// itself, and becomes the full client, mcprun-cli beside it, for all else. So what
// is started often, and what must work at once, starts in a tenth of the time.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/cli/quick"
)

// full is the name of the full client's program.
const full = "mcprun-cli"

func main() {
	code, done := quick.Main(os.Stdin, os.Stdout, os.Stderr, os.Args[1:])
	if !done {
		json := slices.Contains(os.Args, "--json")
		app := quick.App{Out: os.Stdout, Err: os.Stderr, JSON: &json}
		code = app.Report(become())
	}
	os.Exit(code)
}

// become has this process go on as the full client, with its arguments, streams
// and terminal. It returns only if that fails.
func become() error {
	self, err := os.Executable() // where the kernel has it from, whatever PATH and arguments say
	if err != nil {
		return fmt.Errorf("finding the folder of the programs: %w", err)
	}
	path, err := beside(self)
	if err == nil {
		err = syscall.Exec(path, os.Args, os.Environ())
	}
	return &mcprun.Error{
		Class: mcprun.Failed, What: "starting " + full + " in " + filepath.Dir(self) + ", which has all commands but connect and the switches", Err: err,
		Hint: "install all programs of bin/ into one folder, or link to mcprun where it is: ln -s /path/to/bin/mcprun /usr/local/bin/",
	}
}

// beside finds the full client in this program's own folder, and nowhere else.
func beside(self string) (string, error) {
	path := filepath.Join(filepath.Dir(self), full)
	theirs, err := os.Stat(path)
	if err != nil {
		return "", errors.Unwrap(err)
	}
	ours, err := os.Stat(self)
	if err != nil {
		return "", err
	}
	if os.SameFile(ours, theirs) { // it would start itself for ever
		return "", errors.New("it is a link to mcprun")
	}
	return path, nil
}
