// Package result is what the escape probe prints and how it is read back.
//
// A report comes from inside the container under test, so Parse treats it as
// bytes from outside: bounded, strict, and refused when it is cut off or does
// not agree with its own summary, because a run that died half-way must not
// look like a clean one.
//
// It does not prove that the report is true: a hostile program in the place of
// the probe can print whatever it likes. Run it with the probe as the command.
package result

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/mcprun/mcprun/internal/strictjson"
)

// Verdict is what became of one operation. The zero value is no verdict, and
// Parse refuses it.
type Verdict string

const (
	Denied  Verdict = "denied"  // refused by a filter, a capability or a permission
	Allowed Verdict = "allowed" // it worked, or reached the kernel code behind the filter
	Absent  Verdict = "absent"  // there is nothing here to attack
	Error   Verdict = "error"   // it could not be tried, crashed or hung
)

func (v Verdict) valid() bool {
	return v == Denied || v == Allowed || v == Absent || v == Error
}

// Result is one operation and its verdict; one line of a report.
type Result struct {
	Group   string  `json:"group"`
	Name    string  `json:"name"` // group, a dot, and the operation
	Severe  bool    `json:"severe"`
	Verdict Verdict `json:"result"`
	Errno   string  `json:"errno,omitempty"`
	Detail  string  `json:"detail,omitempty"`
}

// Summary is the last line of a report.
type Summary struct {
	Summary bool `json:"summary"` // always true: it tells this line from a Result
	Counts
}

// Counts are the verdicts of a number of results.
type Counts struct {
	Total   int `json:"total"`
	Denied  int `json:"denied"`
	Allowed int `json:"allowed"`
	Absent  int `json:"absent"`
	Errors  int `json:"errors"`
	Severe  int `json:"severe_allowed"` // of Allowed
}

// Count counts rs.
func Count(rs []Result) Counts {
	var c Counts
	for _, r := range rs {
		c.Total++
		switch r.Verdict {
		case Denied:
			c.Denied++
		case Allowed:
			c.Allowed++
			if r.Severe {
				c.Severe++
			}
		case Absent:
			c.Absent++
		default:
			c.Errors++
		}
	}
	return c
}

// CountGroups counts rs group by group.
func CountGroups(rs []Result) map[string]Counts {
	byGroup := map[string][]Result{}
	for _, r := range rs {
		byGroup[r.Group] = append(byGroup[r.Group], r)
	}
	counts := make(map[string]Counts, len(byGroup))
	for g, rs := range byGroup {
		counts[g] = Count(rs)
	}
	return counts
}

// LetThrough returns the results that were allowed, the severe ones only if
// severeOnly.
func LetThrough(rs []Result, severeOnly bool) []Result {
	var out []Result
	for _, r := range rs {
		if r.Verdict == Allowed && (r.Severe || !severeOnly) {
			out = append(out, r)
		}
	}
	return out
}

const (
	// MaxLine bounds one line: the longest detail is cut by the probe at 2 KiB,
	// which JSON escapes can lengthen six times.
	MaxLine = 16 << 10
	// MaxResults bounds a report: several times the operations that exist.
	MaxResults = 4096
)

// Write prints rs one a line, and the summary that Parse asks for.
func Write(w io.Writer, rs []Result) error {
	enc := json.NewEncoder(w)
	for _, r := range rs {
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("writing result %s: %w", r.Name, err)
		}
	}
	return enc.Encode(Summary{Summary: true, Counts: Count(rs)})
}

// Parse reads one report. It fails unless every line is a well-formed result,
// no name comes twice, and the last line is a summary that agrees with them.
func Parse(r io.Reader) ([]Result, error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, MaxLine)
	var (
		rs      []Result
		seen    = map[string]bool{}
		summary *Summary
	)
	for n := 1; sc.Scan(); n++ {
		if summary != nil {
			return nil, fmt.Errorf("line %d: something follows the summary", n)
		}
		line, err := strictjson.Parse(sc.Bytes(), strictjson.Request)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if bytes.HasPrefix(line, []byte(`{"summary":`)) {
			summary = new(Summary)
			if err := decode(line, summary); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			continue
		}
		var one Result
		if err := decode(line, &one); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if err := check(one, seen); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		rs = append(rs, one)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("reading the report: %w", err)
	}
	if summary == nil {
		return nil, errors.New("the report is cut off: it has no summary line")
	}
	if got := Count(rs); !summary.Summary || summary.Counts != got {
		return nil, fmt.Errorf("the summary says %+v, the lines say %+v", summary.Counts, got)
	}
	return rs, nil
}

func decode(line []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

func check(r Result, seen map[string]bool) error {
	switch {
	case r.Group == "" || !strings.HasPrefix(r.Name, r.Group+"."):
		return fmt.Errorf("name %q is not in group %q", r.Name, r.Group)
	case !r.Verdict.valid():
		return fmt.Errorf("%s: unknown result %q", r.Name, r.Verdict)
	case seen[r.Name]:
		return fmt.Errorf("%s appears twice", r.Name)
	case len(seen) == MaxResults:
		return fmt.Errorf("more than %d results", MaxResults)
	}
	seen[r.Name] = true
	return nil
}
