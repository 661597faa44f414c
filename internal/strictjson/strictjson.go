// Package strictjson reads JSON from outside in the one way that no two parsers
// disagree about, and gives back bytes that it wrote itself.
//
// Refused: duplicate keys, keys of one object that differ only in case, the key
// __proto__, invalid UTF-8 and lone surrogates, numbers that no double can hold,
// depth and size over a bound, anything after the value. What is accepted is
// re-serialised: no white space, one spelling of each string, numbers as they
// were written (an integer above 2^53 keeps its digits).
//
// It does not judge meaning: a well-formed value may still be hostile.
package strictjson

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
)

// MaxDepth bounds nesting: real tool arguments and schemas stay under 30, and
// recursive readers (ours, a server's) are safe far beyond 64.
const MaxDepth = 64

// maxNumber bounds the length of a number: longer than any double or 128-bit
// integer needs, short enough that no exact arithmetic on it is expensive.
const maxNumber = 64

// Mode says how strict a reading is.
type Mode uint8

const (
	// Request is for what a client sends: everything in the package comment.
	Request Mode = iota
	// Data is for what a server returns. Keys that differ only in case and
	// __proto__ are data there (a result may list the headers of a page), so
	// they are kept; all else is as strict.
	Data
)

// Parse reads exactly one JSON value and returns it re-serialised. The error
// says what is wrong in words fit for the sender.
//
// It takes two passes because that is three times as fast as going token by
// token: jsontext checks the grammar, UTF-8 and duplicate keys while it writes
// the value anew, and check walks over what was written.
func Parse(raw []byte, mode Mode) (jsontext.Value, error) {
	if len(bytes.Trim(raw, " \t\r\n")) == 0 {
		return nil, errors.New("no JSON value")
	}
	out, err := jsontext.AppendFormat(nil, raw)
	if err != nil {
		return nil, firstFault(raw, err)
	}
	if err := check(out, mode); err != nil {
		return nil, err
	}
	return out, nil
}

// firstFault prefers what check finds before the place where the grammar broke:
// a value nested too deep is called that, whatever its far end looks like.
func firstFault(raw []byte, err error) error {
	var syn *jsontext.SyntacticError
	if errors.As(err, &syn) {
		if err := check(raw[:min(len(raw), int(syn.ByteOffset))], Data); err != nil {
			return err
		}
	}
	return explain(err)
}

// explain shortens the library's errors to what a sender can act on.
func explain(err error) error {
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("a key appears twice in one object")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON value is cut off")
	}
	var syn *jsontext.SyntacticError
	if !errors.As(err, &syn) {
		return err
	}
	if strings.HasSuffix(syn.Err.Error(), "after top-level value") {
		return errors.New("something follows the JSON value")
	}
	return fmt.Errorf("not JSON at byte %d: %v", syn.ByteOffset, syn.Err)
}

// check refuses what the grammar allows and this package does not: depth,
// numbers and, in a request, keys. It relies on v being what AppendFormat wrote
// (no white space, one spelling of each string); in Data mode it also takes a
// well-formed beginning of any JSON text.
func check(v []byte, mode Mode) error {
	var keys openKeys
	depth := 0
	for i := 0; i < len(v); {
		switch c := v[i]; {
		case c == '"':
			end := stringEnd(v, i)
			if mode == Request && end < len(v) && v[end] == ':' {
				if err := keys.add(v[i:end]); err != nil {
					return err
				}
			}
			i = end
			continue
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("nested deeper than %d", MaxDepth)
			}
			keys.open()
		case c == '}' || c == ']':
			depth--
			keys.close()
		case c == '-' || '0' <= c && c <= '9':
			end := numberEnd(v, i)
			if err := checkNumber(v[i:end]); err != nil {
				return err
			}
			i = end
			continue
		}
		i++
	}
	return nil
}

