package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// forms returns the secret and its usual encodings, with repetitions. Each is at
// least as long as MinSecret: no encoding makes a text shorter, and of base64 at
// least ten characters depend on nothing else.
func forms(secret string) []string {
	list := []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	list = append(list, percentForms(secret)...)
	list = append(list, base64Forms(secret)...)
	return append(list, jsonForms(secret)...)
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// percentEncodings are the ways of percent-encoding in use. They differ in the
// bytes that stay as they are, and in what a space becomes.
var percentEncodings = []struct {
	keep  string
	space string
}{
	{"-_.~", "+"},         // Go url.QueryEscape, Python quote_plus
	{"-_.~$&+=:@", "%20"}, // Go url.PathEscape
	{"-_.~", "%20"},       // RFC 3986, curl
	{"-_.~/", "%20"},      // Python quote
	{"-_.~!*'()", "%20"},  // JavaScript encodeURIComponent
	{"-_.*", "+"},         // JavaScript URLSearchParams, HTML forms
}

func percentForms(secret string) []string {
	var list []string
	for _, e := range percentEncodings {
		for _, verb := range []string{"%%%02X", "%%%02x"} {
			list = append(list, percentEncode(secret, alphanumeric+e.keep, e.space, verb))
		}
	}
	return list
}

func percentEncode(secret, keep, space, verb string) string {
	var b strings.Builder
	for _, c := range []byte(secret) {
		switch {
		case c == ' ':
			b.WriteString(space)
		case strings.IndexByte(keep, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, verb, c)
		}
	}
	return b.String()
}

// base64Forms returns the characters that the secret alone decides, when 0, 1 or
// 2 bytes of a group of three stand before it.
func base64Forms(secret string) []string {
	const char, octet = 6, 8 // bits
	var list []string
	for before := range 3 {
		data := append(make([]byte, before), secret...)
		from := (before*octet + char - 1) / char
		to := len(data) * octet / char
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			list = append(list, enc.EncodeToString(data)[from:to])
		}
	}
	return list
}

// jsonForms returns the secret as the inside of a JSON string. A secret that is
// not UTF-8 cannot stand in one unchanged.
func jsonForms(secret string) []string {
	if !utf8.ValidString(secret) {
		return nil
	}
	plain := jsonEncode(secret, false)
	return []string{
		plain,                                // JavaScript and most others
		jsonEncode(secret, true),             // Go: < > & as \u003c
		strings.ReplaceAll(plain, "/", `\/`), // PHP
		asciiOnly(plain),                     // Python: \u00e4
	}
}

func jsonEncode(s string, html bool) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(html)
	if err := enc.Encode(s); err != nil {
		return s // cannot happen: a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\"\n")[len(`"`):]
}

func asciiOnly(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		for _, u := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, u)
		}
	}
	return b.String()
}
