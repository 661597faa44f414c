package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxParameter bounds identifiers and audiences: they are names or addresses.
	maxParameter = 2048

	// maxScopes is far above what a token for one tool needs.
	maxScopes = 32

	// longestLife caps what a peer says of a lifetime, so that no sum of times
	// overflows. A token that lives longer is fetched again after it.
	longestLife = 365 * 24 * time.Hour

	// accessToken is the type of the subject unless one is given.
	accessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// OAuth is the client credentials grant (RFC 6749, 4.4).
type OAuth struct {
	TokenURL string
	ClientID string
	Secret   *Source
	Scopes   []string
	Audience string // not in the RFC; some servers want it
}

// Exchange trades one token for another (RFC 8693), such as the token of a
// workload for one with fewer rights. ClientID and Secret may be empty where the
// server asks for none.
type Exchange struct {
	TokenURL    string
	ClientID    string
	Secret      *Source
	Subject     *Source // the token that is traded
	SubjectType string  // its type, a URI; "" is an access token
	Audience    string
	Scopes      []string
}

func (o *OAuth) name() string  { return "oauth" }
func (o *OAuth) where() string { return whereToken(o.TokenURL, o.ClientID) }

func (o *OAuth) check(depth int) error {
	var id error
	if o.ClientID == "" {
		id = errors.New("oauth.client is missing: write the identifier that the server gave to mcprun")
	}
	return errors.Join(checkAddress("oauth.token-url", o.TokenURL), id,
		checkParameters("oauth", o.ClientID, o.Audience, o.Scopes), checkInner("oauth.secret", o.Secret, depth))
}

func (o *OAuth) get(ctx context.Context, env lookup) (Secret, error) {
	secret, err := inner(ctx, "oauth.secret", o.Secret, env)
	if err != nil {
		return Secret{}, err
	}
	form := parameters("client_credentials", o.Audience, o.Scopes)
	return tokenClient{o.TokenURL, o.ClientID, secret}.get(ctx, form)
}

func (e *Exchange) name() string  { return "exchange" }
func (e *Exchange) where() string { return whereToken(e.TokenURL, e.ClientID) }

func (e *Exchange) check(depth int) error {
	var secret, kind error
	if e.Secret != nil {
		secret = checkInner("exchange.secret", e.Secret, depth)
	}
	if e.Secret != nil && e.ClientID == "" {
		secret = errors.Join(secret, errors.New("exchange.client is missing: a secret is only sent with it"))
	}
	if u, err := url.Parse(e.SubjectType); e.SubjectType != "" && (err != nil || u.Scheme == "" || !isVisible(e.SubjectType)) {
		kind = errors.New("exchange.subject-type: write a URI such as urn:ietf:params:oauth:token-type:jwt, or leave it out for an access token")
	}
	return errors.Join(checkAddress("exchange.token-url", e.TokenURL),
		checkParameters("exchange", e.ClientID, e.Audience, e.Scopes), secret, kind, checkInner("exchange.subject", e.Subject, depth))
}

func (e *Exchange) get(ctx context.Context, env lookup) (Secret, error) {
	var secret Secret
	if e.Secret != nil {
		var err error
		if secret, err = inner(ctx, "exchange.secret", e.Secret, env); err != nil {
			return Secret{}, err
		}
	}
	subject, err := inner(ctx, "exchange.subject", e.Subject, env)
	if err != nil {
		return Secret{}, err
	}
	form := parameters("urn:ietf:params:oauth:grant-type:token-exchange", e.Audience, e.Scopes)
	form.Set("subject_token", subject.Reveal())
	form.Set("subject_token_type", accessToken)
	if e.SubjectType != "" {
		form.Set("subject_token_type", e.SubjectType)
	}
	return tokenClient{e.TokenURL, e.ClientID, secret}.get(ctx, form)
}

func whereToken(address, client string) string {
	if client == "" || !isVisible(client) {
		return printableAddress(address)
	}
	return printableAddress(address) + " client " + client
}

