package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxVaultPath and maxField are far above the names in use, and keep a message
	// that names a source on a line.
	maxVaultPath = 512
	maxField     = 128
)

// Vault is one field of a secret of HashiCorp Vault or OpenBao: of a key-value
// store of version 1 or 2, or of an engine that makes secrets (databases, clouds).
// Each Fetch of the latter makes a new lease; it is neither renewed nor revoked.
type Vault struct {
	Address string // https://vault.example.com:8200
	Path    string // as the HTTP API has it, without /v1/: secret/data/github for version 2
	Field   string
	Token   *Source // what it logs in with
	CA      string  // a file of further certificate authorities, or ""
}

func (v *Vault) name() string { return "vault" }

func (v *Vault) where() string {
	if v.checkPath() != nil || v.checkField() != nil {
		return printableAddress(v.Address)
	}
	return fmt.Sprintf("%s %s field %s", printableAddress(v.Address), v.Path, v.Field)
}

func (v *Vault) check(depth int) error {
	var ca error
	if v.CA != "" {
		ca = checkPath("vault.ca", v.CA)
	}
	return errors.Join(v.checkAddress(), v.checkPath(), v.checkField(), ca, checkInner("vault.token", v.Token, depth))
}

func (v *Vault) checkAddress() error {
	if strings.ContainsRune(v.Address, '?') {
		return errors.New("vault.address: leave out ? and what follows")
	}
	return checkAddress("vault.address", v.Address)
}

// checkPath keeps a path from leading out of the API's tree.
func (v *Vault) checkPath() error {
	bad := len(v.Path) > maxVaultPath || !isPrintable(v.Path) || strings.HasPrefix(v.Path, "v1/")
	for part := range strings.SplitSeq(v.Path, "/") {
		bad = bad || part == "" || part == "." || part == ".."
	}
	if bad {
		return errors.New("vault.path: write it without /v1/, such as secret/data/github for a key-value store of version 2 or secret/github for version 1")
	}
	return nil
}

func (v *Vault) checkField() error {
	if v.Field == "" || len(v.Field) > maxField || !isPrintable(v.Field) {
		return errors.New("vault.field: write the name of the field that holds the secret, such as token")
	}
	return nil
}

func (v *Vault) get(ctx context.Context, env lookup) (Secret, error) {
	token, err := inner(ctx, "vault.token", v.Token, env)
	if err != nil {
		return Secret{}, err
	}
	u, err := url.Parse(v.Address)
	if err != nil {
		return Secret{}, errors.New("vault.address is no address")
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/v1/" + v.Path
	u.RawPath = ""
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Secret{}, errors.New("vault.address is no address")
	}
	req.Header.Set("X-Vault-Token", token.Reveal())
	// Agents can be set to want it; no page can make a browser send it.
	req.Header.Set("X-Vault-Request", "true")
	a, err := send(ctx, req, v.CA)
	if err != nil {
		return Secret{}, err
	}
	if a.status != http.StatusOK {
		return Secret{}, vaultRefusal(a.status)
	}
	return parseVault(a.body, v.Field, a.asked)
}

// vaultRefusal explains a status; what the answer says is not repeated.
func vaultRefusal(status int) error {
	why := map[int]string{
		http.StatusForbidden:          "the token is wrong or expired, or its policy does not let it read this path",
		http.StatusNotFound:           "there is nothing at this path; in a key-value store of version 2 it begins with MOUNT/data/",
		http.StatusTooManyRequests:    "it limits how often it is asked",
		http.StatusServiceUnavailable: "it is sealed or in maintenance",
	}[status]
	if why == "" {
		return fmt.Errorf("it answered %d", status)
	}
	return fmt.Errorf("it answered %d: %s", status, why)
}

var errNoVault = errors.New("what it answered is not an answer of Vault")

// parseVault reads {"data": {FIELD}} of version 1 and of other engines, and
// {"data": {"data": {FIELD}, "metadata": {}}} of version 2. Keys are matched
// exactly: the decoder of structs would take DATA for data.
func parseVault(raw []byte, field string, asked time.Time) (Secret, error) {
	top, ok := object(raw)
	if !ok {
		return Secret{}, errNoVault
	}
	data, ok := object(top["data"])
	if !ok {
		return Secret{}, errNoVault
	}
	if second, ok := object(data["data"]); ok {
		if _, ok := object(data["metadata"]); ok {
			data = second
		}
	}
	rawValue, ok := data[field]
	if !ok {
		return Secret{}, errors.New("the secret has no such field")
	}
	value, ok := text(rawValue)
	if !ok {
		return Secret{}, errors.New("the field is not a text")
	}
	life, _, err := seconds(top["lease_duration"])
	if err != nil {
		return Secret{}, fmt.Errorf("lease_duration: %w", err)
	}
	if life == 0 { // what version 2 says of all that it holds
		return NewSecret(value, time.Time{})
	}
	return NewSecret(value, asked.Add(life))
}

// object reads a JSON object; null is none.
func object(raw json.RawMessage) (map[string]json.RawMessage, bool) {
	var m map[string]json.RawMessage
	err := json.Unmarshal(raw, &m)
	return m, err == nil && m != nil
}

// text reads a JSON string; null is none.
func text(raw json.RawMessage) (string, bool) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", false
	}
	return *s, true
}
