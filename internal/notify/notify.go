// Package notify tells a chat program, by its webhook, that a call waits for a human.
//
// Nobody waits for it: what is to be told goes into a bounded queue, and one goroutine
// sends it. What could not be told stands in the record. The webhook's address is a
// secret: whoever has it can post there. It is read anew for each message, and stands in
// no record, log or error, and neither does what the other side answers.
//
// It does not promise that a message arrives, or that somebody reads it: calls wait all
// the same, and mcprun approvals shows them. Who runs the chat program, and everybody in
// that channel, sees what is told. A message proves nothing: anybody who has the address
// can send one that looks like ours.
package notify

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/audit"
	"github.com/mcprun/mcprun/manifest"
)

const (
	// maxQueued bounds what waits to be sent. What comes while one message is on its way
	// goes out as one, so that more than this means that the other side takes nothing;
	// by then the newest are those that somebody can still answer.
	maxQueued = 64
	// spacing is between two messages: chat programs take one a second.
	spacing = time.Second
	// maxTries and firstPause bound how often one message is tried: what is not through
	// after half a minute is better said anew, with what has come since.
	maxTries   = 3
	firstPause = 2 * time.Second
)

// Options is what a Sender says, and to whom it says that it could not.
type Options struct {
	Host   string                        // where the calls wait
	Page   func() string                 // the approval page's address without a ticket; "" for none
	Name   func(mcprun.Principal) string // of a person, as people know them
	Env    func(string) (string, bool)   // looks up a variable of the daemon's environment
	Record func(*audit.Record) error
	Log    *slog.Logger
}

// Sender tells about calls. All methods may be called concurrently.
type Sender struct {
	opts Options
	wake chan struct{} // holds one: there is something to send

	mu     sync.Mutex
	to     manifest.Webhook
	queue  []approval.Item
	status Status
}

// Status is how the telling went since the daemon started.
type Status struct {
	Delivered int // messages
	Lost      int // calls that nobody was told of
	Last      time.Time
	Why       string // why the newest message could not be sent; "" if it was
}

// New returns a Sender that tells nobody.
func New(opts Options) *Sender {
	return &Sender{opts: opts, wake: make(chan struct{}, 1)}
}

// Set says whom to tell from now on; changed is whether that is another webhook. What
// was to be told to the one before is forgotten.
func (s *Sender) Set(to manifest.Webhook) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reflect.DeepEqual(s.to, to) {
		return false
	}
	s.to, s.queue, s.status = to, nil, Status{}
	return true
}

// Status says how it goes.
func (s *Sender) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Tell takes what is to be told of a call and never waits: that it waits, or, where the
// webhook asks for it, what became of it.
func (s *Sender) Tell(i approval.Item) {
	s.mu.Lock()
	to := s.to
	if to.IsZero() || i.State != approval.Waiting && !to.Settled {
		s.mu.Unlock()
		return
	}
	var lost []approval.Item
	if len(s.queue) >= maxQueued {
		lost, s.queue = s.queue[:1:1], s.queue[1:]
	}
	s.queue = append(s.queue, told(i, to))
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	if lost != nil {
		s.lose(lost, to, fmt.Sprintf("%d others were to be told already", maxQueued))
	}
}

// told is what is kept of a call to be told: no arguments where none are told.
func told(i approval.Item, to manifest.Webhook) approval.Item {
	i.Preview, i.Stated = "", mcprun.Justification{}
	if !to.Arguments {
		i.Args, i.Reason = nil, ""
	}
	return i
}

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		for to, batch := s.take(); len(batch) > 0; to, batch = s.take() {
			s.deliver(ctx, to, batch)
			if !pause(ctx, spacing) {
				return
			}
		}
	}
}

// take empties the queue.
func (s *Sender) take() (manifest.Webhook, []approval.Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.queue
	s.queue = nil
	return s.to, batch
}

// deliver sends one message about all of a batch, and records what became of it.
func (s *Sender) deliver(ctx context.Context, to manifest.Webhook, batch []approval.Item) {
	body := s.message(to, batch)
	var f fault
	for try, wait := 1, firstPause; s.still(to); try, wait = try+1, 2*wait {
		if f = post(ctx, to, s.opts.Env, body); f.why == "" {
			s.delivered(to, batch)
			return
		}
		if try == maxTries || !f.passing {
			s.lose(batch, to, f.why)
			return
		}
		if !pause(ctx, max(wait, f.after)) {
			return // the next life tells it again
		}
	}
}

// still reports whether to is who is told.
func (s *Sender) still(to manifest.Webhook) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return reflect.DeepEqual(s.to, to)
}

// Try sends one message that is about no call, and says why it could not.
func (s *Sender) Try(ctx context.Context, by mcprun.Principal) error {
	s.mu.Lock()
	to := s.to
	s.mu.Unlock()
	doing := "telling the webhook"
	if to.IsZero() {
		return &mcprun.Error{Class: mcprun.Usage, What: doing, Why: "policy.yaml names none", Hint: "approval: {webhook: {source: file:/etc/mcprun/webhook}} in policy.yaml, then mcprun policy reload"}
	}
	f := post(ctx, to, s.opts.Env, s.trial(by))
	s.mu.Lock()
	if s.status.Why = f.why; f.why == "" {
		s.status.Delivered, s.status.Last = s.status.Delivered+1, time.Now()
	}
	s.mu.Unlock()
	if f.why != "" {
		return &mcprun.Error{Class: mcprun.Failed, What: doing, Why: f.why, Hint: "the address is in " + to.Where() + "; docs/approvals.md says what it has to be"}
	}
	return nil
}

func (s *Sender) delivered(to manifest.Webhook, batch []approval.Item) {
	s.mu.Lock()
	s.status.Delivered, s.status.Last, s.status.Why = s.status.Delivered+1, time.Now(), ""
	s.mu.Unlock()
	s.note("told the webhook ("+to.Where()+") about calls that wait for approval or waited", batch)
}

func (s *Sender) lose(batch []approval.Item, to manifest.Webhook, why string) {
	s.mu.Lock()
	s.status.Lost, s.status.Why = s.status.Lost+len(batch), why
	s.mu.Unlock()
	s.note("the webhook ("+to.Where()+") was not told about calls that wait for approval or waited: "+why, batch)
	s.opts.Log.Warn("the webhook was not told about calls that wait for approval", "calls", len(batch), "why", why)
}

// detailCalls is where a record names the approvals that were told, or not.
const detailCalls = "approvals"

func (s *Sender) note(reason string, batch []approval.Item) {
	var ids []string
	for _, i := range batch {
		ids = append(ids, i.ID)
	}
	list := strings.Join(ids, " ")
	rec := &audit.Record{Type: audit.TypeNote, Reason: reason, Detail: map[string]string{detailCalls: list[:min(len(list), audit.MaxDetailValue)]}}
	if err := s.opts.Record(rec); err != nil {
		s.opts.Log.Error("recording what the webhook was told", "err", err)
	}
}

// pause waits; false means that ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
