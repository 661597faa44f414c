package guides

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// The examples of docs/policy.md answer calls of the real servers with the words that
// stand there: what is allowed reaches the server, the rest is held or refused.
func TestPolicyExamples(t *testing.T) {
	for _, one := range []struct{ name, image string }{{"editor", "filesystem"}, {"repository", "git"}, {"reader", "fetch"}} {
		t.Run(one.name, func(t *testing.T) {
			// Each on its own, since a client that has read two of them is tainted.
			runPolicyExample(t, harness.New(t), one.name, one.image)
		})
	}
}

func runPolicyExample(t *testing.T, d *harness.Daemon, name, image string) {
	raw, err := os.ReadFile("../../docs/policies/examples/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := os.ReadFile("../../docs/policies/examples/" + name + ".jsonl")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(d.Dir, map[string]string{"editor": "workspace", "repository": "repos", "reader": "none"}[name])
	err = errors.Join(os.Symlink(harness.Image(image), filepath.Join(d.Dir, image+".oci.tar")), os.Mkdir(folder, 0o777), os.Chmod(folder, 0o777),
		os.WriteFile(filepath.Join(folder, "notes.md"), []byte("The meeting is on Friday.\n"), 0o666),
		os.Chmod(filepath.Join(folder, "notes.md"), 0o666))
	if err != nil {
		t.Fatal(err)
	}
	if name == "repository" {
		site := filepath.Join(folder, "site")
		cmd := exec.Command("bash", "-ec", "git init -qb main $0; cd $0; git config user.name t; git config user.email t@example.com; git commit -qm one --allow-empty; git tag v1; git commit -qm two --allow-empty; git branch feature/menu; chmod -R a+rwX .", site)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	file := name + ".yaml"
	d.Write(file, string(raw)+"timeouts: {approval: 200ms}\n") // nobody comes
	d.Write(name+".jsonl", string(cases))
	beside, err := os.ReadFile("../../docs/policies/examples/editor.yaml") // what some clients read before was the editor's
	if err != nil {
		t.Fatal(err)
	}
	d.Write("beside.yaml", string(beside))
	d.Must("lock", file)
	d.Must("start", file)
	var report struct {
		Results []struct {
			Tool, Got, Reason string
			Arguments         json.RawMessage
			After             []string
		}
	}
	out := d.Must("policy", "test", "--json", "--cases", name+".jsonl", "beside.yaml", file)
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Results) < 5 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, one := range report.Results {
		if len(one.After) > 0 {
			continue
		}
		out, errs, code := d.Run("call", name, one.Tool, string(one.Arguments))
		switch {
		case one.Got == "allow" && (code == 3 || code != 0 && name != "reader"), one.Got != "allow" && (code != 3 || !strings.Contains(out+errs, one.Reason)):
			t.Errorf("%s %s: code %d, want %s with %q: %s%s", one.Tool, one.Arguments, code, one.Got, one.Reason, out, errs)
		}
	}
	if name == "editor" { // the control: what is allowed was done
		if text, _ := os.ReadFile(filepath.Join(folder, "notes.md")); string(text) != "The meeting is on Monday.\n" {
			t.Errorf("the edit that is allowed did not happen: %q", text)
		}
	}
}
