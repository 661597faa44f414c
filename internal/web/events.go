package web

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/approval"
	"github.com/mcprun/mcprun/internal/control"
	"github.com/mcprun/mcprun/internal/web/view"
	"github.com/mcprun/mcprun/lock"
)

const (
	// maxStreams bounds the open pages of one operator: more tabs than one looks at.
	maxStreams = 8
	// lookEvery is how often a stream looks for what nobody tells of: servers that
	// came or went, calls that expired, a session that ended.
	lookEvery = 2 * time.Second
	// gather is how long a stream waits for further changes before it sends them.
	gather = 50 * time.Millisecond
	// maxOver is how many of those that wait no more are listed.
	maxOver = 30
	// maxGist is how much of a call stands in the list.
	maxGist = 120
)

// State is all that the page lists. It is sent whole at each change: a page that lost
// the connection is right again with the next one.
type State struct {
	Who     string           `json:"who"`
	Person  mcprun.Principal `json:"principal"`
	Codes   bool             `json:"codes"` // they have an authenticator that shows codes and counts
	Keys    bool             `json:"passkeys"`
	Waiting []Summary        `json:"waiting"` // the one that expires first, first
	Over    []Summary        `json:"over"`    // the newest first
	Status

	Authenticators []control.Authenticator `json:"authenticators"` // who sits there's own, and those that wait to be confirmed
}

// Summary is one line of the list. A call is shown whole by another request.
type Summary struct {
	ID      string            `json:"id"`
	State   string            `json:"state"`
	Who     string            `json:"who"`
	Server  mcprun.ServerName `json:"server"`
	Tool    string            `json:"tool"`
	Score   int               `json:"score"`
	Gist    string            `json:"gist"` // of the arguments
	Asked   time.Time         `json:"asked"`
	Until   time.Time         `json:"until"`
	Needs   int               `json:"needs"`
	Yes     []string          `json:"yes,omitzero"`
	By      string            `json:"by,omitzero"`
	Why     string            `json:"why,omitzero"`
	Decided time.Time         `json:"decided,omitzero"`
	Last    string            `json:"last,omitzero"` // what it is compared with: changes what is shown
}

func (s *Server) state(who mcprun.Principal) State {
	st := State{Who: s.office.Name(who), Person: who, Waiting: []Summary{}, Over: []Summary{}, Status: s.office.Status(), Authenticators: []control.Authenticator{}}
	st.Codes, st.Keys = s.office.Has(who)
	for _, one := range s.office.Known() {
		if one.Person == who || one.State == control.AuthenticatorWaits {
			st.Authenticators = append(st.Authenticators, one)
		}
	}
	all := s.office.Calls()
	for _, i := range all {
		one := s.summary(i)
		switch {
		case i.State == approval.Waiting:
			if last := view.Last(all, i); last != nil {
				one.Last = last.ID
			}
			st.Waiting = append(st.Waiting, one)
		case len(st.Over) < maxOver:
			st.Over = append(st.Over, one)
		}
	}
	slices.Reverse(st.Waiting)
	return st
}

func (s *Server) summary(i approval.Item) Summary {
	one := Summary{ID: i.ID, State: i.State.String(), Who: s.office.Name(i.Principal), Server: i.Server, Tool: lock.Visible(string(i.Tool)), Score: i.Score,
		Gist: gist(i), Asked: i.Asked.UTC(), Until: i.Until.UTC(), Needs: max(1, i.Needs), By: i.By, Why: lock.Visible(i.Why)}
	if !i.Decided.IsZero() {
		one.Decided = i.Decided.UTC()
	}
	if i.By != "" {
		one.By = s.office.Name(mcprun.Principal(i.By))
	}
	for _, p := range i.Yes {
		one.Yes = append(one.Yes, s.office.Name(p))
	}
	return one
}

// gist is how the arguments begin, on one line.
func gist(i approval.Item) string {
	n := 0
	for at := range string(i.Args) {
		if n++; n > maxGist {
			return lock.Visible(string(i.Args[:at])) + "…"
		}
	}
	return lock.Visible(string(i.Args))
}

// call shows one call whole.
func (s *Server) call(w http.ResponseWriter, r *http.Request, by session) error {
	_, shown, err := s.shown(r.URL.Query().Get("id"))
	if err != nil {
		return err
	}
	answer(w, struct {
		view.Call
		Shown mcprun.Digest `json:"shown"`
	}{shown, shown.Digest()})
	return nil
}

// shown is how a call is shown at this moment.
func (s *Server) shown(id string) (approval.Item, view.Call, error) {
	item, err := s.find(id)
	if err != nil {
		return item, view.Call{}, err
	}
	return item, view.Of(item, view.Last(s.office.Calls(), item)), nil
}

// events sends the state, and sends it anew whenever it changes.
func (s *Server) events(w http.ResponseWriter, r *http.Request, by session) error {
	leave, err := s.stream(by.Who)
	if err != nil {
		return err
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	out.SetReadDeadline(time.Time{}) // all was read; the deadline would end the stream
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var sent []byte
	for {
		changed := s.office.Watch()
		now, err := json.Marshal(s.state(by.Who))
		if err != nil {
			return nil // the answer has begun; the page asks again
		}
		line := []byte(": still here\n\n")
		if !bytes.Equal(now, sent) {
			line, sent = append(append([]byte("data: "), now...), "\n\n"...), now
		}
		out.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := w.Write(line); err != nil || out.Flush() != nil {
			return nil
		}
		select {
		case <-changed:
			time.Sleep(gather)
		case <-tick.C:
		case <-r.Context().Done():
			return nil
		case <-s.stop:
			return nil
		}
		if _, err := s.sessions.check(by.token); err != nil {
			return nil
		}
	}
}

// stream takes one of the streams that an operator may have.
func (s *Server) stream(who mcprun.Principal) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[who] >= maxStreams {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: "following what waits", Err: errors.New("the page is open too often"), Hint: "close other tabs with it"}
	}
	s.streams[who]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.streams[who]--; s.streams[who] == 0 {
			delete(s.streams, who)
		}
	}, nil
}
