package egress

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/netpolicy"
)

const (
	placeholder = "ghp_placeholder0123456789"
	theSecret   = "ghp_secret9876543210"
)

// asked is a request as the web server reads it.
func asked(t testing.TB, target string, headers ...string) *http.Request {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func basic(pair string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

// A placeholder is swapped where it stands exactly as declared, and nowhere else;
// what else the request says stays.
func TestPlace(t *testing.T) {
	bearer := Place{Header: "Authorization", Format: "Bearer {}"}
	quoted := Place{Header: "X-Api-Key", Format: `Token token="{}", v=1`}
	bare := Place{Header: "x-api-key", Format: "{}"}
	password, username, query := Place{Basic: "password"}, Place{Basic: "username"}, Place{Query: "key"}
	for _, row := range []struct {
		name    string
		place   Place
		target  string
		headers []string
		want    string // the header or query after the swap; "" if it does not hold
	}{
		{"the format", bearer, "/", []string{"Authorization: Bearer " + placeholder}, "Bearer " + theSecret},
		{"the scheme in another case", bearer, "/", []string{"Authorization: bEARER " + placeholder}, "Bearer " + theSecret},
		{"another scheme", bearer, "/", []string{"Authorization: Token " + placeholder}, ""},
		{"no scheme", bearer, "/", []string{"Authorization: " + placeholder}, ""},
		{"two spaces", bearer, "/", []string{"Authorization: Bearer  " + placeholder}, ""},
		{"more behind it", bearer, "/", []string{"Authorization: Bearer " + placeholder + "x"}, ""},
		{"less of it", bearer, "/", []string{"Authorization: Bearer " + placeholder[1:]}, ""},
		{"the placeholder in another case", bearer, "/", []string{"Authorization: Bearer " + strings.ToUpper(placeholder)}, ""},
		{"another header", bearer, "/", []string{"X-Authorization: Bearer " + placeholder}, ""},
		{"two values, the second", bearer, "/", []string{"Authorization: Basic eA==", "Authorization: Bearer " + placeholder}, "Basic eA==|Bearer " + theSecret},
		{"text on both sides", quoted, "/", []string{`X-Api-Key: token TOKEN="` + placeholder + `", v=1`}, `Token token="` + theSecret + `", v=1`},
		{"text behind it in another case", quoted, "/", []string{`X-Api-Key: Token token="` + placeholder + `", V=1`}, ""},
		{"the placeholder alone, the header's name in another case", bare, "/", []string{"X-API-KEY: " + placeholder}, theSecret},
		{"password", password, "/", []string{basic("git:" + placeholder)}, strings.TrimPrefix(basic("git:"+theSecret), "Authorization: ")},
		{"password without a user", password, "/", []string{basic(":" + placeholder)}, strings.TrimPrefix(basic(":"+theSecret), "Authorization: ")},
		{"the scheme Basic in another case", password, "/", []string{strings.Replace(basic("git:"+placeholder), "Basic", "BASIC", 1)}, strings.TrimPrefix(basic("git:"+theSecret), "Authorization: ")},
		{"a password with more", password, "/", []string{basic("git:" + placeholder + ":x")}, ""},
		{"a password as the user", password, "/", []string{basic(placeholder + ":x")}, ""},
		{"no Base64", password, "/", []string{"Authorization: Basic git:" + placeholder}, ""},
		{"username", username, "/", []string{basic(placeholder + ":x")}, strings.TrimPrefix(basic(theSecret+":x"), "Authorization: ")},
		{"username, a password with a colon", username, "/", []string{basic(placeholder + ":x:y")}, strings.TrimPrefix(basic(theSecret+":x:y"), "Authorization: ")},
		{"a username as the password", username, "/", []string{basic("x:" + placeholder)}, ""},
		{"a query", query, "/?key=" + placeholder, nil, "key=" + theSecret},
		{"others beside it", query, "/?a=1&key=" + placeholder + "&b=%26", nil, "a=1&b=%26&key=" + theSecret},
		{"several values, one of them", query, "/?key=x&key=" + placeholder + "&key=y", nil, "key=x&key=" + theSecret + "&key=y"},
		{"twice", query, "/?key=" + placeholder + "&key=" + placeholder, nil, "key=" + theSecret + "&key=" + theSecret},
		{"escaped letters", query, "/?%6bey=%67hp_placeholder0123456789", nil, "key=" + theSecret},
		{"the name in another case", query, "/?Key=" + placeholder, nil, ""},
		{"more around it", query, "/?key=x" + placeholder, nil, ""},
		{"escaped twice", query, "/?key=%2567hp_placeholder0123456789", nil, ""},
		{"a part that no program reads the same", query, "/?key=" + placeholder + ";x", nil, ""},
	} {
		r := asked(t, row.target, row.headers...)
		holds := row.place.holds(r, placeholder)
		if holds != (row.want != "") {
			t.Errorf("%s: it holds: %v", row.name, holds)
		}
		if !holds {
			continue
		}
		row.place.put(r, placeholder, theSecret)
		got := r.URL.RawQuery
		if row.place.Query == "" {
			name := row.place.Header
			if row.place.Basic != "" {
				name = "Authorization"
			}
			got = strings.Join(r.Header.Values(name), "|")
		}
		if got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

// foreign is a placeholder of another server.
const foreign = "ghp_foreign5555"

// A placeholder that stands anywhere else refuses the request, and the refusal
// says where; one of another server's does so everywhere.
func TestLeftOver(t *testing.T) {
	creds := Credentials{
		Own:     []Credential{{Name: "reader", Placeholder: placeholder, Place: Place{Header: "Authorization", Format: "Bearer {}"}}},
		Foreign: func(text string) bool { return strings.Contains(text, foreign) },
	}
	in := map[string]bool{"reader": true}
	for _, row := range []struct {
		name    string
		target  string
		headers []string
		used    map[string]bool
		want    string // "" is no refusal
	}{
		{"none", "/a?b=c", []string{"X: y"}, nil, ""},
		{"swapped", "/", []string{"Authorization: Bearer " + placeholder}, in, ""},
		{"not swapped", "/", []string{"Authorization: Bearer " + placeholder}, nil, "credential reader: its placeholder stands where it is not to be swapped: header Authorization"},
		{"another header as well", "/", []string{"Authorization: Bearer " + placeholder, "X-Copy: " + placeholder}, in, "header X-Copy"},
		{"within a header", "/", []string{"Cookie: a=1; t=" + placeholder + "; b=2"}, nil, "header Cookie"},
		{"the second value of a header", "/", []string{"X: y", "X: " + placeholder}, nil, "header X"},
		{"the path", "/a/" + placeholder, nil, nil, "the path"},
		{"the path, escaped", "/a/%67hp_placeholder0123456789", nil, nil, "the path"},
		{"a query's value", "/?a=b&x=" + placeholder, nil, nil, `query parameter "x"`},
		{"a query's value, escaped", "/?x=%67hp_placeholder0123456789", nil, nil, `query parameter "x"`},
		{"a query's name", "/?" + placeholder + "=1", nil, nil, "the query"},
		{"a query that nobody reads", "/?a=1;t=" + placeholder, nil, nil, "the query"},
		{"a broken escape", "/?a=%zz" + placeholder, nil, nil, "the query"},
		{"a Basic password", "/", []string{basic("x:" + placeholder)}, nil, "header Authorization"},
		{"a Basic username", "/", []string{basic(placeholder + ":x")}, nil, "header Authorization"},
		{"a foreign one", "/", []string{"Authorization: Bearer " + foreign}, nil, "a placeholder of another server or of an earlier start stands in header Authorization"},
		{"a foreign one, Basic", "/", []string{basic("x:" + foreign)}, nil, "header Authorization"},
		{"a foreign one in the query", "/?x=" + foreign, nil, nil, `query parameter "x"`},
		{"a foreign one in the path", "/" + foreign, nil, nil, "the path"},
		{"a foreign one beside our own", "/?x=" + foreign, []string{"Authorization: Bearer " + placeholder}, in, `query parameter "x"`},
	} {
		err := leftOver(asked(t, row.target, row.headers...), creds, row.used)
		var misuse *misuseError
		if row.want == "" && err != nil || row.want != "" && (!errors.As(err, &misuse) || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
		if err != nil && (strings.Contains(err.Error(), placeholder) || strings.Contains(err.Error(), foreign)) {
			t.Errorf("%s: the refusal repeats the placeholder: %v", row.name, err)
		}
	}
}

// Who may use a credential is judged before it is fetched; a source that fails
// gives nothing.
func TestSwap(t *testing.T) {
	host := func(s string) netpolicy.Host {
		h, err := netpolicy.ParseHost(s)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	path, err := netpolicy.ParsePathPattern("/repos/**")
	if err != nil {
		t.Fatal(err)
	}
	fetched := 0
	var broken error
	w := &Way{cfg: Config{
		InFlight: func() []Flight { return []Flight{{Tool: "get_issue", Call: "c-1"}} },
		Credentials: Credentials{Own: []Credential{{
			Name: "reader", Placeholder: placeholder, Place: Place{Header: "Authorization", Format: "Bearer {}"},
			Host: host("api.example.com"), Port: 443, Methods: []string{"GET"}, Paths: []netpolicy.PathPattern{path}, Tools: []mcprun.ToolName{"get_issue"},
			Get:   func(context.Context) (string, error) { fetched++; return theSecret, broken },
			Known: func() []string { return []string{theSecret} },
		}}},
	}}
	for _, row := range []struct {
		name, host   string
		port         uint16
		method, path string
		want         string
	}{
		{"control", "api.example.com", 443, "GET", "/repos/x", ""},
		{"C1 another host", "other.example.com", 443, "GET", "/repos/x", "credential reader: it is for api.example.com:443 only"},
		{"another port", "api.example.com", 8443, "GET", "/repos/x", "it is for api.example.com:443 only"},
		{"C13 another method", "api.example.com", 443, "POST", "/repos/x", "it is not for method POST"},
		{"another path", "api.example.com", 443, "GET", "/admin", "it is not for this path"},
	} {
		before := fetched
		q := &request{conn: &conn{dest: netpolicy.Dest{Host: host(row.host), Port: row.port}}, method: row.method, path: row.path}
		r := asked(t, row.path, "Authorization: Bearer "+placeholder)
		s, err := w.swap(t.Context(), q, r)
		var misuse *misuseError
		if row.want != "" {
			if !errors.As(err, &misuse) || !strings.Contains(err.Error(), row.want) || fetched != before {
				t.Errorf("%s: %v, fetched %d times; want %q and no fetch", row.name, err, fetched-before, row.want)
			}
			continue
		}
		if err != nil || !s.searched || !s.bound {
			t.Errorf("%s: %v, %+v", row.name, err, s)
			continue
		}
		out := r.Clone(t.Context())
		s.request(out)
		if got := out.Header.Get("Authorization"); got != "Bearer "+theSecret || r.Header.Get("Authorization") != "Bearer "+placeholder {
			t.Errorf("%s: sent %s, of %s", row.name, got, r.Header.Get("Authorization"))
		}
	}
	q := &request{conn: &conn{dest: netpolicy.Dest{Host: host("api.example.com"), Port: 443}}, method: "GET", path: "/repos/x"}
	r := asked(t, "/repos/x", "Authorization: Bearer "+placeholder)
	w.cfg.InFlight = func() []Flight { return []Flight{{Tool: "other", Call: "c-2"}} }
	if _, err := w.swap(t.Context(), q, r); err == nil || !strings.Contains(err.Error(), "it is not for a tool that is being called") {
		t.Errorf("another tool: %v", err)
	}
	w.cfg.InFlight = func() []Flight { return []Flight{{Tool: "get_issue", Call: "c-3"}} }
	broken = errors.New("no such variable")
	var source *sourceError
	if _, err := w.swap(t.Context(), q, r); !errors.As(err, &source) || !strings.Contains(err.Error(), "credential reader cannot be had: no such variable") {
		t.Errorf("C9 a source that fails: %v", err)
	}
}

// An answer that cannot be searched must not be asked for.
func TestEncodingsThatCanBeSearched(t *testing.T) {
	for _, row := range []struct{ sent, with, without string }{
		{"", "", ""},
		{"gzip, br, zstd", "gzip", "gzip, br, zstd"},
		{"br", "identity", "br"},
		{"identity", "identity", "identity"},
	} {
		for _, s := range []*swapped{{searched: true}, {}} {
			r := asked(t, "/")
			if row.sent != "" {
				r.Header.Set("Accept-Encoding", row.sent)
			}
			s.request(r)
			want := row.with
			if !s.searched {
				want = row.without
			}
			if got := r.Header.Get("Accept-Encoding"); got != want {
				t.Errorf("%q with credentials %v: %q is sent, want %q", row.sent, s.searched, got, want)
			}
		}
	}
}
