package web

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// program asks as a program does that is no browser.
func (b *bench) program(key, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/v1/kill", strings.NewReader(body))
	r.Host = "localhost:7787"
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

// With its key a program kills what it names, and can do nothing else; a browser cannot,
// with the key either.
func TestAutomation(t *testing.T) {
	b := newBench(t)
	const files = `{"target":"server@files","why":"an alarm"}`
	for _, c := range []struct {
		name   string
		key    string
		body   string
		change func(*http.Request)
		want   int
	}{
		{"no key", "", files, nil, http.StatusUnauthorized},
		{"another key", strings.Repeat("x", len(goodKey)), files, nil, http.StatusUnauthorized},
		{"a page's token", b.enter("uid:1000"), files, nil, http.StatusUnauthorized},
		{"a name bent to loopback", goodKey, files, set("Host", "evil.example:7787"), http.StatusForbidden},
		{"another port", goodKey, files, set("Host", "localhost:80"), http.StatusForbidden},
		{"a page", goodKey, files, set("Origin", "http://localhost:7787"), http.StatusForbidden},
		{"a browser", goodKey, files, set("Sec-Fetch-Site", "none"), http.StatusForbidden},
		{"a look", goodKey, "", func(r *http.Request) { r.Method = "GET" }, http.StatusForbidden},
		{"no JSON", goodKey, files, set("Content-Type", "text/plain"), http.StatusBadRequest},
		{"too much", goodKey, `{"target":"all","why":"` + strings.Repeat("x", maxBody) + `"}`, nil, http.StatusForbidden},
		{"too much, of unknown length", goodKey, `{"target":"all","why":"` + strings.Repeat("x", maxBody) + `"}`, func(r *http.Request) { r.ContentLength = -1 }, http.StatusBadRequest},
		{"a long reason", goodKey, `{"target":"all","why":"` + strings.Repeat("x", maxWhy+1) + `"}`, nil, http.StatusBadRequest},
		{"no target", goodKey, `{"why":"x"}`, nil, http.StatusBadRequest},
		{"an empty target", goodKey, `{"target":"","why":"x"}`, nil, http.StatusBadRequest},
		{"a path", goodKey, `{"target":"server@../x","why":"x"}`, nil, http.StatusBadRequest},
		{"more than a target", goodKey, `{"target":"all","why":"x","revive":true}`, nil, http.StatusBadRequest},
		{"two targets", goodKey, `{"target":"all","target":"server@files","why":"x"}`, nil, http.StatusBadRequest},
	} {
		w := b.program(c.key, c.body, func(r *http.Request) {
			if c.change != nil {
				c.change(r)
			}
		})
		if w.Code != c.want || len(b.desk.killed) != 0 {
			t.Errorf("%s: %d %s, killed %v; want %d", c.name, w.Code, w.Body, b.desk.killed, c.want)
		}
	}
	for _, body := range []string{files, `{"target":"label@team=x"}`, `{"target":"all","why":"x"}`} {
		if w := b.program(goodKey, body); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	for _, host := range []string{"127.0.0.1:7787", "[::1]:7787"} {
		if w := b.program(goodKey, files, set("Host", host)); w.Code != http.StatusOK {
			t.Errorf("as %s: %d", host, w.Code)
		}
	}
	want := []string{"files by automation key: an alarm", "label team=x by automation key: ", "everything by automation key: x"}
	if !slices.Equal(b.desk.killed[:3], want) {
		t.Errorf("killed %q, want %q", b.desk.killed, want)
	}
	if w := b.request("GET", "/api/events", goodKey, ""); w.Code != http.StatusUnauthorized {
		t.Errorf("the key opens the page: %d", w.Code)
	}
}

// Guesses are slowed down, and do not keep the one who has the key from killing.
func TestGuesses(t *testing.T) {
	b := newBench(t)
	for range guessBurst {
		if w := b.program("wrong", `{"target":"all"}`); w.Code != http.StatusUnauthorized {
			t.Fatalf("%d", w.Code)
		}
	}
	w := b.program("wrong", `{"target":"all"}`)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("one guess too many: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if w := b.program(goodKey, `{"target":"all"}`); w.Code != http.StatusOK || len(b.desk.killed) != 1 {
		t.Errorf("the key, after guesses: %d", w.Code)
	}
}

// The page's button takes a target by its whole name: nothing is not everything.
func TestStopOnThePage(t *testing.T) {
	b := newBench(t)
	token := b.enter("uid:7")
	for body, want := range map[string]int{`{"why":""}`: 409, `{"target":"","why":""}`: 409, `{"target":"files"}`: 409, `{"target":"server@files","why":""}`: 200} {
		if w := b.request("POST", "/api/stop", token, body); w.Code != want {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if w := b.request("POST", "/api/stop", "", `{"target":"all"}`); w.Code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", w.Code)
	}
	if !slices.Equal(b.desk.killed, []string{"files by uid:7: asked on the approval page"}) {
		t.Errorf("killed %q", b.desk.killed)
	}
}
