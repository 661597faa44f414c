package lock

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/strictjson"
)

// Parse reads a server.lock. Every digest that covers other fields is computed
// again and must match, so an edit by hand that forgets one is found.
func Parse(raw []byte) (*File, error) {
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("lock file of %d bytes; at most %d", len(raw), MaxSize)
	}
	value, err := strictjson.Parse(raw, strictjson.Data)
	if err != nil {
		return nil, fmt.Errorf("reading the lock file: %w", err)
	}
	if err := value.Format(jsontext.ReorderRawObjects(true), jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false)); err != nil {
		return nil, fmt.Errorf("reading the lock file: %w", err)
	}
	f := new(File)
	if err := json.Unmarshal(value, f, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("reading the lock file: %w", err)
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

// Marshal writes f as Parse reads it: indented, ordered, with every hidden
// character as an escape.
func Marshal(f *File) ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	out, err := json.Marshal(f, jsontext.Multiline(true), jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("writing the lock file: %w", err)
	}
	out = append(escapeHidden(out), '\n')
	if len(out) > MaxSize {
		return nil, fmt.Errorf("lock file of %d bytes; at most %d", len(out), MaxSize)
	}
	return out, nil
}

// escapeHidden writes hidden characters of a JSON text as \uXXXX. Valid JSON
// has them nowhere but inside strings, where the escape means the same.
func escapeHidden(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\n' || Hidden(r) == "":
			out = append(out, text[:n]...)
		case r > 0xFFFF:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		text = text[n:]
	}
	return out
}

// check is what Parse demands of a file and Seal of its result.
func (f *File) check() error {
	if f.Version != Version {
		return fmt.Errorf("lock file of version %d; this program reads version %d", f.Version, Version)
	}
	if _, err := mcprun.ParseServerName(string(f.Server)); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if _, err := mcprun.ParseDigest(string(f.Image)); err != nil {
		return fmt.Errorf("image: %w", err)
	}
	if _, err := mcprun.ParseDigest(string(f.ProfileDigest)); err != nil {
		return fmt.Errorf("profileDigest: %w", err)
	}
	if err := checkField(f.Profile); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	if err := checkField(f.Protocol); err != nil {
		return fmt.Errorf("protocol: %w", err)
	}
	if f.ServerInfo.Kind() != jsontext.KindBeginObject {
		return errors.New("serverInfo: not an object")
	}
	if f.Capabilities.Kind() != jsontext.KindBeginObject {
		return errors.New("capabilities: not an object")
	}
	instructions, server, err := f.digests()
	if err != nil {
		return err
	}
	if f.InstructionsDigest != instructions {
		return errors.New("instructionsDigest: does not match the instructions")
	}
	if f.ServerDigest != server {
		return errors.New("serverDigest: does not match serverInfo and instructions")
	}
	for i, name := range f.Secrets {
		if err := checkField(name); err != nil {
			return fmt.Errorf("secretsInContainer: %w", err)
		}
		if i > 0 && f.Secrets[i-1] >= name {
			return fmt.Errorf("secretsInContainer: %s is out of order or there twice", name)
		}
	}
	return checkTools(f.Tools)
}

// checkField refuses a name that is empty or that shows as something else.
func checkField(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	if len(s) > maxField {
		return fmt.Errorf("%d bytes; at most %d", len(s), maxField)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return Hidden(r) != "" }) {
		return fmt.Errorf("hidden characters in %s", Visible(s))
	}
	return nil
}

func checkTools(tools []Tool) error {
	if len(tools) > MaxTools {
		return fmt.Errorf("%d tools; at most %d", len(tools), MaxTools)
	}
	for i, t := range tools {
		if _, err := mcprun.ParseToolName(string(t.Name)); err != nil {
			return fmt.Errorf("tools[%d]: %w", i, err)
		}
		if i > 0 && tools[i-1].Name == t.Name {
			return fmt.Errorf("tools[%d]: %s is there twice", i, t.Name)
		}
		if i > 0 && tools[i-1].Name > t.Name {
			return fmt.Errorf("tools[%d]: %s stands after %s; tools are sorted by name", i, t.Name, tools[i-1].Name)
		}
		if err := checkTool(t); err != nil {
			return fmt.Errorf("tools[%d]: %s: %w", i, t.Name, err)
		}
	}
	return nil
}

func checkTool(t Tool) error {
	name, err := definedName(t.Definition)
	if err != nil {
		return err
	}
	if name != t.Name {
		return fmt.Errorf("its definition is named %s", name)
	}
	digest, err := strictjson.DigestOf(t.Definition)
	if err != nil {
		return err
	}
	if digest != t.Digest {
		return errors.New("the digest does not match the definition")
	}
	return nil
}
