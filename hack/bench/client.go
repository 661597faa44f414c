package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// client is a raw line client. Its pipes block, so that no poller of Go's stands
// between a write and the answer.
type client struct {
	cmd  *exec.Cmd
	in   *os.File
	out  *bufio.Reader
	file *os.File // what out reads
	next int
	line []byte
}

func blockingPipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// dial starts cmd and opens an MCP session with it.
func dial(cmd *exec.Cmd) (*client, error) {
	theirIn, in, err := blockingPipe()
	if err != nil {
		return nil, err
	}
	defer theirIn.Close()
	out, theirOut, err := blockingPipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer theirOut.Close()
	cmd.Stdin, cmd.Stdout = theirIn, theirOut
	c := &client{cmd: cmd, in: in, out: bufio.NewReaderSize(out, 1<<20), file: out}
	if err := cmd.Start(); err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	theirOut.Close() // else a server that ends would leave the reader waiting
	if err := c.initialize(); err != nil {
		c.close()
		return nil, fmt.Errorf("opening a session with %s: %w", cmd.Path, err)
	}
	return c, nil
}

func (c *client) initialize() error {
	id, err := c.send("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}`)
	if err != nil {
		return err
	}
	if err := c.await(id); err != nil {
		return err
	}
	_, err = c.in.WriteString(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n")
	return err
}

func (c *client) send(method, params string) (int, error) {
	c.next++
	c.line = append(c.line[:0], `{"jsonrpc":"2.0","id":`...)
	c.line = strconv.AppendInt(c.line, int64(c.next), 10)
	c.line = append(append(append(c.line, `,"method":"`...), method...), `","params":`...)
	c.line = append(append(c.line, params...), "}\n"...)
	_, err := c.in.Write(c.line)
	return c.next, err
}

func (c *client) sendCall(s subject) (int, error) {
	return c.send("tools/call", `{"name":"`+s.tool+`","arguments":`+s.arguments+`}`)
}

// await reads up to the answer with this id, which must be a good one.
func (c *client) await(id int) error {
	want := []byte(`"id":` + strconv.Itoa(id))
	for {
		line, err := c.answer()
		if err != nil {
			return err
		}
		if i := bytes.Index(line, want); i >= 0 && (line[i+len(want)] == ',' || line[i+len(want)] == '}') {
			return nil
		}
	}
}

// answer reads one answer, passing over notifications and requests.
func (c *client) answer() ([]byte, error) {
	for {
		line, err := c.out.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		switch {
		case bytes.Contains(line, []byte(`"isError":true`)), bytes.Contains(line, []byte(`"error":{`)):
			return nil, fmt.Errorf("the server answers %.300s", line)
		case bytes.Contains(line, []byte(`"result":`)):
			return line, nil
		}
	}
}

// call is one round trip.
func (c *client) call(s subject) (time.Duration, error) {
	start := time.Now()
	id, err := c.sendCall(s)
	if err == nil {
		err = c.await(id)
	}
	return time.Since(start), err
}

// calls makes n calls with up to width under way at once.
func (c *client) calls(s subject, n, width int) (time.Duration, error) {
	start := time.Now()
	for sent, answered := 0, 0; answered < n; {
		for sent < n && sent-answered < width {
			if _, err := c.sendCall(s); err != nil {
				return 0, err
			}
			sent++
		}
		if _, err := c.answer(); err != nil {
			return 0, err
		}
		answered++
	}
	return time.Since(start), nil
}

// close ends the session and the process.
func (c *client) close() {
	c.in.Close()
	force := time.AfterFunc(2*time.Second, func() { c.cmd.Process.Kill() })
	c.cmd.Wait()
	force.Stop()
	c.file.Close()
}
