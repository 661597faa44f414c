// Package view says how a call that waits is shown to the one who decides: its
// arguments as a person reads them, long ones folded, what does not show made
// visible, edits as diffs, and what is different from the last call that was
// approved. It is pure, so that what is shown can be tested, and has a digest, so
// that a yes can be bound to it.
//
// It leaves nothing out, but it does not judge: a harmless look is no harmless
// call, and letters of a real script that look like others of it stay as they are.
package view

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
)

// maxShown is how many bytes of arguments are shown: more is read by nobody. A call
// with more cannot be approved on the page.
const maxShown = 256 << 10

// Call is all that is shown of one call.
type Call struct {
	ID         string            `json:"id"`
	Principal  mcprun.Principal  `json:"principal"`
	Session    []Piece           `json:"session"`
	Server     mcprun.ServerName `json:"server"`
	Tool       []Piece           `json:"tool"`
	Image      string            `json:"image"`
	ToolDigest mcprun.Digest     `json:"toolDigest"`
	ArgsDigest mcprun.Digest     `json:"argsDigest"`

	Rule    string   `json:"rule"`
	Why     []Piece  `json:"why"`
	Score   int      `json:"score"`
	Reasons []Reason `json:"reasons"`
	Stated  []Stated `json:"stated"`
	Rows    []Row    `json:"rows"`
	Since   *Since   `json:"since,omitzero"`
	Preview []Line   `json:"preview,omitzero"`
	TooLong bool     `json:"tooLong,omitzero"`
	Needs   int      `json:"needs"`

	Asked time.Time `json:"asked"`
	Until time.Time `json:"until"`
}

// Reason is one named part of the risk.
type Reason struct {
	Name   string  `json:"name"`
	Points int     `json:"points"`
	Class  string  `json:"class,omitzero"` // that it makes the call, at least
	Why    []Piece `json:"why"`
}

// Stated is one thing that the model says of its call.
type Stated struct {
	Of   string `json:"of"`
	Text []Line `json:"text"`
}

// Since is what is different from the last call of this tool that was approved.
type Since struct {
	ID    string    `json:"id"`
	When  time.Time `json:"when"`
	By    string    `json:"by"`
	Same  bool      `json:"same,omitzero"`  // the arguments are
	Other bool      `json:"other,omitzero"` // the definition of the tool is another one
	Lines []Line    `json:"lines,omitzero"`
}

// Of returns how a call is shown; last is the one of the same tool that was approved
// last, nil if none is known.
func Of(i approval.Item, last *approval.Item) Call {
	c := Call{
		ID: i.ID, Principal: i.Principal, Session: name(i.Session), Server: i.Server, Tool: name(string(i.Tool)), Image: i.Image.Short(), ToolDigest: i.ToolDigest, ArgsDigest: i.ArgsDigest,
		Rule: i.Rule, Why: name(i.Reason), Score: i.Score, Reasons: []Reason{}, Stated: []Stated{}, Rows: []Row{}, Needs: max(1, i.Needs), Asked: i.Asked.UTC(), Until: i.Until.UTC(),
	}
	for _, r := range i.Risks {
		one := Reason{Name: r.Name, Points: r.Points, Why: name(r.Why)}
		if r.Least < mcprun.Low {
			one.Class = r.Least.String()
		}
		c.Reasons = append(c.Reasons, one)
	}
	for _, s := range []struct{ of, text string }{{"intent", i.Stated.Intent}, {"target", i.Stated.Target}, {"effect", i.Stated.Effect}} {
		if s.text != "" {
			c.Stated = append(c.Stated, Stated{s.of, Text(s.text)})
		}
	}
	if c.TooLong = len(i.Args) > maxShown; c.TooLong {
		c.Rows = append(c.Rows, Row{Name: name("arguments"), Lines: Text(string(i.Args[:maxShown])), Note: fmt.Sprintf("the first %d of %d bytes", maxShown, len(i.Args))})
	} else {
		c.Rows = append(c.Rows, rows(i.Args)...)
		c.Since = since(i, last)
	}
	if i.Preview != "" {
		c.Preview = Text(i.Preview)
	}
	return c
}

func since(i approval.Item, last *approval.Item) *Since {
	if last == nil || len(last.Args) > maxShown {
		return nil
	}
	s := &Since{ID: last.ID, When: last.Decided.UTC(), By: last.By, Same: last.ArgsDigest == i.ArgsDigest, Other: last.ToolDigest != i.ToolDigest}
	if !s.Same {
		s.Lines = Diff(plain(last.Args), plain(i.Args))
	}
	return s
}

// Last returns the newest call of the same tool that was approved before i was asked;
// list has the newest first.
func Last(list []approval.Item, i approval.Item) *approval.Item {
	for _, one := range list {
		if one.ID != i.ID && one.Server == i.Server && one.Tool == i.Tool && (one.State == approval.Approved || one.State == approval.Used) && one.Asked.Before(i.Asked) {
			return &one
		}
	}
	return nil
}

// Digest is over all that is shown.
func (c Call) Digest() mcprun.Digest {
	raw, err := json.Marshal(c, json.Deterministic(true))
	if err != nil {
		return "" // equals no digest
	}
	sum := sha256.Sum256(raw)
	return mcprun.Digest("sha256:" + hex.EncodeToString(sum[:]))
}
