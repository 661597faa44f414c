package words

import (
	"math"
	"net/mail"
	"strings"
	"testing"

	"github.com/mcprun/mcprun/gate/argument"
	"github.com/mcprun/mcprun/netpolicy"
)

const (
	no   = argument.Refuse
	hold = argument.Hold
	pass = argument.Pass
)

type judge = argument.Check

func domains(names ...string) []netpolicy.Pattern {
	var out []netpolicy.Pattern
	for _, n := range names {
		p, err := netpolicy.ParsePattern(n)
		if err != nil {
			panic(err)
		}
		out = append(out, p)
	}
	return out
}

func pattern(expression string) Pattern {
	p, err := ParsePattern(expression)
	if err != nil {
		panic(err)
	}
	return p
}

var (
	name   = Ref{}
	rev    = Ref{Revisions: true}
	ranges = Ref{Revisions: true, Ranges: true}
	mailTo = Email{Domains: domains("example.org", "*.example.net"), Unlisted: argument.Hold}
	own    = Email{Domains: domains("example.org")}
	color  = Enum{"red", "green", ""}
	slug   = pattern("[a-z]+(-[a-z]+)*")
	line   = Text{MaxBytes: 40, MaxRunes: 20}
	lines  = Text{MaxBytes: 100, Lines: true}
	small  = Number{Min: -1, Max: 9007199254740992}
	whole  = Number{Min: 1, Max: 10, Integer: true}
)

