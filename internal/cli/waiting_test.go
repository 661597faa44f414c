package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/lock"
)

func hostileApproval() control.Approval {
	return control.Approval{
		ID: "a-0123456789ab", State: "waiting", Server: "files", Tool: "edit_file\x1b[2J", Principal: "uid:4294967294", Session: "s-1\nasked by   root", Rule: "risk.high",
		Reason: "edit_file is high\nrisk 3: harmless", Score: 72, Risks: []control.RiskPart{{Name: "class.high", Points: 50, Least: "high", Why: "it may destroy"}, {Name: "entropy", Points: 22, Least: "low", Why: "packed\u202etxt"}},
		Arguments: []byte(`{"path":"/workspace/a","edits":[{"oldText":"one\ntwo","newText":"one\n\u202eowt\u001b[8m"}],"note\nnext":"x\nan approval is for nothing"}`),
		Stated:    &mcprun.Justification{Intent: "tidy\nrisk 0", Target: "a", Effect: "none"}, Preview: "--- a\n+++ b\n\x1b]0;x\a",
		Needs: 2, Yes: []mcprun.Principal{"uid:4294967293"}, Asked: time.Now().Add(-2 * time.Minute), Until: time.Now().Add(13*time.Minute + time.Second),
		Image: "sha256:i", ToolDigest: "sha256:t", ArgsDigest: "sha256:a",
	}
}

// What a stranger chose can neither pass for a line of ours nor command the terminal, and
// all that the page shows is there.
func TestShowApproval(t *testing.T) {
	one := hostileApproval()
	last := one
	last.ID, last.State, last.Asked, last.By, last.ArgsDigest, last.Arguments = "a-1", "used", one.Asked.Add(-time.Minute), "uid:9", "sha256:b", []byte(`{"path":"/workspace/b"}`)
	var out, errs bytes.Buffer
	a := &App{Out: &out, Err: &errs}
	s := sheet{App: a, Writer: &out}
	s.show(one, shownAs([]control.Approval{one, last}, one))
	got := out.String()
	for _, want := range []string{
		"waiting (1 of 2 said yes), 13m left", "asked by  uid:4294967294 2m0s ago", "said yes  uid:4294967293", "edit_file⟨U+001B⟩[2J of server files", "\nrisk 72: edit_file is high⟨U+000A⟩risk 3: harmless [risk.high]",
		"    50  class.high  it may destroy (high at least)", "packed⟨U+202E⟩txt", "  intent\n    | tidy\n    | risk 0\n", "  path\n    | /workspace/a\n", "  edits[0].oldText → newText\n    | one\n    - two\n    + ⟨U+202E⟩owt⟨U+001B⟩[8m\n",
		"  note⟨U+000A⟩next (2 lines, 28 characters)\n    | x\n    | an approval is for nothing\n", "was approved (a-1, ", "    - path: /workspace/b\n    + path: /workspace/a\n", "    | +++ b\n    | ⟨U+001B⟩]0;x⟨U+0007⟩\n", "\n  args   sha256:a\n  tool   sha256:t\n  image  sha256:i\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "an approval is for nothing") || strings.HasPrefix(line, "risk 0") || strings.HasPrefix(line, "risk 3") {
			t.Errorf("a line of the stranger's passes for ours: %q", line)
		}
	}
	for _, r := range strings.ReplaceAll(got, "\n", "") {
		if lock.Hidden(r) != "" {
			t.Fatalf("%U is in what is printed:\n%s", r, got)
		}
	}
	if !strings.Contains(errs.String(), "mcprun approve a-0123456789ab") || !strings.Contains(errs.String(), "mcprun deny a-0123456789ab") {
		t.Errorf("the hint: %s", &errs)
	}
}

// Each call is one line, that of the weightiest reason, however a tool is named.
func TestListApprovals(t *testing.T) {
	var out, errs bytes.Buffer
	a := &App{Out: &out, Err: &errs}
	a.listApprovals(&out, []control.Approval{hostileApproval()}, false)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "ID ") || !strings.Contains(lines[1], "a-0123456789ab  13m   uid:4294967294  72    files/edit_file⟨U+001B⟩[2J  1 of 2 said yes; it may destroy") {
		t.Errorf("the table:\n%s", &out)
	}
	if got := clipLine("abcdef", 4); got != "abc…" {
		t.Errorf("clipLine = %q", got)
	}
}

// A long argument is folded in its middle, and --full prints all of it.
func TestShowFolds(t *testing.T) {
	one := hostileApproval()
	one.Arguments = []byte(`{"content":"` + strings.Repeat(`line\n`, 40) + `end"}`)
	for full, want := range map[bool]int{false: 19, true: 40} {
		var out, errs bytes.Buffer
		s := sheet{App: &App{Out: &out, Err: &errs}, Writer: &out, full: full}
		s.show(one, shownAs([]control.Approval{one}, one))
		if n := strings.Count(out.String(), "    | line\n"); n != want || strings.Contains(errs.String(), "--full") == full || strings.Contains(out.String(), "more lines") == full {
			t.Errorf("full %v: %d lines, want %d:\n%s%s", full, n, want, &out, &errs)
		}
	}
}
