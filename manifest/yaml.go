package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

type kind uint8

const (
	badKind kind = iota // already reported
	nullKind
	scalarKind
	listKind
	mapKind
)

func (k kind) String() string {
	return [...]string{"something unreadable", "nothing", "a single value", "a list", "a mapping"}[k]
}

// node is the part of YAML that is taken. All that is known about goccy/go-yaml
// stays in this file.
type node struct {
	pos
	kind   kind
	text   string // of a scalar
	quoted bool
	items  []node // of a list
	pairs  []pair // of a mapping; keys are scalars and differ
}

type pair struct{ key, value node }

// readYAML returns the one document in data, or nil if there is none that can be
// looked at further. All that is refused about its form is in r.
func readYAML(data []byte, r *report) *node {
	src, ok := newSource(data, r)
	if !ok {
		return nil
	}
	tokens := slices.DeleteFunc(lexer.Tokenize(strings.Join(src.lines, "\n")), isComment)
	if len(tokens) > MaxTokens {
		r.syntax(pos{1, 1}, fmt.Sprintf("the file has more than %d words and marks", MaxTokens), "take out what does not belong to it")
		return nil
	}
	if !checkTokens(tokens, r) {
		return nil
	}
	doc := parse(tokens, r)
	if doc == nil {
		return nil
	}
	y := yamlReader{src: src, r: r, scalars: map[pos]int{}}
	root := y.read(doc, pos{1, 1}, 1)
	y.checkComplete(tokens)
	return &root
}

// isComment drops comments before they are counted; what follows them keeps its
// position.
func isComment(t *token.Token) bool { return t.Type == token.CommentType }

// checkTokens reports the marks of YAML that are not taken, and says whether the
// rest is fit for the parser.
func checkTokens(tokens token.Tokens, r *report) bool {
	depth, directive, first := 0, 0, true
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		}
		if depth > MaxDepth {
			reportTooDeep(posOf(t), r)
			return false
		}
		if what, fix := refusedToken(t, first); what != "" {
			r.syntax(posOf(t), what, fix)
		}
		if t.Type == token.DirectiveType {
			directive = t.Position.Line
		}
		first = first && t.Position.Line == directive
	}
	return true
}

func reportTooDeep(at pos, r *report) {
	r.syntax(at, fmt.Sprintf("nested deeper than %d", MaxDepth), "no key needs that; check the indentation and the brackets")
}

func refusedToken(t *token.Token, first bool) (what, fix string) {
	switch t.Type {
	case token.AnchorType:
		return "an anchor (&)", "write the value out in each place; text that starts with & needs quotes"
	case token.AliasType:
		return "an alias (*)", "write the value out; text that starts with * needs quotes"
	case token.TagType:
		return "a tag (!)", "take it out; text that starts with ! needs quotes"
	case token.MergeKeyType:
		return "a merge key (<<)", "write the keys out"
	case token.MappingKeyType:
		return "an explicit key (?)", "write key: value; text that starts with ? needs quotes"
	case token.DirectiveType:
		return "a directive (%)", "take the line out"
	case token.DocumentEndType:
		return "an end-of-document mark (...)", "take the line out; a file holds one document"
	case token.DocumentHeaderType:
		if !first {
			return "a second document (---)", "a file holds one document; take out the line and what follows"
		}
	}
	return "", ""
}

// parse runs the parser over tokens. Duplicate keys are let through here and
// found by yamlReader, which reports all of them.
func parse(tokens token.Tokens, r *report) ast.Node {
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		reportSyntax(err, r)
		return nil
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		r.syntax(pos{1, 1}, "the file is empty", "start with version: 1")
		return nil
	}
	return file.Docs[0].Body
}

// reportSyntax turns the parser's error into ours. A file with such a mark as an
// anchor has its own error already, and the parser's would only repeat it.
func reportSyntax(err error, r *report) {
	var located interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &located) || located.GetToken() == nil {
		r.syntax(pos{1, 1}, "not YAML", "")
		return
	}
	at := posOf(located.GetToken())
	for _, e := range r.errs {
		if e.Line == at.line {
			return
		}
	}
	r.syntax(at, "not YAML: "+located.GetMessage(), "compare the indentation with the lines around it; put text with special characters in double quotes")
}

