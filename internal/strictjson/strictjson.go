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
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode"

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
func Parse(raw []byte, mode Mode) (jsontext.Value, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	out := bytes.NewBuffer(make([]byte, 0, len(raw)+1))
	enc := jsontext.NewEncoder(out)
	var folded []map[string]string
	for {
		tok, err := dec.ReadToken()
		if err != nil {
			if errors.Is(err, io.EOF) && dec.StackDepth() == 0 && out.Len() == 0 {
				return nil, errors.New("no JSON value")
			}
			return nil, explain(err)
		}
		switch tok.Kind() {
		case jsontext.KindBeginObject, jsontext.KindBeginArray:
			if dec.StackDepth() > MaxDepth {
				return nil, fmt.Errorf("nested deeper than %d", MaxDepth)
			}
			if mode == Request {
				folded = append(folded, nil)
			}
		case jsontext.KindEndObject, jsontext.KindEndArray:
			if mode == Request {
				folded = folded[:len(folded)-1]
			}
		case jsontext.KindNumber:
			if err := checkNumber(tok.String()); err != nil {
				return nil, err
			}
		case jsontext.KindString:
			if kind, n := dec.StackIndex(dec.StackDepth()); mode == Request && kind == jsontext.KindBeginObject && n%2 == 1 {
				if err := checkKey(&folded[len(folded)-1], tok.String()); err != nil {
					return nil, err
				}
			}
		}
		if tok.Kind() == jsontext.KindNumber {
			err = enc.WriteValue(jsontext.Value(tok.String())) // WriteToken would reformat it
		} else {
			err = enc.WriteToken(tok)
		}
		if err != nil {
			return nil, explain(err)
		}
		if dec.StackDepth() == 0 {
			break
		}
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return jsontext.Value(bytes.TrimSuffix(out.Bytes(), []byte("\n"))), nil
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
	if errors.As(err, &syn) {
		return fmt.Errorf("not JSON at byte %d: %v", syn.ByteOffset, syn.Err)
	}
	return err
}

func checkNumber(s string) error {
	if len(s) > maxNumber {
		return fmt.Errorf("a number of %d characters; at most %d", len(s), maxNumber)
	}
	if f, err := strconv.ParseFloat(s, 64); err != nil || math.IsInf(f, 0) {
		return fmt.Errorf("number %s is out of range", s)
	}
	return nil
}

// checkKey refuses a key that a case-insensitive reader (Go's encoding/json is
// one) takes for another key of the same object.
func checkKey(seen *map[string]string, key string) error {
	if key == "__proto__" {
		return errors.New("the key __proto__ is refused")
	}
	f := Fold(key)
	if prev, ok := (*seen)[f]; ok && prev != key {
		return fmt.Errorf("keys %q and %q differ only in case", prev, key)
	}
	if *seen == nil {
		*seen = make(map[string]string, 4)
	}
	(*seen)[f] = key
	return nil
}

// Fold maps all spellings that differ only in case to one, by Unicode simple
// folding: the equality that encoding/json and strings.EqualFold use.
func Fold(s string) string {
	ascii := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 0x80 || 'a' <= c && c <= 'z' {
			ascii = false
			break
		}
	}
	if ascii {
		return s
	}
	r := []rune(s)
	for i := range r {
		r[i] = foldRune(r[i])
	}
	return string(r)
}

// foldRune returns the smallest rune of r's folding orbit.
func foldRune(r rune) rune {
	least := r
	for q := unicode.SimpleFold(r); q != r; q = unicode.SimpleFold(q) {
		least = min(least, q)
	}
	return least
}

// Decode turns an already parsed value into maps, slices, strings, bools, nil
// and json.Number, as the schema validator wants it.
func Decode(v jsontext.Value) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(v))
	dec.UseNumber()
	var out any
	if err := dec.Decode(&out); err != nil {
		return nil, fmt.Errorf("decoding JSON: %w", err)
	}
	return out, nil
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
