package credentials

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// chain is the smallest source of this depth.
func chain(depth int) Source {
	s := Source{File: "/etc/mcprun/token"}
	for range depth - 1 {
		inner := s
		s = Source{Vault: &Vault{Address: "https://vault.example", Path: "secret/data/x", Field: "token", Token: &inner}}
	}
	return s
}

func TestValidate(t *testing.T) {
	env := &Source{Env: "TOKEN"}
	circle := &Source{}
	circle.OAuth = &OAuth{TokenURL: "https://login.example/token", ClientID: "c", Secret: circle}
	for _, r := range []struct {
		name   string
		source Source
		want   string // "" is valid
		named  string
	}{
		{"nothing", Source{}, "no source is given: write one of env, file,", "no source"},
		{"two", Source{Env: "A", File: "/a"}, "env and file are given: write only one", "several sources"},
		{"env", Source{Env: "GITHUB_TOKEN"}, "", "env GITHUB_TOKEN"},
		{"env in lower case", Source{Env: "github_token2"}, "", "env github_token2"},
		{"env with a digit first", Source{Env: "2x"}, "write the name, such as", "env (no valid name)"},
		{"env with =", Source{Env: "A=B"}, "write the name, such as", "env (no valid name)"},
		{"env too long", Source{Env: strings.Repeat("A", 129)}, "write the name, such as", "env (no valid name)"},
		{"a token for a name", Source{Env: "ghp_" + canary}, "never the value", "env (no valid name)"},
		{"a key id for a name", Source{Env: "AKIA" + canary + "ABCDE"}, "never the value", "env (no valid name)"},
		{"file", Source{File: "/run/secrets/x"}, "", "file /run/secrets/x"},
		{"relative file", Source{File: "secrets/x"}, "file: write an absolute path", "file (no valid path)"},
		{"file with ..", Source{File: "/run/../x"}, "without . and ..", "file (no valid path)"},
		{"file with a line break", Source{File: "/run/a\nb"}, "file: write an absolute path", "file (no valid path)"},
		{"a token for a file", Source{File: canary}, "file: write an absolute path", "file (no valid path)"},
		{"age", Source{Age: &Age{"/a.age", "/key"}}, "", "age /a.age"},
		{"age without a key", Source{Age: &Age{File: "/a.age"}}, "age.identity: write an absolute path", "age /a.age"},
		{"exec", Source{Exec: []string{"/usr/bin/pass", "show", canary}}, "", "exec /usr/bin/pass"},
		{"exec of nothing", Source{Exec: []string{}}, "exec: begin with the absolute path", "exec (no program)"},
		{"exec by name", Source{Exec: []string{"pass"}}, "exec: begin with the absolute path", "exec (no valid path)"},
		{"exec with NUL", Source{Exec: []string{"/bin/sh", "a\x00"}}, "argument 1 is longer than 4096 bytes or holds a NUL", "exec /bin/sh"},
		{"exec with too many", Source{Exec: append([]string{"/bin/sh"}, make([]string, 65)...)}, "65 arguments; at most 64", "exec /bin/sh"},
		{"exchange", Source{Exchange: &Exchange{TokenURL: "https://login.example/token", Subject: env}}, "", "exchange https://login.example/token"},
		{"exchange of a type", Source{Exchange: &Exchange{TokenURL: "https://login.example/token", Subject: env, SubjectType: "urn:ietf:params:oauth:token-type:jwt"}}, "", "exchange https://login.example/token"},
		{"exchange of a word", Source{Exchange: &Exchange{TokenURL: "https://login.example/token", Subject: env, SubjectType: "jwt"}}, "exchange.subject-type: write a URI", "exchange https://login.example/token"},
		{"exchange of nothing", Source{Exchange: &Exchange{TokenURL: "https://login.example/token"}}, "exchange.subject is missing", "exchange https://login.example/token"},
		{"exchange with a secret of nobody", Source{Exchange: &Exchange{TokenURL: "https://login.example/token", Subject: env, Secret: env}}, "exchange.client is missing", "exchange https://login.example/token"},
		{"oauth", Source{OAuth: &OAuth{TokenURL: "https://login.example/token?p=" + canary, ClientID: "mcprun", Secret: env, Scopes: []string{"read:x"}, Audience: "https://api.example"}}, "", "oauth https://login.example/token client mcprun"},
		{"oauth without id", Source{OAuth: &OAuth{TokenURL: "https://login.example/token", Secret: env}}, "oauth.client is missing", "oauth https://login.example/token"},
		{"oauth with a wide scope", Source{OAuth: &OAuth{TokenURL: "https://login.example/token", ClientID: "c", Secret: env, Scopes: []string{"a b"}}}, "oauth.scopes: at most 32, each without spaces", "oauth https://login.example/token client c"},
		{"oauth with an audience on two lines", Source{OAuth: &OAuth{TokenURL: "https://login.example/token", ClientID: "c", Secret: env, Audience: "a\nb"}}, "oauth.audience", "oauth https://login.example/token client c"},
		{"oauth to a password", Source{OAuth: &OAuth{TokenURL: "https://u:" + canary + "@login.example", ClientID: "c", Secret: env}}, "leave the user and password out", "oauth (no valid address) client c"},
		{"vault with nothing", Source{Vault: &Vault{Address: "https://vault.example?" + canary}}, "vault.address: leave out ?", "vault https://vault.example"},
		{"vault with a relative authority", Source{Vault: &Vault{"https://vault.example", "secret/x", "f", env, "ca.pem"}}, "vault.ca: write an absolute path", "vault https://vault.example secret/x field f"},
		{"exchange with a client on two lines", Source{Exchange: &Exchange{TokenURL: "https://login.example/token", ClientID: "a\nb", Subject: env}}, "exchange.client: at most 2048 visible", "exchange https://login.example/token"},
		{"three deep", chain(3), "", "vault https://vault.example secret/data/x field token"},
		{"four deep", chain(4), "vault.token: vault.token: vault.token: sources are nested more than 3 deep", "vault https://vault.example secret/data/x field token"},
		{"a circle", *circle, "nested more than 3 deep", "oauth https://login.example/token client c"},
	} {
		t.Run(r.name, func(t *testing.T) {
			checkError(t, r.source.Validate(), r.want)
			for _, verb := range []string{"%v", "%+v", "%s", "%#v"} {
				if got := fmt.Sprintf(verb, r.source); got != r.named {
					t.Errorf("%s: %q, want %q", verb, got, r.named)
				}
			}
			if _, err := r.source.Fetcher(nil); (err == nil) != (r.want == "") {
				t.Errorf("Fetcher = %v", err)
			}
		})
	}
}

