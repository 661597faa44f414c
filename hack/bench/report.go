package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// distribution is what remains of the samples of one figure.
type distribution struct {
	N    int     `json:"n"`
	Min  float64 `json:"min"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

// p50 and p99 choose the value that a figure is judged by.
func p50(d distribution) float64 { return d.P50 }
func p99(d distribution) float64 { return d.P99 }

func distribute(v []float64) distribution {
	v = slices.Sorted(slices.Values(v))
	at := func(q float64) float64 { return v[min(len(v)-1, int(q*float64(len(v))))] }
	return distribution{len(v), v[0], at(0.5), at(0.9), at(0.99), v[len(v)-1], sum(v) / float64(len(v))}
}

func quantiles(samples []time.Duration, unit time.Duration) distribution {
	v := make([]float64, len(samples))
	for i, s := range samples {
		v[i] = float64(s) / float64(unit)
	}
	return distribute(v)
}

func single(v float64) distribution { return distribute([]float64{v}) }

// figure is one row. Cost is what the aim bounds: a difference, a ratio or ours.
type figure struct {
	Name string        `json:"name"`
	Unit string        `json:"unit"`
	Ours distribution  `json:"ours"`
	Bare *distribution `json:"bare,omitempty"`
	Kind string        `json:"kind"` // difference, ratio or value
	Cost float64       `json:"cost"`
	Aim  string        `json:"aim,omitempty"`
	Met  *bool         `json:"met,omitempty"`

	ours, bare float64
}

// report is the JSON file.
type report struct {
	Date     time.Time       `json:"date"`
	Machine  machine         `json:"machine"`
	Versions json.RawMessage `json:"versions"`
	Figures  []figure        `json:"figures"`
}

type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory uint64 `json:"memoryMiB"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Runc   string `json:"runc"`
	Load   string `json:"loadAtStart"`
}

func newReport(b *bench) *report {
	versions, err := b.command("version", "--json").Output()
	if err != nil || !json.Valid(versions) {
		versions = []byte("null")
	}
	return &report{Date: time.Now().UTC(), Machine: describe(b), Versions: versions}
}

func describe(b *bench) machine {
	m := machine{CPU: "unknown", Cores: runtime.NumCPU(), Go: runtime.Version()}
	raw, _ := os.ReadFile("/proc/cpuinfo")
	if _, rest, ok := strings.Cut(string(raw), "model name\t: "); ok {
		m.CPU, _, _ = strings.Cut(rest, "\n")
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = uint64(info.Totalram) * uint64(info.Unit) / mib
	}
	said, _ := exec.Command(filepath.Join(b.bin, "runc"), "--version").Output()
	m.Runc, _, _ = strings.Cut(string(said), "\n")
	load, _ := os.ReadFile("/proc/loadavg")
	m.Load = strings.TrimSpace(string(load))
	return m
}

func (r *report) add(f figure, atMost bool, aim float64) {
	if aim != 0 {
		sign, met := "<=", f.Cost <= aim
		if !atMost {
			sign, met = ">=", f.Cost >= aim
		}
		f.Aim, f.Met = fmt.Sprintf("%s %g", sign, aim), &met
	}
	r.Figures = append(r.Figures, f)
}

// difference is judged by how much more ours takes at one quantile.
func (r *report) difference(name, unit string, ours, bare distribution, at func(distribution) float64, aim float64) {
	r.add(figure{Name: name, Unit: unit, Ours: ours, Bare: &bare, Kind: "difference", Cost: at(ours) - at(bare), ours: at(ours), bare: at(bare)}, true, aim)
}

// ratio is judged by how much of bare's median ours reaches.
func (r *report) ratio(name, unit string, ours, bare distribution, aim float64) {
	r.add(figure{Name: name, Unit: unit, Ours: ours, Bare: &bare, Kind: "ratio", Cost: ours.P50 / bare.P50, ours: ours.P50, bare: bare.P50}, false, aim)
}

// times is judged by how many times bare's median ours takes.
func (r *report) times(name, unit string, ours, bare distribution, aim float64) {
	r.add(figure{Name: name, Unit: unit, Ours: ours, Bare: &bare, Kind: "ratio", Cost: ours.P50 / bare.P50, ours: ours.P50, bare: bare.P50}, true, aim)
}

// only is a figure that a bare process does not have; without an aim it explains another.
func (r *report) only(name, unit string, ours distribution, at func(distribution) float64, aim float64) {
	r.add(figure{Name: name, Unit: unit, Ours: ours, Kind: "value", Cost: at(ours), ours: at(ours)}, true, aim)
}

func (r *report) print(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "figure\tours\tbare\tcost\taim\t")
	for _, f := range r.Figures {
		bare, verdict := "-", ""
		if f.Bare != nil {
			bare = number(f.bare)
		}
		if f.Met != nil {
			verdict = map[bool]string{true: "met", false: "MISSED"}[*f.Met]
		}
		unit := f.Unit
		if f.Kind == "ratio" {
			unit = "of bare"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s %s\t%s\t%s\n", f.Name, number(f.ours), bare, number(f.Cost), unit, f.Aim, verdict)
	}
	tw.Flush()
}

func number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
