package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// OIDC is an OpenID provider: the example server of zitadel/oidc, unchanged. It
// listens on every address of its namespace but calls itself localhost, so its
// clients must be in the same namespace.
type OIDC struct {
	Issuer   string // http://localhost:PORT/
	TokenURL string

	// The client of the grant "client_credentials". What it gets is also good as a
	// subject token.
	ClientID, ClientSecret string
	// The client of the grant "urn:ietf:params:oauth:grant-type:token-exchange",
	// which exchanges a subject token of ClientID for one of its own.
	ExchangeID, ExchangeSecret string

	lab  *Lab
	http *http.Client
}

// oidcPackage is the server, a tool of the module in toolsFolder.
const (
	oidcPackage = "github.com/zitadel/oidc/v3/example/server"
	toolsFolder = "integration/tools"
)

// clientID and clientSecret are built into the server (storage.NewStorage), as
// are those of the exchange (main).
const (
	clientID       = "sid1"
	clientSecret   = "verysecret"
	exchangeID     = "api"
	exchangeSecret = "secret"
)

// maxAnswer bounds an answer of the provider: tokens are under 1 KiB.
const maxAnswer = 64 << 10

// OIDC starts the provider inside ns at a port.
func (l *Lab) OIDC(ns string, port uint16) *OIDC {
	l.t.Helper()
	issuer := fmt.Sprintf("http://localhost:%d/", port)
	o := &OIDC{Issuer: issuer, TokenURL: issuer + "oauth/token", ClientID: clientID, ClientSecret: clientSecret,
		ExchangeID: exchangeID, ExchangeSecret: exchangeSecret, lab: l, http: l.Client(ns)}
	// Only the tokens of a user with this right can be exchanged.
	users := l.write("users.json", fmt.Sprintf(`{%q: {"ID": %q, "Username": %q, "PreferredLanguage": "en", "IsAdmin": true}}`, clientID, clientID, clientID))
	cmd := exec.Command(l.oidcServer())
	l.Exec(ns, cmd)
	cmd.Env = append(os.Environ(), fmt.Sprintf("PORT=%d", port), "USERS_FILE="+users)
	log, err := os.Create(filepath.Join(l.Dir, "oidc.log"))
	l.must(err, "making the log of the OpenID provider")
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	l.must(cmd.Start(), "starting the OpenID provider")
	l.t.Cleanup(func() { l.end(cmd, syscall.SIGTERM) })
	o.await()
	return o
}

// oidcServer is where make test-tools put the server, else one that is built
// here.
func (l *Lab) oidcServer() string {
	l.t.Helper()
	if built := filepath.Join(os.Getenv("MCPRUN_BIN"), "test", "server"); os.Getenv("MCPRUN_BIN") != "" {
		if _, err := os.Stat(built); err == nil {
			return built
		}
	}
	root := strings.TrimSpace(l.output(exec.Command("go", "env", "GOMOD")))
	out := filepath.Join(l.Dir, "oidc-server")
	l.output(exec.Command("go", "build", "-C", filepath.Join(filepath.Dir(root), toolsFolder), "-o", out, oidcPackage))
	return out
}

func (o *OIDC) await() {
	o.lab.t.Helper()
	var last error
	for end := time.Now().Add(startIn); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := o.http.Get(o.Issuer + ".well-known/openid-configuration")
		if err == nil {
			resp.Body.Close()
			return
		}
		last = err
	}
	o.lab.t.Fatalf("the OpenID provider does not answer within %v: %v", startIn, last)
}

// Token asks for a token with a form and the credentials of a client.
func (o *OIDC) Token(id, secret string, form url.Values) (string, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, o.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.SetBasicAuth(id, secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := o.http.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", err
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		return "", errors.Join(err, fmt.Errorf("%s: %s", resp.Status, body))
	}
	return answer.Token, nil
}
