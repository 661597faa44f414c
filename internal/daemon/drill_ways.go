package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/drill"
	"github.com/mcprun/mcprun/limits"
)

// ways are those in which a drill throws switches, each from its outer end, and those that
// it leaves out.
func (o *ownDrill) ways(ctx context.Context) (ways []drill.Way, left []control.NotTried, err error) {
	ways = []drill.Way{{Name: "command", Throw: o.byCommand}, {Name: "file", Throw: o.byFile}}
	_, key := readKillKey(o.d.opts.Dirs)
	served := o.d.page.srv != nil
	switch {
	case !served:
		left = append(left, control.NotTried{Way: "HTTP", Why: "the daemon serves nothing over HTTP", How: "start it with -web localhost:PORT, and make a key: mcprun kill-key"},
			control.NotTried{Way: "the page's button", Why: "the daemon serves no page", How: "start it with -web localhost:PORT"})
	case !key:
		left = append(left, control.NotTried{Way: "HTTP", Why: "there is no key for it", How: "mcprun kill-key"})
	default:
		ways = append(ways, drill.Way{Name: "http", Throw: o.byHTTP})
	}
	if served {
		if err := o.enterPage(ctx); err != nil {
			return nil, nil, fmt.Errorf("opening the page: %w", err)
		}
		ways = append(ways, drill.Way{Name: "page", Throw: o.byPage})
	}
	if _, err := os.Stat(o.client()); err == nil {
		ways = append(ways, drill.Way{Name: "run", Start: o.startRun, Throw: o.byInterrupt})
	} else {
		left = append(left, control.NotTried{Way: "mcprun run, interrupted", Why: "mcprun is not in the folder of mcprund", How: "mcprun run server.yaml, and Ctrl-C"})
	}
	return ways, append(left,
		control.NotTried{Way: "everything (kill --all, SIGUSR1, the file all)", Why: "it would end every server", How: "on a host that serves nobody: mcprun kill --all --why drill"},
		control.NotTried{Way: "kill --all without a daemon", Why: "the drill needs the daemon", How: "on a host that serves nobody: kill -STOP the daemon, then mcprun kill --all --why drill"}), nil
}

// byCommand asks over the control socket, as mcprun kill does.
func (o *ownDrill) byCommand(ctx context.Context, t limits.Target, why string) error {
	c, err := control.Dial(o.d.opts.Dirs.Socket())
	if err != nil {
		return err
	}
	defer c.Close()
	if end, ok := ctx.Deadline(); ok {
		c.SetDeadline(end)
	}
	_, err = c.Do(control.Request{Op: control.OpKill, Server: t.Server, Tool: t.Tool, Label: t.Label, Client: t.Principal, Why: why}, control.Events{})
	return err
}

// byFile has a file appear in the kill folder, and waits until it was obeyed.
func (o *ownDrill) byFile(ctx context.Context, t limits.Target, why string) error {
	file := filepath.Join(o.d.opts.Dirs.Kill(), t.Name())
	hidden := filepath.Join(o.d.opts.Dirs.Kill(), "."+t.Name())
	if err := os.WriteFile(hidden, []byte(why+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Rename(hidden, file); err != nil {
		return errors.Join(err, remove(hidden))
	}
	for {
		if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("the file stands in the kill folder, and nothing happens")
		case <-time.After(time.Millisecond):
		}
	}
}

// byHTTP asks with the key for it, as a program does.
func (o *ownDrill) byHTTP(ctx context.Context, t limits.Target, why string) error {
	key, ok := readKillKey(o.d.opts.Dirs)
	if !ok {
		return errors.New("the key for kills over HTTP was removed meanwhile")
	}
	return post(ctx, o.d.page.srv.Automation(), map[string]string{"Authorization": "Bearer " + key}, map[string]string{"target": t.Name(), "why": why}, nil)
}

// enterPage opens the page as who asked for the drill, with an address that is good once:
// somebody who presses a button has it open.
func (o *ownDrill) enterPage(ctx context.Context) error {
	address, err := o.d.addressFor(o.who)
	if err != nil {
		return err
	}
	origin, ticket, ok := strings.Cut(address, "/#ticket=")
	if !ok {
		return errors.New("the address has no ticket")
	}
	o.page.origin = origin
	var in struct {
		Token string `json:"token"`
	}
	err = o.askPage(ctx, "/api/enter", map[string]string{"ticket": ticket}, &in)
	o.page.token = in.Token
	return err
}

// byPage sends what the page's button does, in its session.
func (o *ownDrill) byPage(ctx context.Context, t limits.Target, why string) error {
	return o.askPage(ctx, "/api/stop", map[string]string{"target": t.Name(), "why": why}, nil)
}

// leavePage ends the drill's session, if it has one.
func (o *ownDrill) leavePage(ctx context.Context) error {
	if o.page.token == "" {
		return nil
	}
	return o.askPage(ctx, "/api/leave", map[string]string{}, nil)
}

// askPage makes a request as the page's script does in a browser: the headers are those
// that a browser adds by itself, and without which nothing is answered.
func (o *ownDrill) askPage(ctx context.Context, path string, body map[string]string, into any) error {
	headers := map[string]string{"Origin": o.page.origin, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
	if o.page.token != "" {
		headers["Authorization"] = "Bearer " + o.page.token
	}
	return post(ctx, o.page.origin+path, headers, body, into)
}

// maxPageAnswer bounds what is read of an answer: a report of a kill takes some hundred bytes
// a server.
const maxPageAnswer = 1 << 20

// post sends JSON to the daemon's own listener and reads the answer, if into is not nil.
func post(ctx context.Context, url string, headers, body map[string]string, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	// Not the default transport: what is set for it, a proxy above all, is for other hosts.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, maxPageAnswer))
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("it is answered with %s: %s", res.Status, clipTo(string(said), 512))
	}
	if err == nil && into != nil {
		err = json.Unmarshal(said, into)
	}
	return err
}