var rows = []struct {
	rule    judge
	value   string
	verdict argument.Verdict
	why     string
}{
	{name, "main", pass, ""},
	{name, "feature/login-page_2", pass, ""},
	{name, "fix/#123", pass, ""},
	{name, "v1.0.0-rc.1+build", pass, ""},
	{name, "refs/heads/main", pass, ""},
	{name, "origin/main", pass, ""},
	{name, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4", pass, ""},
	{name, "v1.0-4-g123abc", pass, ""},
	{name, "HEAD", pass, ""},
	{name, "user@host", pass, ""},
	{name, "größe", pass, ""},
	{name, "a.b/c.d", pass, ""},
	{rev, "HEAD~2", pass, ""},
	{rev, "HEAD^", pass, ""},
	{rev, "HEAD^^2~3", pass, ""},
	{rev, "v1^{commit}", pass, ""},
	{rev, "v1^{}", pass, ""},
	{rev, "main@{1}", pass, ""},
	{rev, "@{-1}", pass, ""},
	{rev, "@{u}", pass, ""},
	{rev, "main@{upstream}~1", pass, ""},
	{rev, "@", pass, ""},
	{rev, "@~3", pass, ""},
	{ranges, "v1.0..v2.0", pass, ""},
	{ranges, "main...HEAD~2", pass, ""},
	{ranges, "..HEAD", pass, ""},
	{ranges, "HEAD..", pass, ""},
	{ranges, "main", pass, ""},
	{name, "dependabot/npm_and_yarn/lodash-4.17.21", pass, ""},
	{name, "renovate/github.com-a-b-1.x", pass, ""},
	{name, "release/2026.11", pass, ""},
	{name, "users/anna@example.org/x", pass, ""},
	{name, "refs/pull/12/head", pass, ""},
	{name, "a1b2c3d", pass, ""},
	{name, "text", pass, ""},
	{rev, "feature/x~1", pass, ""},
	{rev, "stash@{0}", pass, ""},
	{rev, "v2.0^{tree}", pass, ""},
	{ranges, "origin/main..feature/a-b", pass, ""},
	{ranges, "a1b2c3d^..a1b2c3d", pass, ""},
	{name, "", no, "ref.empty"},
	{name, "--orphan", no, "ref.option"},
	{name, "--ext-diff", no, "ref.option"},
	{name, "-", no, "ref.option"},
	{name, "--output=/etc/passwd", no, "ref.option"},
	{name, "\u2013orphan", no, "ref.option"},
	{name, "\u00adorphan", no, "ref.option"},
	{name, " --orphan", no, "ref.option"},
	{rev, "--upload-pack=id", no, "ref.option"},
	{ranges, "main..--output=x", no, "ref.option"},
	{ranges, "..-x", no, "ref.option"},
	{name, "a..b", no, "ref.dots"},
	{name, "../../etc/passwd", no, "ref.dots"},
	{name, "HEAD~2", no, "ref.revision"},
	{name, "a^b", no, "ref.revision"},
	{name, "main@{1}", no, "ref.revision"},
	{name, "@", no, "ref.name"},
	{name, "/a", no, "ref.name"},
	{name, "a/", no, "ref.name"},
	{name, "a//b", no, "ref.name"},
	{name, "a.", no, "ref.name"},
	{name, ".a", no, "ref.name"},
	{name, "a/.git", no, "ref.name"},
	{name, "a.lock", no, "ref.name"},
	{name, "a.lock/b", no, "ref.name"},
	{name, "a b", no, "ref.character"},
	{name, "a:b", no, "ref.character"},
	{name, "a?b", no, "ref.character"},
	{name, "a*", no, "ref.character"},
	{name, "a[b", no, "ref.character"},
	{name, `a\b`, no, "ref.character"},
	{name, "a\x00b", no, "ref.character"},
	{name, "a\nb", no, "ref.character"},
	{name, "a\x7f", no, "ref.character"},
	{name, "a\u200bb", no, "ref.character"},
	{name, "a\u202eb", no, "ref.character"},
	{name, "main;id", no, "ref.character"},
	{name, "$(id)", no, "ref.character"},
	{name, "`id`", no, "ref.character"},
	{name, "main&&id", no, "ref.character"},
	{name, "main|id", no, "ref.character"},
	{name, "a\xff", no, "ref.utf8"},
	{name, strings.Repeat("a", 256), no, "ref.long"},
	{name, strings.Repeat("a", 9999), no, "ref.long"},
	{rev, "HEAD:path", no, "ref.character"},
	{rev, ":/text", no, "ref.character"},
	{rev, "HEAD^{/text}", no, "ref.revision"},
	{rev, "main@{yesterday}", no, "ref.revision"},
	{rev, "HEAD~" + strings.Repeat("9", 20), no, "ref.revision"},
	{rev, "HEAD" + strings.Repeat("^", 17), no, "ref.revision"},
	{rev, "HEAD~2x", no, "ref.revision"},
	{rev, "^main", no, "ref.revision"},
	{rev, "a..b", no, "ref.dots"},
	{ranges, "..", no, "ref.range"},
	{ranges, "a..b..c", no, "ref.dots"},
	{ranges, "a....b", no, "ref.name"},

	{mailTo, "anna@example.org", pass, ""},
	{mailTo, "anna.b+tag@mail.example.net", pass, ""},
	{mailTo, "o'brien_1=x@example.org", pass, ""},
	{mailTo, "ANNA@EXAMPLE.ORG", pass, ""},
	{mailTo, "a-b@example.org", pass, ""},
	{mailTo, "anna@other.com", hold, "email.unlisted"},
	{mailTo, "anna@example.org.evil.com", hold, "email.unlisted"},
	{mailTo, "anna@example.net", hold, "email.unlisted"},
	{own, "anna@other.com", no, "email.unlisted"},
	{Email{}, "anna@example.org", no, "email.unlisted"},
	{Email{Unlisted: pass}, "anna@example.org", hold, "email.unlisted"},
	{mailTo, "", no, "email.at"},
	{mailTo, "anna", no, "email.at"},
	{mailTo, "a@b@example.org", no, "email.at"},
	{mailTo, "anna@example.org,evil@evil.com", no, "email.one"},
	{mailTo, "anna@example.org;evil@evil.com", no, "email.one"},
	{mailTo, "anna@example.org evil@evil.com", no, "email.one"},
	{mailTo, "Anna <anna@example.org>", no, "email.one"},
	{mailTo, "<anna@example.org>", no, "email.one"},
	{mailTo, "evil@evil.com<anna@example.org>", no, "email.one"},
	{mailTo, "anna(comment)@example.org", no, "email.one"},
	{mailTo, "\"anna\"@example.org", no, "email.one"},
	{mailTo, "anna@example.org\r\nBcc: evil@evil.com", no, "email.line"},
	{mailTo, "anna@example.org\n", no, "email.line"},
	{mailTo, "anna%evil.com@example.org", no, "email.local"},
	{mailTo, "evil.com!anna@example.org", no, "email.local"},
	{mailTo, "|id@example.org", no, "email.local"},
	{mailTo, "/etc/x@example.org", no, "email.local"},
	{mailTo, "-oQ/tmp@example.org", no, "email.local"},
	{mailTo, ".anna@example.org", no, "email.local"},
	{mailTo, "anna..b@example.org", no, "email.local"},
	{mailTo, "@example.org", no, "email.local"},
	{mailTo, "änna@example.org", no, "email.local"},
	{mailTo, "anna\x00@example.org", no, "email.local"},
	{mailTo, "anna@[127.0.0.1]", no, "email.domain"},
	{mailTo, "anna@127.0.0.1", no, "email.domain"},
	{mailTo, "anna@localhost", no, "email.domain"},
	{mailTo, "anna@example.org.", no, "email.domain"},
	{mailTo, "anna@exämple.org", no, "email.domain"},
	{mailTo, "anna@example..org", no, "email.domain"},
	{mailTo, "anna@", no, "email.domain"},
	{mailTo, strings.Repeat("a", 65) + "@example.org", no, "email.long"},
	{mailTo, "a@" + strings.Repeat("a.", 130) + "org", no, "email.long"},

	{mailTo, "a@example.org", pass, ""},
	{mailTo, "first.last@a.b.example.net", pass, ""},
	{mailTo, "no-reply+123=abc@example.org", pass, ""},
	{mailTo, "1234@example.org", pass, ""},

	{color, "red", pass, ""},
	{color, "", pass, ""},
	{color, "Red", no, "word.enum"},
	{color, "red ", no, "word.enum"},
	{color, "red\n", no, "word.enum"},
	{Enum{}, "", no, "word.enum"},
	{slug, "a-b", pass, ""},
	{slug, "a-b\n", no, "word.pattern"},
	{slug, "x a-b", no, "word.pattern"},
	{pattern("a|b"), "a", pass, ""},
	{pattern("a|b"), "bx", no, "word.pattern"},
	{pattern("a|b"), "xa", no, "word.pattern"},
	{pattern("(?m)^a$"), "a", pass, ""},
	{pattern("(?m)^a$"), "a\nb", no, "word.pattern"},
	{Pattern{}, "", no, "word.pattern"},
	{slug, strings.Repeat("a", maxMatched+1), no, "word.long"},

	{NotOption{}, "value", pass, ""},
	{NotOption{}, "a-b", pass, ""},
	{NotOption{}, "", pass, ""},
	{NotOption{}, "--flag", no, "word.option"},
	{NotOption{}, "\u2014flag", no, "word.option"},
	{NotOption{}, " -x", no, "word.option"},
	{NotOption{}, "\u200b-x", no, "word.option"},
	{NotOption{}, "\uff0dx", no, "word.option"},

	{line, "plain text", pass, ""},
	{line, "a <b> & 'c' \"d\"", pass, ""},
	{line, "--not an option", pass, ""},
	{line, "100% $HOME `x`", pass, ""},
	{line, "Привет, мир", pass, ""},
	{line, "日本語のテキスト", pass, ""},
	{line, "مرحبا", pass, ""},
	{line, "héllo 👩‍💻", pass, ""},
	{line, "می‌خواهم", pass, ""},
	{line, "two\nlines", no, "text.line"},
	{line, "a\tb", no, "text.line"},
	{line, "a\rb", no, "text.line"},
	{line, "a\x1b[0m", no, "text.control"},
	{line, "a\x00", no, "text.control"},
	{line, "a\u200bb", no, "text.invisible"},
	{line, "a\u200db", no, "text.invisible"},
	{line, "a\u2028b", no, "text.invisible"},
	{line, "a\u202eb", no, "text.invisible"},
	{line, "a\U000E0041", no, "text.invisible"},
	{line, "\xff", no, "text.utf8"},
	{line, strings.Repeat("a", 21), no, "text.long"},
	{line, strings.Repeat("a", 41), no, "text.long"},
	{lines, "two\r\n\tlines\n", pass, ""},
	{lines, "a\x0bb", no, "text.control"},
	{Text{}, "", pass, ""},
	{Text{}, "a", no, "text.long"},

	{small, "0", pass, ""},
	{small, "-1", pass, ""},
	{small, "-0.5e0", pass, ""},
	{small, "9007199254740992", pass, ""},
	{small, "9007199254740993", no, "number.range"},
	{small, "-1.0000000000000000000001", no, "number.range"},
	{small, "1e308", no, "number.range"},
	{small, "1e309", no, "number.invalid"},
	{small, "1e999999999", no, "number.invalid"},
	{small, "0x10", no, "number.invalid"},
	{small, "1/2", no, "number.invalid"},
	{small, "1_0", no, "number.invalid"},
	{small, "01", no, "number.invalid"},
	{small, "+1", no, "number.invalid"},
	{small, ".5", no, "number.invalid"},
	{small, "5.", no, "number.invalid"},
	{small, "NaN", no, "number.invalid"},
	{small, "", no, "number.invalid"},
	{small, "-", no, "number.invalid"},
	{small, " 1", no, "number.invalid"},
	{small, strings.Repeat("1", 65), no, "number.invalid"},
	{whole, "10", pass, ""},
	{whole, "1e1", pass, ""},
	{whole, "2.0", pass, ""},
	{whole, "2.5", no, "number.integer"},
	{whole, "0", no, "number.range"},
	{Number{}, "1", no, "number.range"},
	{Number{Min: math.Inf(-1), Max: math.NaN()}, "1", no, "number.invalid"},
}

func TestJudge(t *testing.T) {
	for _, r := range rows {
		got := r.rule.Judge(r.value)
		if got.Verdict != r.verdict || got.Rule != r.why {
			t.Errorf("%T %+.80q: %s %q (%s), want %s %q", r.rule, r.value, got.Verdict, got.Rule, got.Reason, r.verdict, r.why)
		}
		if got.Verdict != pass && got.Reason == "" {
			t.Errorf("%+q: no reason", r.value)
		}
	}
}

func TestRowsAreMixed(t *testing.T) {
	refused := 0
	for _, r := range rows {
		if r.verdict == no {
			refused++
		}
	}
	if got := len(rows) - refused; got*2 < refused {
		t.Errorf("%d benign rows beside %d", got, refused)
	}
}

func TestValidate(t *testing.T) {
	for _, v := range []interface{ Validate() error }{mailTo, own, line, lines, small, whole} {
		if err := v.Validate(); err != nil {
			t.Errorf("%+v: %v", v, err)
		}
	}
	for _, c := range []struct {
		rule interface{ Validate() error }
		want string
	}{
		{Email{}, "none is named"},
		{Email{Domains: make([]netpolicy.Pattern, 1)}, "empty"},
		{Email{Unlisted: pass}, "refuse or hold"},
		{Text{}, "above 0"},
		{Text{MaxBytes: 1, MaxRunes: -1}, "above 0"},
		{Number{Min: 2, Max: 1}, "above maximum"},
		{Number{Max: math.Inf(1)}, "must be numbers"},
	} {
		if err := c.rule.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.rule, err, c.want)
		}
	}
	for _, expression := range []string{"", "(", "a)|(b", strings.Repeat("a", maxExpression+1)} {
		if _, err := ParsePattern(expression); err == nil {
			t.Errorf("%.20q is a pattern", expression)
		}
	}
	if got := slug.String(); got != "[a-z]+(-[a-z]+)*" {
		t.Error(got)
	}
}