func posOf(t *token.Token) pos {
	if t == nil || t.Position == nil {
		return pos{1, 1}
	}
	return pos{max(1, t.Position.Line), max(1, t.Position.Column)}
}

// yamlReader turns the parser's tree into nodes and remembers where each scalar
// is and how many characters it takes.
type yamlReader struct {
	src     *source
	r       *report
	scalars map[pos]int
	tooDeep bool // reported
}

// read converts n; at is where an error about an absent value belongs.
func (y *yamlReader) read(n ast.Node, at pos, depth int) node {
	if depth > MaxDepth {
		if !y.tooDeep {
			reportTooDeep(at, y.r)
		}
		y.tooDeep = true
		return node{pos: at}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return y.mapping(n, at, depth)
	case *ast.SequenceNode:
		out := node{pos: posOf(n.Start), kind: listKind}
		for i, v := range n.Values {
			item := y.read(v, out.pos, depth+1)
			if !n.IsFlowStyle && i < len(n.Entries) {
				y.checkPlace(posOf(n.Entries[i].Start), item, v, 1)
			}
			out.items = append(out.items, item)
		}
		return out
	case *ast.NullNode:
		if n.Token.Type == token.NullType {
			at = posOf(n.Token)
			y.scalars[at] = len(n.Token.Value)
		}
		return node{pos: at, kind: nullKind}
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return y.scalar(n.GetToken())
	}
	// Anchors, aliases, tags and the like: checkTokens has reported them.
	return node{pos: at}
}

func (y *yamlReader) mapping(n *ast.MappingNode, at pos, depth int) node {
	out := node{pos: at, kind: mapKind}
	if n.IsFlowStyle {
		out.pos = posOf(n.Start)
	}
	seen := map[string]pos{}
	for i, v := range n.Values {
		key := y.read(v.Key, out.pos, depth+1)
		if i == 0 && !n.IsFlowStyle && key.kind != badKind {
			out.pos = key.pos
		}
		value := y.read(v.Value, key.pos, depth+1)
		y.checkPlace(key.pos, value, v.Value, 0)
		if !y.checkColon(v.Start) || !y.checkKey(key, seen) {
			continue
		}
		out.pairs = append(out.pairs, pair{key, value})
	}
	return out
}

// checkPlace wants a value on the line of its key or dash, or indented below it:
// this parser takes values in places where others see a new key. A list may
// stand listIndent or more columns to the right of a key.
func (y *yamlReader) checkPlace(above pos, value node, n ast.Node, listIndent int) {
	ok := value.line == above.line
	switch n := n.(type) {
	case *ast.MappingNode:
		ok = ok || !n.IsFlowStyle && value.col > above.col
	case *ast.SequenceNode:
		ok = ok || !n.IsFlowStyle && value.col >= above.col+listIndent
	}
	if !ok && value.kind != badKind {
		y.r.syntax(value.pos, "a value away from its key", "write it on the line of its key, or indent it below")
	}
}

// checkColon wants a space after the colon of a key. Without one, {A:-b} is the
// key A to this parser and the key "A:-b" to others.
func (y *yamlReader) checkColon(t *token.Token) bool {
	if t.Type != token.MappingValueType {
		return true // {A} has no colon, and no value either
	}
	at := posOf(t)
	if rest := y.src.from(at); rest == ":" || strings.HasPrefix(rest, ": ") {
		return true
	}
	y.r.syntax(at, "a colon without a space after it", "write key: value; put text with a colon in double quotes")
	return false
}

// checkKey refuses keys that are not text, and keys that appear twice: readers
// differ in which of the two they take.
func (y *yamlReader) checkKey(key node, seen map[string]pos) bool {
	if key.kind == badKind {
		return false
	}
	if key.kind != scalarKind {
		y.r.syntax(key.pos, "a key that is "+key.kind.String(), "a key is text; put it in double quotes")
		return false
	}
	if what := ambiguous(key); what != "" {
		y.r.syntax(key.pos, fmt.Sprintf("the key %s is %s", key.text, what), fmt.Sprintf("quote it: %q", key.text))
		return false
	}
	if first, ok := seen[key.text]; ok {
		y.r.syntax(key.pos, fmt.Sprintf("the key %s is already on line %d", show(key.text), first.line), "take one of the two out")
		return false
	}
	seen[key.text] = key.pos
	return true
}
