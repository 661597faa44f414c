package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mcprun/mcprun"
)

// Where a record keeps what made the risk of a call: one detail for the sum, one
// for each contribution, "risk.03.taint.untrusted": "15 low it has read …".
const (
	detailScore = "score"
	riskPrefix  = "risk."
)

// maxContributions bounds those of one record, so that other details have room too.
const maxContributions = MaxDetail / 2

// NoteRisk adds a score and its parts to a record.
func NoteRisk(r *Record, score int, parts []mcprun.Contribution) {
	if len(parts) == 0 {
		return
	}
	putDetail(r, detailScore, strconv.Itoa(score))
	for i, c := range parts[:min(len(parts), maxContributions)] {
		putDetail(r, fmt.Sprintf("%s%02d.%s", riskPrefix, i, c.Name), fmt.Sprintf("%d %s %s", c.Points, c.Least, c.Why))
	}
}

// IsRisk reports whether NoteRisk writes a detail with this key.
func IsRisk(key string) bool { return key == detailScore || strings.HasPrefix(key, riskPrefix) }

// Risk reads what NoteRisk wrote; none of it where a record has no score.
func Risk(r *Record) (score int, parts []mcprun.Contribution) {
	score, err := strconv.Atoi(r.Detail[detailScore])
	if err != nil {
		return 0, nil
	}
	var keys []string
	for k := range r.Detail {
		if strings.HasPrefix(k, riskPrefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		_, name, _ := strings.Cut(strings.TrimPrefix(k, riskPrefix), ".")
		points, rest, _ := strings.Cut(r.Detail[k], " ")
		least, why, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(points)
		risk, rerr := mcprun.ParseRisk(least)
		if err != nil || rerr != nil {
			continue // not one that NoteRisk wrote
		}
		parts = append(parts, mcprun.Contribution{Name: name, Points: n, Least: risk, Why: why})
	}
	return score, parts
}

// Where a record keeps what a model said of its call.
const (
	detailIntent = "intent"
	detailTarget = "target"
	detailEffect = "effect"
)

// NoteJustification adds to a record what the model said of its call.
func NoteJustification(r *Record, j mcprun.Justification) {
	for key, text := range map[string]string{detailIntent: j.Intent, detailTarget: j.Target, detailEffect: j.Effect} {
		if text != "" {
			putDetail(r, key, text)
		}
	}
}

// Justification reads what NoteJustification wrote.
func Justification(r *Record) mcprun.Justification {
	return mcprun.Justification{Intent: r.Detail[detailIntent], Target: r.Detail[detailTarget], Effect: r.Detail[detailEffect]}
}

func putDetail(r *Record, key, text string) {
	if r.Detail == nil {
		r.Detail = map[string]string{}
	}
	r.Detail[key] = text
}
