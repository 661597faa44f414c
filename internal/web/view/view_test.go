package view

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
)

// flat is what the eye gets of lines, folds opened.
func flat(lines []Line) string {
	var b strings.Builder
	for i, l := range lines {
		if l.Fold != nil {
			b.WriteString(flat(l.Fold))
		} else {
			for _, p := range l.Pieces {
				b.WriteString(p.Text)
			}
		}
		if i+1 < len(lines) && lines[i+1].Kind != More {
			b.WriteString("\n")
		}
	}
	return b.String()
}

func item(args string) approval.Item {
	at := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	i := approval.Item{ID: "a-1", Args: jsontext.Value(args), Rule: "class", Reason: "writes", Asked: at, Until: at.Add(time.Minute)}
	i.Principal, i.Server, i.Tool, i.ArgsDigest = "uid:1000", "files", "write_file", mcprun.Digest("sha256:"+args)
	return i
}

func row(t *testing.T, c Call, name string) Row {
	t.Helper()
	for _, r := range c.Rows {
		if flat([]Line{{Pieces: r.Name}}) == name {
			return r
		}
	}
	t.Fatalf("no row %q in %+v", name, c.Rows)
	return Row{}
}

func TestArgumentsAreReadAsAPersonReads(t *testing.T) {
	c := Of(item(`{"path":"/w/a.txt","mode":[1,{"deep":{"er":{"est":{"x":1}}}}],"none":{},"content":"one\n\ttwo"}`), nil)
	for name, want := range map[string]string{
		"path": "/w/a.txt", "mode[0]": "1", "mode[1].deep.er": "{\n⇥\t\"est\": {\n⇥\t⇥\t\"x\": 1\n⇥\t}\n}", "none": "{}", "content": "one\n⇥\ttwo",
	} {
		if got := flat(row(t, c, name).Lines); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if note := row(t, c, "content").Note; note != "2 lines, 8 characters" {
		t.Errorf("note %q", note)
	}
}

// What would not show is a mark, in names and in values, and a text cannot fake one.
func TestWhatDoesNotShowIsMarked(t *testing.T) {
	c := Of(item(`{"pa\u200bth":"safe\u202etxt.exe","plain":"⟨U+202E⟩"}`), nil)
	r := row(t, c, "pa⟨U+200B⟩th")
	if !r.Name[1].Mark {
		t.Error("the mark in a name is not marked as one")
	}
	if p := r.Lines[0].Pieces; len(p) != 3 || p[1] != (Piece{"⟨U+202E⟩", true}) {
		t.Errorf("pieces %+v", p)
	}
	if p := row(t, c, "plain").Lines[0].Pieces; p[0] != (Piece{"⟨U+27E8⟩", true}) || p[1].Mark {
		t.Errorf("a faked mark passes: %+v", p)
	}
}

// An end that nobody sees is where one would hide something.
func TestLongTextIsFoldedAndItsEndShown(t *testing.T) {
	text := strings.Repeat("filler\n", 200) + "rm -rf /\u200b"
	lines := Text(text)
	if len(lines) != head+1+tail {
		t.Fatalf("%d lines are shown", len(lines))
	}
	if got := flat(lines[len(lines)-1:]); got != "rm -rf /⟨U+200B⟩" {
		t.Errorf("the end is %q", got)
	}
	if lines[head].Label != "181 more lines" {
		t.Errorf("label %q", lines[head].Label)
	}
	hidden := Text(strings.Repeat("filler\n", 100) + "\u202e" + strings.Repeat("filler\n", 100))
	if got := hidden[head].Label; !strings.Contains(got, "1 characters that would not show") {
		t.Errorf("a fold does not say what is in it: %q", got)
	}
	if one := Text(strings.Repeat("x", 100*maxColumn)); len(one) != head+1+tail || one[1].Kind != More {
		t.Errorf("a line without an end is not folded: %d lines", len(one))
	}
}

func TestEditsAreDiffs(t *testing.T) {
	c := Of(item(`{"path":"/w/a","edits":[{"oldText":"a\nb\nc","newText":"a\nB\nc","note":"n"}],"old_string":"x"}`), nil)
	r := row(t, c, "edits[0].oldText → newText")
	var got []string
	for _, l := range r.Lines {
		got = append(got, string(l.Kind)+flat([]Line{l}))
	}
	if strings.Join(got, "|") != "a|-b|+B|c" || !r.Edit {
		t.Errorf("diff %q", got)
	}
	row(t, c, "edits[0].note")
	row(t, c, "old_string") // one without the other is no edit
}

func TestDifferenceFromTheLastApprovedCall(t *testing.T) {
	old, now := item(`{"path":"/w/a","content":"one\ntwo"}`), item(`{"path":"/w/a","content":"one\n2"}`)
	old.ID, old.State, old.Asked = "a-0", approval.Used, old.Asked.Add(-time.Hour)
	denied := old
	denied.ID, denied.State, denied.Args = "a-9", approval.Denied, jsontext.Value(`{}`)
	other := old
	other.ID, other.Tool = "a-8", "read_file"
	last := Last([]approval.Item{now, denied, other, old}, now)
	if last == nil || last.ID != "a-0" {
		t.Fatalf("last is %+v", last)
	}
	s := Of(now, last).Since
	var changed []string
	for _, l := range s.Lines {
		if l.Kind != Same {
			changed = append(changed, string(l.Kind)+flat([]Line{l}))
		}
	}
	if strings.Join(changed, "|") != "-    two|+    2" || s.Same || s.Other {
		t.Errorf("difference %q, %+v", changed, s)
	}
	again := old
	again.ID, again.Asked = "a-2", now.Asked
	if s := Of(again, last).Since; !s.Same || s.Lines != nil {
		t.Errorf("the same call again: %+v", s)
	}
}

// Everything that is shown is under the digest: a yes is to all of it.
func TestDigestIsOverAllThatIsShown(t *testing.T) {
	base := item(`{"path":"/w/a"}`)
	base.Risks = []mcprun.Contribution{{Name: "class", Points: 1, Least: mcprun.High, Why: "w"}}
	seen := map[mcprun.Digest]string{Of(base, nil).Digest(): "base"}
	if Of(base, nil).Digest() != Of(base, nil).Digest() {
		t.Fatal("the digest of the same is another")
	}
	for what, change := range map[string]func(*approval.Item){
		"id": func(i *approval.Item) { i.ID = "a-2" }, "arguments": func(i *approval.Item) { i.Args = jsontext.Value(`{"path":"/w/b"}`) }, "principal": func(i *approval.Item) { i.Principal = "uid:0" },
		"server": func(i *approval.Item) { i.Server = "other" }, "tool": func(i *approval.Item) { i.Tool = "other" }, "image": func(i *approval.Item) { i.Image = "sha256:1" },
		"definition": func(i *approval.Item) { i.ToolDigest = "sha256:1" }, "digest": func(i *approval.Item) { i.ArgsDigest = "sha256:1" }, "reason": func(i *approval.Item) { i.Reason = "other" },
		"rule": func(i *approval.Item) { i.Rule = "other" }, "score": func(i *approval.Item) { i.Score = 1 }, "stated": func(i *approval.Item) { i.Stated.Intent = "other" },
		"risk": func(i *approval.Item) { i.Risks = nil }, "preview": func(i *approval.Item) { i.Preview = "other" }, "needs": func(i *approval.Item) { i.Needs = 2 }, "until": func(i *approval.Item) { i.Until = i.Asked },
	} {
		i := base
		change(&i)
		d := Of(i, nil).Digest()
		if was, dup := seen[d]; dup {
			t.Errorf("another %s has the digest of %s", what, was)
		}
		seen[d] = what
	}
	old := base
	old.ID = "a-0"
	if _, dup := seen[Of(base, &old).Digest()]; dup {
		t.Error("what it is compared with is not under the digest")
	}
}

func TestTooLongIsSaid(t *testing.T) {
	c := Of(item(`{"content":"`+strings.Repeat("x", maxShown)+`"}`), nil)
	if !c.TooLong || len(c.Rows) != 1 {
		t.Errorf("%d rows, too long %v", len(c.Rows), c.TooLong)
	}
	if Of(item(`{"content":"x"}`), nil).TooLong {
		t.Error("a short one counts as too long")
	}
}

// sides puts a diff together again.
func sides(lines []Line) (old, new string) {
	var o, n []Line
	var open func([]Line)
	open = func(lines []Line) {
		for _, l := range lines {
			switch {
			case l.Fold != nil:
				open(l.Fold)
				continue
			case l.Kind == Old:
				o = append(o, l)
			case l.Kind == New:
				n = append(n, l)
			default:
				o, n = append(o, l), append(n, l)
			}
		}
	}
	open(lines)
	return flat(o), flat(n)
}

// A diff shows all of both sides, and nothing else.
func FuzzDiff(f *testing.F) {
	f.Add("a\nb\nc", "a\nB\nc")
	f.Add(strings.Repeat("x\n", 50), strings.Repeat("x\n", 20)+"y\n"+strings.Repeat("x\n", 30))
	f.Add("", "\u202e\t")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 20000 || longLine(a) || longLine(b) {
			return
		}
		old, new := sides(Diff(a, b))
		if want := flat(wrapped(nil, a, Same)); old != want {
			t.Errorf("old side %q, want %q", old, want)
		}
		if want := flat(wrapped(nil, b, Same)); new != want {
			t.Errorf("new side %q, want %q", new, want)
		}
	})
}

