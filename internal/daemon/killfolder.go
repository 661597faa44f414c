package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/killfolder"
	"github.com/mcprun/mcprun/limits"
)

// wayFile is a kill by a file that appeared.
const wayFile = "file"

// maxStrange bounds the names without a meaning that are recorded, each once.
const maxStrange = 100

// orders carries out what stands in the kill folder.
type orders struct {
	mu      sync.Mutex // one look at a time
	strange map[string]bool
	failed  string // what was logged last
}

// killGroup is the group of the host that may put files into the kill folder: that of
// the operators, where there is one and no more. Users who are named one by one have
// the command.
func (d *Daemon) killGroup() uint32 {
	if groups := d.opts.Access.OperatorGIDs; len(groups) == 1 {
		return groups[0]
	}
	return 0
}

func (d *Daemon) openKillFolder() error {
	d.orders.strange = map[string]bool{}
	if err := killfolder.Make(d.opts.Dirs.Kill(), d.killGroup()); err != nil {
		return err
	}
	d.lookForOrders() // what was ordered while no daemon ran
	return nil
}

// lookForOrders throws the switches that the files in the kill folder name. A file is
// taken away once its switch is on disk, so that one is always there.
func (d *Daemon) lookForOrders() {
	d.orders.mu.Lock()
	defer d.orders.mu.Unlock()
	found, strange, err := killfolder.Read(d.opts.Dirs.Kill())
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(err, killfolder.Make(d.opts.Dirs.Kill(), d.killGroup()))
	}
	var wg sync.WaitGroup
	errs := make([]error, len(found))
	for i, o := range found {
		wg.Go(func() { errs[i] = d.obey(o) })
	}
	wg.Wait()
	d.complain(errors.Join(append(errs, err)...))
	for _, name := range strange {
		if d.orders.strange[name] || len(d.orders.strange) >= maxStrange {
			continue
		}
		d.orders.strange[name] = true
		why := fmt.Sprintf("a file in the kill folder names nothing that can be stopped: %.100q", name)
		d.opts.Log.Warn(why)
		d.record.Append(&audit.Record{Type: audit.TypeNote, Reason: why})
	}
}

// obey kills what a file names, unless it is killed already and only the file is left. A
// file that came after that kill is another one: it voids what was said of taking it back.
func (d *Daemon) obey(o killfolder.Order) error {
	k, thrown := d.switches.Thrown(o.Target)
	var err error
	if thrown && !o.When.After(k.When) {
		err = d.switches.Persist(k)
	} else {
		why := o.Why
		if why == "" {
			why = "a file appeared in the kill folder"
		}
		k = newKill(o.Target, o.Who, why, wayFile)
		if k.Target == (limits.Target{}) {
			err = d.throwAll(k)
		} else {
			_, err = d.throw(k)
		}
		err = errors.Join(err, d.switches.Persist(k))
	}
	if err != nil {
		return err
	}
	return os.Remove(o.Path)
}

// complain logs what goes wrong, once until it is something else.
func (d *Daemon) complain(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != d.orders.failed && text != "" {
		d.opts.Log.Error("the kill folder", "err", err)
	}
	d.orders.failed = text
}
