// Package risk adds up named contributions to the score of one call, 0 to 100, and
// turns the score into a class. It is pure arithmetic and says nothing of where the
// contributions come from.
//
// Two kinds of contributions exist. Points are hints, such as a text that looks
// encoded: together they can make a call wait for a human, and never refuse it,
// since no sum of guesses is a proof. A least class is what a rule demands, and the
// only thing that blocks.
//
// What it does not protect from: the points are set by judgement, not measured on
// the users' own calls, and a patient attacker can stay below the next class.
package risk

import (
	"slices"

	"github.com/mcprun/mcprun"
)

// Where classes begin, on the scale of 0 to 100.
const (
	Medium = 30
	High   = 60
	Block  = 90
)

// The points of a tool's class: in the lower half of its class, so that one hint
// does not change it and two or three do.
const (
	ClassLow    = 10
	ClassMedium = 35
	ClassHigh   = 65
	ClassBlock  = 100
)

// OfClass is a class as points.
func OfClass(r mcprun.Risk) int {
	switch r {
	case mcprun.Low:
		return ClassLow
	case mcprun.Medium:
		return ClassMedium
	case mcprun.High:
		return ClassHigh
	}
	return ClassBlock
}

// floor is where a class begins.
func floor(r mcprun.Risk) int {
	switch r {
	case mcprun.Low:
		return 0
	case mcprun.Medium:
		return Medium
	case mcprun.High:
		return High
	}
	return Block
}

// Sum adds contributions up. No contribution at all is the highest risk: nothing
// is known of the call then.
func Sum(parts []mcprun.Contribution) (score int, class mcprun.Risk) {
	if len(parts) == 0 {
		return ClassBlock, mcprun.Block
	}
	least := mcprun.Low
	for _, c := range parts {
		score += c.Points
		least = mcprun.Stricter(least, c.Least)
	}
	score = max(score, floor(least))
	if least != mcprun.Block {
		score = min(score, Block-1)
	}
	score = max(0, min(score, 100))
	switch {
	case score >= Block:
		return score, mcprun.Block
	case score >= High:
		return score, mcprun.High
	case score >= Medium:
		return score, mcprun.Medium
	}
	return score, mcprun.Low
}

// Change is what a call's risk would be without one contribution.
type Change struct {
	Without mcprun.Contribution
	Score   int
	Class   mcprun.Risk
}

// Changes lists the contributions without any one of which the class would be
// another: what would have changed the decision. What rests on it goes with it. The
// class of the tool itself is left out, since without it nothing is known.
func Changes(parts []mcprun.Contribution) []Change {
	_, class := Sum(parts)
	var out []Change
	for _, c := range parts {
		if c.Name == Class || c.Name == Trifecta {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(parts), func(o mcprun.Contribution) bool {
			return o == c || o.Name == Trifecta && (c.Name == Untrusted || c.Name == Private)
		})
		if score, other := Sum(rest); other != class {
			out = append(out, Change{c, score, other})
		}
	}
	return out
}

// The names of contributions; a rule that refuses or holds contributes under its
// own name, as "path.outside".
const (
	Class        = "class"              // of the tool, as server.yaml has it
	Raised       = "class.raised"       // what its definition or the operator's policy adds to that
	Secret       = "secret"             // a token or key of a known shape in the arguments
	Encoded      = "encoded"            // a long text that a reader cannot read
	NewHost      = "destination.new"    // a host that this server was never given before
	NewTool      = "tool.new"           // a definition that was never called before
	Burst        = "burst"              // many calls in a short time
	Untrusted    = "taint.untrusted"    // the client has read what strangers wrote
	Instructions = "taint.instructions" // the client has read text that addresses a model
	Private      = "taint.private"      // the client has read private data
	Trifecta     = "taint.all"          // strangers' text, private data, and a way out
)
