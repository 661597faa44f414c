package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/gate/risk"
	"github.com/mcprun/mcprun/internal/decided"
	"github.com/mcprun/mcprun/lock"
)

// explanation is all that the record says of one decision.
type explanation struct {
	Call      mcprun.CallID         `json:"call"`
	Approval  string                `json:"approval,omitempty"`
	Time      time.Time             `json:"time"`
	Server    mcprun.ServerName     `json:"server"`
	Tool      mcprun.ToolName       `json:"tool"`
	Principal mcprun.Principal      `json:"principal"`
	Session   string                `json:"session"`
	Arguments jsontext.Value        `json:"arguments,omitempty"`
	Verdict   string                `json:"verdict"`
	Class     string                `json:"class"`
	Score     int                   `json:"score"`
	Rule      string                `json:"rule"`
	Reason    string                `json:"reason"`
	Hint      string                `json:"hint,omitempty"`
	Parts     []contribution        `json:"contributions"`
	Changes   []change              `json:"wouldChange"`
	Stated    *mcprun.Justification `json:"justification,omitempty"`
	Question  string                `json:"question,omitempty"` // to the person at the client
	Preview   string                `json:"preview,omitempty"`  // what the tool's dry run answered
	After     []string              `json:"after,omitempty"`    // what became of it, in order
}

type contribution struct {
	Name   string `json:"name"`
	Points int    `json:"points"`
	Least  string `json:"least"`
	Why    string `json:"why"`
}

type change struct {
	Without string `json:"without"`
	Score   int    `json:"score"`
	Class   string `json:"class"`
}

func (a *App) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain [CALL]", Short: "say why a call was allowed, held or refused, and what would have changed it",
		Long: "Print what made the risk of one call, the rule that decided, and what would have changed the decision. CALL is the id of a call (c-…) or of an approval (a-…);\n" +
			"without one it is the newest call that was held or refused. It reads the record, so that it can explain what happened before the daemon started.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id := ""
			if len(args) > 0 {
				id = args[0]
			}
			e, err := a.explain(id)
			if err != nil {
				return err
			}
			return a.print(e, func(w io.Writer) { a.showExplanation(w, e) })
		},
	}
}

// explain reads the record for one decision; the newest that did not go ahead if id
// is empty.
func (a *App) explain(id string) (*explanation, error) {
	doing := "explaining a call"
	r, err := audit.NewReader(a.dirs.Audit())
	if err != nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Err: err, Hint: "run as root; the record is in " + a.dirs.Audit()}
	}
	defer r.Close()
	var e *explanation
	for entry, err := range r.All() {
		if err != nil {
			return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Err: err, Hint: "mcprun audit verify"}
		}
		rec := &entry.Record
		switch {
		case id == "" && rec.Tool != "" && (rec.Type == audit.TypePending || rec.Type == audit.TypeRefuse),
			e == nil && id != "" && decides(rec) && (string(rec.Call) == id || rec.Detail["approval"] == id):
			e = newExplanation(rec)
		case e != nil:
			e.follow(rec)
		}
	}
	if e == nil && id == "" {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Err: errors.New("no call was held or refused yet"), Hint: "mcprun audit tail shows calls with their ids: mcprun audit tail --json"}
	}
	if e == nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: doing, Err: fmt.Errorf("the record has no decision about %q", id), Hint: "ids of calls: mcprun audit tail --json; of approvals: mcprun approvals"}
	}
	return e, nil
}

func decides(r *audit.Record) bool {
	return r.Type == audit.TypeCall || r.Type == audit.TypePending || r.Type == audit.TypeRefuse
}

func newExplanation(r *audit.Record) *explanation {
	e := &explanation{
		Call: r.Call, Approval: r.Detail["approval"], Time: r.Time, Server: r.Server, Tool: r.Tool, Principal: r.Principal, Session: r.Session, Arguments: r.Args,
		Verdict: r.Verdict.String(), Class: r.Risk.String(), Rule: r.Rule, Reason: r.Reason, Hint: decided.Hint(r), Question: decided.Question(r), Preview: approval.PreviewIn(r), Parts: []contribution{}, Changes: []change{},
	}
	score, parts := audit.Risk(r)
	e.Score = score
	for _, c := range parts {
		e.Parts = append(e.Parts, contribution{c.Name, c.Points, c.Least.String(), c.Why})
	}
	for _, c := range risk.Changes(parts) {
		e.Changes = append(e.Changes, change{c.Without.Name, c.Score, c.Class.String()})
	}
	if j := audit.Justification(r); j != (mcprun.Justification{}) {
		e.Stated = &j
	}
	return e
}

