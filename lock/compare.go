package lock

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
)

// Subject says what a change is about.
type Subject string

const (
	SubjectServer       Subject = "server"
	SubjectImage        Subject = "image"
	SubjectProfile      Subject = "profile"
	SubjectSecrets      Subject = "secrets in the container"
	SubjectProtocol     Subject = "protocol"
	SubjectServerInfo   Subject = "serverInfo"
	SubjectCapabilities Subject = "capabilities"
	SubjectInstructions Subject = "instructions"
	SubjectTool         Subject = "tool"
)

// Change is one difference between two files. A nil Old was added, a nil New
// removed. For a tool that was added or removed as a whole Path is "" and the
// value is the definition.
type Change struct {
	Subject Subject
	Tool    mcprun.ToolName  // of SubjectTool
	Path    jsontext.Pointer // within the subject; "" is all of it
	Old     jsontext.Value
	New     jsontext.Value
}

// Compare lists every difference between two files, in the order of the file.
// A nil file is one in which nothing is pinned.
func Compare(old, new *File) []Change {
	a, b := orEmpty(old), orEmpty(new)
	var out []Change
	text := func(s Subject, path jsontext.Pointer, x, y string) {
		if x != y {
			out = append(out, Change{Subject: s, Path: path, Old: quoted(x), New: quoted(y)})
		}
	}
	raw := func(s Subject, x, y jsontext.Value) { out = append(out, diff(Change{Subject: s, Old: x, New: y})...) }

	text(SubjectServer, "", string(a.Server), string(b.Server))
	text(SubjectImage, "", string(a.Image), string(b.Image))
	text(SubjectProfile, "/name", a.Profile, b.Profile)
	text(SubjectProfile, "/digest", string(a.ProfileDigest), string(b.ProfileDigest))
	text(SubjectSecrets, "", strings.Join(a.Secrets, " "), strings.Join(b.Secrets, " "))
	text(SubjectProtocol, "", a.Protocol, b.Protocol)
	raw(SubjectServerInfo, a.ServerInfo, b.ServerInfo)
	raw(SubjectCapabilities, a.Capabilities, b.Capabilities)
	text(SubjectInstructions, "", a.Instructions, b.Instructions)
	return append(out, compareTools(a.Tools, b.Tools)...)
}

func orEmpty(f *File) *File {
	if f == nil {
		return new(File)
	}
	return f
}

func compareTools(old, new []Tool) []Change {
	a, b := byName(old), byName(new)
	var out []Change
	for _, name := range union(a, b) {
		out = append(out, diff(Change{Subject: SubjectTool, Tool: name, Old: a[name], New: b[name]})...)
	}
	return out
}

func byName(tools []Tool) map[mcprun.ToolName]jsontext.Value {
	m := make(map[mcprun.ToolName]jsontext.Value, len(tools))
	for _, t := range tools {
		m[t.Name] = t.Definition
	}
	return m
}

// union returns the keys of both maps in order.
func union[K cmp.Ordered, V any](a, b map[K]V) []K {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// diff splits c into changes of the smallest values that differ. What was read
// by strictjson is at most MaxDepth deep, which bounds the recursion.
func diff(c Change) []Change {
	a, b := normalOrRaw(c.Old), normalOrRaw(c.New)
	if bytes.Equal(a, b) {
		return nil
	}
	if a.Kind() == jsontext.KindBeginObject && b.Kind() == jsontext.KindBeginObject {
		return diffMembers(c, members(a), members(b))
	}
	if a.Kind() == jsontext.KindBeginArray && b.Kind() == jsontext.KindBeginArray {
		return diffMembers(c, elements(a), elements(b))
	}
	return []Change{c}
}

func diffMembers[K cmp.Ordered](c Change, a, b map[K]jsontext.Value) []Change {
	var out []Change
	for _, key := range union(a, b) {
		inner := c
		inner.Path = c.Path.AppendToken(token(key))
		inner.Old, inner.New = a[key], b[key]
		out = append(out, diff(inner)...)
	}
	return out
}

func token(key any) string {
	if i, ok := key.(int); ok {
		return strconv.Itoa(i)
	}
	return key.(string)
}

// normalOrRaw orders the keys of v so that order alone is no difference; what
// does not parse is compared as it is.
func normalOrRaw(v jsontext.Value) jsontext.Value {
	if n, err := normal(v); err == nil {
		return n
	}
	return v
}

func members(v jsontext.Value) map[string]jsontext.Value {
	var m map[string]jsontext.Value
	if json.Unmarshal(v, &m) != nil {
		return nil
	}
	return m
}

func elements(v jsontext.Value) map[int]jsontext.Value {
	var list []jsontext.Value
	if json.Unmarshal(v, &list) != nil {
		return nil
	}
	return maps.Collect(slices.All(list))
}

// quoted returns s as a JSON string, nil for "": an empty text is an absent one.
func quoted(s string) jsontext.Value {
	if s == "" {
		return nil
	}
	out, err := jsontext.AppendQuote(nil, s)
	if err != nil { // invalid UTF-8, which no parsed file holds
		return jsontext.Value(strconv.QuoteToASCII(s))
	}
	return out
}