func TestValidateSaysEverythingAtOnce(t *testing.T) {
	bad := Source{OAuth: &OAuth{TokenURL: "http://login.example", Secret: &Source{Vault: &Vault{}}}}
	got := strings.Split(bad.Validate().Error(), "\n")
	for i, want := range []string{
		"oauth.token-url: write https://",
		"oauth.client is missing",
		"oauth.secret: vault.address: write an address",
		"oauth.secret: vault.path: write it without /v1/",
		"oauth.secret: vault.field: write the name",
		"oauth.secret: vault.token is missing: write where it is, such as file:/etc/mcprun/vault-token",
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Errorf("line %d of %q, want %q", i, got, want)
		}
	}
}

// fetch makes the real fetcher of a source and uses it once.
func fetch(t testing.TB, s Source, env map[string]string) (Secret, error) {
	t.Helper()
	return fetchWith(t.Context(), t, s, env)
}

func fetchWith(ctx context.Context, t testing.TB, s Source, env map[string]string) (Secret, error) {
	t.Helper()
	f, err := s.Fetcher(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	return f.Fetch(ctx)
}

// checkFetch wants this value, or an error with this text.
func checkFetch(t *testing.T, s Secret, err error, value, want string) {
	t.Helper()
	checkError(t, err, want)
	if s.Reveal() != value {
		t.Errorf("the secret is %q, want %q", s.Reveal(), value)
	}
}
