package servers

import (
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun/internal/mcpwire"
)

// patience is how long any tool may take; the longest works for three seconds.
const patience = 30 * time.Second

// client is a raw line client: no SDK hides what is on the wire. It offers
// nothing to the server: no sampling, no elicitation, no roots.
type client struct {
	t    *testing.T
	in   io.WriteCloser
	out  chan message // closed at the end
	next int
}

type message struct {
	ID     jsontext.Value `json:"id"`
	Method string         `json:"method"`
	Result jsontext.Value `json:"result"`
	Error  jsontext.Value `json:"error"`
}

// start runs a server, or the way to one, and shakes hands. It ends with the test.
func start(t *testing.T, cmd *exec.Cmd) *client {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, in: in, out: make(chan message, 256)}
	go c.read(out)
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	c.ask("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}`)
	fmt.Fprintln(in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return c
}

func (c *client) read(out io.Reader) {
	defer close(c.out)
	for r := mcpwire.NewReader(out, mcpwire.MaxResponseLine); ; {
		line, err := r.Line()
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(line, &m) != nil {
			continue // a banner
		}
		c.out <- m
	}
}

// ask sends a request and returns the result or the error of its answer.
func (c *client) ask(method, params string) jsontext.Value {
	c.t.Helper()
	c.next++
	fmt.Fprintf(c.in, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`+"\n", c.next, method, params)
	for end := time.After(patience); ; {
		select {
		case m, ok := <-c.out:
			switch {
			case !ok:
				c.t.Fatalf("%s %s: the connection ended", method, params)
			case m.Method != "" && m.ID != nil:
				c.refuse(m)
			case m.Method == "" && string(m.ID) == fmt.Sprint(c.next) && m.Error != nil:
				return m.Error
			case m.Method == "" && string(m.ID) == fmt.Sprint(c.next):
				return m.Result
			}
		case <-end:
			c.t.Fatalf("%s %s: no answer within %v", method, params, patience)
		}
	}
}

// refuse answers what a server asks of a client that offers nothing, in the
// words of mcprun: some tools quote them in their results.
func (c *client) refuse(m message) {
	feature := map[string]string{"sampling/createMessage": "sampling", "elicitation/create": "elicitation", "roots/list": "roots"}[m.Method]
	fmt.Fprintf(c.in, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"mcprun: %s is not granted; to grant it, add to server.yaml: grants: {%s: true}"}}`+"\n", m.ID, m.Method, feature)
}

// tools lists the names of the server's tools, sorted.
func (c *client) tools() []string {
	c.t.Helper()
	var list struct {
		Tools []struct {
			Name string `json:"name"`
		} `json:"tools"`
	}
	if err := json.Unmarshal(c.ask("tools/list", `{}`), &list); err != nil {
		c.t.Fatal(err)
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	return names
}
