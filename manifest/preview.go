package manifest

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
)

// maxPreview bounds the arguments that make a call a dry run: real tools have one.
const maxPreview = 8

// decodePreview reads which arguments make a call of a tool a dry run.
func decodePreview(tool object) []Fixed {
	n, path, ok := tool.take("preview")
	if !ok {
		return nil
	}
	tool.r.where[path] = place{n.pos, path}
	o := openObject(tool.r, "tools.*.preview", path, n)
	if o.fields != nil {
		o.need("arguments", "write what makes it a dry run, e.g. arguments: {dryRun: true}")
	}
	var out []Fixed
	for _, p := range o.named("arguments", "{dryRun: true}") {
		f := Fixed{Name: p.key.text}
		at := join(join(path, "arguments"), keyName(f.Name))
		o.r.where[at] = place{p.value.pos, at}
		setAt(o.r, at, p.value, &f.Value, readValue)
		out = append(out, f)
	}
	if len(out) == 0 && len(o.fields) > 0 && !o.r.bad[path] {
		o.r.fail(path, "write what makes it a dry run, e.g. arguments: {dryRun: true}", "names no argument")
	}
	slices.SortFunc(out, func(a, b Fixed) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// readValue reads a scalar as JSON: true, false and plain numbers are what they look
// like, all else is text.
func readValue(n node) (string, problem) {
	if n.kind != scalarKind {
		return "", wrongKind(n, "true, false, a number or text", "true")
	}
	if !n.quoted && (n.text == "true" || n.text == "false" || realNumber.MatchString(n.text)) {
		return n.text, problem{}
	}
	text, p := readText(n, "plan")
	if !p.none() {
		return "", p
	}
	quoted, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		return "", problem{show(text) + " is not UTF-8", "write plain text"}
	}
	return string(quoted), problem{}
}

// checkPreviews: a dry run of what is never called shows nothing, and one that is the
// call itself would be made before anybody approves it.
func checkPreviews(s *Server, r *report) {
	for _, name := range slices.Sorted(maps.Keys(s.Tools)) {
		t := s.Tools[name]
		path := toolPath(name) + ".preview"
		switch {
		case len(t.Preview) == 0 || r.bad[path] || r.bad[path+".arguments"]:
			continue
		case t.Risk == mcprun.Block && !r.bad[toolPath(name)+".risk"]:
			r.fail(path, "take it out", "the tool is blocked: no call of it waits for a human")
		case len(t.Preview) > maxPreview:
			r.fail(path, "name what makes it a dry run", "%d arguments; at most %d", len(t.Preview), maxPreview)
		}
		for _, f := range t.Preview {
			at := path + ".arguments." + keyName(f.Name)
			var v any
			if err := json.Unmarshal([]byte(f.Value), &v); !r.bad[at] && (f.Name == "" || err != nil || !scalarValue(v)) {
				r.fail(at, "write e.g. dryRun: true", "is not an argument with true, false, a number or text")
			}
		}
	}
}

func scalarValue(v any) bool {
	switch v.(type) {
	case bool, float64, string:
		return true
	}
	return false
}

func fixedFields(list []Fixed) (f fields) {
	for _, one := range list {
		value := one.Value
		var text string
		if json.Unmarshal([]byte(value), &text) == nil {
			value = quote(text)
		}
		f.add(true, "%s: %s", quote(one.Name), value)
	}
	return f
}
