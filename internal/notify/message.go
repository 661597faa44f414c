package notify

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/gate/argument/words"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

const (
	// maxTold is how many calls one message is about; of more it says how many: whoever
	// floods a human with questions does not flood the channel.
	maxTold = 8
	// maxText, in bytes, ends the list of calls early: with the longest call behind it the
	// message is still one that Slack takes whole (40,000 characters).
	maxText = 24_000
	// maxWord bounds, in characters, what is shown of one word of others': an argument, a reason.
	maxWord = 120
	// maxArguments is of how many arguments something is shown.
	maxArguments = 8
)

// message is the body that tells about a batch of calls.
func (s *Sender) message(to manifest.Webhook, batch []approval.Item) []byte {
	var b strings.Builder
	said := 0
	for _, i := range batch[:min(len(batch), maxTold)] {
		if b.Len() > maxText {
			break
		}
		if said++; b.Len() > 0 {
			b.WriteString("\n\n")
		}
		if i.State == approval.Waiting {
			s.waits(&b, i, to.Arguments)
		} else {
			s.settled(&b, i)
		}
	}
	if more := len(batch) - said; more > 0 {
		fmt.Fprintf(&b, "\n\nand %d more: `mcprun approvals --all` on %s", more, span(s.opts.Host))
	}
	return body(b.String())
}

func (s *Sender) waits(b *strings.Builder, i approval.Item, arguments bool) {
	fmt.Fprintf(b, "*A call waits for approval* on %s: %s of %s\n", span(s.opts.Host), span(string(i.Tool)), span(string(i.Server)))
	fmt.Fprintf(b, "asked by %s, %s (score %d), until %s UTC", span(s.opts.Name(i.Principal)), mcprun.High, i.Score, i.Until.UTC().Format("15:04:05"))
	if i.Needs > 1 {
		fmt.Fprintf(b, ", %d people have to say yes", i.Needs)
	}
	if arguments {
		fmt.Fprintf(b, "\nwhy: %s", span(i.Reason))
		writeArguments(b, i.Args)
	}
	fmt.Fprintf(b, "\nlook at it: `mcprun approvals show %[1]s`; then `mcprun approve %[1]s`, or `mcprun deny %[1]s`", plainID(i.ID))
	if page := s.opts.Page(); page != "" {
		fmt.Fprintf(b, "\nor on the page: `mcprun approvals page` opens it, where it is open already it is %s", page)
	}
}

func (s *Sender) settled(b *strings.Builder, i approval.Item) {
	what := i.State.String()
	if i.State == approval.Denied && i.By == "" {
		what = "ended by a kill"
	}
	fmt.Fprintf(b, "*%s* on %s: %s, %s of %s", what, span(s.opts.Host), plainID(i.ID), span(string(i.Tool)), span(string(i.Server)))
	if i.By != "" {
		fmt.Fprintf(b, ", by %s", span(i.By))
	}
}

// trial is the body of a message that is about no call.
func (s *Sender) trial(by mcprun.Principal) []byte {
	return body(fmt.Sprintf("*A trial*: calls that wait for approval on %s are told here. Asked for by %s.", span(s.opts.Host), span(s.opts.Name(by))))
}

// body is a message as Slack takes it, and those who took its format over. No links are
// unfolded: that would let words of others' fetch something.
func body(text string) []byte {
	out, err := json.Marshal(struct {
		Text   string `json:"text"`
		Links  bool   `json:"unfurl_links"`
		Images bool   `json:"unfurl_media"`
	}{Text: text})
	if err != nil { // the text is valid UTF-8: lock.Visible makes it so
		return []byte(`{"text":"A call waits for approval: mcprun approvals"}`)
	}
	return out
}

// writeArguments shows the beginning of each argument. What looks like a secret is not
// shown; what does not look like one may be one.
func writeArguments(b *strings.Builder, args jsontext.Value) {
	if words.Secrets.Judge(words.Secrets{}, string(args)).Verdict != argument.Pass {
		b.WriteString("\narguments: they look as if they held a secret, and are not told")
		return
	}
	n := 0
	for name, value := range members(args) {
		if n++; n <= maxArguments {
			fmt.Fprintf(b, "\n%s = %s", span(name), span(value))
		}
	}
	if n > maxArguments {
		fmt.Fprintf(b, "\nand %d more arguments", n-maxArguments)
	}
}

// members are those of a JSON object, in its own order; what is none has none.
func members(object jsontext.Value) func(yield func(name, value string) bool) {
	return func(yield func(string, string) bool) {
		d := jsontext.NewDecoder(bytes.NewReader(object))
		if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
			return
		}
		for d.PeekKind() == '"' {
			t, err := d.ReadToken()
			if err != nil {
				return
			}
			name := t.String()
			value, err := d.ReadValue()
			if err != nil || !yield(name, string(value)) {
				return
			}
		}
	}
}

// inert takes from words of others' what a chat program acts on: &, < and > begin its own
// signs (<!here>, <https://…|a link>), a backtick ends a span, @ names people even inside
// one, and an address becomes a link.
var inert = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'", "@", "(at)", "://", "[:]//")

// span is a word of others' as code, cut, with what does not show made visible.
func span(word string) string {
	word, cut := first(word)
	shown, cutAgain := first(lock.Visible(word))
	text := strings.TrimSpace(inert.Replace(shown))
	if cut || cutAgain {
		text += "…"
	}
	if text == "" {
		text = "-"
	}
	return "`" + text + "`"
}

// first is the beginning of a word, and whether there is more.
func first(word string) (string, bool) {
	n := 0
	for at := range word {
		if n++; n > maxWord {
			return word[:at], true
		}
	}
	return word, false
}

// plainID is an approval's id, which is ours: what is none is not repeated.
func plainID(id string) string {
	odd := func(r rune) bool { return !(r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z') }
	if id == "" || slices.ContainsFunc([]rune(id), odd) {
		return "ID"
	}
	return id
}
