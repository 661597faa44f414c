package credentials

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// What a stand-in saw and what it answers; a real Vault and OpenBao are asked in
// the integration tests. The answers are the examples of Vault's API pages.
type stub struct {
	*httptest.Server
	asked  []*http.Request
	form   []map[string]string
	status int
	body   string
}

func newStub(t *testing.T, status int, body string) *stub {
	s := &stub{status: status, body: body}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		form := map[string]string{}
		for k, v := range r.PostForm {
			form[k] = strings.Join(v, "|")
		}
		s.asked, s.form = append(s.asked, r), append(s.form, form)
		w.WriteHeader(s.status)
		io.WriteString(w, s.body)
	}))
	t.Cleanup(s.Close)
	return s
}

const (
	answerV2 = `{"request_id":"a","lease_id":"","renewable":false,"lease_duration":0,
		"data":{"data":{"token":"value-2"},"metadata":{"created_time":"2018-03-22T02:24:06Z","deletion_time":"","destroyed":false,"version":2}},"warnings":null}`
	answerV1      = `{"auth":null,"data":{"token":"value-1","ttl":"1h"},"lease_duration":2764800,"lease_id":"","renewable":false}`
	answerDynamic = `{"data":{"username":"u-1","password":"value-3"},"lease_id":"database/creds/x/1","lease_duration":3600,"renewable":true}`
)

func TestVault(t *testing.T) {
	for _, r := range []struct {
		name, path, field, body string
		value                   string
		life                    time.Duration
	}{
		{"version 2", "secret/data/x", "token", answerV2, "value-2", 0},
		{"version 1", "secret/x", "token", answerV1, "value-1", 2764800 * time.Second},
		{"dynamic", "database/creds/x", "password", answerDynamic, "value-3", time.Hour},
		{"a path with a space", "secret/data/a b", "token", answerV2, "value-2", 0},
	} {
		t.Run(r.name, func(t *testing.T) {
			stub := newStub(t, 200, r.body)
			before := time.Now()
			s, err := fetch(t, Source{Vault: &Vault{Address: stub.URL, Path: r.path, Field: r.field, Token: &Source{Env: "CLIENT"}}}, clientEnv)
			checkFetch(t, s, err, r.value, "")
			checkLife(t, s, before, r.life)
			req := stub.asked[0]
			if req.Method != "GET" || req.URL.Path != "/v1/"+r.path || req.Header.Get("X-Vault-Token") != canary || req.Header.Get("X-Vault-Request") != "true" {
				t.Errorf("it was asked %s %s %v", req.Method, req.URL, req.Header)
			}
		})
	}
}

// checkLife wants an expiry that counts from a moment between before and now.
func checkLife(t *testing.T, s Secret, before time.Time, life time.Duration) {
	t.Helper()
	if life == 0 {
		if !s.Expires.IsZero() {
			t.Errorf("it expires at %v, want never", s.Expires)
		}
		return
	}
	if s.Expires.Before(before.Add(life).Round(0)) || s.Expires.After(time.Now().Add(life).Round(0)) {
		t.Errorf("it expires at %v, want %v from now", s.Expires, life)
	}
}

// An address may have a path of its own, behind a reverse proxy.
func TestVaultBehindAPath(t *testing.T) {
	for _, end := range []string{"/vault", "/vault/"} {
		stub := newStub(t, 200, answerV2)
		s, err := fetch(t, Source{Vault: &Vault{Address: stub.URL + end, Path: "secret/data/x", Field: "token", Token: &Source{Env: "CLIENT"}}}, clientEnv)
		checkFetch(t, s, err, "value-2", "")
		if got := stub.asked[0].URL.Path; got != "/vault/v1/secret/data/x" {
			t.Errorf("it was asked for %s", got)
		}
	}
}

// What Vault says in a refusal is left out: it may hold the token.
func TestVaultRefusals(t *testing.T) {
	for status, want := range map[int]string{
		200: "", 204: "it answered 204", 400: "it answered 400", 403: "it answered 403: the token is wrong or expired",
		404: "it answered 404: there is nothing at this path; in a key-value store of version 2 it begins with MOUNT/data/",
		429: "it limits", 500: "it answered 500", 503: "it is sealed",
	} {
		stub := newStub(t, status, `{"errors":["`+canary+`"],"data":{"token":"value-1"}}`)
		if status == 204 {
			stub.body = ""
		}
		s, err := fetch(t, Source{Vault: &Vault{Address: stub.URL, Path: "secret/x", Field: "token", Token: &Source{Env: "CLIENT"}}}, clientEnv)
		checkError(t, err, want)
		if (s.Reveal() == "value-1") != (status == 200) {
			t.Errorf("%d: the secret is %q", status, s.Reveal())
		}
	}
}

