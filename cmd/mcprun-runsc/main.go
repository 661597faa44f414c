// Command mcprun-runsc starts gVisor's runsc the way mcprun uses it. containerd's
// shim calls it in the place of runc, with runc's arguments, and has no way to add
// any; it finds runsc beside itself.
//
// For a new container it also does what runsc does not: it maps the owners of the
// granted folders, as the container's description says, over the folders themselves in
// a mount namespace of its own. runsc's file server inherits that, and nothing of it is
// left when the container is gone.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	rtfeatures "github.com/opencontainers/runtime-spec/specs-go/features"
	"golang.org/x/sys/unix"
)

// flags are the same for every container.
var flags = []string{
	"--platform=systrap", // needs neither KVM nor ptrace
	"--network=host",     // the sockets of the container's own network namespace, which has only lo
	"--host-uds=open",    // the socket of mcprun-init; of a granted folder it may connect to as much as under runc
	"--overlay2=none",    // the root is read-only, and what is written to a granted folder is written
	"--host-settings=ignore",
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mcprun-runsc:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding runsc: %w", err)
	}
	if slices.Equal(args, []string{"features"}) {
		return features()
	}
	if i := slices.Index(args, "create"); i >= 0 {
		if err := mapFolders(args[i:]); err != nil {
			return err
		}
	}
	if i := slices.Index(args, "delete"); i >= 0 && !slices.Contains(args, "--force") {
		// Of one that was killed while it was paused runsc does not see that it has ended.
		args = slices.Insert(args, i+1, "--force")
	}
	runsc := filepath.Join(filepath.Dir(self), "runsc")
	return fmt.Errorf("starting %s: %w", runsc, syscall.Exec(runsc, slices.Concat([]string{"runsc"}, flags, args), os.Environ()))
}

// features says what runsc cannot say: containerd asks before it trusts a runtime
// with folders whose owners are to be mapped, which mapFolders does.
func features() error {
	can := true
	return json.NewEncoder(os.Stdout).Encode(rtfeatures.Features{OCIVersionMin: "1.0.0", OCIVersionMax: specs.Version,
		Linux: &rtfeatures.Linux{MountExtensions: &rtfeatures.MountExtensions{IDMap: &rtfeatures.IDMap{Enabled: &can}}}})
}

// mapFolders reads the description of the container to be created.
func mapFolders(create []string) error {
	i := slices.Index(create, "--bundle")
	if i < 0 || i+1 == len(create) {
		return errors.New("create without --bundle")
	}
	raw, err := os.ReadFile(filepath.Join(create[i+1], "config.json"))
	if err != nil {
		return fmt.Errorf("reading the container's description: %w", err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(raw, &spec); err != nil {
		return fmt.Errorf("reading the container's description: %w", err)
	}
	// This process becomes runsc, on this thread: it stays in the namespace.
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	for _, m := range spec.Mounts {
		if len(m.UIDMappings) == 0 {
			continue
		}
		if err := mapFolder(m, spec.Linux); err != nil {
			return fmt.Errorf("mapping the owner of %s: %w", m.Source, err)
		}
	}
	return nil
}

// mapFolder lays a folder over itself with its owner shown as the server's user.
func mapFolder(m specs.Mount, l *specs.Linux) error {
	owners, err := namespace(m, l)
	if err != nil {
		return err
	}
	defer owners.Close()
	tree, err := unix.OpenTree(unix.AT_FDCWD, m.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Propagation: unix.MS_PRIVATE, Userns_fd: uint64(owners.Fd())}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return err
	}
	return unix.MoveMount(tree, "", unix.AT_FDCWD, m.Source, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// namespace is a user namespace with the mount's mapping; a process has to be in it
// for as long as it takes to open. The container's root is in the map as well, as
// itself: gVisor makes a file as root and gives it to the server's user then. No file
// of the host is that root's.
func namespace(m specs.Mount, l *specs.Linux) (*os.File, error) {
	p, err := os.StartProcess("/proc/self/exe", []string{"mcprun-runsc"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: mapping(m.UIDMappings, l.UIDMappings), GidMappings: mapping(m.GIDMappings, l.GIDMappings),
		Ptrace: true, Pdeathsig: syscall.SIGKILL, // it stands still before its first instruction
	}})
	if err != nil {
		return nil, err
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", p.Pid))
	p.Kill()
	p.Wait()
	return f, err
}

func mapping(in, container []specs.LinuxIDMapping) (out []syscall.SysProcIDMap) {
	for _, m := range in {
		out = append(out, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)})
	}
	for _, m := range container {
		if m.ContainerID == 0 {
			out = append(out, syscall.SysProcIDMap{ContainerID: int(m.HostID), HostID: int(m.HostID), Size: 1})
		}
	}
	return out
}
