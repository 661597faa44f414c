// Package crash shows that nothing is left behind, whatever happens: kills,
// crashes of the daemon at each of its steps, a daemon that does not answer.
package crash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// programs are the folders of programs that the tests need besides MCPRUN_BIN:
// crashing has a daemon with fail points, client has mcprun and mcprun-cli alone, so that
// "mcprun start" cannot start a daemon where the test has crashed one.
var programs struct{ crashing, client string }

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mcprun-crash-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if bin := os.Getenv("MCPRUN_BIN"); bin != "" {
		if err := prepare(dir, bin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

func prepare(dir, bin string) error {
	programs.crashing, programs.client = filepath.Join(dir, "crashing"), filepath.Join(dir, "client")
	for _, d := range []string{programs.crashing, programs.client} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"mcprun", "mcprun-cli"} {
		raw, err := os.ReadFile(filepath.Join(bin, name))
		if err != nil {
			return nil // the tests say what is missing
		}
		if err := os.WriteFile(filepath.Join(programs.client, name), raw, 0o755); err != nil {
			return err
		}
	}
	if path, ok := harness.Prebuilt("mcprund"); ok {
		return os.Symlink(path, filepath.Join(programs.crashing, "mcprund"))
	}
	build := exec.Command("go", "build", "-tags", "failpoints", "-o", filepath.Join(programs.crashing, "mcprund"), "github.com/mcprun/mcprun/cmd/mcprund")
	build.Stderr = os.Stderr
	return build.Run()
}

// prepared makes a daemon with the Go server locked, and nothing running.
func prepared(t *testing.T) *harness.Daemon {
	t.Helper()
	d := harness.New(t)
	d.Up("go", "gosdk", goTools)
	d.Must("stop", "go")
	return d
}

const goTools = "tools:\n  test_simple_text: {risk: low}\n"

func call(d *harness.Daemon) { d.Must("call", "go", "test_simple_text", "{}") }
