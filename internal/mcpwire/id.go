package mcpwire

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxIDBytes bounds a string id as written in JSON. Real ids are counters and
	// UUIDs; each is kept for as long as its request is in flight.
	maxIDBytes = 512

	// maxWhole is the largest number that every JSON reader keeps exact: above
	// 2^53 two different ids are one in a double.
	maxWhole = 1 << 53
)

// ID is the id of a request: a string or an integer-valued number, as the sender
// spelled it (1.0 stays 1.0; a string has the one spelling that strictjson gives
// it). It is comparable; 1, 1.0 and "1" are different ids. The zero ID is no id.
type ID struct{ text string }

// ParseID reads an id from a value that strictjson made.
func ParseID(v jsontext.Value) (ID, error) {
	switch v.Kind() {
	case jsontext.KindString:
		if n := len(v) - len(`""`); n > maxIDBytes {
			return ID{}, fmt.Errorf("an id of %d bytes; at most %d", n, maxIDBytes)
		}
	case jsontext.KindNumber:
		if _, err := wholeNumber(v); err != nil {
			return ID{}, err
		}
	default:
		return ID{}, errors.New("an id is a string or an integer")
	}
	return ID{text: string(v)}, nil
}

// IntID returns the number n as an id.
func IntID(n int64) ID { return ID{text: strconv.FormatInt(n, 10)} }

// IsZero reports whether there is no id.
func (id ID) IsZero() bool { return id.text == "" }

// AppendTo appends the JSON text of the id; null if there is none.
func (id ID) AppendTo(dst []byte) []byte { return append(dst, id.String()...) }

func (id ID) String() string {
	if id.IsZero() {
		return "null"
	}
	return id.text
}

// wholeNumber reads a JSON number that has an integer value within ±2^53 in
// whatever spelling: 1, 1.0, 1e2.
func wholeNumber(v []byte) (int64, error) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		n, err = strconv.ParseInt(plainDigits(v), 10, 64)
	}
	if err != nil || n < -maxWhole || n > maxWhole {
		return 0, fmt.Errorf("%s is not an integer within ±2^53", v)
	}
	return n, nil
}

// plainDigits writes a number without fraction and exponent, "" if it has no
// such spelling or a far too long one. It works on the digits: a double would
// take 9007199254740992.5 for an integer, and exact arithmetic could be asked for
// a number of a billion digits.
func plainDigits(v []byte) string {
	digits, negative := bytes.CutPrefix(v, []byte("-"))
	var power int64
	if i := bytes.IndexAny(digits, "eE"); i >= 0 {
		n, err := strconv.ParseInt(string(digits[i+1:]), 10, 16)
		if err != nil {
			return ""
		}
		digits, power = digits[:i], n
	}
	whole, fraction, _ := bytes.Cut(digits, []byte("."))
	power -= int64(len(fraction))
	all := strings.TrimLeft(string(whole)+string(fraction), "0")
	significant := strings.TrimRight(all, "0")
	power += int64(len(all) - len(significant))
	switch {
	case significant == "":
		return "0"
	case power < 0 || power > 16: // 2^53 has 16 digits
		return ""
	case negative:
		significant = "-" + significant
	}
	return significant + strings.Repeat("0", int(power))
}
