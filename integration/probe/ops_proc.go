package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/integration/probe/result"
)

// procWrites are files of the whole machine. Severe are those that run a
// command, reboot, or change the machine's memory or protection.
func procWrites() map[string]bool {
	return map[string]bool{
		"sysrq-trigger": true, "sys/kernel/sysrq": true, "sys/kernel/core_pattern": true, "sys/kernel/core_uses_pid": false,
		"sys/kernel/core_pipe_limit": true, "sys/kernel/modprobe": true, "sys/kernel/hotplug": true, "sys/kernel/poweroff_cmd": true,
		"sys/kernel/cad_pid": true, "sys/kernel/randomize_va_space": true, "sys/kernel/kptr_restrict": true,
		"sys/kernel/dmesg_restrict": true, "sys/kernel/perf_event_paranoid": true, "sys/kernel/unprivileged_bpf_disabled": true,
		"sys/kernel/yama/ptrace_scope": true, "sys/kernel/modules_disabled": true, "sys/kernel/panic": true,
		"sys/kernel/panic_on_oops": true, "sys/kernel/printk": true, "sys/kernel/pid_max": true, "sys/kernel/threads-max": true,
		"sys/kernel/ns_last_pid": false, "sys/kernel/hostname": false, "sys/kernel/domainname": false, "sys/kernel/shmmax": false,
		"sys/kernel/msgmax": false, "sys/kernel/keys/maxkeys": true, "sys/kernel/ftrace_enabled": true, "sys/kernel/usermodehelper/bset": true,
		"sys/kernel/io_uring_disabled": true, "sys/kernel/sched_rt_runtime_us": true,
		"sys/vm/drop_caches": true, "sys/vm/overcommit_memory": true, "sys/vm/mmap_min_addr": true, "sys/vm/panic_on_oom": true,
		"sys/vm/swappiness": true, "sys/vm/compact_memory": true, "sys/vm/unprivileged_userfaultfd": true, "sys/vm/nr_hugepages": true,
		"sys/fs/binfmt_misc/register": true, "sys/fs/binfmt_misc/status": true, "sys/fs/protected_symlinks": true,
		"sys/fs/suid_dumpable": true, "sys/fs/file-max": true, "sys/fs/mqueue/queues_max": false,
		"sys/user/max_user_namespaces": true, "sys/net/ipv4/ip_forward": false, "sys/net/ipv4/conf/all/route_localnet": false,
		"sys/net/ipv4/ip_unprivileged_port_start": false, "sys/net/core/bpf_jit_enable": true, "sys/net/ipv6/conf/all/forwarding": false,
		"sys/dev/tty/legacy_tiocsti": true, "sys/dev/tty/ldisc_autoload": true, "sys/abi/vsyscall32": true,
		"mtrr": true, "irq/0/smp_affinity": true, "irq/default_smp_affinity": true, "acpi/wakeup": true, "scsi/scsi": true, "latency_stats": false,
		"dynamic_debug/control": true,
	}
}

// procReads tell about the machine. Severe is what shows the processes and keys
// of others; counts of pages and objects are not.
func procReads() map[string]bool {
	return map[string]bool{
		"keys": true, "key-users": false, "timer_list": false, "timer_stats": false, "sched_debug": true, "slabinfo": false,
		"vmallocinfo": false, "pagetypeinfo": false, "interrupts": false, "modules": false, "config.gz": false, "cmdline": false,
		"diskstats": false, "partitions": false, "swaps": false, "vmstat": false, "zoneinfo": false, "buddyinfo": false,
		"devices": false, "crypto": false, "locks": false, "bus/pci/devices": false, "bus/input/devices": false,
		"fs/nfsd/exports": true, "tty/drivers": false, "kpagecount": false, "kpageflags": false, "kpagecgroup": false,
		"schedstat": false, "pressure/cpu": false, "sysvipc/shm": false, "1/environ": false, "1/maps": false, "1/auxv": false,
		"1/stack": false, "1/syscall": false, "1/io": false, "1/pagemap": false, "self/stack": false, "self/pagemap": false,
		"net/unix": false, "net/route": false, "net/arp": false,
	}
}

