// Package credentials fetches secrets from where an operator keeps them, holds
// them for a short time, and makes the placeholders that a server sees instead.
//
// A Source says where a secret is: the daemon's environment, a file, an
// age-encrypted file, a program that prints it, Vault or OpenBao, an OAuth token
// endpoint. Its Fetcher gets the secret, a Cache keeps it until it must be
// fetched again, and Issued knows placeholders in wrong places. This
// package decides nothing about who may use a secret, and sends none to an
// upstream.
//
// What fails denies: a source that cannot be read gives an error, never an older
// or an expired secret. Errors and logs name sources, never values; what a peer
// or a file says is not repeated, since it may echo the secret.
//
// What is NOT protected:
//   - The daemon's memory. Values are ordinary strings: not locked, not wiped, in
//     core dumps and in swap. Who can read the daemon's memory has its secrets.
//   - What the source itself leaks: a program of Exec may log, print its secret
//     on stderr (the first line of which is reported unless it repeats the
//     output), or leave a process behind that left its process group.
//   - The daemon's environment: a secret in Env can be read in /proc by root and
//     by the daemon's user for as long as the daemon runs.
//   - The folders above a file: only the file that was opened is judged, not who
//     may replace it. An access list that grants a user shows as the group's bits.
//   - What happens to a secret at its peer. Leases of Vault and tokens are not
//     revoked: they end by themselves.
//   - A placeholder that is encoded (base64, percent signs, split in two) is not
//     found in a text; it must be decoded first.
package credentials

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// MaxSecret bounds a value: the headers that servers take end at 8 to 16 KiB in
// all, so a longer one could not be sent anyway.
const MaxSecret = 16 << 10

// hidden is what stands for a secret wherever one is printed.
const hidden = "[secret]"

// Secret is a value that cannot be printed by accident. The zero Secret holds
// nothing. A Secret may be copied and used concurrently.
type Secret struct {
	// The value hides in a function: fmt calls no methods on what stands in an
	// unexported field of another struct, and dumpers follow pointers.
	reveal func() string

	// Expires is when the value stops being valid; zero where nobody says.
	Expires time.Time
}

// NewSecret checks a value and hides it. It is for those who write a Fetcher.
func NewSecret(value string, expires time.Time) (Secret, error) {
	if err := checkValue(value); err != nil {
		return Secret{}, err
	}
	// Without the monotonic clock, which stands still while the machine sleeps.
	return Secret{reveal: func() string { return value }, Expires: expires.Round(0)}, nil
}

// Reveal returns the value: the only way to it.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

func (s Secret) String() string { return hidden }

// GoString answers %#v.
func (s Secret) GoString() string { return hidden }

// Format answers every verb of fmt, those that ignore String included.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) }

// MarshalJSON answers encoding/json.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// MarshalText answers the encodings of XML, YAML and map keys.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue answers log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// checkValue refuses what cannot stand in an HTTP header as it is: a line break
// would begin a header of its own (RFC 9110, 5.5), and outer spaces are dropped
// on the way, so that another value would arrive.
func checkValue(v string) error {
	switch {
	case v == "":
		return errors.New("the value is empty")
	case len(v) > MaxSecret:
		return fmt.Errorf("the value has %d bytes; at most %d", len(v), MaxSecret)
	case v[0] == ' ' || v[len(v)-1] == ' ':
		return errors.New("the value begins or ends with a space, which HTTP drops: take it out")
	}
	for i := range len(v) {
		switch c := v[i]; {
		case c < ' ' || c == 0x7f:
			return fmt.Errorf("byte %d of %d of the value is a control character; only one line break, at the end, is cut", i+1, len(v))
		case c > '~':
			return fmt.Errorf("byte %d of %d of the value is not ASCII", i+1, len(v))
		}
	}
	return nil
}
