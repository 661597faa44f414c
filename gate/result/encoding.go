package result

import (
	"bytes"
	"encoding/base64"
	"errors"
	"unicode/utf8"
)

// maxMediaType bounds a media type. RFC 6838 allows 127 characters on each side
// of the slash; parameters are as long as that again.
const maxMediaType = 512

// token marks the characters of RFC 9110 5.6.2 tokens.
var token = table("!#$%&'*+-.^_`|~" + "0123456789" + letters)

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// base64Alphabet is that of RFC 4648 4, which MCP names.
var base64Alphabet = table("0123456789+/" + letters)

func table(chars string) (t [256]bool) {
	for _, c := range []byte(chars) {
		t[c] = true
	}
	return t
}

func all(b []byte, t *[256]bool) bool {
	for _, c := range b {
		if !t[c] {
			return false
		}
	}
	return true
}

// mediaType checks type/subtype, perhaps with parameters.
func (p *preparer) mediaType(v span) error {
	if kind(p.raw, v) != '"' {
		return errNoString
	}
	s, parameters, _ := bytes.Cut(p.decode(v), []byte(";"))
	typ, sub, ok := bytes.Cut(bytes.TrimRight(s, " "), []byte("/"))
	printable := func(c byte) bool { return ' ' <= c && c <= '~' }
	switch {
	case !ok || len(typ) == 0 || len(sub) == 0 || !all(typ, &token) || !all(sub, &token):
		return errors.New("it is not a media type")
	case len(s)+len(parameters) > maxMediaType:
		return errors.New("the media type is too long")
	}
	for _, c := range parameters {
		if !printable(c) {
			return errors.New("a parameter of the media type is not printable ASCII")
		}
	}
	return p.keep(v)
}

// address checks and cleans a URI. A control character in one has no use but to
// deceive a terminal or a parser.
func (p *preparer) address(v span) error {
	if kind(p.raw, v) != '"' {
		return errNoString
	}
	text := p.decode(v)
	if len(text) == 0 {
		return errors.New("it is empty")
	}
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if hiddenKind(r) == control {
			return errors.New("it has a control character")
		}
		i += n
	}
	return p.line(v)
}

// base64 checks data, and replaces secrets in what they hold.
func (p *preparer) base64(v span) error {
	const group = 4
	if kind(p.raw, v) != '"' {
		return errNoString
	}
	data := span{v.from + 1, v.to - 1}.of(p.raw)
	body := bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("=")), []byte("="))
	if len(data)%group != 0 || !all(body, &base64Alphabet) {
		return errors.New("it is not base64")
	}
	if p.spec.Secrets == nil {
		return nil
	}
	plain, err := base64.StdEncoding.AppendDecode(nil, data)
	if err != nil {
		return errors.New("it is not base64")
	}
	if n := p.spec.Secrets.Bytes(plain); n > 0 {
		p.report.Redacted += n
		p.edits = append(p.edits, edit{v, append(base64.StdEncoding.AppendEncode([]byte(`"`), plain), '"')})
	}
	return nil
}