func procOps() []op {
	var ops []op
	for _, path := range sortedKeys(procWrites()) {
		ops = append(ops, op{name: pathName("proc.write", path), severe: procWrites()[path], run: func() outcome { return writable("/proc/" + path) }})
	}
	for _, path := range sortedKeys(procReads()) {
		ops = append(ops, op{name: pathName("proc.read", path), severe: procReads()[path], run: func() outcome { return readable("/proc/" + path) }})
	}
	for _, path := range []string{"kallsyms", "iomem", "ioports"} {
		ops = append(ops, op{name: "proc.addresses." + path, run: func() outcome { return addresses("/proc/" + path) }})
	}
	for _, path := range []string{"acpi", "asound", "scsi", "device-tree", "driver", "fs", "sys/kernel/debug", "sys/fs/binfmt_misc"} {
		ops = append(ops, op{name: pathName("proc.folder", path), run: func() outcome { return folder("/proc/" + path) }})
	}
	return append(ops,
		op{name: "proc.open.kcore", severe: true, run: func() outcome { return opened("/proc/kcore") }},
		op{name: "proc.open.kmsg", severe: true, run: func() outcome { return opened("/proc/kmsg") }},
		op{name: "proc.open.init-mem", run: func() outcome { return writable("/proc/1/mem") }},
		op{name: "proc.open.parent-mem", run: func() outcome { return writable(fmt.Sprintf("/proc/%d/mem", os.Getppid())) }},
		op{name: "proc.init.root", severe: true, run: func() outcome { return outside("/proc/1/root", "/") }},
		op{name: "proc.init.map-files", run: func() outcome { return folder("/proc/1/map_files") }},
		op{name: "proc.init.fd", run: func() outcome { return folder("/proc/1/fd") }},
		op{name: "proc.init.ns", run: func() outcome { return folder("/proc/1/ns") }},
		op{name: "proc.foreign.roots", severe: true, run: foreignRoots},
		op{name: "proc.foreign.kernel-threads", severe: true, run: kernelThreads},
		op{name: "proc.foreign.users", run: foreignUsers},
		op{name: "proc.foreign.hidden", severe: true, run: hiddenProcesses},
		op{name: "proc.self.attr", run: func() outcome { return writable("/proc/self/attr/current") }},
		op{name: "proc.self.clear-refs", run: func() outcome { return writable("/proc/self/clear_refs") }},
		op{name: "proc.self.timens-offsets", run: func() outcome { return writable("/proc/self/timens_offsets") }},
		op{name: "proc.init.exe-overwrite", severe: true, run: overwriteInit},
	)
}

// pids are the numbers in /proc.
func pids() []int {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var out []int
	for _, n := range names {
		if pid, err := strconv.Atoi(filepath.Base(n)); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// foreignRoots looks for a process whose root folder is not ours.
func foreignRoots() outcome {
	last := absent("no process to look at")
	for _, pid := range pids() {
		if last = outside(fmt.Sprintf("/proc/%d/root", pid), "/"); last.verdict == result.Allowed {
			return last
		}
	}
	return last
}

// kernelThreads are visible only in the host's process namespace.
func kernelThreads() outcome {
	for _, pid := range pids() {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		// The fields follow the last parenthesis; flags are the seventh, and
		// PF_KTHREAD is a bit of them.
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		const pfKthread = 0x00200000
		if len(f) > 6 {
			if flags, err := strconv.ParseUint(f[6], 10, 64); err == nil && flags&pfKthread != 0 {
				return allowed(fmt.Sprintf("process %d is a kernel thread", pid))
			}
		}
	}
	return absent("no kernel thread in sight")
}

// foreignUsers looks for processes of another user.
func foreignUsers() outcome {
	var found []string
	for _, pid := range pids() {
		var st unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d", pid), &st) == nil && int(st.Uid) != os.Getuid() {
			found = append(found, strconv.Itoa(pid))
		}
	}
	return allowedList(found, "all processes in sight are ours")
}

// hiddenProcesses asks by signal 0, which is never delivered, for processes that
// /proc does not list. Threads answer too, so the thread's own folder counts as
// listed.
func hiddenProcesses() outcome {
	const maxPid = 4096 // a container's numbers begin at 1
	var found []string
	for pid := 1; pid <= maxPid; pid++ {
		if err := unix.Kill(pid, 0); err != nil && err != unix.EPERM {
			if e, ok := errnoOf(err); ok && e == unix.ENOSYS {
				return absent("no kill")
			}
			continue
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
			continue
		}
		if unix.Kill(pid, 0) == nil { // it did not end in between
			found = append(found, strconv.Itoa(pid))
		}
	}
	return allowedList(found, "every process that answers is listed")
}

// overwriteInit opens the program of process 1 for writing, as in
// CVE-2019-5736, when it is not a file of our own root.
func overwriteInit() outcome {
	var program, root unix.Stat_t
	if err := unix.Stat("/proc/1/exe", &program); err != nil {
		return effect(err)
	}
	if err := unix.Stat("/", &root); err != nil {
		return effect(err)
	}
	if program.Dev == root.Dev {
		return absent("a program of our own root")
	}
	fd, err := unix.Open("/proc/1/exe", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
		return allowed("opened for writing")
	}
	if err == unix.ETXTBSY { // permission was given; only the running program is in the way
		return allowed("only busy")
	}
	return effect(err)
}
