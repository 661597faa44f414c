package egress

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/redact"
	"github.com/mcprun/mcprun/netpolicy"
)

// Credential is one secret of a server's that its container holds a placeholder
// for. Which request may use it is all in here.
type Credential struct {
	Name        string
	Placeholder string
	Place       Place
	Host        netpolicy.Host
	Port        uint16
	Methods     []string                // empty: those of the rule
	Paths       []netpolicy.PathPattern // empty: those of the rule
	Tools       []mcprun.ToolName       // empty: whichever call is in flight

	Get   func(context.Context) (string, error) // the secret, now
	Known func() []string                       // what it was in this life, for redaction
}

// Place is where in a request the placeholder stands. Exactly one is set.
type Place struct {
	Header string // with Format
	Format string // "Bearer {}"; the placeholder stands at {}
	Basic  string // "password" or "username" of Authorization: Basic
	Query  string // name of a query parameter
}

// Credentials are those of one instance, and how placeholders of others are known.
type Credentials struct {
	Own []Credential
	// Foreign finds a placeholder of this daemon's that stands in text and is not
	// one of Own: of another server, or of an earlier life.
	Foreign func(text string) bool
}

// swapped is what becomes of one request and its response.
type swapped struct {
	way      *Way
	edits    []func(*http.Request)
	searched bool // the server has credentials: they are taken out of the response
	bound    bool // one of them is for this host, which may send it back
}

// unsearchable are headers by which a client gets an answer in parts or packed in
// a way that hides a secret in it.
var unsearchable = []string{"Range", "If-Range", "Sec-Websocket-Extensions", "Grpc-Accept-Encoding"}

func (s *swapped) request(out *http.Request) {
	for _, edit := range s.edits {
		edit(out)
	}
	if s.bound {
		for _, name := range unsearchable {
			out.Header.Del(name)
		}
	}
	if s.searched && out.Header.Get("Accept-Encoding") != "" {
		// What comes back must be readable here; gzip is, and every client knows it.
		encoding := "identity"
		if strings.Contains(out.Header.Get("Accept-Encoding"), "gzip") {
			encoding = "gzip"
		}
		out.Header.Set("Accept-Encoding", encoding)
	}
}

// misuseError is a placeholder where it has no business.
type misuseError struct{ name, why string }

func (e *misuseError) Error() string {
	if e.name == "" {
		return e.why
	}
	return "credential " + e.name + ": " + e.why
}

// sourceError is a credential that cannot be had.
type sourceError struct {
	name string
	err  error
}

func (e *sourceError) Error() string {
	return fmt.Sprintf("credential %s cannot be had: %v", e.name, e.err)
}

// swap puts secrets in the places of the placeholders that this request may use.
// A placeholder that is left over refuses the request.
func (w *Way) swap(ctx context.Context, q *request, r *http.Request) (*swapped, error) {
	creds := w.cfg.Credentials
	s := &swapped{way: w, searched: len(creds.Own) > 0}
	flights := tools(w.cfg.InFlight())
	used := map[string]bool{}
	for i := range creds.Own {
		c := &creds.Own[i]
		if c.boundTo(q.conn.dest) {
			s.bound = true
			w.learn(ctx, c)
		}
		if !c.Place.holds(r, c.Placeholder) {
			continue
		}
		if why := c.forbids(q, flights); why != "" {
			return nil, &misuseError{c.Name, why}
		}
		secret, err := c.Get(ctx)
		if err != nil {
			return nil, &sourceError{c.Name, err}
		}
		s.edits = append(s.edits, func(out *http.Request) { c.Place.put(out, c.Placeholder, secret) })
		used[c.Name] = true
		q.used = append(q.used, c)
	}
	if err := leftOver(r, creds, used); err != nil {
		return nil, err
	}
	if _, err := w.secrets(); err != nil {
		return nil, err // what could not be searched for must not come back
	}
	return s, nil
}

func (c *Credential) boundTo(d netpolicy.Dest) bool { return c.Host == d.Host && c.Port == d.Port }

// learnAgain is how long a source that failed is not asked again for the sake of
// redaction alone.
const learnAgain = 30 * time.Second

// learn fetches a secret before its first use, so that it is known when the host
// that has it from an earlier life sends it back. A source that fails gives
// nothing to this life either, and the request that uses it is refused.
func (w *Way) learn(ctx context.Context, c *Credential) {
	if len(c.Known()) > 0 {
		return
	}
	w.redaction.mu.Lock()
	wait := time.Since(w.redaction.failed[c.Name]) < learnAgain
	w.redaction.mu.Unlock()
	if wait {
		return
	}
	if _, err := c.Get(ctx); err != nil {
		w.redaction.mu.Lock()
		defer w.redaction.mu.Unlock()
		if w.redaction.failed == nil {
			w.redaction.failed = make(map[string]time.Time)
		}
		w.redaction.failed[c.Name] = time.Now()
	}
}