// follow notes what a later record says of the same call.
func (e *explanation) follow(r *audit.Record) {
	at := r.Time.Local().Format(time.TimeOnly)
	same := r.Call == e.Call && r.Call != "" || e.Approval != "" && r.Detail["approval"] == e.Approval ||
		e.Question != "" && decided.Question(r) == e.Question
	switch {
	case !same:
	case r.Type == audit.TypeApproval:
		word := "approved"
		if r.Verdict != mcprun.Allow {
			word = "denied"
		}
		text := fmt.Sprintf("%s %s by %s", at, word, r.Who)
		if r.Why != "" {
			text += ": " + r.Why
		}
		e.After = append(e.After, text)
	case r.Type == audit.TypeRefuse:
		e.After = append(e.After, fmt.Sprintf("%s refused: %s", at, r.Reason))
	case r.Type == audit.TypeCall:
		text := fmt.Sprintf("%s went ahead as %s", at, r.Call)
		if j := audit.Justification(r); e.Stated != nil && j != *e.Stated {
			text += fmt.Sprintf(", and the model said otherwise by then: %s. It touches: %s. Afterwards: %s", j.Intent, j.Target, j.Effect)
		}
		e.After = append(e.After, text)
	case r.Type == audit.TypeResult:
		e.After = append(e.After, fmt.Sprintf("%s ended %s after %s", at, r.Outcome, r.Duration.Round(time.Microsecond)))
	}
}

func (a *App) showExplanation(w io.Writer, e *explanation) {
	fmt.Fprintf(w, "%s  %s/%s, by %s at %s\n", e.Call, e.Server, e.Tool, e.Principal, e.Time.Local().Format(time.DateTime))
	word := map[string]string{"allow": a.colour(green, "allowed"), "hold": a.colour(amber, "held for a human"), "deny": a.colour(red, "refused")}[e.Verdict]
	fmt.Fprintf(w, "%s: %s [%s]\n", word, lock.Visible(e.Reason), e.Rule)
	if e.Hint != "" {
		fmt.Fprintf(w, "hint: %s\n", lock.Visible(e.Hint))
	}
	if len(e.Arguments) > 0 {
		fmt.Fprintf(w, "arguments: %s\n", clipText(lock.Visible(string(e.Arguments))))
	}
	if e.Stated != nil {
		fmt.Fprintf(w, "the model says: %s. It touches: %s. Afterwards: %s\n", lock.Visible(e.Stated.Intent), lock.Visible(e.Stated.Target), lock.Visible(e.Stated.Effect))
	}
	for line := range strings.Lines(e.Preview) {
		fmt.Fprintf(w, "dry run | %s\n", lock.Visible(strings.TrimRight(line, "\n")))
	}
	a.showSum(w, e)
	a.showChanges(w, e)
	for _, s := range e.After {
		fmt.Fprintln(w, lock.Visible(s))
	}
}

func (a *App) showSum(w io.Writer, e *explanation) {
	if len(e.Parts) == 0 {
		fmt.Fprintln(w, "\nthe record keeps no sum for this decision")
		return
	}
	fmt.Fprintln(w)
	sum := 0
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range e.Parts {
		least := ""
		if p.Least != mcprun.Low.String() && p.Name != risk.Class {
			least = " (" + p.Least + " at least)"
		}
		fmt.Fprintf(tw, "%6d\t%s\t%s%s\n", p.Points, p.Name, lock.Visible(p.Why), least)
		sum += p.Points
	}
	note := ""
	if sum != e.Score {
		note = fmt.Sprintf(", from %d: a demanded class sets the least, and hints alone stay below %d", sum, risk.Block)
	}
	fmt.Fprintf(tw, "%6d\t= %s\t(low below %d, medium below %d, high below %d)%s\n", e.Score, e.Class, risk.Medium, risk.High, risk.Block, note)
	tw.Flush()
}

func (a *App) showChanges(w io.Writer, e *explanation) {
	if len(e.Changes) == 0 {
		if len(e.Parts) > 1 {
			fmt.Fprintln(w, "no single one of these would have changed it by its absence")
		}
		return
	}
	fmt.Fprintln(w, "\nwhat would have changed it:")
	for _, c := range e.Changes {
		then := map[string]string{"low": "it goes ahead", "medium": "it goes ahead", "high": "a human has to approve it", "block": "it is refused"}[c.Class]
		fmt.Fprintf(w, "  without %s: %d, %s: %s\n", c.Without, c.Score, c.Class, then)
	}
	fmt.Fprintln(w, "what is allowed stands in server.yaml; try a change offline: mcprun policy test")
}
