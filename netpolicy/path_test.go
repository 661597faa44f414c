package netpolicy_test

import (
	"strings"
	"testing"

	"github.com/mcprun/mcprun/netpolicy"
)

func TestCanonicalPath(t *testing.T) {
	long := "/" + strings.Repeat("a", 8<<10-1)
	for _, c := range []struct{ in, want string }{ // want: the path, or "! " and a part of the error
		{"", "/"},
		{"/", "/"},
		{"/a/b", "/a/b"},
		{"/a/b/", "/a/b/"},
		{"//", "/"},
		{"//evil.com/a", "/evil.com/a"},
		{"/a//b///c", "/a/b/c"},
		{"/a/./b", "/a/b"},
		{"/a/.", "/a/"},
		{"/.", "/"},
		{"/./", "/"},
		{"/a/../b", "/b"},
		{"/a/b/..", "/a/"},
		{"/a/b/../", "/a/"},
		{"/a/..", "/"},
		{"/a//../b", "/b"},
		{"/a/%2e%2e/b", "/b"},
		{"/a/%2E/b", "/a/b"},
		{"/a/.%2e/b", "/b"},
		{"/a/%2e./b", "/b"},
		{"/a/.../b", "/a/.../b"},
		{"/a/..b/c", "/a/..b/c"},
		{"/a..b", "/a..b"},
		{"/%41%7a%30%2D%5F%7e", "/Az0-_~"},
		{"/a%3ab", "/a%3Ab"},
		{"/a%20b", "/a%20b"},
		{"/a%3fb%23c", "/a%3Fb%23c"},
		{"/!$&'()*+,;=:@", "/!$&'()*+,;=:@"},
		{"/%21%2a%2b", "/%21%2A%2B"}, // reserved: not the same as raw
		{"/a[0]{b}|\"<>^`", "/a%5B0%5D%7Bb%7D%7C%22%3C%3E%5E%60"},
		{"/b\u00fccher", "/b%C3%BCcher"},
		{"/b%c3%bccher", "/b%C3%BCcher"},
		{"/a%25", "/a%25"},
		{"/100%25/x", "/100%25/x"},
		{"/a%2541", "/a%2541"},
		{"/a%2520b", "/a%2520b"},
		{"/a%25zz", "/a%25zz"},
		{"/a;v=1/b", "/a;v=1/b"},
		{"/a;/../b", "/b"},
		{long, long},

		{"a", "! does not begin with a slash"},
		{"*", "! does not begin with a slash"},
		{"http://evil/", "! does not begin with a slash"},
		{"/..", "! out of the root"},
		{"/../x", "! out of the root"},
		{"/a/../../x", "! out of the root"},
		{"/%2e%2e/x", "! out of the root"},
		{"/./../x", "! out of the root"},
		{"//../x", "! out of the root"},
		{"/a%2fb", "! escaped slash"},
		{"/a%2Fb", "! escaped slash"},
		{"/..%2f..%2fetc", "! escaped slash"},
		{"/a%5cb", "! backslash"},
		{"/a\\b", "! backslash"},
		{"/..\\x", "! backslash"},
		{"/a%00", "! control character"},
		{"/a\x00", "! control character"},
		{"/a%0d%0aHost:x", "! control character"},
		{"/a\r\nHost:x", "! control character"},
		{"/a\tb", "! control character"},
		{"/a%7f", "! control character"},
		{"/a\x7f", "! control character"},
		{"/a%c2%85b", "! control character U+0085"},
		{"/a\u0085b", "! control character U+0085"},
		{"/a b", "! raw ' '"},
		{"/a?b", "! raw '?'"},
		{"/a#b", "! raw '#'"},
		{"/a%", "! two hex digits"},
		{"/a%2", "! two hex digits"},
		{"/a%zz", "! two hex digits"},
		{"/a%u002e", "! two hex digits"},
		{"/a%\x122", "! two hex digits"}, // the letter bit would make 0x12 a digit
		{"/a%-1", "! two hex digits"},
		{"/a%ff", "! not valid UTF-8"},
		{"/a\xff", "! not valid UTF-8"},
		{"/a%c0%ae%c0%ae/b", "! not valid UTF-8"}, // overlong dots
		{"/a%c0%afb", "! not valid UTF-8"},        // overlong slash
		{"/a%ed%a0%80", "! not valid UTF-8"},      // surrogate
		{"/a%252fb", "! escape inside an escape that stands for '/'"},
		{"/a%252Fb", "! escape inside an escape that stands for '/'"},
		{"/a%255cb", "! escape inside an escape"},
		{"/a%252e%252e/b", "! escape inside an escape that stands for '.'"},
		{"/a%2500", "! escape inside an escape"},
		{"/a%250d%250a", "! escape inside an escape"},
		{"/a%253b", "! escape inside an escape"},
		{"/a%25252fb", "! escape inside an escape"},
		{"/a%25%32%66b", "! escape inside an escape"},
		{"/a%2%352fb", "! two hex digits"},
		{"/a%252%2566b", "! escape inside an escape"}, // %2%66 → %2f
		{"/a%25252525252541", "! 3 times over"},
		{"/a/..;/b", "! dots with parameters"},
		{"/a/..;x=1/b", "! dots with parameters"},
		{"/a/.;/b", "! dots with parameters"},
		{"/a/%2e%2e;/b", "! dots with parameters"},
		{"/a/..%3b/b", "! dots with parameters"},
		{"/a/..%3B;x/b", "! dots with parameters"},
		{long + "a", "! at most 8192"},
		{"/" + strings.Repeat("{", 3000), "! when it is escaped"},
	} {
		got, err := netpolicy.CanonicalPath(c.in)
		checkParsed(t, "CanonicalPath", c.in, c.want, got, err)
		if err != nil {
			if got != "" {
				t.Errorf("CanonicalPath(%q) returned %q beside an error", c.in, got)
			}
			continue
		}
		if again, err := netpolicy.CanonicalPath(got); again != got || err != nil {
			t.Errorf("CanonicalPath(%q) = %q, and of that %q, %v", c.in, got, again, err)
		}
	}
}

