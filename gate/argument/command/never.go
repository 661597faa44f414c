package command

import (
	"slices"
	"strings"
)

// fault is one reason of the fixed list. The zero fault is none.
type fault struct{ rule, reason string }

// neverRuns are programs that are refused whatever they are given.
var neverRuns = func() map[string]fault {
	m := map[string]fault{}
	add := func(rule, reason, programs string) {
		for _, p := range strings.Fields(programs) {
			m[p] = fault{"command.never." + rule, "the program " + reason}
		}
	}
	// Each of these is a step out of a container, or into the kernel.
	add("kernel", "changes mounts, namespaces or modules of the kernel", "mount umount pivot_root switch_root nsenter unshare chroot insmod modprobe rmmod kexec swapon swapoff losetup mknod mount.nfs mount.cifs fusermount bpftool capsh runc crun ctr")
	// A disk that is formatted is gone.
	add("device", "formats, divides or wipes disks", "mkfs mke2fs mkswap wipefs fdisk sfdisk cfdisk parted gdisk sgdisk blkdiscard hdparm cryptsetup lvremove vgremove pvremove mdadm badblocks debugfs dmsetup")
	// Accounts outlive the call and open the machine to others.
	add("accounts", "changes accounts and passwords of the machine", "useradd adduser usermod userdel deluser groupadd groupmod groupdel passwd chpasswd chage visudo vipw vigr gpasswd chsh newusers")
	// Nobody asks a model to end the machine it runs on.
	add("power", "stops the machine", "shutdown reboot halt poweroff telinit")
	// Its arguments are a text put together at run time: judging it is judging nothing.
	add("eval", "runs a text that is put together when it runs", "eval")
	// Capabilities are setuid in parts.
	add("setuid", "gives a file the rights of another user", "setcap")
	// Relays and tunnels are how a reverse shell gets out.
	add("reverse_shell", "opens a shell or a tunnel to another machine", "chisel ngrok frpc ligolo msfconsole msfvenom gsocket gs-netcat pwncat")
	return m
}()

func (j *judge) fault(f fault) {
	if f.rule != "" {
		j.refuse(f.rule, f.reason, "")
	}
}

// never judges the unit by the fixed list.
func (j *judge) never(u *unit) {
	j.fault(neverRuns[u.kind])
	j.fault(callFault(u))
	j.fault(j.deletes(u))
	j.fault(j.downloaded(u))
	j.fault(pipedCode(u))
	j.fault(inlineCode(u))
	j.fault(writes(u))
	j.fault(reverseShell(u))
	j.optionText(u)
	j.changeDir(u)
}

// takeCommands are programs with options whose value is a command.
var takeCommands = toSet("git", "tar", "ssh", "scp", "sftp", "rsync", "man", "sort", "zip", "split", "less", "curl", "wget", "make", "find")

// optionText holds the value of an option that may be a command against the fixed
// list: --checkpoint-action=exec=…, -oProxyCommand=…, alias.x=!…
func (j *judge) optionText(u *unit) {
	if !takeCommands[u.kind] {
		return
	}
	before := j.neverOnly
	j.neverOnly = true
	for i, w := range u.rest() {
		text := strings.TrimLeft(w.text[strings.LastIndexByte(w.text, '=')+1:], "!: ")
		if w.settled() && strings.Contains(text, " ") && opensCommand(u, i) {
			if c, ok := j.deeper(u.context); ok {
				j.text(text, context{depth: c.depth})
			}
		}
	}
	j.neverOnly = before
}

// opensCommand reports whether the argument is, or follows, an option by which the
// program runs another one.
func opensCommand(u *unit, i int) bool {
	words := u.rest()
	before := ""
	if i > 0 {
		before = words[i-1].text
	}
	if u.kind == "git" && (before == "-c" || strings.HasPrefix(words[i].text, "-c")) {
		return true
	}
	return slices.ContainsFunc(runners[u.kind].flags, func(f string) bool { return before == f || hasFlag(u.kind, f, words[i].text) })
}

