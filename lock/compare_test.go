package lock

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func TestCompareAndText(t *testing.T) {
	for _, tt := range []struct {
		name string
		old  func() *File
		new  func() *File
		want string
	}{
		{"nothing", func() *File { return sealed(t, defAdd) }, func() *File { return sealed(t, defAdd) }, ""},
		{"order only", func() *File { return sealed(t, `{"name":"a","x":{"p":1,"q":2}}`) },
			func() *File { return sealed(t, `{"x":{"q":2,"p":1},"name":"a"}`) }, ""},
		{"trailing space",
			func() *File { return sealed(t, `{"name":"add","description":"Adds."}`) },
			func() *File { return sealed(t, `{"name":"add","description":"Adds. "}`) },
			"tool add: changed /description\n  - \"Adds.\"\n  + \"Adds. \"\n"},
		{"hidden text",
			func() *File { return sealed(t, `{"name":"add","description":"Adds."}`) },
			func() *File { return sealed(t, `{"name":"add","description":"Adds.\u202e\u001b[8m"}`) },
			"tool add: changed /description\n  - \"Adds.\"\n  + \"Adds.⟨U+202E⟩\\u001b[8m\"\n"},
		{"deep, added and removed",
			func() *File {
				return sealed(t, `{"name":"add","inputSchema":{"properties":{"a":{"enum":["x","y"]}},"required":["a"]}}`)
			},
			func() *File {
				return sealed(t, `{"name":"add","inputSchema":{"properties":{"a":{"enum":["x","z","w"]},"b/c":{}}}}`)
			},
			"tool add: changed /inputSchema/properties/a/enum/1\n  - \"y\"\n  + \"z\"\n" +
				"tool add: added /inputSchema/properties/a/enum/2\n  + \"w\"\n" +
				"tool add: added /inputSchema/properties/b~1c\n  + {}\n" +
				"tool add: removed /inputSchema/required\n  - [\"a\"]\n"},
		{"tools", func() *File { return sealed(t, `{"name":"old"}`) }, func() *File { return sealed(t, `{"name":"new"}`) },
			"tool new: added\n  + {\"name\":\"new\"}\ntool old: removed\n  - {\"name\":\"old\"}\n"},
		{"a number that doubles round",
			func() *File { return sealed(t, `{"name":"a","maximum":9007199254740992}`) },
			func() *File { return sealed(t, `{"name":"a","maximum":9007199254740993}`) },
			"tool a: changed /maximum\n  - 9007199254740992\n  + 9007199254740993\n"},
		{"the rest of the file",
			func() *File { return sealed(t) },
			func() *File {
				f := sealed(t)
				f.Image, f.Profile, f.ProfileDigest, f.Protocol = digestB, "python", digestA, "2026-07-28"
				f.ServerInfo = jsontext.Value(`{"name":"files","version":"1.2.4"}`)
				f.Capabilities, f.Instructions = jsontext.Value(`{"tools":{}}`), ""
				return f
			},
			"image: changed\n  - \"" + string(digestA) + "\"\n  + \"" + string(digestB) + "\"\n" +
				"profile: changed /name\n  - \"node\"\n  + \"python\"\n" +
				"profile: changed /digest\n  - \"" + string(digestB) + "\"\n  + \"" + string(digestA) + "\"\n" +
				"protocol: changed\n  - \"2025-11-25\"\n  + \"2026-07-28\"\n" +
				"serverInfo: changed /version\n  - \"1.2.3\"\n  + \"1.2.4\"\n" +
				"capabilities: removed /tools/listChanged\n  - true\n" +
				"instructions: removed\n  - \"read\\nfirst\"\n"},
		{"no file before", func() *File { return nil }, func() *File { f := sealed(t); f.ServerInfo = jsontext.Value(`{}`); return f },
			"server: added\n  + \"files\"\nimage: added\n  + \"" + string(digestA) + "\"\nprofile: added /name\n  + \"node\"\n" +
				"profile: added /digest\n  + \"" + string(digestB) + "\"\nprotocol: added\n  + \"2025-11-25\"\nserverInfo: added\n  + {}\n" +
				"capabilities: added\n  + {\"tools\":{\"listChanged\":true}}\ninstructions: added\n  + \"read\\nfirst\"\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, Text(Compare(tt.old(), tt.new()))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestTextIndentsLongValues(t *testing.T) {
	long := `{"name":"add","description":"` + string(make40('x')) + `","inputSchema":{"type":"object","properties":{"a":{"type":"number"}}}}`
	got := Text(Compare(sealed(t), sealed(t, long)))
	want := "tool add: added\n  + {\n  +   \"description\": \"" + string(make40('x')) + "\",\n  +   \"inputSchema\": {\n" +
		"  +     \"properties\": {\n  +       \"a\": {\n  +         \"type\": \"number\"\n  +       }\n  +     },\n" +
		"  +     \"type\": \"object\"\n  +   },\n  +   \"name\": \"add\"\n  + }\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func make40(c byte) []byte {
	b := make([]byte, 40)
	for i := range b {
		b[i] = c
	}
	return b
}
