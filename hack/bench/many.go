package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/control"
)

const (
	// many is how many servers a busy user has configured.
	many       = 20
	manyRounds = 20
)

// configured measures a client with many servers, none of which runs: until it is
// connected to all and has all lists of tools. It does so at once, as clients do.
func configured(b *bench, r *report) error {
	progress("%d configured servers, none running", many)
	for i := range many {
		name := nameOf(i)
		text := fmt.Sprintf("version: 1\nname: %s\nimage: %s\nprofile: node\nidle: stop\ntools:\n  echo: {risk: low}\n", name, filepath.Join(b.images, "everything.oci.tar"))
		if err := b.write(name+".yaml", text); err != nil {
			return err
		}
		if err := b.mcprun("lock", name+".yaml"); err != nil {
			return err
		}
		if err := b.mcprun("start", name+".yaml"); err != nil {
			return err
		}
	}
	var commands, sockets []time.Duration
	for n := -1; n < manyRounds; n++ { // the first round warms up
		command, err := atOnce(func(i int) error { return b.listByCommand(nameOf(i)) })
		if err != nil {
			return err
		}
		socket, err := atOnce(func(i int) error { return b.listBySocket(nameOf(i)) })
		if err != nil {
			return err
		}
		if n >= 0 {
			commands, sockets = append(commands, command), append(sockets, socket)
		}
	}
	if pids := b.contained(); len(pids) > 0 {
		return fmt.Errorf("the lists started %d processes", len(pids))
	}
	r.only(fmt.Sprintf("%d servers at rest: connected, all tools listed, p50", many), "ms", quantiles(sockets, time.Millisecond), p50, 50)
	r.only("  with a start of mcprun connect for each, p50", "ms", quantiles(commands, time.Millisecond), p50, 50)
	return nil
}

func nameOf(i int) string { return fmt.Sprintf("rest-%c", 'a'+i) }

// atOnce does one thing with all servers and returns when the last is done.
func atOnce(list func(i int) error) (time.Duration, error) {
	errs := make(chan error, many)
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			if err := list(i); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	select {
	case err := <-errs:
		return 0, err
	default:
		return took, nil
	}
}

// listByCommand is what a client does that is configured with mcprun connect.
func (b *bench) listByCommand(name string) error {
	c, err := dial(b.command("connect", name))
	if err != nil {
		return err
	}
	defer func() { go c.close() }()
	id, err := c.send("tools/list", "{}")
	if err != nil {
		return err
	}
	return c.await(id)
}

// listBySocket is the same without the start of a process.
func (b *bench) listBySocket(name string) error {
	conn, err := control.Dial(b.dirs.Socket())
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Do(control.Request{Op: control.OpConnect, Server: mcprun.ServerName(name)}, control.Events{}); err != nil {
		return err
	}
	return overStream(conn.Stream())
}

// overStream shakes hands and lists the tools.
func overStream(s io.ReadWriter) error {
	const hello = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}` + "\n"
	const list = `{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n" + `{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}` + "\n"
	in := bufio.NewReaderSize(s, 1<<20)
	for _, ask := range []string{hello, list} {
		if _, err := io.WriteString(s, ask); err != nil {
			return err
		}
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if !bytes.Contains(line, []byte(`"result":`)) {
			return fmt.Errorf("the answer is %.300s", line)
		}
	}
	return nil
}
