package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mcprun/mcprun/internal/cli/quick"
)

// The scripts in testdata run the real main; each begins with what it pins.
func TestMain(m *testing.M) {
	full := func() {
		app := &App{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: "test"}
		os.Exit(app.Main(os.Args[1:]))
	}
	testscript.Main(m, map[string]func(){
		"mcprun": func() {
			code, done := quick.Main(os.Stdin, os.Stdout, os.Stderr, os.Args[1:])
			if !done {
				full()
			}
			os.Exit(code)
		},
		"mcprun-cli": full,
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("MCPRUN_RUN", filepath.Join(e.WorkDir, "run"))
			e.Setenv("MCPRUN_DATA", filepath.Join(e.WorkDir, "data"))
			return nil
		},
	})
}
