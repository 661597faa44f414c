package control

import "time"

// Drill is what a drill of the kill switch measured.
type Drill struct {
	Decoy  string      `json:"decoy"` // the server that was killed
	Who    string      `json:"who"`
	Why    string      `json:"why"`
	Begun  time.Time   `json:"begun"`
	TookS  float64     `json:"tookSeconds"`
	Rounds int         `json:"rounds"` // that were made in full
	Kills  []DrillKill `json:"kills"`
	// Revoked is how long all kills took, of every kind: the median is the median time to revoke.
	Revoked  *DrillFigure `json:"revoked,omitzero"`
	Aims     int          `json:"aims"`
	Missed   int          `json:"missed"` // of these
	NotTried []NotTried   `json:"notTried,omitzero"`
}

// DrillKill is one kind of kill, in all rounds.
type DrillKill struct {
	Target  string        `json:"target"` // tool, client, server or label
	Way     string        `json:"way"`    // command, file, http, page or run
	Load    string        `json:"load"`   // what the decoy was doing besides
	Calls   int           `json:"calls"`  // in flight each time
	Outward int           `json:"outward"`
	Figures []DrillFigure `json:"figures"`
	Faults  []string      `json:"faults,omitzero"` // what a kill did not do
}

// DrillFigure is how long one step took: those of the kill's own record since the kill
// began, and those that were seen from outside since the switch was thrown.
type DrillFigure struct {
	Step     string  `json:"step"`
	Seen     bool    `json:"seen"` // from outside
	N        int     `json:"n"`
	MedianMS float64 `json:"medianMs"`
	P99MS    float64 `json:"p99Ms"` // of fewer than a hundred the slowest
	SlowMS   float64 `json:"slowestMs"`
	AimMS    float64 `json:"aimMs,omitzero"`
	Met      bool    `json:"met"`
}

// NotTried is a way to kill that a drill leaves out.
type NotTried struct {
	Way string `json:"way"`
	Why string `json:"why"`
	How string `json:"how"` // to try it, or to have it tried
}
