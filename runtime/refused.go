package runtime

import (
	"bytes"
	"fmt"
	"os"

	"github.com/mcprun/mcprun/profiles/bpf"
)

// Refused tells of the system calls of one container that its profile refuses, and
// answers them.
type Refused struct {
	*bpf.Listener
	filter  *bpf.Program
	init    int  // the container's first process
	started bool // the server was
}

// StartServer lets the one call through by which mcprun-init starts the server, if this is
// it: the first execve, of a child of the first process. So a profile can do without execve,
// and the server then starts no program, ever. Nothing of the image has run before, so what
// the call points to is what mcprun-init wrote there.
func (r *Refused) StartServer(c bpf.Call) (done bool, err error) {
	if r.started || r.Name(c.Number) != "execve" {
		return false, nil
	}
	r.started = true
	status, err := statusOf(fmt.Sprintf("/proc/%d/status", c.Pid))
	if err != nil || status["PPid"] != fmt.Sprint(r.init) || !r.Waits(c) {
		return false, nil
	}
	return true, bpf.Learner{Listener: r.Listener}.LetThrough(c)
}

// Name is the call with this number.
func (r *Refused) Name(number int) string { return r.filter.Name(number) }

// Refuse answers a call as its profile does.
func (r *Refused) Refuse(c bpf.Call) error { return r.Listener.Refuse(c, r.filter.Refusal(c.Number)) }

// maxText bounds what is read of a server's memory, and of the path of its program, to be
// shown to people.
const maxText = 256

// Program is the path, in the container, of the program whose thread waits for an answer;
// "" if it is gone. It is what the server chose to be called.
func (r *Refused) Program(c bpf.Call) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", c.Pid))
	if err != nil || !r.Waits(c) {
		return ""
	}
	return path[:min(len(path), maxText)]
}

// Text reads the string that an argument of a waiting call points to. The server can change
// it at any time: it is for people to look at, and nothing is decided by it.
func (r *Refused) Text(c bpf.Call, arg int) string {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", c.Pid))
	if err != nil {
		return ""
	}
	defer mem.Close()
	text := make([]byte, maxText)
	n, _ := mem.ReadAt(text, int64(c.Args[arg])) // short at the end of a mapping
	if !r.Waits(c) {
		return ""
	}
	before, _, _ := bytes.Cut(text[:max(n, 0)], []byte{0})
	return string(before)
}
