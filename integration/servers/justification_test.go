package servers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// A real server whose tool may be called only with a reason: the client is told so in
// the schema, the human sees the reason, and the server, which refuses what it does
// not know, gets the call without it.
func TestJustification(t *testing.T) {
	d := harness.New(t)
	workspace := filepath.Join(d.Dir, "workspace")
	if err := os.MkdirAll(workspace, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(workspace, 0o777); err != nil {
		t.Fatal(err)
	}
	d.Up("files", "filesystem", "profile: node\nfiles: [{from: ./workspace, to: /workspace, access: write}]\ntimeouts: {approval: 1s}\n"+
		"tools:\n  create_directory: {risk: medium, justification: required}\n  write_file: {risk: high, justification: required}\n  list_directory: {risk: low}\n")
	c := start(t, d.Command("connect", "files"))
	tools := string(c.ask("tools/list", `{}`))
	if strings.Count(tools, `"_justification":{"type":"object"`) != 2 {
		t.Errorf("the tools that clients see: %s", tools)
	}
	const why = `"_justification":{"intent":"The user wants a folder for drafts","target":"/workspace/drafts","expected_effect":"There is one more folder, which is empty"}`
	bare := string(c.ask("tools/call", `{"name":"create_directory","arguments":{"path":"/workspace/drafts"}}`))
	if !strings.Contains(bare, "justification.missing") {
		t.Errorf("without a reason: %s", bare)
	}
	if _, err := os.Stat(filepath.Join(workspace, "drafts")); err == nil {
		t.Fatal("it was made without a reason")
	}
	if got := string(c.ask("tools/call", `{"name":"create_directory","arguments":{"path":"/workspace/drafts",`+why+`}}`)); !strings.Contains(got, "Successfully created") {
		t.Errorf("with a reason: %s", got)
	}
	if got := string(c.ask("tools/call", `{"name":"write_file","arguments":{"path":"/workspace/note.txt","content":"x",`+why+`}}`)); !strings.Contains(got, "mcprun approve") {
		t.Errorf("a call that waits: %s", got)
	}
	var waiting []struct {
		Arguments     json.RawMessage
		Justification struct{ Intent, Target, Effect string }
	}
	if err := json.Unmarshal([]byte(d.Must("approvals", "--json")), &waiting); err != nil {
		t.Fatal(err)
	}
	if len(waiting) != 1 || waiting[0].Justification.Intent != "The user wants a folder for drafts" || strings.Contains(string(waiting[0].Arguments), "justification") {
		t.Errorf("what waits: %+v", waiting)
	}
	if shown := d.Must("explain"); !strings.Contains(shown, "the model says: The user wants a folder for drafts") {
		t.Errorf("explained: %s", shown)
	}
	if out := d.Must("policy", "replay", "files.yaml"); !strings.Contains(out, "3") {
		t.Errorf("replayed: %s", out)
	}
}
