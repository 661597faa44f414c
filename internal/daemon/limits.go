package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/atomicfile"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/internal/front"
	"github.com/mcprun/mcprun/limits"
)

const (
	// saveEvery is how often what was used is written down: the record since then is
	// read again after a crash, at some hundred thousand lines a second.
	saveEvery = 10 * time.Second
	// detailReset is where a record says whose budgets were given back.
	detailReset = "limits-reset"
)

// openLimits counts what was used in the periods that go on, from the last time that
// it was written down and the record after that. A call that an earlier life left open
// used what was set aside for it.
func (d *Daemon) openLimits() error {
	now := timeNow()
	since, seq := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC), uint64(0)
	d.limits = limits.New()
	raw, err := os.ReadFile(d.opts.Dirs.Limits())
	switch {
	case err == nil:
		l := limits.New()
		saved, at, err := l.Load(raw)
		if err != nil { // the record has it all
			d.opts.Log.Warn("counting what was used from the record alone", "why", err)
			break
		}
		d.limits = l
		if saved <= d.record.Head().Seq { // otherwise it is of another record, of which nothing is known
			since, seq = at, saved
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("reading what was used: %w", err)
	}
	err = audit.Since(d.opts.Dirs.Audit(), since, func(e audit.Entry) error {
		if e.Record.Seq > seq && !e.Record.Time.Before(since) {
			recount(d.limits, &e.Record)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading what was used: %w", err)
	}
	if n := d.limits.Abandon(now); n > 0 {
		d.opts.Log.Info("calls that an earlier life left open count with all that was set aside for them", "calls", n)
	}
	d.limits.SetCommon(d.ceilings().Limits.Common(), now)
	if err := d.saveLimits(); err != nil { // the next start has less to read
		d.opts.Log.Warn("writing down what was used", "err", err)
	}
	return nil
}

// recount takes over what one record says was used.
func recount(l *limits.Limiter, rec *audit.Record) {
	switch rec.Type {
	case audit.TypeCall:
		if a, granted, ok := front.Counted(rec); ok {
			l.Began(a, granted, rec.Time)
		}
	case audit.TypeBudget:
		recountLease(l, rec)
	case audit.TypeResult:
		l.Ended(rec.Call, front.Used(rec), rec.Time)
	case audit.TypePolicy:
		if target, ok := rec.Detail[detailReset]; ok {
			server, tool, _ := strings.Cut(target, "/")
			l.Reset(mcprun.ServerName(server), mcprun.ToolName(tool))
		}
	}
}

// keepLimits writes down what was used, now and then.
func (d *Daemon) keepLimits(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	var last uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		head := d.record.Head().Seq
		if head == last {
			continue
		}
		if err := d.saveLimits(); err != nil {
			d.opts.Log.Error("writing down what was used; after a crash the next start takes longer", "err", err)
			continue
		}
		last = head
	}
}

func (d *Daemon) saveLimits() error {
	raw, err := d.limits.Save(func() (uint64, time.Time) {
		h := d.record.Head()
		return h.Seq, h.Time
	})
	if err != nil {
		return err
	}
	failpoint.Hit("limits.saving")
	return atomicfile.Write(d.opts.Dirs.Limits(), raw, 0o600)
}

// shownLimits lists the use of every limit of one server, or of all.
func (d *Daemon) shownLimits(c *control.Call) (*control.Result, error) {
	if c.Server != "" {
		if _, err := d.server(c.Server, false); err != nil {
			return nil, err
		}
	}
	rows := d.limits.Rows(timeNow())
	if c.Server != "" {
		rows = slices.DeleteFunc(rows, func(r limits.Row) bool { return r.Scope.Server != "" && r.Scope.Server != c.Server })
	}
	out := []control.Limit{}
	for _, r := range rows {
		out = append(out, control.Limit{Server: r.Scope.Server, Tool: r.Scope.Tool, Principal: r.Scope.Principal, Session: r.Scope.Session, Scope: r.Scope.String(),
			Kind: r.Kind, Limit: r.LimitText(), Used: r.UsedText(), Max: r.Limit, Amount: r.Used, Share: r.Share(), Period: r.Period, Frees: r.Frees})
	}
	return &control.Result{Limits: out}, nil
}

// resetLimits gives back what a server, or one tool of it, has used.
func (d *Daemon) resetLimits(c *control.Call) (*control.Result, error) {
	const doing = "resetting limits"
	if _, err := d.server(c.Server, false); err != nil {
		return nil, err
	}
	if strings.TrimSpace(c.Why) == "" {
		return nil, &mcprun.Error{Class: mcprun.Usage, What: doing, Why: "no reason was given", Hint: fmt.Sprintf("mcprun limits reset %s --why '…'", c.Server)}
	}
	target := string(c.Server)
	if c.Tool != "" {
		target += "/" + string(c.Tool)
	}
	rec := &audit.Record{Type: audit.TypePolicy, Server: c.Server, Tool: c.Tool, Principal: c.Peer.Principal(), Who: string(c.Peer.Principal()), Why: c.Why,
		Reason: "what was used of its limits was given back", Detail: map[string]string{detailReset: target}}
	if err := d.record.AppendDurable(rec); err != nil {
		return nil, fmt.Errorf("%s: it cannot be recorded: %w", doing, err)
	}
	d.limits.Reset(c.Server, c.Tool)
	return &control.Result{}, nil
}
