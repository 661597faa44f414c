package servers

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// A server that breaks under the default profile is made to work by what is printed alone.
// The tool says that its folder is not there, which had everybody look at mounts and owners:
// what failed was access(2), refused.
func TestServerThatTheDefaultProfileBreaks(t *testing.T) {
	d := harness.New(t)
	repository := filepath.Join(d.Dir, "ws")
	if out, err := exec.Command("git", "init", "-q", repository).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(repository, 0o777); err != nil {
		t.Fatal(err)
	}
	const rest = "files: [{from: ./ws, to: /workspace, access: write}]\ntools: {git_status: {risk: low, arguments: {path: {path: {under: [/workspace]}}}}}\n"
	status := []string{"call", "git", "git_status", "--arg", "path=/workspace"}
	d.Up("git", "git", rest)
	out, errs, code := d.Run(status...)
	if code == 0 || !strings.Contains(errs, "profile strict refused access()") || !strings.Contains(errs, "mcprun profile denials git") {
		t.Fatalf("code %d: %s\n%s", code, out, errs)
	}
	_, hint, _ := d.Run("profile", "denials", "git")
	if !strings.Contains(hint, "write in server.yaml: profile: node") {
		t.Errorf("the hint is %s", hint)
	}
	var denials struct{ Instead string }
	if err := json.Unmarshal([]byte(d.Must("profile", "denials", "git", "--json")), &denials); err != nil || denials.Instead != "node" {
		t.Errorf("instead %q, %v", denials.Instead, err)
	}
	d.Must("stop", "git")
	d.Up("git", "git", "profile: "+denials.Instead+"\n"+rest)
	if out, errs, code := d.Run(status...); code != 0 || !strings.Contains(out, `"success": true`) {
		t.Errorf("as the hint says: code %d: %s\n%s", code, out, errs)
	}
}
