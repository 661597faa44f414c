package drill

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/mcprun/mcprun/internal/control"
)

// Steps that are seen from outside, since the switch was thrown.
const (
	StepHeard   = "heard"          // the daemon begins the kill
	StepTold    = "calls told"     // each call in flight has its error
	StepCut     = "ways out cut"   // each connection is ended at its far end
	StepGone    = "processes gone" // none is left
	StepRevoked = "revoked"        // all of it
)

// outside are these in the order of a report.
var outside = []string{StepHeard, StepTold, StepCut, StepGone, StepRevoked}

// aims are what is aimed at, whatever is killed; for processes each kind has its own.
var aims = map[string]time.Duration{"deny": time.Millisecond, StepTold: 50 * time.Millisecond}

func milliseconds(t time.Duration) float64 { return math.Round(float64(t.Microseconds())) / 1000 }

// figure sums up what was measured of one step. What is judged is its p99: by the nearest
// rank, so that of fewer than a hundred it is the slowest.
func figure(step string, samples []time.Duration, aim time.Duration) control.DrillFigure {
	s := slices.Sorted(slices.Values(samples))
	rank := func(q float64) time.Duration { return s[max(0, int(math.Ceil(q*float64(len(s))))-1)] }
	f := control.DrillFigure{Step: step, Seen: slices.Contains(outside, step), N: len(s),
		MedianMS: milliseconds(rank(0.5)), P99MS: milliseconds(rank(0.99)), SlowMS: milliseconds(s[len(s)-1]), AimMS: milliseconds(aim)}
	f.Met = aim == 0 || rank(0.99) <= aim
	return f
}

// sum fills in what all kills took, and counts the aims. A kill that did not do all that
// it should has missed one, however fast it was.
func (d *Drill) sum(out *control.Drill) {
	var revoked []time.Duration
	for _, r := range d.rows {
		k := control.DrillKill{Target: r.kind.target, Way: r.way, Load: r.kind.load, Calls: calls, Outward: r.outward, Faults: r.faults}
		for _, step := range append(slices.Clone(r.ladder), outside...) {
			samples := r.samples[step]
			if len(samples) == 0 {
				continue
			}
			aim := aims[step]
			if step == StepGone {
				aim = r.kind.gone
			}
			f := figure(step, samples, aim)
			k.Figures = append(k.Figures, f)
			if aim != 0 {
				out.Aims++
			}
			if !f.Met {
				out.Missed++
			}
		}
		if len(r.faults) > 0 {
			out.Aims, out.Missed = out.Aims+1, out.Missed+1
		}
		revoked = append(revoked, r.samples[StepRevoked]...)
		out.Kills = append(out.Kills, k)
	}
	if len(revoked) > 0 {
		f := figure(StepRevoked, revoked, 0)
		out.Revoked = &f
	}
}

// Verdict says in some words how a drill went.
func Verdict(r *control.Drill) string {
	if r.Missed == 0 {
		return fmt.Sprintf("all %d aims met", r.Aims)
	}
	return fmt.Sprintf("%d of %d aims missed", r.Missed, r.Aims)
}

// judged are the steps that a summary has; the record of each kill has all of its own.
var judged = []string{"deny", StepTold, StepCut, StepGone, StepRevoked}

// Detail is what the record keeps of a drill: of each kind of kill the median and the p99
// of what counts, in milliseconds, and what was missed.
func Detail(r *control.Drill) map[string]string {
	out := map[string]string{"rounds": fmt.Sprint(r.Rounds), "aims": fmt.Sprint(r.Aims), "aims-missed": fmt.Sprint(r.Missed)}
	if f := r.Revoked; f != nil {
		out["revoked-ms"] = fmt.Sprintf("median %.1f, slowest %.1f, of %d kills", f.MedianMS, f.SlowMS, f.N)
	}
	for _, k := range r.Kills {
		var parts []string
		for _, f := range k.Figures {
			if !slices.Contains(judged, f.Step) {
				continue
			}
			text := fmt.Sprintf("%s %.2f/%.2f", f.Step, f.MedianMS, f.P99MS)
			if !f.Met {
				text += fmt.Sprintf(" MISSED %g", f.AimMS)
			}
			parts = append(parts, text)
		}
		if len(k.Faults) > 0 {
			parts = append(parts, "FAULT "+k.Faults[0])
		}
		key := strings.ToLower(strings.ReplaceAll(k.Target+"-by-"+k.Way+"-"+k.Load, " ", "-"))
		out[key] = strings.Join(parts, ", ")
	}
	var left []string
	for _, n := range r.NotTried {
		left = append(left, n.Way)
	}
	if len(left) > 0 {
		out["not-tried"] = strings.Join(left, "; ")
	}
	return out
}
