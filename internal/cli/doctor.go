package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/semver"
	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/runtime/cgroup"
	"github.com/mcprun/mcprun/runtime/landlock"
)

// finding is one thing that mcprun needs.
type finding struct {
	Need string `json:"need"`
	OK   bool   `json:"ok"`
	Have string `json:"have"`
	Fix  string `json:"fix,omitempty"`
}

func (a *App) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "check everything that mcprun needs of this machine", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			findings := a.examine()
			err := a.print(findings, func(w io.Writer) {
				tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				for _, f := range findings {
					word := "ok"
					if !f.OK {
						word = "MISSING"
					}
					fmt.Fprintf(tw, "%s\t%s\t%s\n", word, f.Need, f.Have)
					if !f.OK {
						fmt.Fprintf(tw, "\t  fix:\t%s\n", f.Fix)
					}
				}
				tw.Flush()
			})
			if err != nil {
				return err
			}
			for _, f := range findings {
				if !f.OK {
					return exitCode(mcprun.Failed.ExitCode())
				}
			}
			return nil
		},
	}
}

func (a *App) examine() []finding {
	out := append(append(a.examineHost(), a.examinePrograms()...), examineEgress(), a.examineDaemon())
	return append(out, a.examineWebhook()...)
}

// examineWebhook says how it went with approval.webhook, where the daemon has one.
func (a *App) examineWebhook() []finding {
	res, err := a.do(control.Request{Op: control.OpCeilings})
	if err != nil || res.Ceilings == nil || res.Ceilings.Webhook == nil {
		return nil
	}
	h := res.Ceilings.Webhook
	return []finding{{"approval.webhook", h.Why == "", a.webhookState(h), "mend what is in " + h.Where + ", then mcprun approvals webhook"}}
}

func (a *App) examineHost() []finding {
	groups, err := cgroup.Find()
	out := []finding{
		{"root, or a daemon that runs as root", os.Geteuid() == 0 || a.daemonAnswers(), fmt.Sprintf("uid %d", os.Geteuid()), "run as root, or let root start mcprund --operators YOU"},
		kernelVersion(),
		{"control groups", err == nil, groups.String(), "mount them: mount -t cgroup2 none /sys/fs/cgroup"},
		exists("user namespaces", "/proc/self/ns/user", "a kernel with CONFIG_USER_NS"),
		positive("user namespaces allowed", "/proc/sys/user/max_user_namespaces", "sysctl -w user.max_user_namespaces=10000"),
		exists("pid, network, mount, ipc, uts, cgroup namespaces", "/proc/self/ns/cgroup", "a kernel with all namespaces"),
		contains("seccomp filters", "/proc/sys/kernel/seccomp/actions_avail", "errno", "a kernel with CONFIG_SECCOMP_FILTER"),
		overlay(),
		idmap(a.dirs.Data),
		pidfd(),
		secondFence(),
	}
	return out
}

// secondFence says whether the kernel has Landlock. Servers start without it.
func secondFence() finding {
	f := finding{Need: "Landlock, a second fence on files", OK: true}
	if v, err := landlock.ABI(); err != nil {
		f.Have = "not there, servers start without it: " + err.Error()
	} else {
		f.Have = landlock.Version(v)
	}
	return f
}

func (a *App) daemonAnswers() bool {
	c, err := control.Dial(a.dirs.Socket())
	if err == nil {
		c.Close()
	}
	return err == nil
}

const minKernel = "v5.19.0" // id-mapped mounts for overlayfs

func kernelVersion() finding {
	var u unix.Utsname
	f := finding{Need: "Linux 5.19 or newer", Fix: "boot a newer kernel"}
	if err := unix.Uname(&u); err != nil {
		f.Have = err.Error()
		return f
	}
	f.Have = unix.ByteSliceToString(u.Release[:])
	m := regexp.MustCompile(`^(\d+\.\d+)(\.\d+)?`).FindString(f.Have)
	if strings.Count(m, ".") == 1 {
		m += ".0"
	}
	f.OK = semver.IsValid("v"+m) && semver.Compare("v"+m, minKernel) >= 0
	return f
}

func exists(need, path, fix string) finding {
	_, err := os.Stat(path)
	return finding{need, err == nil, path, fix}
}

func positive(need, path, fix string) finding {
	raw, err := os.ReadFile(path)
	v := strings.TrimSpace(string(raw))
	return finding{need, err == nil && v != "" && v != "0", v, fix}
}

func contains(need, path, word, fix string) finding {
	raw, err := os.ReadFile(path)
	return finding{need, err == nil && strings.Contains(string(raw), word), strings.TrimSpace(string(raw)), fix}
}

