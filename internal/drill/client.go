package drill

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
)

// client is a raw line client of MCP, which adds nothing of its own to what is measured.
type client struct {
	conn net.Conn

	mu      sync.Mutex
	next    int
	waiting map[int]chan answer
	gone    bool
}

// answer is what a call came to.
type answer struct {
	at     time.Time
	text   string // the line, or why there is none
	failed bool
	none   bool
}

// good reports that a call did what it should.
func (a answer) good() bool { return !a.failed && !a.none && a.text != "" }

// refused reports that a call was ended or refused by a kill switch.
func (a answer) refused() bool { return a.failed && !a.none && strings.Contains(a.text, "killed") }

// newClient shakes hands. The client owns conn.
func newClient(conn net.Conn) (*client, error) {
	c := &client{conn: conn, waiting: map[int]chan answer{}}
	go c.read()
	const hello = `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"mcprun-drill","version":"1"}}`
	a, err := c.await(c.send("initialize", hello))
	if err == nil && !a.good() {
		err = errors.New(a.text)
	}
	if err == nil {
		_, err = conn.Write([]byte(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n"))
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connecting a client to the decoy: %w", err)
	}
	return c, nil
}

func (c *client) close() { c.conn.Close() }

// read hands each answer to who waits for it, with the time at which it came.
func (c *client) read() {
	in := bufio.NewReader(c.conn)
	for {
		line, err := in.ReadBytes('\n')
		at := time.Now()
		if err != nil {
			c.end()
			return
		}
		var m struct {
			ID     *int
			Method string
			Error  *struct{}
			Result *struct{ IsError bool }
		}
		if json.Unmarshal(line, &m) != nil || m.ID == nil || m.Method != "" {
			continue
		}
		c.mu.Lock()
		ch := c.waiting[*m.ID]
		delete(c.waiting, *m.ID)
		c.mu.Unlock()
		if ch != nil {
			ch <- answer{at: at, text: strings.TrimSpace(string(line)), failed: m.Error != nil || m.Result != nil && m.Result.IsError}
		}
	}
}

// end tells all who wait that nothing will come.
func (c *client) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	for id, ch := range c.waiting {
		ch <- answer{at: time.Now(), text: "the connection ended", none: true}
		delete(c.waiting, id)
	}
}

func (c *client) send(method, params string) (<-chan answer, error) {
	ch := make(chan answer, 1)
	c.mu.Lock()
	c.next++
	id := c.next
	if c.gone {
		c.mu.Unlock()
		return nil, errors.New("the connection ended")
	}
	c.waiting[id] = ch
	c.mu.Unlock()
	_, err := fmt.Fprintf(c.conn, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`+"\n", id, method, params)
	return ch, err
}

func (c *client) call(tool mcprun.ToolName, n int) (<-chan answer, error) {
	return c.send("tools/call", fmt.Sprintf(`{"name":%q,"arguments":{"n":%d}}`, tool, n))
}

func (*client) await(ch <-chan answer, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	select {
	case a := <-ch:
		return a, nil
	case <-time.After(patience):
		return answer{}, fmt.Errorf("no answer within %v", patience)
	}
}

// ask makes a call that takes no time.
func (c *client) ask(tool mcprun.ToolName) (answer, error) { return c.await(c.call(tool, 0)) }

// must makes a call that has to work.
func (c *client) must(tool mcprun.ToolName, n int) error {
	a, err := c.await(c.call(tool, n))
	if err == nil && !a.good() {
		err = errors.New(a.text)
	}
	if err != nil {
		return fmt.Errorf("the decoy's tool %s: %w", tool, err)
	}
	return nil
}
