package preserve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

const (
	// maxProcesses bounds the processes that are described: a server has some, and a fork
	// bomb as many as its limit lets it, which is 4096 at most.
	maxProcesses = 1024
	// maxOpen bounds the open files of one process that are named.
	maxOpen = 256
	// maxText bounds what is read of one file about a process: command lines can be as
	// long as memory lets them.
	maxText = 16 << 10
	// maxSockets bounds each table of sockets.
	maxSockets = 256 << 10
)

// Process is one process of a container, as the host sees it. Its environment is not
// here: it may hold what the server was told in confidence.
type Process struct {
	PID     int      `json:"pid"`
	Inside  int      `json:"pidInContainer"`
	Parent  int      `json:"ppid"`
	UID     int64    `json:"uid"` // in the container
	GID     int64    `json:"gid"`
	Name    string   `json:"name"`
	State   string   `json:"state"`
	Threads int      `json:"threads"`
	Command string   `json:"command"`
	Exe     string   `json:"exe"`
	Folder  string   `json:"folder"`
	Cgroup  string   `json:"cgroup"`
	Open    []string `json:"open"` // number → what it is
	Left    string   `json:"left,omitempty"`
}

// Processes describes processes of one cgroup, and says how many it left out. Those that
// are gone by now are not among them, nor is another process that got the number of one.
func Processes(ctx context.Context, pids []int, cgroup string, idBase uint32) (out []Process, left int) {
	out = []Process{}
	for i, pid := range pids {
		if len(out) == maxProcesses || over(ctx) != nil {
			return out, len(pids) - i
		}
		if p, ok := describe(pid, &Tree{IDBase: idBase}); ok && strings.Contains(p.Cgroup, cgroup) {
			out = append(out, p)
		}
	}
	return out, 0
}

// describe reads all of one process through one folder of /proc that is held: it is empty
// once the process is gone, whoever has its number then.
func describe(pid int, t *Tree) (Process, bool) {
	held, err := os.Open(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		return Process{}, false
	}
	defer held.Close()
	dir := fmt.Sprintf("/proc/self/fd/%d/", held.Fd())
	status := head(dir+"status", maxText)
	if status == "" {
		return Process{}, false
	}
	p := Process{PID: pid, Command: Plain(strings.TrimSuffix(strings.ReplaceAll(head(dir+"cmdline", maxText), "\x00", " "), " ")), Cgroup: Plain(strings.Join(strings.Fields(head(dir+"cgroup", maxText)), " ")), Exe: link(dir + "exe"), Folder: link(dir + "cwd")}
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		number := func(s string) int { n, _ := strconv.Atoi(s); return n }
		switch key {
		case "Name":
			p.Name = Plain(strings.TrimSpace(value))
		case "State":
			p.State = strings.Join(fields, " ")
		case "PPid":
			p.Parent = number(fields[0])
		case "Threads":
			p.Threads = number(fields[0])
		case "Uid":
			p.UID = t.inside(uint32(number(fields[1]))) // the effective one
		case "Gid":
			p.GID = t.inside(uint32(number(fields[1])))
		case "NSpid":
			p.Inside = number(fields[len(fields)-1])
		}
	}
	p.Open, p.Left = openFiles(dir + "fd")
	return p, true
}

// openFiles names what a process has open.
func openFiles(dir string) (out []string, left string) {
	out = []string{}
	f, err := os.Open(dir)
	if err != nil {
		return out, "its open files could not be listed: " + err.Error()
	}
	defer f.Close()
	names, err := f.Readdirnames(maxOpen + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return out, "its open files could not be listed: " + err.Error()
	}
	if len(names) > maxOpen {
		names, left = names[:maxOpen], fmt.Sprintf("more than %d open files", maxOpen)
	}
	for _, n := range names {
		out = append(out, n+" → "+link(dir+"/"+n))
	}
	return out, left
}

// link is where a link of /proc leads, as text: it is not followed.
func link(path string) string {
	target, err := os.Readlink(path)
	if err != nil {
		return ""
	}
	return Plain(target)
}

// head is the beginning of a file of /proc; "" if there is none.
func head(path string, n int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	raw, _ := io.ReadAll(io.LimitReader(f, n))
	return string(raw)
}

// Sockets writes the tables of sockets of a process's network, as the kernel has them.
func Sockets(w io.Writer, pid int) error {
	out := bufio.NewWriter(w)
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6", "unix"} {
		text := head(fmt.Sprintf("/proc/%d/net/%s", pid, table), maxSockets)
		fmt.Fprintf(out, "== %s\n", table)
		for line := range bytes.Lines([]byte(text)) {
			fmt.Fprintln(out, Plain(strings.TrimRight(string(line), "\n")))
		}
		if len(text) == maxSockets {
			fmt.Fprintf(out, "(cut: only the first %d bytes are kept)\n", maxSockets)
		}
	}
	return out.Flush()
}
