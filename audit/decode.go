package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
)

// parser reads lines; it is kept between lines for its buffers.
type parser struct {
	in  bytes.Reader
	dec jsontext.Decoder
	out []byte
}

// parse reads one line, newline included, and the hash that it names. A line is
// accepted only if this package would write the very same bytes for it: no two
// readers can then understand it differently.
func (p *parser) parse(line []byte) (Record, Hash, error) {
	p.in.Reset(line)
	p.dec.Reset(&p.in)
	var r Record
	var prev Hash
	if err := p.members(func(key string, v jsontext.Value) error { return r.set(key, v, &prev) }); err != nil {
		return Record{}, Hash{}, err
	}
	if r.Seq == 0 {
		return Record{}, Hash{}, errors.New("record 0: they count from 1")
	}
	out, err := appendBody(appendHead(p.out[:0], r.Seq, prev, r.Time), &r)
	if err != nil {
		return Record{}, Hash{}, err
	}
	p.out = out
	if !bytes.Equal(out, line) {
		return Record{}, Hash{}, errors.New("not written the way the log writes")
	}
	return r, prev, nil
}

// members calls set for each member of the object that comes next.
func (p *parser) members(set func(string, jsontext.Value) error) error {
	tok, err := p.dec.ReadToken()
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	if tok.Kind() != jsontext.KindBeginObject {
		return errors.New("not a JSON object")
	}
	for p.dec.PeekKind() == jsontext.KindString {
		name, err := p.dec.ReadToken()
		if err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
		key := name.String()
		v, err := p.dec.ReadValue()
		if err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
		if err := set(key, v); err != nil {
			return fmt.Errorf("field %q: %w", key, err)
		}
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return nil
}

// set stores one member. Values in an unexpected spelling are caught by parse,
// which compares with what would be written.
func (r *Record) set(key string, v jsontext.Value, prev *Hash) (err error) {
	switch key {
	case "seq":
		r.Seq, err = strconv.ParseUint(string(v), 10, 64)
	case "size":
		r.Size, err = strconv.ParseInt(string(v), 10, 64)
	case "duration_ns":
		var n int64
		n, err = strconv.ParseInt(string(v), 10, 64)
		r.Duration = time.Duration(n)
	case "args":
		r.Args = v.Clone()
	case "detail":
		r.Detail, err = parseDetail(v)
	default:
		if v.Kind() != jsontext.KindString {
			return errors.New("not a string")
		}
		b, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return err
		}
		return r.setString(key, string(b), prev)
	}
	return err
}

func (r *Record) setString(key, s string, prev *Hash) (err error) {
	switch key {
	case "prev":
		*prev, err = parseHash(s)
	case "time":
		r.Time, err = time.Parse(timeFormat, s)
	case "type":
		r.Type = Type(s)
	case "call":
		r.Call = mcprun.CallID(s)
	case "server":
		r.Server = mcprun.ServerName(s)
	case "instance":
		r.Instance = s
	case "tool":
		r.Tool = mcprun.ToolName(s)
	case "method":
		r.Method = s
	case "principal":
		r.Principal = mcprun.Principal(s)
	case "session":
		r.Session = s
	case "verdict":
		switch s { // any other word denies
		case mcprun.Allow.String():
			r.Verdict = mcprun.Allow
		case mcprun.Hold.String():
			r.Verdict = mcprun.Hold
		}
	case "risk":
		r.Risk, err = mcprun.ParseRisk(s)
	case "rule":
		r.Rule = s
	case "tool_digest":
		r.ToolDigest = mcprun.Digest(s)
	case "args_digest":
		r.ArgsDigest = mcprun.Digest(s)
	default:
		return r.setText(key, s)
	}
	return err
}

func (r *Record) setText(key, s string) error {
	switch key {
	case "reason":
		r.Reason = s
	case "outcome":
		r.Outcome = s
	case "who":
		r.Who = s
	case "why":
		r.Why = s
	default:
		return errors.New("unknown field")
	}
	return nil
}

func parseDetail(v jsontext.Value) (map[string]string, error) {
	m := make(map[string]string)
	var p parser
	p.in.Reset(v)
	p.dec.Reset(&p.in)
	err := p.members(func(key string, v jsontext.Value) error {
		if v.Kind() != jsontext.KindString {
			return errors.New("not a string")
		}
		b, err := jsontext.AppendUnquote(nil, v)
		m[key] = string(b)
		return err
	})
	return m, err
}

func parseHash(s string) (Hash, error) {
	var h Hash
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, errors.New("not a SHA-256 in hex")
	}
	copy(h[:], b)
	return h, nil
}
