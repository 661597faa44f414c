package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

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

	busy   sync.Map // paths of orders under way
	saying sync.Mutex
	failed map[string]string // what was logged last, by path
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
	d.orders.strange, d.orders.failed = map[string]bool{}, map[string]string{}
	if err := killfolder.Make(d.opts.Dirs.Kill(), d.killGroup()); err != nil {
		return err
	}
	d.lookForOrders().Wait() // what was ordered while no daemon ran
	return nil
}

// lookForOrders throws the switches that the files in the kill folder name. A file is
// taken away once its switch is on disk, so that one is always there. What it returns can
// be waited for; the next look does not, since a kill that waits for containerd must not
// hold up another.
func (d *Daemon) lookForOrders() *sync.WaitGroup {
	d.orders.mu.Lock()
	defer d.orders.mu.Unlock()
	found, strange, err := killfolder.Read(d.opts.Dirs.Kill())
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(err, killfolder.Make(d.opts.Dirs.Kill(), d.killGroup()))
	}
	d.complain("", err)
	wg := new(sync.WaitGroup)
	for _, o := range found {
		if _, busy := d.orders.busy.LoadOrStore(o.Path, true); busy {
			continue
		}
		wg.Go(func() {
			defer d.orders.busy.Delete(o.Path)
			if _, err := os.Lstat(o.Path); errors.Is(err, fs.ErrNotExist) {
				return // obeyed since it was read: once more could undo a revival
			}
			d.complain(o.Path, d.obey(o))
		})
	}
	for _, name := range strange {
		if d.orders.strange[name] || len(d.orders.strange) >= maxStrange {
			continue
		}
		d.orders.strange[name] = true
		why := fmt.Sprintf("a file in the kill folder names nothing that can be stopped: %.100q", name)
		d.opts.Log.Warn(why)
		d.record.Append(&audit.Record{Type: audit.TypeNote, Reason: why})
	}
	return wg
}

// obey kills what a file names, unless it is killed already and only the file is left. A
// file that came after that kill is another one: it voids what was said of taking it back.
func (d *Daemon) obey(o killfolder.Order) error {
	if o.Why == "" {
		o.Why = "a file appeared in the kill folder"
	}
	k, thrown := d.switches.Thrown(o.Target)
	var err error
	if thrown && !isNewer(o, k) {
		err = d.switches.Persist(k)
	} else {
		k = newKill(o.Target, o.Who, o.Why, wayFile)
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

// fileTick is how far the times of files are behind: the kernel takes them from its last
// tick, 10 ms ago at most.
const fileTick = 10 * time.Millisecond

// isNewer reports whether a file was put there after a kill. In doubt it was, since a later
// kill voids what was said for a revival; but never after the kill that it ordered itself,
// which a file that cannot be removed would order again at each look.
func isNewer(o killfolder.Order, k limits.Kill) bool {
	if k.Way == wayFile && k.Who == o.Who && k.Why == o.Why {
		return o.When.After(k.When)
	}
	return o.When.Add(fileTick).After(k.When)
}

// complain logs what goes wrong with one order, or with the folder, once until it is
// something else.
func (d *Daemon) complain(path string, err error) {
	d.orders.saying.Lock()
	defer d.orders.saying.Unlock()
	if err == nil {
		delete(d.orders.failed, path)
		return
	}
	if len(d.orders.failed) >= maxStrange {
		clear(d.orders.failed) // then some is said twice
	}
	if d.orders.failed[path] != err.Error() {
		d.opts.Log.Error("the kill folder", "file", path, "err", err)
	}
	d.orders.failed[path] = err.Error()
}
