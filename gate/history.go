package gate

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// history is what a decision depends on besides the call and the policy, in the form
// in which the record keeps it. Names are short: it is written with every call.
type history struct {
	Now          *time.Time       `json:"t,omitempty"`
	Recent       map[string]int64 `json:"r,omitempty"`
	Untrusted    bool             `json:"u,omitempty"`
	Instructions bool             `json:"i,omitempty"`
	Private      bool             `json:"p,omitempty"`
	Burst        int64            `json:"b,omitempty"`
	NewTool      bool             `json:"n,omitempty"`
	NewHosts     []string         `json:"h,omitempty"`
	Elicits      bool             `json:"e,omitempty"`
	Cut          bool             `json:"x,omitempty"` // some of it was too long to keep
}

// History writes what the decision about c depended on besides the arguments and the
// policy, at most most bytes; newHosts are those that the decision names. Where
// conditions speak of the time and the recent past, p says so.
func (p *Policy) History(c Call, newHosts []string, most int) string {
	h := history{Untrusted: c.Taint.Untrusted, Instructions: c.Taint.Instructions, Private: c.Taint.Private, NewTool: c.NewTool, NewHosts: newHosts}
	if c.Burst > burst { // below it, it says nothing
		h.Burst = c.Burst
	}
	h.Elicits = c.Elicits && p.tools[c.Tool].grant.Confirm
	if p.Conditional(c.Tool) {
		now := c.Now.UTC()
		h.Now, h.Recent = &now, c.Recent
	}
	raw, err := json.Marshal(h)
	if err == nil && len(raw) > most {
		h.NewHosts, h.Cut = nil, true
		raw, err = json.Marshal(h)
	}
	if err != nil || len(raw) > most {
		return `{"x":true}`
	}
	return string(raw)
}

// ErrCut means that a history was too long for the record.
var ErrCut = fmt.Errorf("what went before the call was too long to keep")

// Recall sets what History wrote.
func (c *Call) Recall(text string) error {
	var h history
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return fmt.Errorf("reading what went before a call: %w", err)
	}
	if h.Cut {
		return ErrCut
	}
	if h.Now != nil {
		c.Now = *h.Now
	}
	c.Recent, c.Burst, c.NewTool, c.Elicits = h.Recent, h.Burst, h.NewTool, h.Elicits
	c.Taint = Taint{Untrusted: h.Untrusted, Instructions: h.Instructions, Private: h.Private}
	c.Known = func(host string) bool { return !slices.Contains(h.NewHosts, host) }
	return nil
}