// callFault judges programs that are refused with some arguments.
func callFault(u *unit) fault {
	switch u.kind {
	case "chmod", "install", "mkdir":
		if f := setuid(u); f.rule != "" {
			return f
		}
	case "kill", "killall5":
		if words := u.rest(); u.kind == "killall5" || len(words) > 1 && words[len(words)-1].text == "-1" {
			return fault{"command.never.power", "the command ends all programs of the machine"}
		}
	case "gpg", "gpg2":
		if u.has("--export-secret-keys", "--export-secret-subkeys") {
			return fault{"command.never.secret", "the command prints private keys"}
		}
	case "docker", "podman", "nerdctl", "docker-compose", "kubectl":
		return container(u)
	case "dd":
		return copiesToDevice(u)
	case "crontab":
		if !u.has("-l") || u.has("-e", "-r") || len(u.operands()) > 0 {
			return fault{"command.never.startup", "crontab changes what runs later"}
		}
	case "init":
		return fault{"command.never.power", "init changes what the machine runs"}
	case "sysctl":
		if u.has("-w", "--write", "-p", "--load", "--system") || anyWord(u, func(s string) bool { return strings.Contains(s, "=") }) {
			return fault{"command.never.kernel", "sysctl changes how the kernel works"}
		}
	case "export", "readonly", "env", "sudo", "doas", "read":
		return environment(u)
	case "printf":
		if len(u.args) > 1 && strings.HasPrefix(u.args[1].text, "-v") {
			return fault{"command.never.environment", "printf sets a variable, which nothing judges"}
		}
	}
	return security(u)
}

func anyWord(u *unit, test func(string) bool) bool {
	return slices.ContainsFunc(u.rest(), func(w word) bool { return test(w.text) })
}

func hasWord(u *unit, words ...string) bool {
	return anyWord(u, func(s string) bool { return slices.Contains(words, s) })
}

// environment judges a=b in front of a program that sudo or env runs, and what
// read sets.
func environment(u *unit) fault {
	for _, w := range u.rest() {
		if name, _, ok := strings.Cut(w.text, "="); ok || u.kind == "read" {
			if f := judgeVariable(name); f.Rule != "" {
				return fault{f.Rule, f.Reason}
			}
		}
	}
	return fault{}
}

// setuid finds modes with setuid or setgid, in numbers and in letters.
func setuid(u *unit) fault {
	bad := fault{"command.never.setuid", "the mode gives a file the rights of its owner or group to whoever runs it"}
	if u.kind == "chmod" && u.has("--reference") {
		return bad
	}
	words := u.rest()
	for i, w := range words {
		mode := w.text
		switch {
		case strings.HasPrefix(mode, "--mode="):
			mode = mode[len("--mode="):]
		case strings.HasPrefix(mode, "-m") && u.kind != "chmod":
			if mode = mode[2:]; mode == "" && i+1 < len(words) {
				mode = words[i+1].text
			}
		case u.kind != "chmod":
			continue
		}
		for part := range strings.SplitSeq(mode, ",") {
			if isSetuid(part) || u.kind == "chmod" && w.unknown && len(u.operands()) > 0 && w == u.operands()[0] {
				return bad
			}
		}
	}
	return fault{}
}

func isSetuid(mode string) bool {
	if digits := strings.TrimLeft(mode, "+=-"); digits != "" && strings.Trim(digits, "01234567") == "" {
		digits = strings.TrimLeft(digits, "0")
		return len(digits) > 3 && strings.IndexByte("234567", digits[len(digits)-4]) >= 0 && !strings.HasPrefix(mode, "-")
	}
	at := strings.IndexAny(mode, "+=")
	if at < 0 || strings.Trim(mode[:at], "ugoa") != "" {
		return false
	}
	return strings.Contains(mode[at:], "s") && strings.Trim(mode[at:], "+=-rwxXstugo") == "" && mode[:at] != "o"
}

// container finds what gives a container the machine.
func container(u *unit) fault {
	bad := fault{"command.never.container", "a container gets the rights, the files or the namespaces of the machine"}
	words := u.args[1:]
	if u.kind == "podman" && hasWord(u, "unshare") || u.kind == "kubectl" && hasWord(u, "debug") && anyWord(u, func(s string) bool { return strings.HasPrefix(s, "node/") }) {
		return bad
	}
	for i, w := range words {
		name, value, attached := strings.Cut(w.text, "=")
		if !attached && i+1 < len(words) {
			value = words[i+1].text
		}
		switch name {
		case "--privileged", "--cap-add", "--device", "--device-cgroup-rule", "--volumes-from", "--cgroup-parent", "--host", "--group-add":
			if value == "false" && attached {
				continue
			}
			return bad
		case "--pid", "--ipc", "--uts", "--userns", "--cgroupns", "--net", "--network":
			if value == "host" || strings.HasPrefix(value, "container:") {
				return bad
			}
		case "--security-opt":
			if !strings.HasPrefix(value, "no-new-privileges") {
				return bad
			}
		case "-v", "--volume", "--mount":
			if mountsHost(name, value) {
				return bad
			}
		default:
			if strings.HasPrefix(w.text, "-v/") || strings.HasPrefix(w.text, "-v~") || u.kind == "kubectl" && breaksPod(w.text) {
				return bad
			}
		}
	}
	return fault{}
}

// mountsHost: only a named volume and a folder below the current one are no places
// of the machine.
func mountsHost(option, value string) bool {
	if option == "--mount" {
		for part := range strings.SplitSeq(value, ",") {
			if _, source, ok := strings.Cut(part, "="); ok && (strings.HasPrefix(part, "source=") || strings.HasPrefix(part, "src=")) && leaves(source) {
				return true
			}
		}
		return false
	}
	return leaves(value)
}

