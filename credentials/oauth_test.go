package credentials

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The wire format only: zitadel/oidc's own server is asked in the integration
// tests.

func TestClientCredentials(t *testing.T) {
	stub := newStub(t, 200, `{"access_token":"token-1","token_type":"bearer","expires_in":600}`)
	env := map[string]string{"CLIENT": "a+b:c%d e"}
	before := time.Now()
	o := &OAuth{TokenURL: stub.URL + "/token?tenant=1", ClientID: "mcp:run", Secret: &Source{Env: "CLIENT"}, Scopes: []string{"read", "write"}, Audience: "https://api.example"}
	s, err := fetch(t, Source{OAuth: o}, env)
	checkFetch(t, s, err, "token-1", "")
	checkLife(t, s, before, 10*time.Minute)
	want := map[string]string{"grant_type": "client_credentials", "scope": "read write", "audience": "https://api.example"}
	checkForm(t, stub, 0, "POST", "/token?tenant=1", want)
	// RFC 6749, 2.3.1: both are form-encoded before they are put together.
	id, password, _ := stub.asked[0].BasicAuth()
	id, _ = url.QueryUnescape(id)
	password, _ = url.QueryUnescape(password)
	if id != "mcp:run" || password != env["CLIENT"] {
		t.Errorf("it came as %q %q", id, password)
	}
}

// Nothing is asked where a secret that it takes is missing.
func TestTokenWithoutItsSecrets(t *testing.T) {
	stub := newStub(t, 200, goodToken)
	set, absent := &Source{Env: "CLIENT"}, &Source{Env: "ABSENT"}
	for _, r := range []struct {
		source Source
		want   string
	}{
		{Source{OAuth: &OAuth{TokenURL: stub.URL, ClientID: "c", Secret: absent}}, "oauth.secret: fetching the secret from env ABSENT: it is not set"},
		{Source{Exchange: &Exchange{TokenURL: stub.URL, ClientID: "c", Secret: absent, Subject: set}}, "exchange.secret: fetching the secret from env ABSENT"},
		{Source{Exchange: &Exchange{TokenURL: stub.URL, ClientID: "c", Secret: set, Subject: absent}}, "exchange.subject: fetching the secret from env ABSENT"},
	} {
		s, err := fetch(t, r.source, clientEnv)
		checkFetch(t, s, err, "", r.want)
	}
	if len(stub.asked) != 0 {
		t.Errorf("it was asked %d times", len(stub.asked))
	}
	s, err := fetch(t, Source{OAuth: &OAuth{TokenURL: stub.URL, ClientID: "c", Secret: set}}, clientEnv)
	checkFetch(t, s, err, "token-1", "")
}

func checkForm(t *testing.T, s *stub, i int, method, target string, want map[string]string) {
	t.Helper()
	if got := s.asked[i]; got.Method != method || got.URL.String() != target || got.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("it was asked %s %s %v", got.Method, got.URL, got.Header)
	}
	if !maps.Equal(s.form[i], want) {
		t.Errorf("the form is %v, want %v", s.form[i], want)
	}
}

func TestExchange(t *testing.T) {
	env := map[string]string{"CLIENT": canary, "SUBJECT": "subject-1"}
	const grant = "urn:ietf:params:oauth:grant-type:token-exchange"
	for _, r := range []struct {
		name     string
		exchange Exchange
		header   string
		want     map[string]string
	}{
		{"by nobody", Exchange{}, "", map[string]string{
			"grant_type": grant, "subject_token": "subject-1", "subject_token_type": accessToken}},
		{"by a public client", Exchange{ClientID: "mcprun"}, "", map[string]string{
			"grant_type": grant, "subject_token": "subject-1", "subject_token_type": accessToken, "client_id": "mcprun"}},
		{"with all", Exchange{ClientID: "mcprun", Secret: &Source{Env: "CLIENT"}, SubjectType: "urn:ietf:params:oauth:token-type:jwt", Audience: "api", Scopes: []string{"a", "b"}}, "Basic ", map[string]string{
			"grant_type": grant, "subject_token": "subject-1", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "audience": "api", "scope": "a b"}},
	} {
		t.Run(r.name, func(t *testing.T) {
			stub := newStub(t, 200, `{"access_token":"token-2","issued_token_type":"urn:ietf:params:oauth:token-type:jwt","token_type":"N_A"}`)
			r.exchange.TokenURL, r.exchange.Subject = stub.URL+"/", &Source{Env: "SUBJECT"}
			s, err := fetch(t, Source{Exchange: &r.exchange}, env)
			checkFetch(t, s, err, "token-2", "")
			checkForm(t, stub, 0, "POST", "/", r.want)
			if got := stub.asked[0].Header.Get("Authorization"); !strings.HasPrefix(got, r.header) || r.header == "" && got != "" {
				t.Errorf("Authorization: %q", got)
			}
		})
	}
}

