package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
)

// timeFormat has a fixed width, so that times sort as text.
const timeFormat = "2006-01-02T15:04:05.000000000Z"

// maxTime is the last time that timeFormat can write in four digits of year.
const maxTime = 253402300799

// headRoom is space for the part of a line that is known only inside the lock:
// 44 bytes of keys, 20 digits, 64 hex digits, 30 bytes of time.
const headRoom = 192

// appendHead writes the part that ties a record to its place in the chain.
func appendHead(dst []byte, seq uint64, prev Hash, t time.Time) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"prev":"`...)
	dst = hex.AppendEncode(dst, prev[:])
	dst = append(dst, `","time":"`...)
	dst = t.AppendFormat(dst, timeFormat)
	return append(dst, '"')
}

// Body is what the log writes of r but for its place in the chain, so that two
// records can be compared to the letter.
func Body(r *Record) ([]byte, error) { return appendBody(nil, r) }

// appendBody writes the rest of the line, newline included.
func appendBody(dst []byte, r *Record) ([]byte, error) {
	if !r.Type.known() {
		return dst, fmt.Errorf("%w: unknown type %q", ErrInvalid, r.Type)
	}
	dst = appendName(dst, "type", string(r.Type))
	dst = appendName(dst, "call", string(r.Call))
	dst = appendName(dst, "server", string(r.Server))
	dst = appendName(dst, "instance", r.Instance)
	dst = appendName(dst, "tool", string(r.Tool))
	dst = appendName(dst, "method", r.Method)
	dst = appendName(dst, "principal", string(r.Principal))
	dst = appendName(dst, "session", r.Session)
	if r.Type.decides() || r.Verdict == mcprun.Allow {
		dst = appendName(dst, "verdict", r.Verdict.String())
	}
	if risk := r.Risk.String(); r.Type.decides() || risk != mcprun.Block.String() {
		dst = appendName(dst, "risk", risk)
	}
	dst = appendName(dst, "rule", r.Rule)
	dst = appendText(dst, "reason", r.Reason, MaxText)
	dst = appendName(dst, "tool_digest", string(r.ToolDigest))
	dst = appendArgs(dst, r)
	dst = appendInt(dst, "duration_ns", int64(r.Duration))
	dst = appendName(dst, "outcome", r.Outcome)
	dst = appendText(dst, "who", r.Who, MaxText)
	dst = appendText(dst, "why", r.Why, MaxText)
	dst, err := appendDetail(dst, r.Detail)
	return append(dst, '}', '\n'), err
}

// appendArgs writes arguments, their digest and size. What is no JSON value, or
// too large, is kept as digest and size.
func appendArgs(dst []byte, r *Record) []byte {
	inline := len(r.Args) > 0 && len(r.Args) <= MaxInlineArgs && r.Args.IsValid()
	digest, size := r.ArgsDigest, r.Size
	if len(r.Args) > 0 && !inline {
		size = int64(len(r.Args))
		if digest == "" {
			sum := sha256.Sum256(r.Args)
			digest = mcprun.Digest("sha256:" + hex.EncodeToString(sum[:]))
		}
	}
	dst = appendName(dst, "args_digest", string(digest))
	if inline {
		dst = appendCompact(appendKey(dst, "args"), r.Args)
	}
	return appendInt(dst, "size", size)
}

// appendCompact writes a valid value without white space: a newline between two
// tokens would split the line.
func appendCompact(dst []byte, v jsontext.Value) []byte {
	start := len(dst)
	dst = append(dst, v...)
	if bytes.ContainsAny(v, "\n\r\t ") {
		v = jsontext.Value(dst[start:])
		v.Compact() // in place; cannot fail on a valid value
		dst = append(dst[:start], v...)
	}
	return dst
}

func appendInt(dst []byte, key string, n int64) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(appendKey(dst, key), n, 10)
}

// appendKey writes the key of a member that is not the first. Keys are our own
// constants and need no escapes.
func appendKey(dst []byte, key string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, key...)
	return append(dst, '"', ':')
}

func appendName(dst []byte, key, s string) []byte { return appendText(dst, key, s, MaxName) }

func appendText(dst []byte, key, s string, limit int) []byte {
	if s == "" {
		return dst
	}
	return appendBounded(appendKey(dst, key), s, limit)
}

// appendBounded writes s as a JSON string of at most limit bytes between the
// quotes; what does not fit is replaced by a note of the whole length. Bytes
// that are not UTF-8 become U+FFFD: a hostile name must not stop the record.
func appendBounded(dst []byte, s string, limit int) []byte {
	start, limit := len(dst), limit+len(`""`)
	if len(s) <= limit {
		if dst, _ = jsontext.AppendQuote(dst, s); len(dst)-start <= limit {
			return dst
		}
	}
	mark := fmt.Sprintf("... (%d bytes)", len(s))
	for keep := min(len(s), limit-len(`""`)-len(mark)); ; keep /= 2 {
		if dst, _ = jsontext.AppendQuote(dst[:start], s[:keep]+mark); len(dst)-start <= limit {
			return dst
		}
	}
}

// appendDetail writes m in the order of its keys.
func appendDetail(dst []byte, m map[string]string) ([]byte, error) {
	if len(m) == 0 {
		return dst, nil
	}
	if len(m) > MaxDetail {
		return dst, fmt.Errorf("%w: %d details; at most %d", ErrInvalid, len(m), MaxDetail)
	}
	var room [MaxDetail]string
	keys := room[:0]
	for k := range m {
		if !validKey(k) {
			return dst, fmt.Errorf("%w: detail %q: use a-z, 0-9, _ - and dot", ErrInvalid, k)
		}
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = append(dst, `,"detail":{`...)
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, k...)
		dst = append(dst, '"', ':')
		dst = appendBounded(dst, m[k], MaxDetailValue)
	}
	return append(dst, '}'), nil
}

// validKey keeps the keys of Detail in an alphabet where two of them cannot be
// written alike.
func validKey(k string) bool {
	for i := range len(k) {
		if c := k[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.') {
			return false
		}
	}
	return k != "" && len(k) <= MaxDetailKey
}