func checkNumber(s []byte) error {
	if len(s) > maxNumber {
		return fmt.Errorf("a number of %d characters; at most %d", len(s), maxNumber)
	}
	if !bytes.ContainsAny(s, "eE") {
		return nil // maxNumber digits are far below the largest double
	}
	f, err := strconv.ParseFloat(string(s), 64)
	// A number too small for a double reads as 0 in one parser and as itself in an
	// exact one, where its exponent costs memory without end.
	mantissa, _, _ := bytes.Cut(bytes.ToLower(s), []byte("e"))
	if err != nil || math.IsInf(f, 0) || f == 0 && bytes.ContainsAny(mantissa, "123456789") {
		return fmt.Errorf("number %s is out of range", s)
	}
	return nil
}

// fewKeys is how many keys of one object are compared one by one before a map
// takes over; nearly every object of a real call has fewer, and needs no map.
const fewKeys = 16

// openKeys holds the keys seen so far of every object that is still open, to
// find two that a case-insensitive reader (Go's encoding/json is one) takes for
// the same. Keys are kept quoted, as written; both spellings of a letter stay
// apart from an escape, so comparing them so is comparing what they mean.
type openKeys struct {
	quoted [][]byte // of all open objects, outermost first
	depth  int
	levels [MaxDepth + 1]struct {
		first  int               // where this object's keys start in quoted
		folded map[string][]byte // the same keys by Fold; nil while there are few
	}
}

func (k *openKeys) open() {
	k.depth++
	k.levels[k.depth].first = len(k.quoted)
}

func (k *openKeys) close() {
	level := &k.levels[k.depth]
	k.quoted = k.quoted[:level.first]
	level.folded = nil
	k.depth--
}

// add refuses a key that equals another of the innermost object but for case.
func (k *openKeys) add(quoted []byte) error {
	if string(quoted) == `"__proto__"` {
		return errors.New("the key __proto__ is refused")
	}
	level := &k.levels[k.depth]
	siblings := k.quoted[level.first:]
	if len(siblings) < fewKeys {
		for _, s := range siblings {
			if bytes.EqualFold(s, quoted) {
				return differOnlyInCase(s, quoted)
			}
		}
	} else {
		if level.folded == nil {
			level.folded = make(map[string][]byte, 2*fewKeys)
			for _, s := range siblings {
				level.folded[Fold(string(s))] = s
			}
		}
		f := Fold(string(quoted))
		if s, ok := level.folded[f]; ok {
			return differOnlyInCase(s, quoted)
		}
		level.folded[f] = quoted
	}
	k.quoted = append(k.quoted, quoted)
	return nil
}

func differOnlyInCase(a, b []byte) error {
	x, _ := jsontext.AppendUnquote(nil, a)
	y, _ := jsontext.AppendUnquote(nil, b)
	return fmt.Errorf("keys %q and %q differ only in case", x, y)
}

// Fold maps all spellings that differ only in case to one, by Unicode simple
// folding: the equality that encoding/json and strings.EqualFold use.
func Fold(s string) string {
	if isASCII(s) {
		return strings.ToUpper(s) // a capital is the smallest of its orbit
	}
	r := []rune(s)
	for i := range r {
		r[i] = foldRune(r[i])
	}
	return string(r)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// foldRune returns the smallest rune of r's folding orbit.
func foldRune(r rune) rune {
	least := r
	for q := unicode.SimpleFold(r); q != r; q = unicode.SimpleFold(q) {
		least = min(least, q)
	}
	return least
}

// Canonical returns the RFC 8785 form of v: what digests are taken over.
func Canonical(v jsontext.Value) (jsontext.Value, error) {
	c := v.Clone()
	if err := c.Canonicalize(); err != nil {
		return nil, fmt.Errorf("canonicalising JSON: %w", err)
	}
	return c, nil
}

// DigestOf is the SHA-256 over the canonical form of v.
func DigestOf(v jsontext.Value) (mcprun.Digest, error) {
	c, err := Canonical(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(c)
	return mcprun.Digest("sha256:" + hex.EncodeToString(sum[:])), nil
}
