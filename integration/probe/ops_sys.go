package main

import (
	"maps"
	"os"
	"slices"
)

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }

func sysOps() []op {
	ops := []op{
		{name: "sys.present", run: func() outcome { return folder("/sys") }},
		{name: "sys.interfaces", run: sysInterfaces},
	}
	// Opened for writing. Severe are those that run a command, stop the
	// machine, or reach memory and hardware.
	writes := map[string]bool{
		"kernel/uevent_helper": true, "power/state": true, "power/disk": true, "power/mem_sleep": true, "bus/pci/rescan": true,
		"kernel/mm/ksm/run": true, "kernel/mm/transparent_hugepage/enabled": true, "kernel/profiling": true, "kernel/rcu_expedited": false,
		"module/kernel/parameters/panic": true, "devices/system/cpu/online": true, "devices/system/cpu/smt/control": true,
		"devices/system/memory/probe": true, "kernel/kexec_crash_size": true, "firmware/acpi/pm_profile": false,
		"kernel/cgroup/delegate": false,
	}
	for _, path := range sortedKeys(writes) {
		ops = append(ops, op{name: pathName("sys.write", path), severe: writes[path], run: func() outcome { return writable("/sys/" + path) }})
	}
	folders := map[string]bool{
		"kernel/debug": true, "kernel/tracing": true, "kernel/security": true, "fs/bpf": true, "fs/pstore": true, "kernel/config": true,
		"firmware/efi/efivars": true, "firmware": false, "class/net": false, "class/dmi/id": false, "block": false, "module": false,
		"bus/pci/devices": false, "fs/selinux": false, "kernel/btf": false, "hypervisor": false,
	}
	for _, path := range sortedKeys(folders) {
		ops = append(ops, op{name: pathName("sys.folder", path), severe: folders[path], run: func() outcome { return folder("/sys/" + path) }})
	}
	for _, path := range []string{"class/dmi/id/product_uuid", "class/dmi/id/product_name", "kernel/vmcoreinfo", "kernel/notes", "devices/virtual/dmi/id/bios_version"} {
		ops = append(ops, op{name: pathName("sys.read", path), run: func() outcome { return readable("/sys/" + path) }})
	}
	return ops
}

func sysInterfaces() outcome {
	entries, err := os.ReadDir("/sys/class/net")
	if err != nil {
		return effect(err)
	}
	var found []string
	for _, e := range entries {
		if e.Name() != "lo" {
			found = append(found, e.Name())
		}
	}
	return allowedList(found, "only lo")
}
