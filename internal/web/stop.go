package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/limits"
)

// stopping is what asks for a kill: a target as limits.Target.Name writes it, since "" must
// not come to mean everything, and why.
type stopping struct {
	Target string `json:"target"`
	Why    string `json:"why"`
}

func (in stopping) read(r *http.Request) (limits.Target, string, error) {
	if err := read(r, &in); err != nil {
		return limits.Target{}, "", err
	}
	if err := (said{Why: in.Why}).check(); err != nil {
		return limits.Target{}, "", err
	}
	t, err := limits.ParseTargetName(in.Target)
	if err != nil {
		return limits.Target{}, "", &mcprun.Error{Class: mcprun.Usage, What: "killing", Err: err}
	}
	return t, in.Why, nil
}

// stopIt kills what an operator names on the page.
func (s *Server) stopIt(w http.ResponseWriter, r *http.Request, by session) error {
	t, why, err := stopping{}.read(r)
	if err != nil {
		return err
	}
	if why == "" {
		why = "asked on the approval page"
	}
	report, err := s.office.Kill(t, string(by.Who), why, "page")
	if err != nil {
		return err
	}
	answer(w, report)
	return nil
}

// automationPath is for programs with a key of their own, not for the page.
const automationPath = "/v1/kill"

const (
	// guessEvery and guessBurst bound the wrong keys that are answered one by one; the key
	// is of 256 bits, so that this keeps a log short and no guess from coming true.
	guessEvery, guessBurst = time.Second, 5
	// byAutomation is who the record says it was.
	byAutomation = "automation key"
)

// automation kills what a program names that has the key for it. It takes nothing back
// and tells nothing. A browser is no such program: what a page of a stranger could send
// is refused, whatever key it has.
func (s *Server) automation(w http.ResponseWriter, r *http.Request) {
	if why := s.notAProgram(r); why != "" {
		s.refuse("", r, why)
		fail(w, &mcprun.Error{Class: mcprun.Denied, What: "killing", Why: why}, http.StatusForbidden)
		return
	}
	if !s.office.Automation(bearer(r)) {
		status := http.StatusUnauthorized
		if !s.guesses.Allow() {
			status = http.StatusTooManyRequests
			w.Header().Set("Retry-After", strconv.Itoa(int(guessEvery/time.Second)))
		}
		s.refuse("", r, "no valid key")
		fail(w, &mcprun.Error{Class: mcprun.Denied, What: "killing", Why: "the key is not the one of this daemon, or there is none", Hint: "mcprun kill-key"}, status)
		return
	}
	t, why, err := stopping{}.read(r)
	if err != nil {
		fail(w, err, http.StatusBadRequest)
		return
	}
	report, err := s.office.Kill(t, byAutomation, why, "http")
	if err != nil {
		fail(w, err, http.StatusConflict)
		return
	}
	answer(w, report)
}

// notAProgram says why a request is not one of automation: it was sent to another name
// (DNS rebinding), or by a browser.
func (s *Server) notAProgram(r *http.Request) string {
	port := s.host[len("localhost"):]
	switch {
	case r.Method != http.MethodPost:
		return "only POST kills"
	case r.Host != s.host && r.Host != "127.0.0.1"+port && r.Host != "[::1]"+port:
		return "this is no name of this listener"
	case r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Cookie") != "":
		return "the request comes from a browser"
	case r.ContentLength > maxBody:
		return "the body is too large"
	}
	return ""
}