func TestVaultTokenThatFails(t *testing.T) {
	stub := newStub(t, 200, answerV2)
	v := &Vault{Address: stub.URL, Path: "secret/data/x", Field: "token", Token: &Source{Env: "ABSENT"}}
	_, err := fetch(t, Source{Vault: v}, clientEnv)
	checkError(t, err, "fetching the secret from vault "+stub.URL+" secret/data/x field token: vault.token: fetching the secret from env ABSENT: it is not set")
	if len(stub.asked) != 0 {
		t.Error("it was asked without a token")
	}
}

func TestVaultPaths(t *testing.T) {
	for path, ok := range map[string]bool{
		"secret/data/x": true, "ns1/secret/data/x": true, "a": true, "a/b.c/d..e": true,
		"": false, "/secret": false, "secret/": false, "a//b": false, "a/../b": false, "..": false, "./a": false,
		"v1/secret/x": false, "a\nb": false, strings.Repeat("a", 513): false,
	} {
		if err := (&Vault{Path: path}).checkPath(); (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// A path cannot become a query or a fragment.
func TestVaultPathIsEscaped(t *testing.T) {
	stub := newStub(t, 200, answerV2)
	for _, path := range []string{"secret/a?b=c", "secret/a#b", "secret/a%2fb"} {
		_, err := fetch(t, Source{Vault: &Vault{Address: stub.URL, Path: path, Field: "token", Token: &Source{Env: "CLIENT"}}}, clientEnv)
		checkError(t, err, "")
		if got := stub.asked[len(stub.asked)-1].URL; got.Path != "/v1/"+path || got.RawQuery != "" {
			t.Errorf("%s arrived as %s", path, got)
		}
	}
}

// vaultAnswers are answers with the field f, and what is wrong with them.
var vaultAnswers = []struct{ raw, value, want string }{
	{`{"data":{"f":"a"}}`, "a", ""},
	{`{"data":{"data":{"f":"a"},"metadata":{}}}`, "a", ""},
	{`{"data":{"data":{"f":"b"},"f":"a"}}`, "a", ""}, // version 1: no metadata
	{`{"data":{"data":"x","metadata":{},"f":"a"}}`, "a", ""},
	{`{"data":{"f":"a"},"lease_duration":1e999}`, "a", ""},
	{`{"data":{"data":{"g":"b"},"metadata":{},"f":"a"}}`, "", "has no such field"},
	{`{"data":{"F":"a"}}`, "", "has no such field"},
	{`{"DATA":{"f":"a"}}`, "", "not an answer of Vault"},
	{`{"data":null}`, "", "not an answer of Vault"},
	{`{"data":["f"]}`, "", "not an answer of Vault"},
	{`{"data":{"f":"a"}} {}`, "", "not an answer of Vault"},
	{`["` + canary + `"]`, "", "not an answer of Vault"},
	{`"` + canary, "", "not an answer of Vault"},
	{``, "", "not an answer of Vault"},
	{`{"data":{"f":12345}}`, "", "the field is not a text"},
	{`{"data":{"f":null}}`, "", "the field is not a text"},
	{`{"data":{"f":{"g":"` + canary + `"}}}`, "", "the field is not a text"},
	{`{"data":{"f":""}}`, "", "the value is empty"},
	{`{"data":{"f":"` + canary + `\r\nX: y"}}`, "", "control character"},
	{`{"data":{"f":"` + canary + `\u0000"}}`, "", "control character"},
	{"{\"data\":{\"f\":\"" + canary + "\xff\"}}", "", "not ASCII"},
	{`{"data":{"f":"a"},"lease_duration":-1}`, "", "lease_duration: not a number of seconds"},
	{`{"data":{"f":"a"},"lease_duration":"` + canary + `"}`, "", "lease_duration: not a number of seconds"},
	{`{"data":{"f":"a"},"lease_duration":{}}`, "", "lease_duration: not a number of seconds"},
}

func TestParseVault(t *testing.T) {
	for _, r := range vaultAnswers {
		s, err := parseVault([]byte(r.raw), "f", time.Unix(1e9, 0))
		if checkFetch(t, s, err, r.value, r.want); t.Failed() {
			t.Fatalf("in %s", r.raw)
		}
	}
}

func FuzzVaultAnswer(f *testing.F) {
	for _, r := range vaultAnswers {
		f.Add([]byte(r.raw))
	}
	f.Add([]byte(answerV2))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parseVault(raw, "f", time.Unix(1e9, 0))
		checkParsed(t, s, err)
	})
}

// checkParsed holds what parsers promise for any answer: a value that can be sent,
// with an expiry that is in the future, or an error without the answer's text.
func checkParsed(t *testing.T, s Secret, err error) {
	t.Helper()
	if err != nil {
		if strings.Contains(err.Error(), canary) || s.Reveal() != "" {
			t.Errorf("error %q, secret %q", err, s.Reveal())
		}
		return
	}
	checkSendable(t, s)
	asked := time.Unix(1e9, 0)
	if e := s.Expires; !e.IsZero() && (e.Before(asked) || e.After(asked.Add(longestLife))) {
		t.Errorf("it expires at %v, asked at %v", e, asked)
	}
}
