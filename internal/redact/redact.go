// Package redact replaces secrets in what an upstream answers by '*', one for
// each byte, so that lengths and framing stay as they are. The egress proxy puts
// credentials into requests; an upstream that echoes one would hand it to the
// server that must not have it.
//
// A secret is found as it is and in the encodings that servers usually print:
// percent-encoding, JSON strings, hexadecimal, and base64 at any place inside
// longer encoded data. Streams are handed on as they come: only bytes that may
// be the beginning of a secret wait for what follows them.
//
// What is NOT protected. This stops an echo, not an upstream that wants to leak:
//   - a secret that was transformed otherwise: split by other bytes (base64 in
//     lines, a token printed in groups), reversed, in other letter case, encoded
//     twice, in UTF-16, hashed or encrypted;
//   - a part of a secret, also the part before a stream that ends early;
//   - the edges of base64: the first and the last character are shared with the
//     neighbours, and up to four bits of the secret stay in each;
//   - that there was a secret, and how long it is;
//   - compression that Decode does not undo, such as that of single gRPC messages.
//
// A secret that itself holds '*' can appear to be left, since the filler is the
// same byte.
package redact

import (
	"fmt"
	"io"
	"slices"
)

const (
	// MinSecret is the length below which New refuses a secret: replacing
	// something so short would destroy bodies that merely look like it. The
	// filter needs it too: its window must fit into the shortest pattern.
	MinSecret = 8

	// MaxSecret bounds one secret: four times a PEM file with an RSA key of 4096 bits.
	MaxSecret = 16 << 10

	// MaxSecrets bounds how many one Set looks for: far more than the
	// credentials of one server, each with its Basic pair.
	MaxSecrets = 64
)

// filler replaces each byte of a secret. It needs no escape in JSON, HTML or a
// header, and is in no base64 alphabet.
const filler = '*'

// Set is the secrets to be replaced. It never changes and may be used by many
// goroutines at once. The zero Set replaces nothing.
type Set struct {
	auto *automaton // nil: nothing to look for
	filt *filter
}

// New returns the Set of secrets. A secret that is too short or too long is
// refused, since leaving it out would let it pass. An error never shows a secret.
func New(secrets []string) (*Set, error) {
	if len(secrets) > MaxSecrets {
		return nil, fmt.Errorf("%d secrets; at most %d", len(secrets), MaxSecrets)
	}
	var patterns []string
	for i, s := range secrets {
		if len(s) < MinSecret {
			return nil, fmt.Errorf("secret %d of %d: %d bytes; at least %d, or harmless text would be replaced", i+1, len(secrets), len(s), MinSecret)
		}
		if len(s) > MaxSecret {
			return nil, fmt.Errorf("secret %d of %d: %d bytes; at most %d", i+1, len(secrets), len(s), MaxSecret)
		}
		patterns = append(patterns, forms(s)...)
	}
	if len(patterns) == 0 {
		return &Set{}, nil
	}
	slices.Sort(patterns)
	patterns = slices.Compact(patterns)
	auto, err := newAutomaton(patterns)
	if err != nil {
		return nil, err
	}
	return &Set{auto: auto, filt: newFilter(patterns)}, nil
}

// Bytes replaces the secrets in b, in place. It returns how many runs of bytes
// were replaced: secrets that touch or overlap count once.
func (s *Set) Bytes(b []byte) int {
	if s.auto == nil {
		return 0
	}
	sc := scanner{set: s}
	sc.scan(b, 0)
	return sc.blank(b, 0)
}

// String is Bytes for a string, such as the value of a header.
func (s *Set) String(v string) (string, int) {
	b := []byte(v)
	n := s.Bytes(b)
	if n == 0 {
		return v, 0
	}
	return string(b), n
}

// Format keeps the secrets out of logs: the automaton spells them.
func (Set) Format(f fmt.State, _ rune) {
	io.WriteString(f, "redact.Set")
}
