// Command mcprun-decoy is the MCP server that mcprun drill kill kills.
//
//	mcprun-decoy ADDRESS TOKEN
//
// It does what a server does that is worth killing: it holds calls without an answer,
// and each of them a connection to ADDRESS, which begins with TOKEN; it starts processes
// and fills memory. It does so when it is asked, and resists nothing: servers that
// resist are a matter of tests. With "-" for ADDRESS it makes no connection.
//
// It confines nothing and trusts nobody: it runs in a container like any server.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// longest is how long a child or a held call lives if nobody ends it.
	longest = 5 * time.Minute
	// mostChildren and mostMiB keep a slip from becoming more than was meant.
	mostChildren, mostMiB = 1000, 4096
)

type request struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name      string `json:"name"`
		Arguments struct {
			N int `json:"n"`
		} `json:"arguments"`
	} `json:"params"`
}

// tools are all with one argument, n.
var tools = []struct {
	name, about string
	do          func(d *decoy, n int) (string, error)
}{
	{"answer", "Answer at once", func(*decoy, int) (string, error) { return "answered", nil }},
	{"hold", "Hold the call, with a connection if there is somewhere to connect to", (*decoy).hold},
	{"spawn", "Start n processes and leave them running", (*decoy).spawn},
	{"fill", "Use n MiB of memory, and say how many MiB are resident", (*decoy).fill},
}

type decoy struct {
	address, token string

	mu   sync.Mutex
	kept []byte
}

func (d *decoy) hold(int) (string, error) {
	if d.address != "-" {
		c, err := net.Dial("tcp", d.address)
		if err != nil {
			return "", err
		}
		defer c.Close()
		if _, err := io.WriteString(c, d.token); err != nil {
			return "", err
		}
		// It lets go of nothing by itself: who cuts the connection is the proxy.
		io.Copy(io.Discard, c)
	}
	time.Sleep(longest)
	return "held", nil
}

func (*decoy) spawn(n int) (string, error) {
	for i := range min(n, mostChildren) {
		if err := exec.Command("/proc/self/exe", "wait").Start(); err != nil {
			return "", fmt.Errorf("child %d: %w", i+1, err)
		}
	}
	return "spawned", nil
}

func (d *decoy) fill(n int) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, err := syscall.Mmap(-1, 0, min(n, mostMiB)<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != nil {
		return "", err
	}
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	d.kept = b
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return "", fmt.Errorf("/proc/self/statm says %q", raw)
	}
	pages, err := strconv.Atoi(fields[1])
	return strconv.Itoa(pages * os.Getpagesize() >> 20), err
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "wait" { // a child
		time.Sleep(longest)
		return
	}
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "mcprun-decoy: usage: mcprun-decoy ADDRESS TOKEN")
		os.Exit(2)
	}
	d := &decoy{address: os.Args[1], token: os.Args[2]}
	var out sync.Mutex
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var r request
		if json.Unmarshal(in.Bytes(), &r) != nil || r.ID == nil {
			continue
		}
		go func() {
			raw, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": r.ID, "result": d.answer(r)})
			if err != nil {
				raw = fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32603,"message":"no answer"}}`, r.ID)
			}
			out.Lock()
			defer out.Unlock()
			os.Stdout.Write(append(raw, '\n'))
		}()
	}
}

func (d *decoy) answer(r request) any {
	switch r.Method {
	case "initialize":
		return map[string]any{
			"protocolVersion": "2025-11-25", "serverInfo": map[string]string{"name": "mcprun-decoy", "version": "1"},
			"capabilities": map[string]any{"tools": struct{}{}},
		}
	case "tools/list":
		var list []any
		for _, t := range tools {
			list = append(list, map[string]any{"name": t.name, "description": t.about, "inputSchema": map[string]any{
				"type": "object", "properties": map[string]any{"n": map[string]any{"type": "integer", "minimum": 0, "maximum": mostMiB}}, "additionalProperties": false}})
		}
		return map[string]any{"tools": list}
	case "tools/call":
		for _, t := range tools {
			if t.name == r.Params.Name {
				text, err := t.do(d, r.Params.Arguments.N)
				if err != nil {
					text = err.Error()
				}
				return map[string]any{"content": []any{map[string]string{"type": "text", "text": text}}, "isError": err != nil}
			}
		}
	}
	return struct{}{}
}
