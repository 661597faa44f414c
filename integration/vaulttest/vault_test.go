//go:build vault

// Package vaulttest tests credentials.Source{Vault: ...} against a real Vault
// server, which make test-vault builds. It is behind a build tag: make test does
// not build the server.
package vaulttest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/credentials"
)

// defaultLease is what a store of version 1 says of a secret without a ttl: the
// longest lease of the server, 32 days.
const defaultLease = 768 * time.Hour

// source reads the field "token" at a path, with the token in VAULT_TOKEN.
func (s *server) source(path string) credentials.Source {
	return credentials.Source{Vault: &credentials.Vault{
		Address: s.address, Path: path, Field: "token", CA: s.ca, Token: &credentials.Source{Env: "VAULT_TOKEN"},
	}}
}

func fetcher(t *testing.T, from credentials.Source, token string) credentials.Fetcher {
	t.Helper()
	f, err := from.Fetcher(func(name string) (string, bool) { return token, name == "VAULT_TOKEN" })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func fetch(t *testing.T, from credentials.Source, token string) (credentials.Secret, error) {
	t.Helper()
	return fetcher(t, from, token).Fetch(t.Context())
}

// gives checks a value, which no message may show.
func gives(t *testing.T, got credentials.Secret, err error, want string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got.Reveal() != want {
		t.Fatal("it is another value than the one that was written last")
	}
	if text := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(text, want) {
		t.Errorf("the secret prints itself: %s", text)
	}
}

// denied checks that the error names the source and the reason, and shows none of
// hidden.
func denied(t *testing.T, from credentials.Source, got credentials.Secret, err error, why string, hidden ...string) {
	t.Helper()
	if err == nil || got.Reveal() != "" {
		t.Fatalf("it gave a secret, with error %v", err)
	}
	text := err.Error()
	if !strings.Contains(text, from.String()) || !strings.Contains(text, why) {
		t.Errorf("the error is %q, want one that names %q and says %q", text, from, why)
	}
	for _, h := range hidden {
		if strings.Contains(text, h) {
			t.Errorf("the error shows a secret: %q", text)
		}
	}
}

// expires checks a lease that was counted between before and now.
func expires(t *testing.T, got credentials.Secret, before time.Time, life time.Duration) {
	t.Helper()
	if from, to := before.Add(life), time.Now().Add(life); got.Expires.Before(from) || got.Expires.After(to) {
		t.Errorf("it expires at %v, want between %v and %v", got.Expires, from, to)
	}
}

func TestKeyValue(t *testing.T) {
	for name, withTLS := range map[string]bool{"loopback": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			s := start(t, withTLS)
			one, two := "canary-"+rand.Text(), "canary-"+rand.Text()
			s.ask("POST", "kv1/app/github", fmt.Sprintf(`{"token": %q}`, one))
			s.put2("app/github", two)

			before := time.Now()
			got, err := fetch(t, s.source("kv1/app/github"), s.root)
			gives(t, got, err, one)
			expires(t, got, before, defaultLease)

			got, err = fetch(t, s.source("secret/data/app/github"), s.root)
			gives(t, got, err, two)
			if !got.Expires.IsZero() {
				t.Errorf("it expires at %v, want never", got.Expires)
			}
		})
	}
}

// The authority of the server is the file of vault.ca and nothing else.
func TestAuthority(t *testing.T) {
	s, other := start(t, true), start(t, true)
	value := "canary-" + rand.Text()
	s.put2("a", value)
	from := s.source("secret/data/a")
	got, err := fetch(t, from, s.root)
	gives(t, got, err, value)
	for name, ca := range map[string]string{"the system's": "", "another server's": other.ca} {
		t.Run(name, func(t *testing.T) {
			from := s.source("secret/data/a")
			from.Vault.CA = ca
			got, err := fetch(t, from, s.root)
			denied(t, from, got, err, "certificate", value, s.root)
		})
	}
}

func TestDenied(t *testing.T) {
	s := start(t, false)
	value, wrong := "canary-"+rand.Text(), "wrong-"+rand.Text()
	s.put2("a", value)
	s.put1("a", value, "1h")
	s.ask("POST", "secret/data/object", fmt.Sprintf(`{"data": {"token": {"inner": %q}}}`, value))
	for _, r := range []struct{ name, path, field, token, why string }{
		{"a wrong token", "secret/data/a", "token", wrong, "the token is wrong or expired"},
		{"a wrong token, version 1", "kv1/a", "token", wrong, "the token is wrong or expired"},
		{"a missing path", "secret/data/b", "token", s.root, "there is nothing at this path"},
		{"a missing path, version 1", "kv1/b", "token", s.root, "there is nothing at this path"},
		{"version 2 without data/", "secret/a", "token", s.root, "MOUNT/data/"},
		{"a missing field", "secret/data/a", "password", s.root, "no such field"},
		{"a missing field, version 1", "kv1/a", "password", s.root, "no such field"},
		{"a field in other letters", "secret/data/a", "TOKEN", s.root, "no such field"},
		{"a field that is an object", "secret/data/object", "token", s.root, "not a text"},
	} {
		t.Run(r.name, func(t *testing.T) {
			from := s.source(r.path)
			from.Vault.Field = r.field
			got, err := fetch(t, from, r.token)
			denied(t, from, got, err, r.why, value, s.root, wrong)
		})
	}
	for _, path := range []string{"secret/data/a", "kv1/a"} {
		got, err := fetch(t, s.source(path), s.root)
		gives(t, got, err, value)
	}
}

