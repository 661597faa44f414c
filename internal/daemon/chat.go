package daemon

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/notify"
	"github.com/mcprun/mcprun/manifest"
)

// openChat makes what tells approval.webhook about calls; the desk has those of an
// earlier life by then, which are told again: nobody knows whether they were.
func (d *Daemon) openChat() {
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	d.chat = notify.New(notify.Options{Host: host, Page: func() string { return d.page.url }, Name: (&office{Daemon: d}).Name,
		Env: os.LookupEnv, Record: d.record.Append, Log: d.opts.Log})
	d.desk.Tell = func(i approval.Item) {
		d.chat.Tell(i)
		if i.State == approval.Waiting { // what expires changes when somebody looks
			time.AfterFunc(approval.Life+time.Second, func() { d.desk.Get(i.ID) })
		}
	}
	d.toldFromNowOn()
}

// toldFromNowOn puts the webhook of the ceilings in force. One that is new is told what
// waits already.
func (d *Daemon) toldFromNowOn() {
	if !d.chat.Set(d.ceilings().Approval.Webhook) {
		return
	}
	for _, i := range d.desk.List() {
		if i.State == approval.Waiting {
			d.chat.Tell(i)
		}
	}
}

// tryWebhook sends a message that is about no call.
func (d *Daemon) tryWebhook(ctx context.Context, c *control.Call) (*control.Result, error) {
	who := c.Peer.Principal()
	if err := d.record.AppendDurable(&audit.Record{Type: audit.TypeNote, Principal: who, Who: string(who), Reason: "asked for a trial message to approval.webhook"}); err != nil {
		return nil, fmt.Errorf("telling the webhook: it cannot be recorded: %w", err)
	}
	if err := d.chat.Try(ctx, who); err != nil {
		return nil, err
	}
	return &control.Result{}, nil
}

// shownWebhook is how the telling goes; nil where nobody is told.
func (d *Daemon) shownWebhook() *control.Webhook {
	w := d.ceilings().Approval.Webhook
	if w.IsZero() {
		return nil
	}
	st := d.chat.Status()
	return &control.Webhook{Where: w.Where(), Delivered: st.Delivered, Lost: st.Lost, Last: st.Last, Why: st.Why}
}

// hideAddress takes the address of a webhook that stands in policy.yaml itself out of
// what is shown of the file.
func hideAddress(c *manifest.Ceilings, source []byte) (*manifest.Ceilings, []byte) {
	shown := c.WithoutAddress()
	if shown == c {
		return c, source
	}
	source = bytes.ReplaceAll(source, []byte(c.Approval.Webhook.URL), []byte(shown.Approval.Webhook.URL))
	if again, err := manifest.ParseCeilings("policy.yaml", source); err != nil || again.Approval.Webhook.URL != shown.Approval.Webhook.URL {
		source = nil // it is spelled in another way there
	}
	return shown, source
}
