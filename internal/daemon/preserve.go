package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/failpoint"
	"github.com/mcprun/mcprun/internal/preserve"
	"github.com/mcprun/mcprun/limits"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/runtime"
)

const (
	// lookBound is how long a kill that keeps something waits, before it ends processes,
	// for them to stand still and to be listed: the freezer gives up after two seconds.
	lookBound = 3 * time.Second
	// keepBound is how long it copies. By then no process is left, and the switch is on
	// disk: only the clean-up waits.
	keepBound = 10 * time.Second
)

// holding has the end of a life wait for one who looks at it: first that it is seen, then
// that its files are copied. The zero value, and nil, hold up nothing.
type holding struct{ seen, kept chan struct{} }

func (h *holding) awaitSeen() {
	if h != nil {
		awaitFor(h.seen, lookBound)
	}
}

func (h *holding) awaitKept() {
	if h != nil {
		awaitFor(h.kept, lookBound+keepBound)
	}
}

func awaitFor(done <-chan struct{}, bound time.Duration) {
	select {
	case <-done:
	case <-time.After(bound):
	}
}

// keeper keeps what the servers of one kill leave.
type keeper struct {
	d   *Daemon
	k   limits.Kill
	all []*keeping
}

// keeping is what is kept of one server.
type keeping struct {
	s    *server
	run  *running    // nil: nothing of it runs
	def  *definition // nil: it was never started
	hold *holding
	seen chan *runtime.Evidence
}

// look has the processes of all targets stand still, and takes down what there is. It
// returns at once: the cut does not wait for it.
func (p *keeper) look(targets []*server) {
	for _, s := range targets {
		one := &keeping{s: s, seen: make(chan *runtime.Evidence, 1), hold: &holding{make(chan struct{}), make(chan struct{})}}
		s.mu.Lock()
		one.run, one.def = s.run, s.spec
		s.mu.Unlock()
		p.all = append(p.all, one)
		if one.run == nil || !one.run.hold.CompareAndSwap(nil, one.hold) {
			close(one.hold.seen)
			one.seen <- nil
			continue
		}
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), lookBound)
			defer cancel()
			failpoint.Hit("kill.looking")
			one.seen <- one.run.inst.Look(ctx)
			close(one.hold.seen)
		}()
	}
}

// looked waits until all were looked at, or for as long as a kill may.
func (p *keeper) looked() (note string, err error) {
	end := time.After(lookBound)
	late := 0
	for _, one := range p.all {
		select {
		case <-one.hold.seen:
		case <-end:
			late++
		}
	}
	if late > 0 {
		return "", fmt.Errorf("%d servers could not be looked at within %v; the kill goes on", late, lookBound)
	}
	return fmt.Sprintf("%d servers", len(p.all)), nil
}

// keep copies what there is into folders, one for each server, and lets go of it.
func (p *keeper) keep() (out []control.Kept, note string) {
	done := make(chan control.Kept, len(p.all))
	ctx, cancel := context.WithTimeout(context.Background(), keepBound)
	defer cancel()
	for _, one := range p.all {
		go func() {
			defer close(one.hold.kept)
			done <- p.keepOne(ctx, one)
		}()
	}
	// A disk that hangs must not keep the kill from being done: a little more than what
	// those have who look at the clock themselves.
	end := time.After(keepBound + time.Second)
	for range p.all {
		select {
		case k := <-done:
			out = append(out, k)
		case <-end:
			return out, fmt.Sprintf("%d of %d servers within %v", len(out), len(p.all), keepBound)
		}
	}
	slices.SortFunc(out, func(a, b control.Kept) int { return strings.Compare(string(a.Server), string(b.Server)) })
	return out, fmt.Sprintf("%d servers", len(out))
}

// keepOne keeps one server.
func (p *keeper) keepOne(ctx context.Context, one *keeping) control.Kept {
	out := control.Kept{Server: one.s.name}
	missing := func(format string, args ...any) { out.Missing = append(out.Missing, fmt.Sprintf(format, args...)) }
	var seen *runtime.Evidence
	select {
	case seen = <-one.seen:
	case <-ctx.Done():
		missing("all of it: it could not be looked at within %v", keepBound)
		go func() { // it may come yet, and holds files
			if late := <-one.seen; late != nil {
				late.Close()
			}
		}()
		return out
	}
	if seen == nil {
		seen = &runtime.Evidence{Instance: string(one.s.name), Notes: []string{"processes and files: nothing of it was running, or another kill keeps them"}}
	}
	defer seen.Close()
	base := p.d.opts.Dirs.Preserved()
	folder, err := preserve.Make(base, time.Now().UTC().Format("20060102T150405.000Z-")+seen.Instance)
	if err != nil {
		missing("all of it: %v", err)
		return out
	}
	out.Folder, out.Missing = folder.Path, append(out.Missing, seen.Notes...)
	write := func(name string, fill func(io.Writer) error) {
		if err := folder.Write(name, fill); err != nil {
			missing("%v", err)
		}
	}
	p.writeWhatItWas(one, seen, write)
	p.writeFiles(ctx, seen, base, write, missing)
	write("report.json", func(w io.Writer) error {
		return indented(w, keptReport{Kept: out, Others: folder.Files, Target: p.k.Target.Argument(), Who: p.k.Who, Why: p.k.Why, When: p.k.When, Instance: seen.Instance})
	})
	for _, f := range folder.Files {
		out.Files = append(out.Files, control.KeptFile{Name: f.Name, Size: f.Size, Digest: mcprun.Digest(f.Digest)})
	}
	failpoint.Hit("kill.kept")
	if err := p.d.recordKept(p.k, seen.Instance, out); err != nil {
		missing("the record does not name it: %v", err)
	}
	return out
}