// Some servers take the secret in the form and nothing else; the header, which
// every server must take, is tried first.
func TestSecretInTheForm(t *testing.T) {
	for _, r := range []struct {
		name, refusal string
		status, asked int
		value, want   string
	}{
		{"a server that wants the form", `{"error":"invalid_client"}`, 401, 2, "token-1", ""},
		{"another way to say so", `{"error":"invalid_client"}`, 400, 2, "token-1", ""},
		{"without a code", `no`, 401, 2, "token-1", ""},
		{"a server that refuses for another reason", `{"error":"invalid_scope"}`, 400, 1, "", "it answered 400, invalid_scope: check scopes"},
	} {
		t.Run(r.name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				asked++
				if req.PostFormValue("client_id") == "mcprun" && req.PostFormValue("client_secret") == canary && req.Header.Get("Authorization") == "" {
					io.WriteString(w, goodToken)
					return
				}
				w.WriteHeader(r.status)
				io.WriteString(w, r.refusal)
			}))
			defer server.Close()
			s, err := fetch(t, clientOf(server.URL), clientEnv)
			checkFetch(t, s, err, r.value, r.want)
			if asked != r.asked {
				t.Errorf("asked %d times, want %d", asked, r.asked)
			}
		})
	}
}

func TestTokenRefusals(t *testing.T) {
	for _, r := range []struct {
		status     int
		body, want string
	}{
		{401, `{"error":"invalid_client","error_description":"` + canary + ` is wrong"}`, "it answered 401, invalid_client: check client and its secret"},
		{400, `{"error":"unauthorized_client"}`, "unauthorized_client: let this client use this grant"},
		{400, `{"error":"` + canary + `"}`, "it answered 400 and no error code of RFC 6749"},
		{400, `{"error":{"a":"` + canary + `"}}`, "it answered 400 and no error code"},
		{500, canary, "it answered 500 and no error code"},
		{201, goodToken, "it answered 201 and no error code"},
	} {
		stub := newStub(t, r.status, r.body)
		s, err := fetch(t, clientOf(stub.URL), clientEnv)
		checkFetch(t, s, err, "", r.want)
	}
}

// tokenAnswers are answers with status 200, and what is wrong with them.
var tokenAnswers = []struct {
	raw, value string
	life       time.Duration
	want       string
}{
	{`{"access_token":"a","token_type":"Bearer"}`, "a", 0, ""},
	{`{"access_token":"a","token_type":"BEARER","expires_in":60}`, "a", time.Minute, ""},
	{`{"access_token":"a","token_type":"bearer","expires_in":"3599"}`, "a", 3599 * time.Second, ""},
	{`{"access_token":"a","token_type":"bearer","expires_in":1.5}`, "a", 1500 * time.Millisecond, ""},
	{`{"access_token":"a","token_type":"bearer","expires_in":null}`, "a", 0, ""},
	{`{"access_token":"a","token_type":"bearer","expires_in":99999999999999999999}`, "a", longestLife, ""},
	{`{"access_token":"a","token_type":"bearer","expires_in":0}`, "", 0, "expired already"},
	{`{"access_token":"a","token_type":"bearer","expires_in":"0"}`, "", 0, "expired already"},
	{`{"access_token":"a","token_type":"bearer","expires_in":-5}`, "", 0, "expires_in: not a number of seconds"},
	{`{"access_token":"a","token_type":"bearer","expires_in":"NaN"}`, "", 0, "expires_in: not a number of seconds"},
	{`{"access_token":"a","token_type":"bearer","expires_in":"` + canary + `"}`, "", 0, "expires_in: not a number of seconds"},
	{`{"access_token":"a","token_type":"bearer","expires_in":[]}`, "", 0, "expires_in: not a number of seconds"},
	{`{"access_token":"a","token_type":"DPoP"}`, "", 0, "no token_type, or one other than Bearer"},
	{`{"access_token":"a"}`, "", 0, "no token_type, or one other than Bearer"},
	{`{"Access_Token":"a","token_type":"bearer"}`, "", 0, "has no access_token"},
	{`{"access_token":null,"token_type":"bearer"}`, "", 0, "has no access_token"},
	{`{"access_token":5,"token_type":"bearer"}`, "", 0, "has no access_token"},
	{`{"access_token":"","token_type":"bearer"}`, "", 0, "the value is empty"},
	{`{"access_token":"` + canary + `\n","token_type":"bearer"}`, "", 0, "control character"},
	{`{"access_token":"` + canary + `é","token_type":"bearer"}`, "", 0, "not ASCII"},
	{`access_token=` + canary + `&token_type=bearer`, "", 0, "not a JSON object"},
	{`null`, "", 0, "not a JSON object"},
	{``, "", 0, "not a JSON object"},
}

func TestParseToken(t *testing.T) {
	asked := time.Unix(1e9, 0)
	for _, r := range tokenAnswers {
		s, err := parseToken(200, []byte(r.raw), asked)
		checkFetch(t, s, err, r.value, r.want)
		if want := asked.Add(r.life); r.life != 0 && !s.Expires.Equal(want) || r.life == 0 && !s.Expires.IsZero() {
			t.Errorf("it expires at %v, want %v", s.Expires, want)
		}
		if t.Failed() {
			t.Fatalf("in %s", r.raw)
		}
	}
}

func FuzzTokenAnswer(f *testing.F) {
	for _, r := range tokenAnswers {
		f.Add(200, []byte(r.raw))
	}
	f.Add(400, []byte(`{"error":"`+canary+`","error_description":"`+canary+`"}`))
	f.Fuzz(func(t *testing.T, status int, raw []byte) {
		s, err := parseToken(status, raw, time.Unix(1e9, 0))
		checkParsed(t, s, err)
		if err == nil && status != 200 {
			t.Errorf("a token came with %d", status)
		}
	})
}
