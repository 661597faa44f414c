package servers

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// Tools that are withdrawn or raised in risk are so for clients that are connected, as soon
// as the file is read again, and for a call that waits for a human too. What would loosen
// something changes nothing, and says that a start is needed.
func TestReloadTakesStricterTools(t *testing.T) {
	o := newOffice(t)
	o.enroll()
	write := func(tools ...string) {
		t.Helper()
		o.d.Write("files.yaml", "version: 1\nname: files\nimage: "+harness.Image("filesystem")+"\nprofile: node\nfiles: [{from: ./workspace, to: /workspace, access: write}]\ntools:\n  "+strings.Join(tools, "\n  ")+"\n")
	}
	const list, info, read = "list_directory: {risk: low}", "get_file_info: {risk: low}", "read_text_file: {risk: low}"
	const writeFile, readHigh = "write_file: {risk: high, arguments: {path: {path: {under: [/workspace]}}}}", "read_text_file: {risk: high}"
	o.d.Must("stop", "files")
	if err := os.WriteFile(filepath.Join(o.d.Dir, "workspace", "a.txt"), []byte("words"), 0o644); err != nil {
		t.Fatal(err)
	}
	write(list, info, read, writeFile)
	o.d.Must("lock", "files.yaml")
	o.d.Must("start", "files.yaml")
	c := start(t, o.d.Command("connect", "files"))
	call := func(tool, path string) string {
		t.Helper()
		return string(c.ask("tools/call", fmt.Sprintf(`{"name":%q,"arguments":{"path":%q}}`, tool, path)))
	}
	for _, one := range [][3]string{{"list_directory", "/workspace", "a.txt"}, {"read_text_file", "/workspace/a.txt", "words"}, {"get_file_info", "/workspace/a.txt", "size"}} {
		if got := call(one[0], one[1]); !strings.Contains(got, one[2]) {
			t.Fatalf("before: %s: %s", one[0], got)
		}
	}
	held := o.call("held")
	id := o.waiting()

	write(info, readHigh)
	out := o.d.Must("reload", "files.yaml")
	for _, want := range []string{"tool list_directory", "tool write_file", "tool read_text_file: risk high"} {
		if !strings.Contains(out, want) {
			t.Errorf("the reload does not say %q: %s", want, out)
		}
	}
	c.wait(func(m message) bool { return m.Method == "notifications/tools/list_changed" })
	if got := c.tools(); !slices.Equal(got, []string{"get_file_info", "read_text_file"}) {
		t.Errorf("tools are %v", got)
	}
	if got := call("list_directory", "/workspace"); strings.Contains(got, "a.txt") || !strings.Contains(got, "does not grant it") {
		t.Errorf("a tool that was withdrawn: %s", got)
	}
	if got := call("get_file_info", "/workspace/a.txt"); !strings.Contains(got, "size") {
		t.Errorf("the control, a tool that stays: %s", got)
	}
	// The call that waits cannot be approved into a tool that is gone.
	stdout, stderr, _ := o.d.Run("approve", id, "--code", o.code())
	if got := <-held; strings.Contains(got, "Successfully") || o.written() != "" {
		t.Errorf("the held call of a tool that was withdrawn: %s; approve said %s%s", got, stdout, stderr)
	}
	fmt.Fprintf(c.in, `{"jsonrpc":"2.0","id":"r","method":"tools/call","params":{"name":"read_text_file","arguments":{"path":"/workspace/a.txt"}}}`+"\n")
	id = o.waiting()
	o.d.Must("approve", id, "--code", o.code())
	if m := c.wait(func(m message) bool { return string(m.ID) == `"r"` }); !strings.Contains(string(m.Result), "words") {
		t.Errorf("a tool that was raised, approved: %s%s", m.Result, m.Error)
	}

	for _, row := range []struct {
		name  string
		tools []string
	}{
		{"a lower risk", []string{info, read}},
		{"one more tool", []string{info, readHigh, list}},
		{"a check that goes away", []string{info, readHigh, "write_file: {risk: high}"}},
	} {
		write(row.tools...)
		if _, errs, code := o.d.Run("reload", "files.yaml"); code != 3 || !strings.Contains(errs, "tools") || !strings.Contains(errs, "mcprun stop files && mcprun start") {
			t.Errorf("%s: code %d: %s", row.name, code, errs)
		}
		if got := c.tools(); !slices.Equal(got, []string{"get_file_info", "read_text_file"}) {
			t.Errorf("%s: tools are %v", row.name, got)
		}
	}
}
