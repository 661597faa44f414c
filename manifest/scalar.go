package manifest

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml/token"
)

// scalar reads a scalar for the second time, from the source line, and refuses it
// if the two readings differ: a parser that drops or joins characters must not
// decide what is run.
func (y *yamlReader) scalar(t *token.Token) node {
	at := posOf(t)
	line := y.src.from(at)
	text, rest, problem := reread(t, line)
	if problem == "" && (text != t.Value || !endsScalar(rest)) {
		problem = "text that cannot be read for certain"
	}
	if problem != "" {
		y.r.syntax(at, problem, "write it on one line in double quotes")
		return node{pos: at}
	}
	y.scalars[at] = utf8.RuneCountInString(line[:len(line)-len(rest)])
	quoted := t.Type == token.DoubleQuoteType || t.Type == token.SingleQuoteType
	return node{pos: at, kind: scalarKind, text: text, quoted: quoted}
}

func reread(t *token.Token, line string) (text, rest, problem string) {
	switch t.Type {
	case token.DoubleQuoteType:
		return doubleQuoted(line)
	case token.SingleQuoteType:
		return singleQuoted(line)
	}
	return plain(line, t.Value)
}

// plainText is what may stand without quotes: ASCII without the marks that mean
// something to YAML, or to one of its versions.
var plainText = regexp.MustCompile(`^([A-Za-z0-9_./+]|-[^ ])[A-Za-z0-9_./+=@%:;()$<~^\\, -]*$`)

func plain(line, value string) (text, rest, problem string) {
	rest, ok := strings.CutPrefix(line, value)
	switch {
	case !ok || value == "":
		return "", "", "text without quotes that goes over more than one line"
	case strings.Contains(value, ": ") || strings.HasSuffix(value, ":"):
		return "", "", "a colon inside text without quotes, or a comma missing before it"
	case !plainText.MatchString(value):
		return "", "", "text without quotes that holds a special character"
	}
	return value, rest, ""
}

// doubleQuoted takes JSON strings: the escapes that YAML adds are easy to get
// wrong and not needed.
func doubleQuoted(line string) (text, rest, problem string) {
	n := quotedLen(line, '"')
	b, err := jsontext.AppendUnquote(nil, line[:n])
	if err != nil {
		return "", "", `an escape other than \" \\ \/ \b \f \n \r \t \uXXXX`
	}
	return string(b), line[n:], ""
}

func singleQuoted(line string) (text, rest, problem string) {
	n := quotedLen(line, '\'')
	if n == 0 {
		return "", "", "text that cannot be read for certain"
	}
	return strings.ReplaceAll(line[1:n-1], "''", "'"), line[n:], ""
}

// endsScalar says whether what follows a scalar on its line can follow one.
func endsScalar(rest string) bool {
	trimmed := strings.TrimLeft(rest, " ")
	return trimmed == "" || strings.ContainsRune(",]}:", rune(trimmed[0])) || trimmed[0] == '#' && trimmed != rest
}

var (
	numberLike = regexp.MustCompile(`^[-+]?\.?[0-9][0-9a-fA-FxXoObB_.:+-]*$`)
	dateLike   = regexp.MustCompile(`^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?$`)
)

// ambiguous says as what some YAML reader would take text that has no quotes, or
// nothing if all take it as text.
func ambiguous(n node) string {
	if n.quoted {
		return ""
	}
	switch strings.ToLower(n.text) {
	case "y", "n", "yes", "no", "on", "off", "true", "false":
		return "true or false to some YAML readers"
	case "null", ".inf", "-.inf", "+.inf", ".nan":
		return "not text to some YAML readers"
	}
	if dateLike.MatchString(n.text) {
		return "a date to some YAML readers"
	}
	if numberLike.MatchString(n.text) {
		return "a number to some YAML readers"
	}
	return ""
}

// show quotes text for an error message, cut to a readable length.
func show(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return strconv.QuoteToASCII(string(r[:most])) + "…"
	}
	return strconv.QuoteToASCII(s)
}
