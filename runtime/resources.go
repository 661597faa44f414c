package runtime

import (
	"errors"

	"github.com/mcprun/mcprun/manifest"
)

// SetResources changes what the processes may use while they run: memory, processor
// time and pids. Either all of it holds afterwards or, with an error, what held before.
func (i *Instance) SetResources(old, now manifest.Resources) error {
	err := i.setResources(old, now)
	if err != nil {
		err = errors.Join(err, i.setResources(now, old))
	}
	return err
}

func (i *Instance) setResources(old, now manifest.Resources) error {
	c := i.rt.cgroups
	var errs []error
	if now.Memory != old.Memory {
		errs = append(errs, c.SetMemory(i.cgroup, now.Memory))
	}
	if now.MilliCPU != old.MilliCPU {
		errs = append(errs, c.SetCPU(i.cgroup, now.MilliCPU*cpuPeriod/1000, cpuPeriod))
	}
	if now.Pids != old.Pids {
		errs = append(errs, c.SetPids(i.cgroup, hostTasks(i.isolation, now.Pids)))
	}
	return errors.Join(errs...)
}
