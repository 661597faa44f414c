package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"github.com/mcprun/mcprun"
)

// Conn is a client's connection to the daemon, for one request.
type Conn struct {
	*net.UnixConn
	replies *bufio.Reader
}

// Dial connects to the daemon's socket. That there is none is an Unreachable error.
func Dial(path string) (*Conn, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, &mcprun.Error{
			Class: mcprun.Unreachable, What: "no daemon answers at " + path, Err: err,
			Hint: "start it as root: mcprund &   (or: mcprun start server.yaml, which starts one)",
		}
	}
	return &Conn{UnixConn: c, replies: lines(c)}, nil
}

// Events are called for the lines that come before a request's end.
type Events struct {
	Progress func(string)
	Log      func(string)
}

// Do sends a request and waits for its end. Files go along with it.
func (c *Conn) Do(req Request, ev Events, files ...*os.File) (*Result, error) {
	raw, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	raw = append(raw, '\n')
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	n, _, err := c.WriteMsgUnix(raw, rights, nil)
	if err == nil && n < len(raw) {
		_, err = c.Write(raw[n:])
	}
	if err != nil {
		return nil, gone(err)
	}
	for {
		line, err := c.replies.ReadBytes('\n')
		if err != nil {
			return nil, gone(err)
		}
		var r Reply
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("reading the daemon's answer: %w", err)
		}
		switch {
		case r.Error != nil:
			return nil, r.Error
		case r.Done != nil:
			return r.Done, nil
		case r.Log != "" && ev.Log != nil:
			ev.Log(r.Log)
		case r.Progress != "" && ev.Progress != nil:
			ev.Progress(r.Progress)
		}
	}
}

// Stream is the connection after a connect request was accepted: MCP both ways.
func (c *Conn) Stream() io.ReadWriteCloser {
	return struct {
		io.Reader
		io.Writer
		io.Closer
	}{c.replies, c.UnixConn, c.UnixConn}
}

func gone(err error) error {
	if errors.Is(err, io.EOF) {
		err = errors.New("it closed the connection")
	}
	return &mcprun.Error{Class: mcprun.Unreachable, What: "talking to the daemon", Err: err, Hint: "look whether it runs: mcprun ps; and at its log: mcprun doctor"}
}