// forbids says why the credential is not for this request; "" if it is.
func (c *Credential) forbids(q *request, flights []mcprun.ToolName) string {
	switch {
	case !c.boundTo(q.conn.dest):
		return "it is for " + netpolicy.JoinHostPort(c.Host, c.Port) + " only"
	case len(c.Methods) > 0 && !slices.Contains(c.Methods, q.method):
		return "it is not for method " + q.method
	case len(c.Paths) > 0 && !slices.ContainsFunc(c.Paths, func(p netpolicy.PathPattern) bool { return p.Match(q.path) }):
		return "it is not for this path"
	case len(c.Tools) > 0 && !slices.ContainsFunc(c.Tools, func(t mcprun.ToolName) bool { return slices.Contains(flights, t) }):
		return "it is not for a tool that is being called"
	}
	return ""
}

// leftOver refuses a placeholder anywhere in a request but where it was swapped:
// sent on it would tell an upstream nothing, and it shows what somebody tried.
func leftOver(r *http.Request, creds Credentials, used map[string]bool) error {
	for _, text := range places(r) {
		for i := range creds.Own {
			c := &creds.Own[i]
			if strings.Contains(text.value, c.Placeholder) && !(used[c.Name] && c.Place.is(text)) {
				return &misuseError{c.Name, "its placeholder stands where it is not to be swapped: " + text.where}
			}
		}
		if creds.Foreign != nil && creds.Foreign(text.value) {
			return &misuseError{"", "a placeholder of another server or of an earlier start stands in " + text.where}
		}
	}
	return nil
}

// text is a part of a request where a placeholder could stand.
type text struct{ where, name, value string }

