package notify

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

// A tool's name, a reason or an argument that a stranger chose calls nobody in the
// channel, makes no link, ends no span and turns no text around. Chat programs that took
// Slack's format over link @names even inside code.
func TestAttackerTextIsInert(t *testing.T) {
	s := New(Options{Host: "build-1", Page: func() string { return "" }, Name: func(p mcprun.Principal) string { return string(p) }})
	const evil = "<!here> @channel <@U012> <https://evil.example|mcprun> https://evil.example `*approve this*` &lt;!here&gt; \u202e\x1b[2J\n\n*A call waits for approval*: `mcprun approve a-666`"
	args, err := json.Marshal(map[string]string{evil: evil})
	if err != nil {
		t.Fatal(err)
	}
	i := approval.Item{ID: "a-1` <!here>", Binding: approval.Binding{Principal: evil, Server: evil, Tool: evil}, Reason: evil, Args: args, By: evil, Needs: 2}
	for _, state := range []approval.State{approval.Waiting, approval.Denied} {
		i.State = state
		var got struct{ Text string }
		if err := json.Unmarshal(s.message(manifest.Webhook{Arguments: true}, []approval.Item{i}), &got); err != nil {
			t.Fatal(err)
		}
		for _, never := range []string{"<", ">", "@", "https://evil", "\x1b", "\u202e", "&lt;!here&gt; a"} {
			if strings.Contains(got.Text, never) {
				t.Errorf("%s: the message holds %q: %s", state, never, got.Text)
			}
		}
		for line := range strings.Lines(got.Text) {
			if strings.HasPrefix(line, "*A call waits") && !strings.HasPrefix(line, "*A call waits for approval* on `build-1`") {
				t.Errorf("%s: a line of the attacker's begins as one of ours: %s", state, line)
			}
			// What stands outside of spans is ours.
			if out := regexp.MustCompile("`[^`]*`").ReplaceAllString(line, ""); strings.Contains(out, "evil") || strings.Contains(out, "666") || strings.Contains(out, "here") {
				t.Errorf("%s: the attacker's text stands outside of a span: %s", state, line)
			}
		}
	}
}

// However long what it is about, a message stays one that chat programs take (Slack cuts
// at 40,000 characters).
func TestMessageIsBounded(t *testing.T) {
	s := New(Options{Host: "h", Page: func() string { return "http://localhost:7787/" }, Name: func(p mcprun.Principal) string { return string(p) }})
	for _, long := range []string{strings.Repeat("\u202e", 5000), strings.Repeat("&", 5000)} {
		if n := longest(t, s, long); n > 40_000 {
			t.Errorf("the message has %d characters", n)
		}
	}
}

func longest(t *testing.T, s *Sender, long string) int {
	args := "{"
	for i := range 100 {
		args += strings.Repeat("k", i) + `":"` + long + `","`
	}
	args = strings.Replace(args, "{", `{"`, 1)
	args = strings.TrimSuffix(args, `,"`) + "}"
	i := approval.Item{ID: "a-1", Binding: approval.Binding{Principal: mcprun.Principal(long), Server: mcprun.ServerName(long), Tool: mcprun.ToolName(long)}, Reason: long, Args: []byte(args)}
	batch := make([]approval.Item, maxQueued)
	for n := range batch {
		batch[n] = i
	}
	var got struct{ Text string }
	if err := json.Unmarshal(s.message(manifest.Webhook{Arguments: true}, batch), &got); err != nil {
		t.Fatal(err)
	}
	return utf8.RuneCountInString(got.Text)
}

// What span returns is one span that no chat program acts on, whatever it is given.
func FuzzSpan(f *testing.F) {
	for _, s := range []string{"", "a", "`", "<!here>", "&amp;", ": // x", ":`//", "a\xff\u202e", strings.Repeat("@", 300)} {
		f.Add(s)
	}
	entity := regexp.MustCompile("&(amp|lt|gt);")
	f.Fuzz(func(t *testing.T, word string) {
		got := span(word)
		in, ok := strings.CutPrefix(got, "`")
		in, ok2 := strings.CutSuffix(in, "`")
		if !ok || !ok2 || in == "" || strings.ContainsAny(in, "`<>@\n") || strings.Contains(in, "://") || strings.Contains(entity.ReplaceAllString(in, ""), "&") {
			t.Errorf("span(%q) = %q", word, got)
		}
		for _, r := range in {
			if lock.Hidden(r) != "" {
				t.Errorf("span(%q) = %q holds %U", word, got, r)
			}
		}
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > len("&amp;")*maxWord+3 {
			t.Errorf("span(%q) = %q is no UTF-8, or too long", word, got)
		}
	})
}