func longLine(s string) bool {
	for l := range strings.SplitSeq(s, "\n") {
		if len(l) > maxColumn {
			return true
		}
	}
	return false
}

// Whatever arguments are, all their text is shown, and nothing that would not show is
// passed on as it is.
func FuzzRows(f *testing.F) {
	f.Add(`{"a":"b","edits":[{"oldText":"x","newText":"y"}]}`)
	f.Add(`{"a":{"b":{"c":{"d":{"e":[1,2,{"f":"\u202e"}]}}}}}`)
	f.Add("\"\\u0000\"")
	f.Fuzz(func(t *testing.T, raw string) {
		v := jsontext.Value(raw)
		if len(raw) > 20000 || !v.IsValid() {
			return
		}
		all := plain(v)
		var shown strings.Builder
		for _, r := range rows(v) {
			shown.WriteString(flat([]Line{{Pieces: r.Name}}) + flat(r.Lines))
			for _, l := range r.Lines {
				noneHidden(t, l)
			}
		}
		d := jsontext.NewDecoder(strings.NewReader(raw))
		for {
			tok, err := d.ReadToken()
			if err != nil {
				break
			}
			if s := tok.String(); tok.Kind() == '"' && simple(s) && (!strings.Contains(all, s) || !strings.Contains(shown.String(), s)) {
				t.Errorf("%q of %q is not shown", s, raw)
			}
		}
	})
}

func simple(s string) bool {
	return len(s) < maxColumn && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) && !strings.Contains(s, strings.Repeat(" ", maxSpaces))
}

func noneHidden(t *testing.T, l Line) {
	for _, p := range l.Pieces {
		for _, r := range p.Text {
			if !p.Mark && (r == '\u202e' || r == '\u200b' || r == 0 || r == '\n') {
				t.Errorf("%U is shown as it is", r)
			}
		}
	}
	for _, f := range l.Fold {
		noneHidden(t, f)
	}
}
