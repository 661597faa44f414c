package lives

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/integration/harness"
)

// kept is what a kill says of what it kept.
type kept struct {
	Server, Folder string
	Files          []struct {
		Name, Digest string
		Size         int64
	}
	Missing []string
}

type killed struct {
	Steps []struct {
		Step, Note string
		AfterMS    float64
	}
	Kept []kept
}

// preserving kills with --preserve.
func preserving(t *testing.T, d *harness.Daemon, target ...string) (k killed) {
	t.Helper()
	out := d.Must(append([]string{"kill", "--preserve", "--json", "--why", "a look at it"}, target...)...)
	if err := json.Unmarshal([]byte(out), &k); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return k
}

func (k kept) read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(k.Folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// archived is what files.tar holds, by name.
func (k kept) archived(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(k.Folder, "files.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]string{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg || h.Mode != 0o600 || h.Linkname != "" {
			t.Errorf("in the archive: %+v", h)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = string(raw)
	}
}

// sound fails the test unless the folder is root's alone and holds what was said.
func (k kept) sound(t *testing.T) {
	t.Helper()
	if st, err := os.Stat(k.Folder); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", st.Mode(), err)
	}
	for _, f := range k.Files {
		sum := sha256.Sum256([]byte(k.read(t, f.Name)))
		if got := "sha256:" + hex.EncodeToString(sum[:]); got != f.Digest {
			t.Errorf("%s is %s, and was said to be %s", f.Name, got, f.Digest)
		}
		if st, err := os.Stat(filepath.Join(k.Folder, f.Name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name, st.Mode(), err)
		}
	}
}

