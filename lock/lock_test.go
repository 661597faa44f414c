package lock

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/mcprun/mcprun"
)

const (
	digestA = mcprun.Digest("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	digestB = mcprun.Digest("sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
)

// sealed builds a valid file with one tool for each definition.
func sealed(t testing.TB, defs ...string) *File {
	t.Helper()
	f := &File{
		Server: "files", Image: digestA, Profile: "node", ProfileDigest: digestB, Protocol: "2025-11-25",
		ServerInfo:   jsontext.Value(`{"version":"1.2.3","name":"files"}`),
		Capabilities: jsontext.Value(`{"tools":{"listChanged":true}}`),
		Instructions: "read\nfirst",
	}
	for _, d := range defs {
		tool, err := NewTool(jsontext.Value(d))
		if err != nil {
			t.Fatal(err)
		}
		f.Tools = append(f.Tools, tool)
	}
	if err := f.Seal(); err != nil {
		t.Fatal(err)
	}
	return f
}

const (
	defAdd  = `{"name":"add","x-vendor":[1.0,1e2],"description":"Adds two numbers.","inputSchema":{"type":"object"}}`
	defRead = `{"name":"read","inputSchema":{"type":"object","properties":{"n":{"maximum":9007199254740993}}}}`
)

func TestRoundTrip(t *testing.T) {
	want := sealed(t, defRead, defAdd)
	raw, err := Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Parse(Marshal(x)) (-want +got):\n%s", d)
	}
	if got.Tools[0].Name != "add" {
		t.Errorf("first tool is %s, want add: tools are sorted", got.Tools[0].Name)
	}
	if !bytes.Contains(raw, []byte("9007199254740993")) || !bytes.Contains(raw, []byte("1.0")) {
		t.Errorf("numbers were rewritten:\n%s", raw)
	}
	again, err := Marshal(sealed(t, defAdd, defRead))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(raw), string(again)); d != "" {
		t.Errorf("the order of tools shows (-one +other):\n%s", d)
	}
}

func TestMarshalEscapesWhatIsHidden(t *testing.T) {
	f := sealed(t, `{"name":"add","description":"a\u202eb \udb40\udc41 \u001b \u200d é"}`)
	raw, err := Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`\u202e`, `\udb40\udc41`, `\u001b`, `\u200d`, "é"} {
		if !bytes.Contains(raw, []byte(want)) {
			t.Errorf("no %s in\n%s", want, raw)
		}
	}
	got, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, got); d != "" {
		t.Errorf("escaping changed the value:\n%s", d)
	}
}

