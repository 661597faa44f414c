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
	"time"

	"github.com/go-json-experiment/json"

	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/drill"
	"github.com/mcprun/mcprun/limits"
)

// ways are those in which a drill throws switches, each from its outer end, and those that
// it leaves out.
func (o *ownDrill) ways() (ways []drill.Way, left []control.NotTried) {
	ways = []drill.Way{{Name: "command", Throw: o.byCommand}, {Name: "file", Throw: o.byFile}}
	switch _, ok := readKillKey(o.d.opts.Dirs); {
	case o.d.page.srv == nil:
		left = append(left, control.NotTried{Way: "HTTP", Why: "the daemon serves nothing over HTTP", How: "start it with -web localhost:PORT, and make a key: mcprun kill-key"})
	case !ok:
		left = append(left, control.NotTried{Way: "HTTP", Why: "there is no key for it", How: "mcprun kill-key"})
	default:
		ways = append(ways, drill.Way{Name: "http", Throw: o.byHTTP})
	}
	return ways, append(left,
		control.NotTried{Way: "everything (kill --all, SIGUSR1, the file all)", Why: "it would end every server", How: "on a host that serves nobody: mcprun kill --all --why drill"},
		control.NotTried{Way: "the page's button", Why: "it takes a person", How: "mcprun approvals page"},
		control.NotTried{Way: "mcprun run, interrupted", Why: "it takes a terminal", How: "mcprun run server.yaml, and Ctrl-C"},
		control.NotTried{Way: "kill --all without a daemon", Why: "the drill needs the daemon", How: "on a host that serves nobody: kill -STOP the daemon, then mcprun kill --all --why drill"})
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
	body, err := json.Marshal(map[string]string{"target": t.Name(), "why": why})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, o.d.page.srv.Automation(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	// Not the default transport: what is set for it, a proxy above all, is for other hosts.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(res.Body, 512))
		return fmt.Errorf("it is answered with %s: %s", res.Status, said)
	}
	return nil
}
