// Package lock reads, writes and compares server.lock: what one server was when
// a human last looked at it. It holds the digests of the image and the profile,
// what the server says of itself, and the whole raw definition of every tool.
// The file is meant to be committed and reviewed like any lock file, so it is
// deterministic, one value a line, and every character that a reviewer would
// not see is written as an escape.
//
// A lock protects against change, not against malice: a definition that was
// hostile when it was pinned stays so (package gate judges definitions). The
// file is not signed; whoever can write it can pin anything. Digests are taken
// over RFC 8785, where numbers are doubles; [Tool.Same] therefore compares the
// written numbers too.
package lock

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/strictjson"
)

// Version is the only version of the file that exists.
const Version = 1

// MaxTools bounds the tools of one server. The largest server seen has under a
// hundred; a thousand definitions are more than any model or reviewer reads.
const MaxTools = 1024

// MaxSize bounds the file. The largest real one is under 200 KiB; reading and
// comparing 8 MiB still takes well under a second.
const MaxSize = 8 << 20

// maxField bounds the profile's and the protocol's name: paths and dates.
const maxField = 4096

// File is the content of a server.lock. Make one by filling the fields that are
// not digests over other fields, then calling Seal.
type File struct {
	Version            int               `json:"version"`
	Server             mcprun.ServerName `json:"server"`
	Image              mcprun.Digest     `json:"image"`
	Profile            string            `json:"profile"`
	ProfileDigest      mcprun.Digest     `json:"profileDigest"`
	Protocol           string            `json:"protocol"`
	ServerInfo         jsontext.Value    `json:"serverInfo"`
	Capabilities       jsontext.Value    `json:"capabilities"`
	Instructions       string            `json:"instructions"`
	InstructionsDigest mcprun.Digest     `json:"instructionsDigest"`
	ServerDigest       mcprun.Digest     `json:"serverDigest"`                // over serverInfo and instructions
	Secrets            []string          `json:"secretsInContainer,omitzero"` // credentials that the container holds itself, sorted
	Tools              []Tool            `json:"tools"`                       // sorted by name
}

// Tool is one pinned tool.
type Tool struct {
	Name       mcprun.ToolName `json:"name"`
	Digest     mcprun.Digest   `json:"digest"`
	Definition jsontext.Value  `json:"definition"` // whole and raw, unknown fields included
}

// NewTool pins one definition as a server sent it. The order of its keys does
// not matter to JSON and is not kept, so that a server that shuffles them does
// not make a diff.
func NewTool(def jsontext.Value) (Tool, error) {
	def, err := normal(def)
	if err != nil {
		return Tool{}, fmt.Errorf("reading a tool definition: %w", err)
	}
	name, err := definedName(def)
	if err != nil {
		return Tool{}, err
	}
	// A file holds a definition three levels down, and must be readable again.
	if _, err := strictjson.Parse([]byte("[[["+string(def)+"]]]"), strictjson.Data); err != nil {
		return Tool{}, fmt.Errorf("pinning tool %s: %w", name, err)
	}
	digest, err := strictjson.DigestOf(def)
	if err != nil {
		return Tool{}, fmt.Errorf("pinning tool %s: %w", name, err)
	}
	return Tool{Name: name, Digest: digest, Definition: def}, nil
}

// Same reports whether t and o are the same definition. Equal digests are not
// enough: canonical JSON rounds 9007199254740993 to its neighbour.
func (t Tool) Same(o Tool) bool {
	a, errA := normal(t.Definition)
	b, errB := normal(o.Definition)
	return errA == nil && errB == nil && t.Name == o.Name && t.Digest == o.Digest && string(a) == string(b)
}

// Tool returns the pinned tool of that name.
func (f *File) Tool(name mcprun.ToolName) (Tool, bool) {
	i, ok := slices.BinarySearchFunc(f.Tools, name, func(t Tool, n mcprun.ToolName) int { return cmp.Compare(t.Name, n) })
	if !ok {
		return Tool{}, false
	}
	return f.Tools[i], true
}

// Seal brings f into the one form that Parse accepts: it normalises the raw
// values, sorts the tools and computes the digests over other fields. The tools'
// own digests must have been made by NewTool.
func (f *File) Seal() error {
	f.Version = Version
	f.Secrets = slices.Compact(slices.Sorted(slices.Values(f.Secrets)))
	var err error
	if f.ServerInfo, err = normalObject(f.ServerInfo); err != nil {
		return fmt.Errorf("reading serverInfo: %w", err)
	}
	if f.Capabilities, err = normalObject(f.Capabilities); err != nil {
		return fmt.Errorf("reading capabilities: %w", err)
	}
	if f.InstructionsDigest, f.ServerDigest, err = f.digests(); err != nil {
		return err
	}
	f.Tools = slices.SortedFunc(slices.Values(f.Tools), func(a, b Tool) int { return cmp.Compare(a.Name, b.Name) })
	return f.check()
}

// digests computes the two digests over what the server says of itself.
func (f *File) digests() (instructions, server mcprun.Digest, err error) {
	text, err := json.Marshal(f.Instructions)
	if err != nil {
		return "", "", fmt.Errorf("reading instructions: %w", err)
	}
	if instructions, err = strictjson.DigestOf(text); err != nil {
		return "", "", err
	}
	both, err := json.Marshal(struct {
		ServerInfo   jsontext.Value `json:"serverInfo"`
		Instructions string         `json:"instructions"`
	}{f.ServerInfo, f.Instructions})
	if err != nil {
		return "", "", fmt.Errorf("reading serverInfo: %w", err)
	}
	server, err = strictjson.DigestOf(both)
	return instructions, server, err
}

// normal parses v strictly and orders its keys; numbers stay as written.
func normal(v jsontext.Value) (jsontext.Value, error) {
	out, err := strictjson.Parse(v, strictjson.Data)
	if err != nil {
		return nil, err
	}
	if err := out.Format(jsontext.ReorderRawObjects(true), jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false)); err != nil {
		return nil, fmt.Errorf("ordering keys: %w", err)
	}
	return out, nil
}

func normalObject(v jsontext.Value) (jsontext.Value, error) {
	out, err := normal(v)
	if err != nil {
		return nil, err
	}
	if out.Kind() != jsontext.KindBeginObject {
		return nil, errors.New("not an object")
	}
	return out, nil
}

// definedName reads the name that a definition gives itself.
func definedName(def jsontext.Value) (mcprun.ToolName, error) {
	if def.Kind() != jsontext.KindBeginObject {
		return "", errors.New("a tool definition is not an object")
	}
	var d struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(def, &d); err != nil {
		return "", errors.New("a tool definition has no name that is a string")
	}
	return mcprun.ParseToolName(d.Name)
}