func TestParseRefuses(t *testing.T) {
	good, err := Marshal(sealed(t, defAdd, defRead))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, new string) string {
		s := strings.Replace(string(good), old, new, 1)
		if s == string(good) {
			t.Fatalf("%q is not in the file", old)
		}
		return s
	}
	for _, tt := range []struct{ name, raw, want string }{
		{"empty", "", "no JSON value"},
		{"another version", edit(`"version": 1,`, `"version": 2,`), "this program reads version 1"},
		{"no version", edit(`"version": 1,`, ``), "lock file of version 0"},
		{"unknown key", edit(`"version": 1,`, `"version": 1, "allow": true,`), "unknown object member name"},
		{"key in another case", edit(`"version": 1,`, `"version": 1, "Version": 1,`), "unknown object member name"},
		{"key twice", edit(`"version": 1,`, `"version": 1, "version": 1,`), "appears twice"},
		{"trailing value", string(good) + "{}", "follows the JSON value"},
		{"server name", edit(`"server": "files"`, `"server": "../files"`), "server: server name"},
		{"image by tag", edit(string(digestA), "latest"), "image:"},
		{"profile digest", edit(string(digestB), "sha256:b"), "profileDigest:"},
		{"empty profile", edit(`"profile": "node"`, `"profile": ""`), "profile: is empty"},
		{"hidden profile", edit(`"profile": "node"`, `"profile": "no\u202ede"`), "no⟨U+202E⟩de"},
		{"protocol", edit(`"protocol": "2025-11-25"`, `"protocol": ""`), "protocol: is empty"},
		{"server info", edit(`"version": "1.2.3"`, `"version": "1.2.4"`), "serverDigest: does not match"},
		{"capabilities null", edit("{\n    \"tools\": {\n      \"listChanged\": true\n    }\n  }", `null`), "capabilities: not an object"},
		{"tools out of order", swapped(t, good), "add stands after read"},
		{"instructions", edit(`read\nfirst`, `write first`), "instructionsDigest: does not match"},
		{"definition edited", edit("Adds two numbers.", "Adds two numbers. "), "tools[0]: add: the digest does not match the definition"},
		{"tool renamed", edit(`"name": "add",`, `"name": "abb",`), "its definition is named add"},
		{"tool name", edit(`"name": "add",`, `"name": "a b",`), "tools[0]: tool name"},
		{"too large", strings.Repeat(" ", MaxSize+1), "at most"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.raw))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestSealRefuses(t *testing.T) {
	add, err := NewTool(jsontext.Value(defAdd))
	if err != nil {
		t.Fatal(err)
	}
	many := make([]Tool, MaxTools+1)
	for i := range many {
		many[i] = add
	}
	for _, tt := range []struct {
		name  string
		tools []Tool
		want  string
	}{
		{"twice", []Tool{add, add}, "is there twice"},
		{"too many", many, "at most 1024"},
		{"unpinned", []Tool{{Name: "add", Definition: jsontext.Value(defAdd)}}, "the digest does not match"},
	} {
		f := sealed(t)
		f.Tools = tt.tools
		if err := f.Seal(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestNewToolRefuses(t *testing.T) {
	for _, tt := range []struct{ def, want string }{
		{``, "no JSON value"},
		{`[]`, "not an object"},
		{`{}`, "tool name is empty"},
		{`{"name":1}`, "no name that is a string"},
		{`{"name":"аdd"}`, "outside"},
		{`{"name":"a","name":"b"}`, "appears twice"},
		{`{"name":"a","x":` + strings.Repeat("[", 61) + strings.Repeat("]", 61) + `}`, "nested deeper than 64"},
	} {
		if _, err := NewTool(jsontext.Value(tt.def)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("NewTool(%s): error %v, want one with %q", tt.def, err, tt.want)
		}
	}
}

func TestSame(t *testing.T) {
	base := `{"name":"a","n":9007199254740992,"d":"x"}`
	for _, tt := range []struct {
		def  string
		want bool
		why  string
	}{
		{`{"d":"x","n":9007199254740992,"name":"a"}`, true, "order"},
		{"{ \"name\":\"\\u0061\", \"n\":9007199254740992, \"d\":\"x\"}", true, "formatting"},
		{`{"name":"a","n":9007199254740993,"d":"x"}`, false, "a number that canonical JSON rounds to the same"},
		{`{"name":"a","n":9007199254740992,"d":"x "}`, false, "a trailing space"},
		{`{"name":"a","n":9007199254740992,"d":"x","_meta":{}}`, false, "an unknown field"},
	} {
		a, errA := NewTool(jsontext.Value(base))
		b, errB := NewTool(jsontext.Value(tt.def))
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if got := a.Same(b); got != tt.want {
			t.Errorf("%s: Same = %v, want %v", tt.why, got, tt.want)
		}
	}
	if (Tool{}).Same(Tool{}) {
		t.Error("two tools without definition are the same; the zero value must match nothing")
	}
}

func TestTool(t *testing.T) {
	f := sealed(t, defRead, defAdd)
	if got, ok := f.Tool("read"); !ok || got.Name != "read" {
		t.Errorf("Tool(read) = %v, %v", got.Name, ok)
	}
	if _, ok := f.Tool("Read"); ok {
		t.Error("Tool(Read) found something; names are exact")
	}
}

// swapped is the file with its two tools in the other order.
func swapped(t *testing.T, good []byte) string {
	t.Helper()
	var m map[string]jsontext.Value
	var tools []jsontext.Value
	if err := json.Unmarshal(good, &m); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(m["tools"], &tools); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(tools)
	var err error
	if m["tools"], err = json.Marshal(tools); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A file that Seal accepts comes back the same from Marshal and Parse.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte(defAdd), "read\u202e first")
	f.Add([]byte(`{"name":"a","\u200b":["\udb40\udc41",1e-400,"\\u202e"]}`), "")
	f.Fuzz(func(t *testing.T, def []byte, instructions string) {
		tool, err := NewTool(def)
		if err != nil {
			return
		}
		file := sealed(t)
		file.Instructions, file.Tools = instructions, []Tool{tool}
		if file.Seal() != nil {
			return
		}
		raw, err := Marshal(file)
		if err != nil {
			t.Fatalf("sealed but not written: %v", err)
		}
		if strings.ContainsFunc(string(raw), func(r rune) bool { return r != '\n' && Hidden(r) != "" }) {
			t.Fatalf("hidden characters in %q", raw)
		}
		got, err := Parse(raw)
		if err != nil {
			t.Fatalf("%v\n%s", err, raw)
		}
		if d := cmp.Diff(file, got); d != "" {
			t.Fatal(d)
		}
	})
}

// A file that Parse accepts comes back the same from Marshal and Parse.
func FuzzParse(f *testing.F) {
	good, err := Marshal(sealed(f, defAdd, defRead))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := Parse(raw)
		if err != nil {
			return
		}
		out, err := Marshal(file)
		if err != nil {
			t.Fatalf("parsed but not written: %v", err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("written but not parsed: %v\n%s", err, out)
		}
		if d := cmp.Diff(file, again); d != "" {
			t.Fatal(d)
		}
		if changes := Compare(file, again); len(changes) != 0 {
			t.Fatalf("equal files differ:\n%s", Text(changes))
		}
	})
}
