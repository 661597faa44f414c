package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/limits/detect"
	"github.com/mcprun/mcprun/lock"
)

// What of the record counts, each beside what looks like it and does not.
func TestSeenIn(t *testing.T) {
	judged := map[string]string{"history": "{}"}
	for _, row := range []struct {
		name  string
		rec   audit.Record
		want  detect.Name
		times int
	}{
		{"nothing", audit.Record{}, "", 0},
		{"misuse", audit.Record{Type: audit.TypeEgress, Rule: "credential.misuse"}, detect.CredentialMisuse, 1},
		{"misuse again and again", audit.Record{Type: audit.TypeEgress, Rule: "credential.misuse", Detail: map[string]string{"left-out": "41"}}, detect.CredentialMisuse, 42},
		{"a count that is none", audit.Record{Type: audit.TypeEgress, Rule: "credential.misuse", Detail: map[string]string{"left-out": "-3"}}, detect.CredentialMisuse, 1},
		{"a count beyond all rules", audit.Record{Type: audit.TypeEgress, Rule: "credential.misuse", Detail: map[string]string{"left-out": "2000000000"}}, detect.CredentialMisuse, detect.MaxTimes + 1},
		{"a refused host", audit.Record{Type: audit.TypeEgress, Rule: "egress.host"}, detect.EgressDenied, 1},
		{"one that was allowed", audit.Record{Type: audit.TypeEgress, Rule: "egress.allowed", Verdict: mcprun.Allow}, "", 0},
		{"a limit", audit.Record{Type: audit.TypeEgress, Rule: "egress.limit"}, "", 0},
		{"what came after its own end", audit.Record{Type: audit.TypeEgress, Rule: "egress.killed"}, "", 0},
		{"a changed tool", audit.Record{Type: audit.TypeToolChange, Rule: "tool.changed"}, detect.ToolChanged, 1},
		{"one that never was as pinned", audit.Record{Type: audit.TypeToolChange, Rule: "tool.differs"}, "", 0},
		{"a result that does not fit", audit.Record{Type: audit.TypeResult, Rule: "result.invalid", Outcome: "withheld"}, detect.ResultInvalid, 1},
		{"one that is too long for what is left", audit.Record{Type: audit.TypeResult, Outcome: "withheld"}, "", 0},
		{"no message", audit.Record{Type: audit.TypeDrop, Rule: "protocol.violation"}, detect.ProtocolViolation, 1},
		{"a late reply", audit.Record{Type: audit.TypeDrop, Rule: "protocol.late"}, "", 0},
		{"what a client sent", audit.Record{Type: audit.TypeDrop}, "", 0},
		{"a crash", audit.Record{Type: audit.TypeStop, Outcome: "crashed"}, detect.ServerCrashed, 1},
		{"a system call that nobody may make", audit.Record{Type: audit.TypeSyscall, Rule: "seccomp.never", Detail: map[string]string{"times": "3"}}, detect.SyscallNever, 3},
		{"what node tries at each start", audit.Record{Type: audit.TypeSyscall, Rule: "seccomp.never", Detail: map[string]string{"times": "1", "call": "io_uring_setup"}}, "", 0},
		{"one that a profile could have", audit.Record{Type: audit.TypeSyscall, Rule: "seccomp.unnamed", Detail: map[string]string{"times": "3"}}, "", 0},
		{"a stop", audit.Record{Type: audit.TypeStop, Outcome: "ended"}, "", 0},
		{"a refused call", audit.Record{Type: audit.TypeRefuse, Rule: "schema.invalid", Detail: judged}, detect.CallRefused, 1},
		{"one of a tool that the server changed", audit.Record{Type: audit.TypeRefuse, Rule: "tool.changed", Detail: judged}, "", 0},
		{"a limit of calls", audit.Record{Type: audit.TypeRefuse, Rule: "limit.rate"}, "", 0},
		{"one that a switch refused", audit.Record{Type: audit.TypeRefuse, Rule: "killed"}, "", 0},
		{"a dry run", audit.Record{Type: audit.TypeRefuse, Rule: "rule", Detail: map[string]string{"history": "{}", "preview-of": "x"}}, "", 0},
		{"a call that waits", audit.Record{Type: audit.TypePending, Detail: judged}, "", 0},
		{"somebody at the socket", audit.Record{Type: audit.TypeAccessDenied, Rule: "access.denied"}, detect.AccessDenied, 1},
		{"somebody's browser at the page", audit.Record{Type: audit.TypeAccessDenied, Reason: "approval page: no"}, "", 0},
		{"a kill", audit.Record{Type: audit.TypeKill, Rule: "credential.misuse"}, "", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.rec.Server, row.rec.Tool, row.rec.Principal = "files", "read", "uid:7"
			e, ok := seenIn(&row.rec)
			if ok != (row.want != "") || e.Name != row.want || ok && e.Times != row.times {
				t.Fatalf("%+v, want %s %d times", e, row.want, row.times)
			}
			d, _ := detect.Find(e.Name)
			if ok && d.Levels[0] == detect.Principal != (e.Principal == "uid:7") {
				t.Errorf("what a server does is no client's fault, and the other way round: %+v", e)
			}
		})
	}
}

// Only what a pinned tool becomes while its server runs is a change: what was so at the
// start is withheld and known.
func TestChanged(t *testing.T) {
	file := func(tools ...string) *lock.File {
		f := &lock.File{}
		for i := 0; i < len(tools); i += 2 {
			f.Tools = append(f.Tools, lock.Tool{Name: mcprun.ToolName(tools[i]), Digest: mcprun.Digest(tools[i+1])})
		}
		return f
	}
	pinned := file("a", "1", "b", "1")
	for _, row := range []struct {
		name            string
		before, current *lock.File
		want            bool
	}{
		{"as pinned", pinned, pinned, false},
		{"it changed", pinned, file("a", "2", "b", "1"), true},
		{"it was so before", file("a", "2", "b", "1"), file("a", "2", "b", "1"), false},
		{"it changed once more", file("a", "2", "b", "1"), file("a", "3", "b", "1"), true},
		{"it is as pinned again", file("a", "2", "b", "1"), pinned, false},
		{"nobody knows what it was", nil, file("a", "2", "b", "1"), true},
		{"it was gone meanwhile", file("b", "1"), file("a", "2", "b", "1"), true},
		{"it is gone", pinned, file("b", "1"), false},
		{"one that was never pinned", pinned, file("a", "1", "b", "1", "c", "1"), false},
	} {
		if got := changed(pinned, row.before, row.current); got["a"] != row.want || len(got) > 1 {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

// A record that cannot be written is looked at all the same: who fills the disk must not
// be safe by that.
func TestUnwritableRecordCounts(t *testing.T) {
	dirs := []string{filepath.Join(t.TempDir(), "audit"), filepath.Join(t.TempDir(), "keys")}
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	log, err := audit.Open(dirs[0], audit.Options{KeyDir: dirs[1]})
	if err != nil {
		t.Fatal(err)
	}
	saw := 0
	w := &watchedRecord{log, func(*audit.Record) { saw++ }}
	for _, write := range []func(*audit.Record) error{w.Append, w.AppendDurable} {
		if err := write(&audit.Record{Type: audit.TypeNote}); err != nil {
			t.Fatal(err)
		}
	}
	log.Close()
	for _, write := range []func(*audit.Record) error{w.Append, w.AppendDurable} {
		if err := write(&audit.Record{Type: audit.TypeNote}); err == nil {
			t.Fatal("the control: it was written")
		}
	}
	if saw != 4 {
		t.Errorf("looked at %d of 4", saw)
	}
}