// limitedToken makes a token as an operator should: for one path, and for a time.
func (s *server) limitedToken(path string) string {
	s.t.Helper()
	policy, _ := json.Marshal(map[string]string{"policy": fmt.Sprintf(`path %q { capabilities = ["read"] }`, path)})
	s.ask("POST", "sys/policies/acl/one", string(policy))
	var answer struct {
		Auth struct {
			Token string `json:"client_token"`
		}
	}
	raw := s.ask("POST", "auth/token/create", `{"policies": ["one"], "ttl": "1h", "no_default_policy": true}`)
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Auth.Token == "" {
		s.t.Fatalf("no token in %s: %v", raw, err)
	}
	return answer.Auth.Token
}

func TestLimitedToken(t *testing.T) {
	s := start(t, false)
	value := "canary-" + rand.Text()
	s.put2("mine", value)
	s.put2("other", value)
	token := s.limitedToken("secret/data/mine")
	mine, other := s.source("secret/data/mine"), s.source("secret/data/other")

	got, err := fetch(t, mine, token)
	gives(t, got, err, value)
	got, err = fetch(t, other, token)
	denied(t, other, got, err, "its policy does not let it read this path", value, token)

	s.ask("POST", "auth/token/revoke", fmt.Sprintf(`{"token": %q}`, token))
	got, err = fetch(t, mine, token)
	denied(t, mine, got, err, "the token is wrong or expired", value, token)
}

func TestSealedThenStopped(t *testing.T) {
	s := start(t, false)
	value := "canary-" + rand.Text()
	s.put2("a", value)
	from := s.source("secret/data/a")
	got, err := fetch(t, from, s.root)
	gives(t, got, err, value)

	s.ask("PUT", "sys/seal", "")
	got, err = fetch(t, from, s.root)
	denied(t, from, got, err, "it is sealed", value, s.root)

	s.stop()
	got, err = fetch(t, from, s.root)
	denied(t, from, got, err, "connection refused", value, s.root)
}

// clock is the time that a Cache sees, which the test moves on.
type clock struct{ ahead time.Duration }

func (c *clock) now() time.Time { return time.Now().Add(c.ahead) }

func TestRotation(t *testing.T) {
	s := start(t, false)
	const lifetime = 5 * time.Minute
	old, fresh := "canary-"+rand.Text(), "canary-"+rand.Text()
	from, c := s.source("secret/data/a"), &clock{}
	cache := credentials.New(fetcher(t, from, s.root), c.now, lifetime)

	s.put2("a", old)
	got, err := cache.Get(t.Context())
	gives(t, got, err, old)

	s.put2("a", fresh)
	got, err = cache.Get(t.Context())
	gives(t, got, err, old) // within its lifetime Vault is not asked

	c.ahead += lifetime
	got, err = cache.Get(t.Context())
	gives(t, got, err, fresh)
	if known := cache.Known(); !slices.Equal(known, []string{old, fresh}) {
		t.Errorf("it knows %d values, want the old one and the new one", len(known))
	}

	// Once it is deleted there is none: an older value is not used instead.
	s.ask("DELETE", "secret/data/a", "")
	c.ahead += lifetime
	got, err = cache.Get(t.Context())
	denied(t, from, got, err, "there is nothing at this path", old, fresh, s.root)
}

// A store of version 1 says the ttl of a secret as its lease, which is shorter
// than the lifetime of the Cache here.
func TestLease(t *testing.T) {
	s := start(t, false)
	const lease = 2 * time.Second
	old, fresh := "canary-"+rand.Text(), "canary-"+rand.Text()
	from := s.source("kv1/a")
	cache := credentials.New(fetcher(t, from, s.root), time.Now, time.Hour)

	s.put1("a", old, lease.String())
	before := time.Now()
	got, err := cache.Get(t.Context())
	gives(t, got, err, old)
	expires(t, got, before, lease)

	s.put1("a", fresh, lease.String())
	time.Sleep(time.Until(got.Expires))
	got, err = cache.Get(t.Context())
	gives(t, got, err, fresh)

	// Without the server an expired secret is not handed out.
	s.stop()
	time.Sleep(time.Until(got.Expires))
	got, err = cache.Get(t.Context())
	denied(t, from, got, err, "connection refused", old, fresh, s.root)
}
