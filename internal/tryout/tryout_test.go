//go:build cgo

package tryout_test

import (
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/internal/tryout"
	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/profiles/bpf"
)

func filter(t *testing.T, profile string) tryout.Filter {
	t.Helper()
	p, err := profiles.Load(profile)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Seccomp(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	program, err := bpf.NewProgram(s)
	if err != nil {
		t.Fatal(err)
	}
	return tryout.Filter{Program: program.Filter, Newest: program.Newest()}
}

// A command does what the profile allows, is refused what it does not, and keeps its exit
// code. This process is not held itself.
func TestRun(t *testing.T) {
	execve, ok := profiles.Number("execve", runtime.GOARCH)
	if !ok {
		t.Fatal("execve has no number")
	}
	try := func(f tryout.Filter) (out string, refused []string, err error) {
		t.Helper()
		var b strings.Builder
		cmd := exec.Command("sh", "-c", "sync; echo went on; exit 3")
		cmd.Stdout, cmd.Stderr = &b, &b
		err = tryout.Run(cmd, f, execve, func(c tryout.Call) { refused = append(refused, profiles.NameOf(c.Number, runtime.GOARCH)) })
		return b.String(), refused, err
	}
	var exit *exec.ExitError
	out, refused, err := try(filter(t, "go"))
	if !strings.HasSuffix(out, "went on\n") || !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("%q, %v, %v", out, refused, err)
	}
	if got := strings.Join(refused, " "); !strings.Contains(got, "sync") {
		t.Errorf("refused %q", got)
	}
	if out, err := exec.Command("sh", "-c", "sync && echo free").Output(); string(out) != "free\n" || err != nil {
		t.Errorf("afterwards this process is held: %q, %v", out, err)
	}
	for _, f := range []tryout.Filter{{}, {Program: make([]byte, 7)}, {Program: make([]byte, 8*5000)}, {Program: make([]byte, 8)}} {
		if _, _, err := try(f); err == nil {
			t.Errorf("a filter of %d bytes was loaded", len(f.Program))
		}
	}
}
