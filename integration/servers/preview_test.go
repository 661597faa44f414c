package servers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A real server's dry run: who decides about an edit sees the diff that the server
// itself makes, the file is as it was until they say yes, and changed after it.
func TestPreview(t *testing.T) {
	o := newOffice(t)
	note := filepath.Join(o.d.Dir, "workspace", "note.txt")
	if err := os.WriteFile(note, []byte("milk\nbread\neggs\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(note, 0o666); err != nil {
		t.Fatal(err)
	}
	const tools = "profile: node\nfiles: [{from: ./workspace, to: /workspace, access: write}]\ntimeouts: {approval: 30s}\ntools:\n" +
		"  edit_file: {risk: high, preview: {arguments: {dryRun: true}}, arguments: {path: {path: {under: [/workspace]}}}}\n"
	o.d.Up("editor", "filesystem", tools)
	o.enroll()
	edit := func(from, to string) <-chan string {
		args, err := json.Marshal(map[string]any{"path": "/workspace/note.txt", "edits": []any{map[string]string{"oldText": from, "newText": to}}})
		if err != nil {
			t.Fatal(err)
		}
		out := make(chan string, 1)
		go func() {
			stdout, stderr, _ := o.d.Run("call", "editor", "edit_file", string(args))
			out <- stdout + stderr
		}()
		return out
	}
	shown := func() (preview string) {
		var list []struct{ Preview string }
		if err := json.Unmarshal([]byte(o.d.Must("approvals", "--json")), &list); err != nil || len(list) != 1 {
			t.Fatalf("%d calls wait: %v", len(list), err)
		}
		return list[0].Preview
	}
	answer := edit("bread", "cake")
	id := o.waiting()
	if got := shown(); !strings.Contains(got, "-bread") || !strings.Contains(got, "+cake") {
		t.Errorf("the preview: %q", got)
	}
	if got := o.d.Must("approvals", "show", id); !strings.Contains(got, "| +cake") {
		t.Errorf("on the terminal: %s", got)
	}
	if o.written() != "milk\nbread\neggs\n" {
		t.Fatalf("the dry run changed the file: %q", o.written())
	}
	o.d.Must("approve", id, "--code", o.code())
	if got := <-answer; !strings.Contains(got, "+cake") || o.written() != "milk\ncake\neggs\n" {
		t.Errorf("the approved edit: %s; the file: %q", got, o.written())
	}
	// An edit that cannot be made: the human sees why, and the call waits all the same.
	answer = edit("butter", "cake")
	id = o.waiting()
	if got := shown(); !strings.HasPrefix(got, "the preview failed: ") || !strings.Contains(got, "butter") {
		t.Errorf("of an edit that cannot be made: %q", got)
	}
	// It stands in the record, and is there after a crash.
	o.d.Crash()
	<-answer
	o.d.Start()
	if !o.d.Ready() {
		t.Fatal("the daemon does not start")
	}
	if got := shown(); !strings.HasPrefix(got, "the preview failed: ") {
		t.Errorf("after a crash: %q", got)
	}
	o.d.Must("deny", id)
	if got := o.d.Must("explain", id); !strings.Contains(got, "dry run | the preview failed: ") {
		t.Errorf("explained: %s", got)
	}
	record := o.d.Must("audit", "tail", "-n", "1000", "--json")
	if n := strings.Count(record, `"preview-of":"c-`); n != 4 {
		t.Errorf("%d records are of a dry run, want two and their two results", n)
	}
	if out := o.d.Must("policy", "replay", "editor.yaml"); !strings.Contains(out, "5 decisions come out the same, 0 differ") {
		t.Errorf("replayed: %s", out)
	}
}
