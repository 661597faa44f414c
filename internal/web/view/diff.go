package view

import "strings"

const (
	// maxCells bounds the table of a diff: 4 MB for a moment. What would need a larger
	// one is shown as all old, then all new, which is true as well.
	maxCells = 1 << 20
	// around is how many unchanged lines are shown beside a change.
	around = 3
)

// Diff returns the lines of old and new with what changed between them.
func Diff(old, new string) []Line {
	a, b := strings.Split(old, "\n"), strings.Split(new, "\n")
	pre := 0
	for pre < min(len(a), len(b)) && a[pre] == b[pre] {
		pre++
	}
	post := 0
	for post < min(len(a), len(b))-pre && a[len(a)-1-post] == b[len(b)-1-post] {
		post++
	}
	var out []Line
	add := func(kind Kind, lines ...string) {
		for _, l := range lines {
			out = wrapped(out, l, kind)
		}
	}
	add(Same, a[:pre]...)
	between(a[pre:len(a)-post], b[pre:len(b)-post], add)
	add(Same, a[len(a)-post:]...)
	return foldRuns(out)
}

// between finds the longest common subsequence of two lists of lines.
func between(a, b []string, add func(Kind, ...string)) {
	if (len(a)+1)*(len(b)+1) > maxCells {
		add(Old, a...)
		add(New, b...)
		return
	}
	w := len(b) + 1
	common := make([]int32, (len(a)+1)*w) // of a[i:] and b[j:]
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i*w+j] = common[(i+1)*w+j+1] + 1
			} else {
				common[i*w+j] = max(common[(i+1)*w+j], common[i*w+j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			add(Same, a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[(i+1)*w+j] >= common[i*w+j+1]:
			add(Old, a[i])
			i++
		default:
			add(New, b[j])
			j++
		}
	}
}

// foldRuns folds long stretches without a change, and the middle of long changes.
func foldRuns(lines []Line) []Line {
	var out []Line
	for at := 0; at < len(lines); {
		end := at
		for end < len(lines) && lines[end].Kind == lines[at].Kind {
			end++
		}
		run := lines[at:end]
		before, after := head, tail
		if lines[at].Kind == Same {
			before, after = around, around
			if at == 0 {
				before = 0
			}
			if end == len(lines) {
				after = 0
			}
		}
		if len(run) > before+after+2 {
			folded := run[before : len(run)-after]
			out = append(append(append(out, run[:before]...), Line{Fold: folded, Kind: lines[at].Kind, Label: label(folded)}), run[len(run)-after:]...)
		} else {
			out = append(out, run...)
		}
		at = end
	}
	return out
}
