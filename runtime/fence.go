package runtime

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun/manifest"
	"github.com/mcprun/mcprun/profiles"
	"github.com/mcprun/mcprun/profiles/bpf"
	"github.com/mcprun/mcprun/runtime/landlock"
)

// compile makes the filter of a profile for this machine.
func compile(p *profiles.Profile) (*bpf.Program, error) {
	s, err := p.Seccomp(goruntime.GOARCH)
	if err != nil {
		return nil, err
	}
	return bpf.NewProgram(s)
}

// fenceDeadline bounds the exchange with mcprun-init, which has nothing to wait for.
const fenceDeadline = 10 * time.Second

// fence has the container's first process enclose the server by Landlock and put itself under the filter, takes the
// filter's listener, and lets the process start the server. The process is mcprun-init,
// in which nothing of the image has run yet; that it went under a filter, with all of its
// threads, is read from the kernel and not believed.
//
// The OCI runtime does not load the filter, since it can tell only of calls that are named
// one by one, without a look at their arguments: no socket family, no ioctl.
//
// That Landlock is in force is mcprun-init's word, since the kernel shows it to nobody.
func (i *Instance) fence(ctx context.Context, conn *net.UnixConn, enclosure *landlock.Rules, filter *bpf.Program) (_ *Refused, err error) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	conn.SetDeadline(time.Now().Add(fenceDeadline))
	defer func() {
		if err != nil {
			err = fmt.Errorf("putting the container behind its fences: %w", errors.Join(err, ctx.Err()))
		}
	}()
	if i.isolation == manifest.GVisor {
		return nil, i.fenceInside(conn, filter)
	}
	before, err := filtersOf(i.pid)
	if err != nil {
		return nil, err
	}
	if err := send(conn, enclosure, filter.Filter, true); err != nil {
		return nil, i.fenceFailed(err)
	}
	var fd uint32
	if err := binary.Read(conn, binary.LittleEndian, &fd); err != nil {
		return nil, i.fenceFailed(err)
	}
	// Fetched and not sent: a profile may refuse to send descriptors.
	own, err := unix.PidfdGetfd(i.pidfd, int(fd), 0)
	if err != nil {
		return nil, fmt.Errorf("taking its listener: %w", err)
	}
	listener, err := bpf.NewListener(own)
	if err != nil {
		return nil, err
	}
	if err := underFilter(i.pid, before+1); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if _, err := conn.Write([]byte{1}); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &Refused{Listener: listener, filter: filter, init: i.pid}, nil
}

// send gives mcprun-init the rules for Landlock and the filter, and says whether calls that
// it refuses are told of.
func send(conn *net.UnixConn, enclosure *landlock.Rules, filter []byte, told bool) error {
	message := binary.LittleEndian.AppendUint32(enclosure.Append(nil), uint32(len(filter)))
	message = append(message, 0)
	if told {
		message[len(message)-1] = 1
	}
	_, err := conn.Write(append(message, filter...))
	return err
}

// fenceInside is fence in a sandbox of gVisor. The filter is one of the sandbox's own
// kernel: it tells nobody of what it refuses, and that it is there is mcprun-init's word,
// since the host sees no threads of the sandbox. What stands towards the host is the
// filter that runsc has for itself.
func (i *Instance) fenceInside(conn *net.UnixConn, filter *bpf.Program) error {
	if err := send(conn, nil, filter.Silent(), false); err != nil {
		return err
	}
	var fd uint32
	if err := binary.Read(conn, binary.LittleEndian, &fd); err != nil {
		return i.fenceFailed(err)
	}
	_, err := conn.Write([]byte{1})
	return err
}

// fenceFailed says why mcprun-init went away: it writes that to its stderr.
func (i *Instance) fenceFailed(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
		return err
	}
	i.Stderr.SetReadDeadline(time.Now().Add(time.Second))
	defer i.Stderr.SetReadDeadline(time.Time{})
	words, _ := io.ReadAll(io.LimitReader(i.Stderr, 1024))
	if text := strings.TrimSpace(string(words)); text != "" {
		return errors.New(text)
	}
	return errors.New("its first process is gone")
}

// filtersOf counts the filters of a process: those that a service manager put the daemon, or
// the host's containerd, under are inherited.
func filtersOf(pid int) (int, error) {
	status, err := statusOf(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(status["Seccomp_filters"])
	if err != nil {
		return 0, fmt.Errorf("the filters of process %d: %w", pid, err)
	}
	return n, nil
}

// underFilter reads from the kernel that every thread of a process is under so many filters
// and can gain no privileges.
func underFilter(pid, filters int) error {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) == 0 {
		return fmt.Errorf("the threads of process %d cannot be listed: %w", pid, err)
	}
	want := map[string]string{"NoNewPrivs": "1", "Seccomp": "2", "Seccomp_filters": strconv.Itoa(filters)}
	for _, task := range tasks {
		got, err := statusOf(task)
		if errors.Is(err, os.ErrNotExist) {
			continue // a thread that has ended
		}
		if err != nil {
			return err
		}
		for key, value := range want {
			if got[key] != value {
				return fmt.Errorf("%s: %s is %q, not %s", task, key, got[key], value)
			}
		}
	}
	return nil
}

// statusOf reads a status file of proc(5).
func statusOf(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		out[key] = strings.TrimSpace(value)
	}
	return out, lines.Err()
}