func places(r *http.Request) []text {
	out := []text{{"the path", "", r.URL.Path}}
	for name, values := range r.Header {
		for _, v := range values {
			if pair, ok := basicPair(v); ok && name == "Authorization" {
				v = pair
			}
			out = append(out, text{"header " + name, name, v})
		}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	for name, values := range query {
		for _, v := range values {
			out = append(out, text{"query parameter " + shown(name), "?" + name, v})
		}
		out = append(out, text{"the query", "", name})
	}
	if err != nil {
		out = append(out, text{"the query", "", r.URL.RawQuery})
	}
	return out
}

func basicPair(value string) (string, bool) {
	scheme, encoded, ok := strings.Cut(value, " ")
	if !ok || !strings.EqualFold(scheme, "Basic") {
		return "", false
	}
	pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	return string(pair), err == nil
}

// is reports whether a text is the place.
func (p Place) is(t text) bool {
	switch {
	case p.Basic != "":
		return t.name == "Authorization"
	case p.Query != "":
		return t.name == "?"+p.Query
	}
	return t.name == http.CanonicalHeaderKey(p.Header)
}

// holds reports whether the placeholder stands in its place, exactly as declared.
func (p Place) holds(r *http.Request, placeholder string) bool {
	switch {
	case p.Basic != "":
		user, password, ok := r.BasicAuth()
		return ok && (p.Basic == "username" && user == placeholder || p.Basic == "password" && password == placeholder)
	case p.Query != "":
		return slices.Contains(r.URL.Query()[p.Query], placeholder)
	}
	return slices.ContainsFunc(r.Header.Values(p.Header), func(v string) bool { return p.matches(v, placeholder) })
}

// matches compares a header with the format; the scheme's case does not count.
func (p Place) matches(value, placeholder string) bool {
	want := strings.Replace(p.Format, "{}", placeholder, 1)
	before, _, _ := strings.Cut(p.Format, "{}")
	return len(value) == len(want) && strings.EqualFold(value[:len(before)], before) && value[len(before):] == want[len(before):]
}

// put writes the secret where the placeholder stood.
func (p Place) put(out *http.Request, placeholder, secret string) {
	switch {
	case p.Basic != "":
		user, password, _ := out.BasicAuth()
		if p.Basic == "username" {
			user = secret
		} else {
			password = secret
		}
		out.SetBasicAuth(user, password)
	case p.Query != "":
		query := out.URL.Query()
		for i, v := range query[p.Query] {
			if v == placeholder {
				query[p.Query][i] = secret
			}
		}
		out.URL.RawQuery = query.Encode()
	default:
		values := out.Header.Values(p.Header)
		for i, v := range values {
			if p.matches(v, placeholder) {
				values[i] = strings.Replace(p.Format, "{}", secret, 1)
			}
		}
	}
}

// secrets is what is taken out of responses: everything that this instance's
// credentials were in this life. It is prepared anew only when a secret is another.
func (w *Way) secrets() (*redact.Set, error) {
	all := w.newest(redact.MaxSecrets)
	w.redaction.mu.Lock()
	defer w.redaction.mu.Unlock()
	if w.redaction.set != nil && slices.Equal(all, w.redaction.of) {
		return w.redaction.set, nil
	}
	set, err := redact.New(all)
	if err != nil {
		return nil, fmt.Errorf("preparing the redaction of responses: %w", err)
	}
	w.redaction.of, w.redaction.set = all, set
	return set, nil
}

// newest returns the credentials' values, the newest of each before the second
// newest of any, where there are more than most.
func (w *Way) newest(most int) []string {
	var known [][]string
	for _, c := range w.cfg.Credentials.Own {
		known = append(known, c.Known())
	}
	var all []string
	for back := 1; len(all) < most; back++ {
		before := len(all)
		for _, k := range known {
			if back <= len(k) && len(all) < most {
				all = append(all, k[len(k)-back])
			}
		}
		if len(all) == before {
			break
		}
	}
	return all
}

// redaction is the prepared search for the secrets in of.
type redaction struct {
	mu     sync.Mutex
	of     []string
	set    *redact.Set
	failed map[string]time.Time // credentials that could not be learned, since when
}

// maxDecoded bounds a compressed response once it is unpacked.
const maxDecoded = 1 << 30

// response takes the secrets out of what an upstream answers: it may echo them.
// The request pays for its bytes.
func (s *swapped) response(r *http.Response, q *request) error {
	if !s.searched {
		return s.paidFor(r, r.Body, q)
	}
	set, err := s.way.secrets()
	if err != nil {
		return err
	}
	redactHeader(r.Header, set)
	if r.StatusCode == http.StatusSwitchingProtocols {
		return s.paidFor(r, redact.Follow(s.way.secrets, io.NopCloser(r.Body)), q)
	}
	encoding := strings.Join(r.Header.Values("Content-Encoding"), ",")
	body, err := redact.Decode(r.Body, encoding, maxDecoded)
	if err != nil {
		return fmt.Errorf("the response cannot be searched for credentials: %w", err)
	}
	if encoding != "" && !strings.EqualFold(encoding, "identity") {
		r.Header.Del("Content-Encoding")
		r.Header.Del("Content-Length")
		r.ContentLength = -1
	}
	return s.paidFor(r, &cleaned{redact.Follow(s.way.secrets, body), r, s.way.secrets}, q)
}

// paidFor puts a body in the place of the response's own. After an upgrade it can
// be written as well.
func (s *swapped) paidFor(r *http.Response, body io.ReadCloser, q *request) error {
	if r.StatusCode != http.StatusSwitchingProtocols {
		r.Body = q.charge(body)
		return nil
	}
	rw, ok := r.Body.(io.ReadWriteCloser)
	if !ok {
		return errors.New("the upgraded connection cannot be written")
	}
	r.Body = &upgraded{q.charge(body), rw, q}
	return nil
}

// cleaned is a body without secrets, after which the trailers have none either:
// they come behind it.
type cleaned struct {
	io.ReadCloser
	response *http.Response
	secrets  func() (*redact.Set, error)
}

func (c *cleaned) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	if err != nil && len(c.response.Trailer) > 0 {
		set, serr := c.secrets()
		if serr != nil {
			return n, serr
		}
		redactHeader(c.response.Trailer, set)
	}
	return n, err
}

// redactHeader takes the secrets out of values; a name that holds one is dropped.
func redactHeader(h http.Header, set *redact.Set) {
	for name, values := range h {
		if _, n := set.String(name); n > 0 {
			delete(h, name)
			continue
		}
		for i := range values {
			values[i], _ = set.String(values[i])
		}
	}
}

// text takes the secrets out of an error: some repeat what an upstream sent.
func (s *swapped) text(err error) error {
	set, serr := s.way.secrets()
	if serr != nil {
		return serr
	}
	clean, n := set.String(err.Error())
	if n == 0 {
		return err
	}
	return errors.New(clean)
}

// upgraded is a connection after an upgrade: what is read of it is searched.
type upgraded struct {
	io.Reader
	rw io.ReadWriteCloser
	q  *request
}

func (u *upgraded) Write(b []byte) (int, error) {
	if !u.q.pay(len(b)) {
		return 0, errOverBytes
	}
	return u.rw.Write(b)
}

func (u *upgraded) Close() error { return u.rw.Close() }
