package paths

import (
	"strings"

	"github.com/mcprun/mcprun/gate/argument"
)

// checkStart refuses values that many programs do not take for a plain path
// because of how they begin.
func checkStart(value string) argument.Finding {
	switch {
	case value[0] == '~':
		return refuse("path.home", "the path begins with ~, which stands for somebody's home folder", "write the path out")
	case value[0] == '-':
		return refuse("path.option", "the path begins with a dash, so a program may take it for an option", "write ./ before it")
	case strings.HasPrefix(value, "//"):
		return refuse("path.scheme", "the path begins with two slashes, which name another host for some programs", "begin with one slash")
	}
	return checkScheme(value)
}

// checkScheme refuses file:, C:, php://filter/, host:path and git's :(top), which
// all have a colon before the first slash. The wide colons are plain characters
// further on: people put them into titles.
func checkScheme(value string) argument.Finding {
	first, _, _ := strings.Cut(value, "/")
	if strings.ContainsAny(first, ":\uFF1A\uFE55\uFE13\uA789\u2236") {
		return refuse("path.scheme", "the path begins with a scheme, a drive or a host", "write a path; a name with a colon has ./ before it")
	}
	return argument.Passed
}

// checkExpansion refuses what a shell, or a tool that is kind to its users, puts
// something else in place of ($HOME, ${HOME}, $(id), `id`, %USERPROFILE%, &#46;),
// and what ends the path in a shell's line (; | < > &&). Names have none of these
// but by accident; a single & is in the names of many songs.
func checkExpansion(value string) argument.Finding {
	for i := range len(value) {
		next := value[i+1:]
		switch c := value[i]; {
		case c == '$' && next != "" && opensVariable(next[0]), c == '%' && closesVariable(next), c == '`':
			return refuse("path.expansion", "the path has a variable or a command that some programs expand", "write the path out")
		case c == '&' && strings.HasPrefix(next, "#"):
			return refuse("path.encoded", "the path has a character written as HTML writes it", "write the character itself")
		case c == ';' || c == '|' || c == '<' || c == '>' || c == '&' && strings.HasPrefix(next, "&"):
			return refuse("path.shell", "the path has a sign that ends it in the line of a shell", "use a name without ; | < > &&")
		}
	}
	return argument.Passed
}

func opensVariable(c byte) bool {
	return isLetter(c) || c == '_' || c == '{' || c == '('
}

// closesVariable reports a name and a % at the start of s.
func closesVariable(s string) bool {
	name, _, ok := strings.Cut(s, "%")
	return ok && name != "" && isLetter(name[0]) &&
		!strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 || !isLetter(byte(r)) && r != '_' && (r < '0' || r > '9') })
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// checkGlob refuses patterns where they are not asked for, and braces that expand
// to dots everywhere: {a,../x} and {.,}{.,} become "..".
func checkGlob(value string, accepted bool) argument.Finding {
	if plainBraces(value) {
		return argument.Passed
	}
	if !accepted {
		return refuse("path.glob", "the path has a pattern (* ? { })", "name one file")
	}
	for name := range strings.SplitSeq(value, "/") {
		if !safeBraces(name) || hasExtended(name) {
			return refuse("path.glob", "the path has a pattern that may stand for ..", "use * and ? and braces around plain words, as in *.{c,h}")
		}
	}
	return argument.Passed
}

// plainBraces reports that the only signs of a pattern are braces that leave no choice,
// as in {{cookiecutter.name}}: whoever expands them gets the name without them, which
// is no dots, and is looked at by the check of names.
func plainBraces(value string) bool {
	if strings.ContainsAny(value, "*?") {
		return false
	}
	for name := range strings.SplitSeq(value, "/") {
		if !strings.ContainsAny(name, "{}") {
			if hasExtended(name) {
				return false
			}
			continue
		}
		without := strings.Trim(strings.NewReplacer("{", "", "}", "").Replace(name), ".")
		if without == "" || strings.Contains(name, ",") || strings.Contains(name, "..") || hasExtended(name) || !balanced(name) {
			return false
		}
	}
	return true
}

// balanced reports that every brace of a name is closed, and opened before.
func balanced(name string) bool {
	depth := 0
	for i := range len(name) {
		switch name[i] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth < 0 {
			return false
		}
	}
	return depth == 0
}

// safeBraces reports that no expansion of the braces of a name is made of dots
// only: they are balanced, and either there is no dot, or something beside dots
// stands outside of them.
func safeBraces(name string) bool {
	depth, plain := 0, false
	for i := range len(name) {
		switch name[i] {
		case '{':
			depth++
		case '}':
			depth--
		case '.':
		default:
			plain = plain || depth == 0
		}
		if depth < 0 {
			return false
		}
	}
	return depth == 0 && (plain || !strings.Contains(name, ".") || !strings.Contains(name, "{"))
}

// hasExtended finds the patterns of ksh and bash, @(a|b), which may match dots.
func hasExtended(name string) bool {
	for i := 1; i < len(name); i++ {
		if name[i] == '(' && isExtended(name[i-1]) {
			return true
		}
	}
	return false
}

func isExtended(c byte) bool { return strings.IndexByte("@!+?*", c) >= 0 }