func overlay() finding {
	f := contains("overlayfs", "/proc/filesystems", "overlay", "modprobe overlay")
	f.Have = "/proc/filesystems"
	return f
}

func pidfd() finding {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err == nil {
		unix.Close(fd)
	}
	return finding{"pidfd", err == nil, "pidfd_open", "a kernel newer than 5.3"}
}

// idmap says which file system would hold the images: it must take id-mapped mounts.
func idmap(data string) finding {
	f := finding{Need: "a file system with id-mapped mounts for " + data, Fix: "put the data on ext4, xfs or btrfs: mcprund -data FOLDER"}
	for dir := data; ; dir = filepath.Dir(dir) {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err == nil {
			names := map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs", unix.F2FS_SUPER_MAGIC: "f2fs"}
			f.Have, f.OK = names[int64(st.Type)], names[int64(st.Type)] != ""
			if !f.OK {
				f.Have = fmt.Sprintf("type %#x", st.Type)
			}
			return f
		}
		if dir == "/" || dir == "." {
			return f
		}
	}
}

// programs are what the daemon needs beside it, with the oldest that is safe.
var programs = []struct{ name, least string }{
	{"mcprund", ""}, {"mcprun-init", ""}, {"mcprun-decoy", ""}, {"containerd", "v2.3.2"}, {"containerd-shim-runc-v2", ""}, {"runc", "v1.5.2"},
}

func (a *App) examinePrograms() []finding {
	self, err := os.Executable()
	if err != nil {
		return []finding{{Need: "the folder of the programs", Have: err.Error()}}
	}
	var out []finding
	for _, p := range programs {
		out = append(out, program(filepath.Join(filepath.Dir(self), p.name), p.least))
	}
	return append(out, examineGVisor(filepath.Dir(self)))
}

// examineGVisor says whether servers can ask for isolation: gvisor. They need not.
func examineGVisor(dir string) finding {
	f := finding{Need: "gVisor, for isolation: gvisor", OK: true, Have: "not there; make setup-gvisor brings it"}
	if _, err := os.Stat(filepath.Join(dir, "runsc")); err == nil {
		f = program(filepath.Join(dir, "runsc"), "v0.0.0")
		f.Need, f.Fix = "gVisor, for isolation: gvisor", "make setup-gvisor"
		if _, err := os.Stat(filepath.Join(dir, "mcprun-runsc")); err != nil {
			f.OK, f.Have = false, "mcprun-runsc is not in "+dir
		}
	}
	return f
}

var versionPattern = regexp.MustCompile(`v?(\d+\.\d+\.\d+[-+.\w]*)`)

func program(path, least string) finding {
	f := finding{Need: filepath.Base(path), Fix: "make build"}
	if _, err := os.Stat(path); err != nil {
		f.Have = "not in " + filepath.Dir(path)
		return f
	}
	if f.Have = path; least == "" {
		f.OK = true
		return f
	}
	f.Need += " " + least + " or newer"
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	raw, err := exec.CommandContext(ctx, path, "--version").Output()
	m := versionPattern.FindStringSubmatch(string(raw))
	if err != nil || m == nil {
		f.Have = fmt.Sprintf("its version is unknown: %.80q", raw)
		return f
	}
	f.Have = "v" + m[1]
	f.OK = semver.Compare(f.Have, least) >= 0
	return f
}

// examineEgress lets the daemon's program try, in a namespace of its own, how
// connections of a container can be brought to it. Without nftables it works too,
// but attempts at ports that no rule names are refused unseen.
func examineEgress() finding {
	f := finding{Need: "egress: a live test of the only way out", Fix: "run as root, on a kernel with nf_tables, nft_tproxy, nft_reject and nfnetlink_log: modprobe -a nf_tables nft_tproxy nft_reject_inet nft_log nfnetlink_log"}
	self, err := os.Executable()
	if err != nil {
		f.Have = err.Error()
		return f
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	raw, err := exec.CommandContext(ctx, filepath.Join(filepath.Dir(self), "mcprund"), "-test-egress").CombinedOutput()
	f.Have, f.OK = strings.TrimSpace(string(raw)), err == nil
	return f
}

func (a *App) examineDaemon() finding {
	res, err := a.do(control.Request{Op: control.OpVersion})
	var e *mcprun.Error
	switch {
	case err == nil:
		return finding{"the daemon", true, fmt.Sprintf("mcprund %s, pid %d, cgroups %s", res.Version.Version, res.Version.Pid, res.Version.Parts["cgroups"]), ""}
	case errors.As(err, &e) && e.Class == mcprun.Unreachable:
		return finding{"the daemon", true, "not running; mcprun start starts it", ""}
	default:
		return finding{"the daemon", false, err.Error(), "tail " + a.dirs.DaemonLog()}
	}
}