func leaves(source string) bool {
	return strings.HasPrefix(source, "/") || strings.HasPrefix(source, "~") || strings.HasPrefix(source, "..") || strings.HasPrefix(source, "$HOME")
}

func breaksPod(s string) bool {
	s = strings.ToLower(strings.ReplaceAll(s, " ", ""))
	for _, part := range []string{`"privileged":true`, "privileged:true", "hostpid", "hostnetwork", "hostipc", "hostpath", "/etc/kubernetes"} {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

func copiesToDevice(u *unit) fault {
	for _, w := range u.rest() {
		if out, ok := strings.CutPrefix(w.text, "of="); ok {
			out = canonical(out)
			if strings.HasPrefix(out, "/dev/") && out != "/dev/null" && out != "/dev/stdout" || w.unknown {
				return fault{"command.never.device", "dd writes to a device"}
			}
		}
	}
	return fault{}
}

// security finds what turns protection and records off.
func security(u *unit) fault {
	bad := fault{"command.never.security", "the command turns protection or records of the machine off"}
	off := false
	switch u.kind {
	case "setenforce":
		off = !hasWord(u, "1", "Enforcing", "enforcing")
	case "iptables", "ip6tables", "ebtables", "arptables":
		off = u.has("-F", "--flush", "-X", "-P", "--policy", "-D", "--delete-chain", "-Z") || hasWord(u, "ACCEPT")
	case "nft":
		off = hasWord(u, "flush", "delete", "destroy")
	case "ufw":
		off = hasWord(u, "disable", "reset", "delete", "allow")
	case "firewall-cmd":
		off = anyWord(u, func(s string) bool {
			return strings.Contains(s, "remove") || strings.Contains(s, "panic-off") || strings.Contains(s, "add-")
		})
	case "iptables-restore", "aa-teardown", "aa-disable", "aa-complain", "setsebool", "logsave":
		off = true
	case "apparmor_parser":
		off = u.has("-R", "--remove")
	case "history":
		off = u.has("-c", "-w", "-d", "-a", "-r")
	case "unset", "set":
		off = anyWord(u, func(s string) bool { return strings.HasPrefix(s, "HIST") || s == "history" || s == "PROMPT_COMMAND" })
	case "auditctl":
		off = u.has("-e", "-D", "-d")
	case "systemctl", "service", "rc-service", "chkconfig", "launchctl", "update-rc.d":
		return services(u)
	case "journalctl":
		off = u.has("--vacuum-time", "--vacuum-size", "--vacuum-files", "--rotate")
	case "pkill", "killall":
		off = anyWord(u, func(s string) bool { return guards[s] })
	case "chattr":
		off = anyWord(u, func(s string) bool { return strings.HasPrefix(s, "-") && strings.ContainsAny(s, "ia") })
	case "csrutil", "spctl":
		off = hasWord(u, "disable", "--master-disable", "--global-disable")
	case "rm", "shred", "truncate", "unlink", "mv", "cp", "tee", "ln":
		off = anyWord(u, func(s string) bool { return strings.HasPrefix(canonical(s), "/var/log") }) && u.kind != "cp"
	case "chmod", "chown", "chgrp":
		if u.has("-R", "--recursive") && anyWord(u, isRoot) {
			return fault{"command.never.delete", "the command changes the rights of all files of the machine or of a home"}
		}
	}
	if off {
		return bad
	}
	return fault{}
}

// guards are services that protect the machine or keep its records.
var guards = toSet("firewalld", "ufw", "iptables", "nftables", "auditd", "apparmor", "fail2ban", "rsyslogd", "rsyslog", "syslog", "systemd-journald", "clamav-daemon", "clamd", "falcon-sensor",
	"wazuh-agent", "osqueryd", "selinux", "crowdsec", "falco")

// services: stopping what guards, and making something start with the machine.
func services(u *unit) fault {
	named := anyWord(u, func(s string) bool { return guards[strings.TrimSuffix(s, ".service")] })
	switch {
	case named && hasWord(u, "stop", "disable", "mask", "kill", "off", "remove"):
		return fault{"command.never.security", "the command stops a service that protects or records"}
	case hasWord(u, "enable", "link", "edit", "set-environment", "load", "bootstrap", "defaults", "add-wants", "submit"):
		return fault{"command.never.startup", "the command makes something start with the machine"}
	case hasWord(u, "poweroff", "reboot", "halt", "kexec", "rescue", "emergency", "isolate", "suspend", "hibernate", "switch-root", "exit", "set-default"):
		return fault{"command.never.power", "the command stops the machine"}
	}
	return fault{}
}
