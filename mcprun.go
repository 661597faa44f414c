// Package mcprun holds the nouns that every other package speaks in: names,
// verdicts, risks, decisions and the error that people see.
//
// It imports only the standard library and does no I/O. It protects nothing by
// itself; what it does give is values whose zero is the safe one: an unset
// Verdict denies, an unset Risk blocks, and a name can only be made by a parser
// that checks it.
package mcprun

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

// MaxServerName is the longest server name. Names become cgroup, folder and
// container names; 40 bytes leave room for the suffix of an instance within
// every one of those limits (the tightest is containerd's 76).
const MaxServerName = 40

// MaxToolName is the longest tool name: "tool names SHOULD be between 1 and 128
// characters in length" (MCP 2025-11-25, server/tools).
const MaxToolName = 128

// ServerName names one server.yaml: lower-case letters, digits and inner
// hyphens, starting with a letter.
type ServerName string

// ParseServerName checks s and returns it as a ServerName.
func ParseServerName(s string) (ServerName, error) {
	if s == "" {
		return "", fmt.Errorf("a server name is empty")
	}
	if len(s) > MaxServerName {
		return "", fmt.Errorf("server name of %d bytes; at most %d", len(s), MaxServerName)
	}
	for i, r := range []byte(s) {
		switch {
		case 'a' <= r && r <= 'z':
		case i > 0 && '0' <= r && r <= '9':
		case i > 0 && i < len(s)-1 && r == '-':
		default:
			return "", fmt.Errorf("server name %q: use a-z, 0-9 and inner hyphens, starting with a letter", s)
		}
	}
	return ServerName(s), nil
}

// ToolName names one tool of a server, in the alphabet of the MCP
// specification: A-Z a-z 0-9 _ - and dot.
type ToolName string

// ParseToolName checks s and returns it as a ToolName.
func ParseToolName(s string) (ToolName, error) {
	if s == "" {
		return "", fmt.Errorf("a tool name is empty")
	}
	if len(s) > MaxToolName {
		return "", fmt.Errorf("tool name of %d bytes; at most %d", len(s), MaxToolName)
	}
	for _, r := range s {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_-.", r)) {
			return "", fmt.Errorf("tool name %+q: %+q is outside A-Z a-z 0-9 _ - .", s, r)
		}
	}
	return ToolName(s), nil
}

// CallID names one request in the record; unique for the life of the log.
type CallID string

// NewCallID returns a fresh, unguessable id.
func NewCallID() CallID {
	var b [10]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return CallID("c-" + hex.EncodeToString(b[:]))
}

// Principal says on whose behalf a message came, e.g. "uid:1000". It is made
// from what the kernel says of a peer, never from what the peer says.
type Principal string

// Digest is a content digest, "sha256:" and 64 hex digits.
type Digest string

// ParseDigest checks s and returns it as a Digest.
func ParseDigest(s string) (Digest, error) {
	h, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(h) != 64 || strings.ToLower(h) != h {
		return "", fmt.Errorf("%q is not sha256: and 64 lower-case hex digits", s)
	}
	if _, err := hex.DecodeString(h); err != nil {
		return "", fmt.Errorf("%q is not sha256: and 64 lower-case hex digits", s)
	}
	return Digest(s), nil
}

// Short is the digest as people read it: the first 12 hex digits.
func (d Digest) Short() string {
	h := strings.TrimPrefix(string(d), "sha256:")
	return h[:min(12, len(h))]
}

// Verdict is what happens to a message. The zero value denies.
type Verdict uint8

const (
	Deny Verdict = iota
	Allow
	Hold // a human has to say yes first
)

func (v Verdict) String() string {
	switch v {
	case Allow:
		return "allow"
	case Hold:
		return "hold"
	}
	return "deny"
}

// Risk is the class of a tool or a call. The zero value blocks; a larger value
// is a smaller risk, so that the stricter of two is their minimum.
type Risk uint8

const (
	Block Risk = iota
	High
	Medium
	Low
)

func (r Risk) String() string {
	switch r {
	case Low:
		return "low"
	case Medium:
		return "medium"
	case High:
		return "high"
	}
	return "block"
}

// ParseRisk reads the word that server.yaml uses.
func ParseRisk(s string) (Risk, error) {
	for _, r := range []Risk{Low, Medium, High, Block} {
		if s == r.String() {
			return r, nil
		}
	}
	return Block, fmt.Errorf("risk %q is not one of low, medium, high, block", s)
}

// Stricter returns the riskier of the two classes.
func Stricter(a, b Risk) Risk { return min(a, b) }

// Decision is what the gate says of one message. The zero value denies with no
// rule named, which only a bug produces.
type Decision struct {
	Verdict Verdict
	Risk    Risk
	Rule    string // which rule decided, e.g. "schema.undeclared"; from a closed set
	Reason  string // what was wrong, for the one who asked
	Hint    string // what would be accepted, or what to type; may be empty

	// Confirm says of a Hold that the person at the client may lift it. Whoever does not
	// look at it leaves it to an operator.
	Confirm bool

	Score         int            // 0 to 100, the sum of the contributions
	Contributions []Contribution // what made the risk, in the order in which it was judged
	NewHosts      []string       // destinations in the arguments that were never named before
}

// Contribution is one named part of a call's risk.
type Contribution struct {
	Name   string // from a closed set, e.g. "taint.untrusted"
	Points int    // added to the score
	Least  Risk   // the class is this at least; Low asks for nothing
	Why    string // one sentence, for a person
}

// Justification is what a model says of a call for which server.yaml demands it.
// It is the model's word and proves nothing; it is for the human who decides.
type Justification struct {
	Intent string `json:"intent"` // what the call is for
	Target string `json:"target"` // what it will touch
	Effect string `json:"effect"` // what will be different afterwards
}
