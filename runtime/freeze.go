package runtime

import (
	"errors"
	"sync"

	"github.com/mcprun/mcprun/manifest"
)

// ErrKilled means that the instance is being killed, and is for nothing else any more.
var ErrKilled = errors.New("the container is being killed")

// freezer orders freezing and killing: what a kill has begun is never held again, as a
// process that the v1 freezer holds does not die.
type freezer struct {
	order  chan struct{} // one Freeze or Thaw at a time
	killed chan struct{} // closed by the first Kill
	once   *sync.Once
}

func newFreezer() freezer {
	return freezer{make(chan struct{}, 1), make(chan struct{}), new(sync.Once)}
}

// end keeps everything from being frozen from now on. A freeze under way gives up and
// thaws what it holds, which a kill does again after its signals.
func (f freezer) end() { f.once.Do(func() { close(f.killed) }) }

// Freeze stops every process of the container where it stands, until Thaw or Kill. The
// server's connections stay; it reads nothing. It may be called again, and fails with
// none held where some process does not stand still within two seconds.
func (i *Instance) Freeze() error {
	if i.isolation == manifest.GVisor {
		return i.frozenOrder(i.pauseSandbox)
	}
	return i.frozenOrder(i.freezeTasks)
}

// freezeTasks holds what the host has of a container. A sandbox of gVisor can do
// nothing any more after that but be killed: the freezer takes from its processes the calls
// that they wait in, by which its kernel drives them.
func (i *Instance) freezeTasks() error { return i.rt.cgroups.Freeze(i.cgroup, i.freezer.killed) }

// Thaw lets the processes go on. It may be called again.
func (i *Instance) Thaw() error {
	if i.isolation == manifest.GVisor {
		return i.frozenOrder(i.resumeSandbox)
	}
	return i.frozenOrder(func() error { return i.rt.cgroups.Thaw(i.cgroup) })
}

func (i *Instance) frozenOrder(do func() error) error {
	select {
	case i.freezer.order <- struct{}{}:
	case <-i.freezer.killed:
		return ErrKilled
	}
	defer func() { <-i.freezer.order }()
	select {
	case <-i.freezer.killed:
		return ErrKilled
	default:
	}
	err := do()
	if err != nil {
		select {
		case <-i.freezer.killed:
			return ErrKilled
		default:
		}
	}
	return err
}