func TestParsePathPattern(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"/", "/"},
		{"/**", "/**"},
		{"/repos/**", "/repos/**"},
		{"/repos/*/issues", "/repos/*/issues"},
		{"/a/**/b/", "/a/**/b/"},
		{"/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*", "/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*"},
		{"", "! empty"},
		{"repos", "! does not begin with a slash"},
		{"/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*", "! more than 16"},
		{"/**/a/**", "! more than one **"},
		{"/a*", "! whole segment"},
		{"/a/*.json", "! whole segment"},
		{"/***", "! whole segment"},
		{"/repos?x=1", "! query"},
		{"/repos#x", "! query"},
		{"/a/../b", `! write "/b"`},
		{"/a//b", `! write "/a/b"`},
		{"/%61", `! write "/a"`},
		{"/a%3a", `! write "/a%3A"`},
		{"/bücher", `! write "/b%C3%BCcher"`},
		{"/a%2fb", "! escaped slash"},
		{"/../a", "! out of the root"},
		{"https://example.com/a", "! does not begin with a slash"},
	} {
		got, err := netpolicy.ParsePathPattern(c.in)
		checkParsed(t, "ParsePathPattern", c.in, c.want, got.String(), err)
	}
}

func paths(t testing.TB, list ...string) (out []netpolicy.PathPattern) {
	t.Helper()
	for _, s := range list {
		p, err := netpolicy.ParsePathPattern(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func TestPathPatternMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/", "/", true},
		{"/", "/a", false},
		{"/repos", "/repos", true},
		{"/repos", "/repos/", false},
		{"/repos/", "/repos/", true},
		{"/repos", "/Repos", false},
		{"/**", "/", true},
		{"/**", "/a/b/c/", true},
		{"/repos/**", "/repos", true},
		{"/repos/**", "/repos/", true},
		{"/repos/**", "/repos/a/b", true},
		{"/repos/**", "/reposx", false},
		{"/repos/**", "/user/repos", false},
		{"/repos/**", "/", false},
		{"/repos/*", "/repos/a", true},
		{"/repos/*", "/repos/", false},
		{"/repos/*", "/repos", false},
		{"/repos/*", "/repos/a/b", false},
		{"/repos/*", "/repos/a/", false},
		{"/repos/*/", "/repos/a/", true},
		{"/repos/*/issues", "/repos/a/issues", true},
		{"/repos/*/issues", "/repos/a/pulls", false},
		{"/repos/*/issues", "/repos/a/b/issues", false},
		{"/a/**/z", "/a/z", true},
		{"/a/**/z", "/a/b/c/z", true},
		{"/a/**/z", "/a", false},
		{"/a/**/z", "/a/b", false},
		{"/a/**/a", "/a", false}, // one segment is not both ends
		{"/a/**/*", "/a/b", true},
		{"/a/**/*", "/a/", false},
		{"/**/issues", "/issues", true},
		{"/**/issues", "/repos/x/issues", true},
		{"/*", "/%2A", true},
		{"/a/**", "", false},
		{"/a/**", "a/b", false},
	} {
		if got := paths(t, c.pattern)[0].Match(c.path); got != c.want {
			t.Errorf("%s matches %s: %v, want %v", c.pattern, c.path, got, c.want)
		}
	}
	if (netpolicy.PathPattern{}).Match("/") || (netpolicy.PathPattern{}).Match("") {
		t.Error("the zero pattern matches")
	}
}

func TestParseMethod(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"GET", "GET"}, {"HEAD", "HEAD"}, {"POST", "POST"}, {"PUT", "PUT"}, {"PATCH", "PATCH"}, {"DELETE", "DELETE"}, {"OPTIONS", "OPTIONS"},
		{"get", "! write GET"}, {"Post", "! write POST"},
		{"", "! not one of"}, {"CONNECT", "! not one of"}, {"TRACE", "! not one of"}, {"PROPFIND", "! not one of"},
		{"*", "! not one of"}, {"GET ", "! not one of"}, {"GET\r\nX: y", "! not one of"},
	} {
		got, err := netpolicy.ParseMethod(c.in)
		checkParsed(t, "ParseMethod", c.in, c.want, got, err)
	}
}
