package credentials

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Shape is the form of a placeholder: that of the token it stands for, so that a
// program that checks the form of its token starts. The zero Shape is none.
type Shape string

const (
	Plain      Shape = "plain"
	GitHub     Shape = "github"      // a classic personal access token
	GitHubFine Shape = "github-fine" // a fine-grained one
	OpenAI     Shape = "openai"
	Anthropic  Shape = "anthropic"
	Slack      Shape = "slack"
	AWSKeyID   Shape = "aws-key-id" // 80 random bits: the form holds no more
	AWSSecret  Shape = "aws-secret"
	JWT        Shape = "jwt"
	UUID       Shape = "uuid" // 122 random bits: six of a UUID say its version
	Basic      Shape = "basic"
)

// mark stands in every placeholder whose form has room for it: people who see one
// in a log know what it is, and that it is worth nothing.
const mark = "mcprun"

// Alphabets. Forms that allow - _ + / get none: these are written in several ways
// in addresses and in JSON, and a placeholder is found by its exact text.
const (
	alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	digits       = "0123456789"
	base32       = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// part is a piece of a placeholder: a fixed text, or n random characters.
type part struct {
	fixed    string
	n        int
	alphabet string
}

func fixed(s string) part                { return part{fixed: s} }
func random(n int, alphabet string) part { return part{n: n, alphabet: alphabet} }
func letters(n int) part                 { return random(n, alphanumeric) }

// form returns the parts of a shape, nil where it has none. Each but aws-key-id
// has at least 128 random bits: 22 characters of alphanumeric.
func form(s Shape) []part {
	switch s {
	case Plain, Basic:
		return []part{fixed(mark + "_"), letters(32)}
	case GitHub: // 36 after the prefix
		return []part{fixed("ghp_" + mark), letters(30)}
	case GitHubFine: // 22, a line and 59 after the prefix
		return []part{fixed("github_pat_" + mark), letters(16), fixed("_"), letters(59)}
	case OpenAI:
		return []part{fixed("sk-proj-" + mark), letters(42)}
	case Anthropic: // 95 after the prefix, of which the last two are AA
		return []part{fixed("sk-ant-api03-" + mark), letters(87), fixed("AA")}
	case Slack:
		return []part{fixed("xoxb-"), random(12, digits), fixed("-"), random(12, digits), fixed("-" + mark), letters(18)}
	case AWSKeyID:
		return []part{fixed("AKIA"), random(16, base32)}
	case AWSSecret: // 40
		return []part{fixed(mark), letters(34)}
	}
	return nil
}

// Shapes lists every shape.
func Shapes() []Shape {
	return []Shape{Plain, GitHub, GitHubFine, OpenAI, Anthropic, Slack, AWSKeyID, AWSSecret, JWT, UUID, Basic}
}

// ParseShape reads the word that server.yaml uses.
func ParseShape(s string) (Shape, error) {
	if !slices.Contains(Shapes(), Shape(s)) {
		return "", fmt.Errorf("shape %q is not one of %v", s, Shapes())
	}
	return Shape(s), nil
}

// NewPlaceholder makes an unguessable placeholder from what source gives;
// crypto/rand where it is nil.
func NewPlaceholder(s Shape, source io.Reader) (string, error) {
	if source == nil {
		source = rand.Reader
	}
	out, err := newPlaceholder(s, source)
	if err != nil {
		return "", fmt.Errorf("making a placeholder: %w", err)
	}
	return out, nil
}

func newPlaceholder(s Shape, source io.Reader) (string, error) {
	if _, err := ParseShape(string(s)); err != nil {
		return "", err
	}
	switch s {
	case JWT:
		return newJWT(source)
	case UUID:
		return newUUID(source)
	}
	var out strings.Builder
	for _, p := range form(s) {
		out.WriteString(p.fixed)
		chars, err := draw(source, p.n, p.alphabet)
		if err != nil {
			return "", err
		}
		out.Write(chars)
	}
	return out.String(), nil
}

// draw returns n characters, each as likely as any other: bytes above the largest
// multiple of the alphabet's length are thrown away.
func draw(source io.Reader, n int, alphabet string) ([]byte, error) {
	// At most one byte in 32 is thrown away, so a source that is random does not
	// use up sixteen rounds.
	const rounds = 16
	out := make([]byte, 0, n)
	buf := make([]byte, n)
	for i := 0; i < rounds && len(out) < n; i++ {
		want := buf[:n-len(out)]
		if _, err := io.ReadFull(source, want); err != nil {
			return nil, err
		}
		for _, b := range want {
			if int(b) < 256-256%len(alphabet) {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	if len(out) < n {
		return nil, errors.New("the source of randomness is not random")
	}
	return out, nil
}

// newJWT makes a token that decodes, says what it is, and is signed by nobody. It
// expires in 2100, so that no program tries to renew it.
func newJWT(source io.Reader) (string, error) {
	var signature [32]byte // as long as one of HS256
	if _, err := io.ReadFull(source, signature[:]); err != nil {
		return "", err
	}
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		enc([]byte(`{"iss":"`+mark+`","sub":"placeholder","exp":4102444800}`)) + "." + enc(signature[:]), nil
}

// newUUID makes a UUID of version 4 (RFC 9562, 5.4): strict readers check it.
func newUUID(source io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(source, b[:]); err != nil {
		return "", err
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-"), nil
}