// FuzzWords: a stricter rule never passes more; a reference that passes is no
// option and has no character that ends a word in a shell; an address that passes
// is the one that net/mail reads.
func FuzzWords(f *testing.F) {
	for _, r := range rows {
		f.Add(r.value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, pair := range [][2]judge{{name, rev}, {rev, ranges}, {own, mailTo}, {Email{}, own}, {line, Text{MaxBytes: 100, MaxRunes: 30, Lines: true}}, {Text{MaxBytes: 20}, lines}, {whole, Number{Min: 0, Max: 11}}} {
			if pair[0].Judge(value).Verdict > pair[1].Judge(value).Verdict {
				t.Errorf("%+q: %+v passes more than %+v", value, pair[0], pair[1])
			}
		}
		if ranges.Judge(value).Verdict == pass && (value[0] == '-' || strings.ContainsAny(value, " \t\n;|&$`'\"\\<>()*?[:\x00")) {
			t.Errorf("%+q is a reference", value)
		}
		if mailTo.Judge(value).Verdict == pass {
			a, err := mail.ParseAddress(value)
			if err != nil || a.Name != "" || a.Address != value {
				t.Errorf("%+q is read as %+v, %v", value, a, err)
			}
		}
		if line.Judge(value).Verdict == pass && strings.ContainsFunc(value, func(r rune) bool { return r < 0x20 }) {
			t.Errorf("%+q is a line", value)
		}
	})
}

func BenchmarkWords(b *testing.B) {
	for _, c := range []struct {
		name  string
		rule  judge
		value string
	}{
		{"ref", name, "feature/login-page"}, {"range", ranges, "v1.0..main~2"}, {"email", mailTo, "anna.b+tag@example.org"}, {"enum", color, "green"},
		{"pattern", slug, "some-slug-here"}, {"text", Text{MaxBytes: 1 << 10}, strings.Repeat("word ", 200)}, {"number", whole, "7"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.rule.Judge(c.value)
			}
		})
	}
	b.Run("entropy10k", func(b *testing.B) {
		s := strings.Repeat("some words and more ", 500)
		for b.Loop() {
			Entropy(s)
		}
	})
}