// A server that is killed with --preserve leaves what it wrote, what it said and what ran
// of it, bounded, with nothing of the host and no secret in it; and it is as dead as any.
func TestPreserve(t *testing.T) {
	needs(t)
	const secret = "the-secret-that-never-leaves-the-daemon"
	d := harness.Prepare(t)
	d.Start("UNRULY_TOKEN=" + secret)
	d.Ready()
	archive, err := image()
	if err != nil {
		t.Fatal(err)
	}
	more := "version: 1\nname: %s\nimage: " + archive + "\nprofile: go\nlabels: {team: x}\nresources: {memory: 512MiB, file-size: 64GiB}\n" +
		"files: [{tmpfs: /scratch, size: 8MiB}]\ntools: {hide: {risk: low}, fork: {risk: low}, wait: {risk: low}}\n" +
		"egress: [{host: api.example.com, inspect: true, methods: [GET], paths: [\"/**\"]}]\ncredentials: {token: {source: \"env:UNRULY_TOKEN\", host: api.example.com, place: {header: Authorization, format: \"Bearer {}\"}, expose: {env: TOKEN}}}\n"
	for _, name := range []string{"bad", "other"} {
		d.Write(name+".yaml", fmt.Sprintf(more, name))
		d.Must("lock", name+".yaml")
		d.Must("start", name+".yaml")
	}
	before := d.Snapshot()
	bad := connect(t, d, "bad")
	says(t, bad.ask("tools/call", `{"name":"fork","arguments":{"n":3}}`), "forked")
	says(t, bad.ask("tools/call", `{"name":"hide","arguments":{"n":100000}}`), `"hidden "`)
	waits := bad.send("tools/call", `{"name":"wait","arguments":{"n":60000}}`)
	eventually(t, "the log", func() bool { return strings.Contains(d.Must("logs", "bad"), "all is hidden") })

	k := preserving(t, d, "bad")
	says(t, bad.answer(waits), "killed", "a look at it")
	if left := ofServer(d, "bad"); len(left) > 0 {
		t.Errorf("%d processes are left", len(left))
	}
	var steps []string
	for _, s := range k.Steps {
		steps = append(steps, s.Step)
	}
	t.Logf("%+v", k.Steps)
	// Ways out close while calls fail, so that either may be through first.
	if got := strings.Replace(strings.Join(steps, ", "), "fail, cut", "cut, fail", 1); got != "deny, record, cut, fail, look, kill, stay dead, keep, clean" {
		t.Errorf("the steps: %s", got)
	}
	if len(k.Kept) != 1 || !strings.HasPrefix(k.Kept[0].Folder, d.Dirs.Preserved()) {
		t.Fatalf("kept: %+v", k.Kept)
	}
	one := k.Kept[0]
	one.sound(t)
	files := one.archived(t)
	for name, want := range map[string]string{"tmp/note": "evidence\n", "dev/shm/note": "shared\n", "tmp/a%0A%1B[31m%FF": "odd"} {
		if files[name] != want {
			t.Errorf("%s is %q, want %q", name, files[name], want)
		}
	}
	if text := files["tmp/sparse%holes"]; strings.Trim(text, "\x00") != "needle" || len(text) > 1<<20 {
		t.Errorf("the sparse file: %d bytes", len(text))
	}
	says(t, one.read(t, "files.jsonl"), `"path":"tmp/shadow","type":"link"`, `"target":"/etc/shadow"`, `"path":"tmp/fifo","type":"fifo"`, `"path":"tmp/sock","type":"socket"`, `"mode":"1755","uid":1000`)
	says(t, one.read(t, "processes.json"), `"pidInContainer": 1,`, "exe wait 60000", `"exe": "/app/unruly"`, `"uid": 1000,`, "→")
	says(t, one.read(t, "sockets.txt"), "== tcp\n", "/tmp/sock")
	says(t, one.read(t, "stderr.log"), "all is hidden")
	says(t, one.read(t, "server.yaml"), "name: bad")
	says(t, one.read(t, "server.lock"), "hide")
	says(t, one.read(t, "container.json"), `"noNewPrivileges":true`)
	says(t, one.read(t, "report.json"), `"why": "a look at it"`, `"name": "files.tar"`)
	says(t, strings.Join(one.Missing, "\n"), "more names were not looked at")
	shadow, err := os.ReadFile("/etc/shadow")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range one.Files {
		text := one.read(t, f.Name)
		if strings.Contains(text, secret) {
			t.Errorf("%s has the secret", f.Name)
		}
		if first, _, _ := strings.Cut(string(shadow), "\n"); strings.Contains(text, first) {
			t.Errorf("%s has a line of the host's /etc/shadow", f.Name)
		}
	}
	if !strings.Contains(files["tmp/env"], "TOKEN=") {
		t.Error("the control: the server's placeholder is not in what it wrote")
	}
	notes := records(t, d, "note")
	at := slices.IndexFunc(notes, func(r record) bool { return r.Detail["folder"] == one.Folder })
	if at < 0 || notes[at].Detail["files.tar"] != one.digest("files.tar") || notes[at].Detail["report.json"] != one.digest("report.json") || notes[at].Outcome != "kept, but not all" {
		t.Errorf("the record: %+v", notes)
	}

	// All servers of a label at once, the one that has ended included; and no more of it
	// than a kill leaves.
	k = preserving(t, d, "--label", "team=x")
	if len(k.Kept) != 2 || k.Kept[1].Server != "other" || k.Kept[1].archived(t) == nil {
		t.Errorf("of the label: %+v", k.Kept)
	}
	for _, args := range [][]string{{"--all"}, {"bad/hide"}, {"--principal", "uid:1"}} {
		if _, errs, code := d.Run(append([]string{"kill", "--preserve"}, args...)...); code != 2 {
			t.Errorf("kill --preserve %q: exit code %d, %s", args, code, errs)
		}
	}
	d.Must("revive", "bad", "--why", "test")
	d.Must("revive", "--label", "team=x", "--why", "test")
	for _, name := range []string{"bad", "other"} {
		d.Must("start", name+".yaml")
	}
	if after := d.Snapshot(); after.Snapshots != before.Snapshots || len(after.Cgroups) != len(before.Cgroups) || len(after.Mounts) != len(before.Mounts) || len(after.Containers) != len(before.Containers) {
		t.Errorf("left behind: %+v, before %+v", after, before)
	}
}

func (k kept) digest(name string) string {
	for _, f := range k.Files {
		if f.Name == name {
			return f.Digest
		}
	}
	return "none"
}
