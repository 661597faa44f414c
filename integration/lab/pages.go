package lab

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/websocket"
)

const (
	// maxEcho bounds a body that is sent back; maxBytes what /bytes streams: more
	// than any byte budget that a test sets.
	maxEcho  = 1 << 20
	maxBytes = 1 << 30
	// block is what /bytes sends at a time.
	block = 64 << 10
	// fragment is the size of the pieces of /reflect-auth, so small that any secret
	// is cut into several.
	fragment = 7
	// events and eventPause are those of /sse.
	events     = 3
	eventPause = 50 * time.Millisecond
	// talk bounds a WebSocket: longer than any test.
	talk = 2 * time.Minute
)

// pages are what every web server answers:
//
//	/bytes?n=&pause=   n bytes, 64 KiB at a time, with pause milliseconds between
//	/sse               three events with pauses
//	/redirect?to=&code=
//	/reflect-auth?gzip=1&chunk=1&header=
//	                   a header of the request (Authorization) in X-Reflected and
//	                   in the body, there also compressed, or in pieces of 7 bytes
//	/trailers          a body and, after it, the trailer X-Checksum
//	/ws                WebSocket: each message comes back
//	anything else, /echo too: the request as JSON (type Echo)
func pages() map[string]http.Handler {
	return map[string]http.Handler{
		"/":             http.HandlerFunc(echoPage),
		"/bytes":        http.HandlerFunc(bytesPage),
		"/sse":          http.HandlerFunc(ssePage),
		"/redirect":     http.HandlerFunc(redirectPage),
		"/reflect-auth": http.HandlerFunc(reflectPage),
		"/trailers":     http.HandlerFunc(trailersPage),
		"/ws":           http.HandlerFunc(webSocketPage),
	}
}

// Echo is the answer of /echo.
type Echo struct {
	Method string      `json:"method"`
	Path   string      `json:"path"` // and query, as it came
	Host   string      `json:"host"`
	Proto  string      `json:"proto"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

func echoPage(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxEcho))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(Echo{Method: r.Method, Path: r.RequestURI, Host: r.Host, Proto: r.Proto, Header: r.Header, Body: string(body)})
}

// number reads a number of the query; without one it is 0.
func number(r *http.Request, name string, most int) (int, error) {
	text := r.FormValue(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%s=%s: a number from 0 to %d", name, text, most)
	}
	return n, nil
}

func bytesPage(w http.ResponseWriter, r *http.Request) {
	n, err := number(r, "n", maxBytes)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	pause, err := number(r, "pause", int(patience.Milliseconds()))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	for data := bytes.Repeat([]byte("lab "), block/4); n > 0; n -= len(data) {
		data = data[:min(n, len(data))]
		if _, err := w.Write(data); err != nil {
			return
		}
		if pause > 0 && !rest(w, r, time.Duration(pause)*time.Millisecond) {
			return
		}
	}
}

// rest sends what was written and pauses; false means that the client is gone.
func rest(w http.ResponseWriter, r *http.Request, pause time.Duration) bool {
	if err := http.NewResponseController(w).Flush(); err != nil {
		return false
	}
	select {
	case <-r.Context().Done():
		return false
	case <-time.After(pause):
		return true
	}
}

func ssePage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range events {
		fmt.Fprintf(w, "id: %d\ndata: event %d\n\n", i, i)
		if !rest(w, r, eventPause) {
			return
		}
	}
}

func redirectPage(w http.ResponseWriter, r *http.Request) {
	code, err := number(r, "code", 399)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if code == 0 {
		code = http.StatusFound
	}
	w.Header().Set("Location", r.FormValue("to"))
	w.WriteHeader(code)
}

func reflectPage(w http.ResponseWriter, r *http.Request) {
	name := r.FormValue("header")
	if name == "" {
		name = "Authorization"
	}
	value := r.Header.Get(name)
	w.Header().Set("X-Reflected", value)
	body := []byte("you sent: " + value + "\n")
	if r.FormValue("gzip") != "" {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(body)
		z.Close()
		body = packed.Bytes()
		w.Header().Set("Content-Encoding", "gzip")
	}
	if r.FormValue("chunk") == "" {
		w.Write(body)
		return
	}
	for len(body) > 0 {
		n := min(fragment, len(body))
		w.Write(body[:n])
		http.NewResponseController(w).Flush()
		body = body[n:]
	}
}

func trailersPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Trailer", "X-Checksum")
	io.WriteString(w, "a body with a trailer\n")
	w.Header().Set("X-Checksum", "12345")
}

func webSocketPage(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 { // the upgrade is a thing of HTTP/1.1
		http.Error(w, "WebSocket needs HTTP/1.1", http.StatusBadRequest)
		return
	}
	websocket.Server{Handler: echoMessages}.ServeHTTP(w, r)
}

// echoMessages sends each message back as it came.
func echoMessages(conn *websocket.Conn) {
	conn.SetDeadline(time.Now().Add(talk)) // no server closes a connection that was upgraded
	for {
		var message []byte
		if err := websocket.Message.Receive(conn, &message); err != nil {
			return
		}
		if err := websocket.Message.Send(conn, string(message)); err != nil {
			return
		}
	}
}
