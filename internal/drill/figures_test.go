package drill

import (
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
)

func milli(n int) (out []time.Duration) {
	for i := range n {
		out = append(out, time.Duration(i+1)*time.Millisecond)
	}
	return out
}

func TestFigure(t *testing.T) {
	for _, c := range []struct {
		n                 int
		aim               time.Duration
		median, p99, slow float64
		met               bool
		why               string
	}{
		{1, 0, 1, 1, 1, true, "no aim is missed where there is none"},
		{5, 5 * time.Millisecond, 3, 5, 5, true, "at the aim it is met"},
		{5, 4 * time.Millisecond, 3, 5, 5, false, "of few the slowest is judged"},
		{100, 99 * time.Millisecond, 50, 99, 100, true, "of a hundred one may be slower"},
		{200, 197 * time.Millisecond, 100, 198, 200, false, "of two hundred two may, and not three"},
	} {
		got := figure(StepGone, milli(c.n), c.aim)
		if got.MedianMS != c.median || got.P99MS != c.p99 || got.SlowMS != c.slow || got.Met != c.met || got.N != c.n || !got.Seen {
			t.Errorf("%s: %+v", c.why, got)
		}
	}
}

// A kill that did not do what it should has missed, however fast it was.
func TestFaultsAreMissed(t *testing.T) {
	d := &Drill{}
	d.row(ofServer, Way{Name: command}).add(&seen{times: map[string]time.Duration{StepTold: time.Millisecond, StepGone: time.Millisecond, StepRevoked: time.Millisecond}})
	out := &control.Drill{}
	d.sum(out)
	if out.Aims != 2 || out.Missed != 0 || Verdict(out) != "all 2 aims met" {
		t.Fatalf("%+v", out)
	}
	d.row(ofServer, Way{Name: command}).add(&seen{faults: []string{"a process was left"}})
	out = &control.Drill{}
	d.sum(out)
	if out.Aims != 3 || out.Missed != 1 || !strings.Contains(Detail(out)["server-by-command-10-processes"], "FAULT a process was left") {
		t.Errorf("%+v, %q", out, Detail(out))
	}
}

// The record takes the largest report that there is.
func TestDetailFitsTheRecord(t *testing.T) {
	d := &Drill{Ear: &Ear{}}
	for _, k := range []kind{ofTool, ofClient, ofServer, ofLabel, ofMany, ofBig} {
		for _, w := range []string{"command", "file", "http"} {
			s := &seen{times: map[string]time.Duration{}, faults: []string{strings.Repeat("é", 1000)}}
			for _, step := range outside {
				s.times[step] = time.Hour
			}
			s.ladder = []control.KillStep{{Step: "deny", AfterMS: 1e6}}
			d.row(k, Way{Name: w}).add(s)
		}
	}
	out := &control.Drill{NotTried: []control.NotTried{{Way: strings.Repeat("x", 1000)}}}
	d.sum(out)
	if _, err := audit.Body(&audit.Record{Type: audit.TypeDrill, Detail: Detail(out)}); err != nil {
		t.Error(err)
	}
}