// keptReport is report.json: what was kept of which kill, and what was not.
type keptReport struct {
	control.Kept
	Others   []preserve.File `json:"others"` // of the folder, with their digests
	Instance string          `json:"instance"`
	Target   string          `json:"target"`
	Who      string          `json:"who"`
	Why      string          `json:"why"`
	When     time.Time       `json:"when"`
}

// writeWhatItWas writes all but its files.
func (p *keeper) writeWhatItWas(one *keeping, seen *runtime.Evidence, write func(string, func(io.Writer) error)) {
	write("processes.json", func(w io.Writer) error { return indented(w, seen.Processes) })
	write("sockets.txt", func(w io.Writer) error { _, err := w.Write(seen.Sockets); return err })
	write("stderr.log", one.s.log.copyTo)
	if seen.Spec != "" {
		write("container.json", func(w io.Writer) error { _, err := io.WriteString(w, seen.Spec); return err })
	}
	if one.def == nil {
		return
	}
	write("server.yaml", func(w io.Writer) error { return marshalled(w, one.def.m, manifest.Marshal) })
	if one.def.lock != nil {
		write("server.lock", func(w io.Writer) error { return marshalled(w, one.def.lock, lock.Marshal) })
	}
}

func marshalled[T any](w io.Writer, v T, marshal func(T) ([]byte, error)) error {
	raw, err := marshal(v)
	if err == nil {
		_, err = w.Write(raw)
	}
	return err
}

func indented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// writeFiles writes the archive of what the server wrote, and the list of it.
func (p *keeper) writeFiles(ctx context.Context, seen *runtime.Evidence, base string, write func(string, func(io.Writer) error), missing func(string, ...any)) {
	if len(seen.Trees) == 0 {
		return
	}
	var list preserve.List
	for _, t := range seen.Trees {
		list.Look(ctx, t)
	}
	room, err := preserve.Room(base, len(p.all))
	if err != nil {
		missing("its files: %v", err)
		return
	}
	write("files.tar", func(w io.Writer) error { return list.Archive(ctx, w, room) })
	write("files.jsonl", func(w io.Writer) error {
		e := json.NewEncoder(w)
		for _, one := range list.Entries {
			if err := e.Encode(one); err != nil {
				return err
			}
		}
		return nil
	})
	for _, m := range list.Missing() {
		missing("%s", m)
	}
}

// recordKept says where what was kept is, with the digest of each file.
func (d *Daemon) recordKept(k limits.Kill, instance string, kept control.Kept) error {
	rec := &audit.Record{Type: audit.TypeNote, Method: "mcprun kill --preserve", Server: kept.Server, Instance: instance, Who: k.Who, Why: k.Why, Outcome: "kept",
		Reason: "what " + string(kept.Server) + " left is in " + kept.Folder, Detail: map[string]string{"folder": kept.Folder}}
	for _, f := range kept.Files {
		rec.Detail[f.Name] = string(f.Digest)
	}
	if len(kept.Missing) > 0 {
		rec.Outcome, rec.Detail["missing"] = "kept, but not all", clipTo(strings.Join(kept.Missing, "; "), audit.MaxDetailValue)
	}
	return d.record.AppendDurable(rec)
}

// copyTo writes all that is kept of the log.
func (l *serverLog) copyTo(w io.Writer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range []string{l.path + ".1", l.path} {
		f, err := os.Open(p)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = io.Copy(w, io.LimitReader(f, maxLogFile+maxLogLine))
		if f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// mayKeep refuses to keep what stays, or more than somebody would look at.
func mayKeep(t limits.Target) error {
	if t.Processes() && t != (limits.Target{}) {
		return nil
	}
	e := &mcprun.Error{Class: mcprun.Usage, What: "killing " + t.String(), Why: "what a server leaves is kept with --preserve where it ends; here it goes on", Hint: "mcprun kill SERVER --preserve"}
	if t == (limits.Target{}) {
		e.Why, e.Hint = "the switch of everything waits for nothing, and so keeps nothing", "mcprun kill SERVER --preserve, then mcprun kill --all; or mcprun kill --label KEY=VALUE --preserve"
	}
	return e
}