// checkParameters holds what goes into a form: names, not secrets.
func checkParameters(kind, client, audience string, scopes []string) error {
	var out []error
	if client != "" && !isVisible(client) {
		out = append(out, fmt.Errorf("%s.client: at most %d visible ASCII characters", kind, maxParameter))
	}
	if audience != "" && !isVisible(audience) {
		out = append(out, fmt.Errorf("%s.audience: at most %d visible ASCII characters", kind, maxParameter))
	}
	bad := func(s string) bool { return !isVisible(s) || strings.ContainsAny(s, `"\`) } // RFC 6749, 3.3
	if len(scopes) > maxScopes || slices.ContainsFunc(scopes, bad) {
		out = append(out, fmt.Errorf("%s.scopes: at most %d, each without spaces, quotes and backslashes, such as [read, write]", kind, maxScopes))
	}
	return errors.Join(out...)
}

// isVisible is what the RFC lets stand in identifiers and scopes, but for spaces.
func isVisible(s string) bool {
	return s != "" && len(s) <= maxParameter && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func parameters(grant, audience string, scopes []string) url.Values {
	form := url.Values{"grant_type": {grant}}
	if audience != "" {
		form.Set("audience", audience)
	}
	if len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	return form
}

// tokenClient asks one token endpoint. Without a secret it says who it is in the
// form, without an id not at all.
type tokenClient struct {
	address, id string
	secret      Secret
}

// get sends the secret in the header, which every server must take (RFC 6749,
// 2.3.1), and once more in the form if that was refused: some servers are set to
// take nothing else.
func (c tokenClient) get(ctx context.Context, form url.Values) (Secret, error) {
	password := c.secret.Reveal()
	if c.id != "" && password == "" {
		form.Set("client_id", c.id)
	}
	token, err := c.ask(ctx, form, password != "")
	var r *refusal
	if password == "" || !errors.As(err, &r) || r.status != http.StatusUnauthorized && r.code != "invalid_client" {
		return token, err
	}
	form.Set("client_id", c.id)
	form.Set("client_secret", password)
	return c.ask(ctx, form, false)
}

func (c tokenClient) ask(ctx context.Context, form url.Values, inHeader bool) (Secret, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address, strings.NewReader(form.Encode()))
	if err != nil {
		return Secret{}, errors.New("token-url is no address")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if inHeader {
		// "encoded using the application/x-www-form-urlencoded encoding algorithm"
		req.SetBasicAuth(url.QueryEscape(c.id), url.QueryEscape(c.secret.Reveal()))
	}
	a, err := send(ctx, req, "")
	if err != nil {
		return Secret{}, err
	}
	return parseToken(a.status, a.body, a.asked)
}

// refusal is what a token endpoint answered instead of a token. Its code comes
// from a closed set: a description may echo the secret.
type refusal struct {
	status int
	code   string
}

// refusals are the codes of RFC 6749, 5.2 and RFC 8693, 2.2.2, and what to do.
var refusals = map[string]string{
	"invalid_client":         "check client and its secret",
	"invalid_grant":          "the grant is wrong, expired or not this client's",
	"invalid_request":        "check what the server wants: an audience, scopes, a type of the subject",
	"invalid_scope":          "check scopes",
	"invalid_target":         "check audience",
	"unauthorized_client":    "let this client use this grant at the server",
	"unsupported_grant_type": "the server does not know this grant",
}

func (r *refusal) Error() string {
	if r.code == "" {
		return fmt.Sprintf("it answered %d and no error code of RFC 6749", r.status)
	}
	return fmt.Sprintf("it answered %d, %s: %s", r.status, r.code, refusals[r.code])
}

// parseToken reads the answer of a token endpoint. Keys are matched exactly.
func parseToken(status int, raw []byte, asked time.Time) (Secret, error) {
	m, ok := object(raw)
	if status != http.StatusOK {
		code, _ := text(m["error"])
		if _, known := refusals[code]; !known {
			code = ""
		}
		return Secret{}, &refusal{status, code}
	}
	if !ok {
		return Secret{}, errors.New("what it answered is not a JSON object")
	}
	value, ok := text(m["access_token"])
	if !ok {
		return Secret{}, errors.New("its answer has no access_token")
	}
	// "The client MUST NOT use an access token if it does not understand the token
	// type" (RFC 6749, 7.1): others want a proof beside the token. N_A is said of a
	// token that is none for access (RFC 8693, 2.2.1).
	if kind, _ := text(m["token_type"]); !strings.EqualFold(kind, "bearer") && kind != "N_A" {
		return Secret{}, errors.New("its answer has no token_type, or one other than Bearer")
	}
	life, given, err := seconds(m["expires_in"])
	switch {
	case err != nil:
		return Secret{}, fmt.Errorf("expires_in: %w", err)
	case !given:
		return NewSecret(value, time.Time{})
	case life == 0:
		return Secret{}, errors.New("its token is expired already")
	}
	return NewSecret(value, asked.Add(life))
}

// seconds reads how long something lives. Some servers write the number as a text.
func seconds(raw json.RawMessage) (life time.Duration, given bool, err error) {
	s, isText := text(raw)
	if !isText {
		s = string(raw)
	}
	if s == "" || s == "null" {
		return 0, false, nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || !(n >= 0) {
		return 0, true, errors.New("not a number of seconds")
	}
	return time.Duration(min(n, longestLife.Seconds()) * float64(time.Second)), true, nil
}
