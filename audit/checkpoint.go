package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// checkpointFile holds one signed note after the other, each followed by an
// empty line.
const checkpointFile = "checkpoints"

// maxNote bounds a signed note with the empty line after it; ours take about 300
// bytes.
const maxNote = 1 << 10

// Checkpoint is a signed statement: this log has this head. As text it is a C2SP
// signed note in the manner of a tlog-checkpoint (origin, size, hash, and the
// head's time), but the hash is the chain's head, not a Merkle root.
type Checkpoint struct {
	Origin string // keyName/ and the random id of the log
	Head
}

func origin(id string) string { return keyName + "/" + id }

// logIDSize is the length of a log's id: 16 random bytes in hex.
const logIDSize = 32

func validID(id string) bool {
	return len(id) == logIDSize && strings.Trim(id, "0123456789abcdef") == ""
}

func (c *Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\ntime %s\n", c.Origin, c.Seq, base64.StdEncoding.EncodeToString(c.Hash[:]), c.Time.UTC().Format(timeFormat))
}

// parseCheckpoint reads the signed text; it must be as this package writes it.
func parseCheckpoint(text string) (Checkpoint, error) {
	var c Checkpoint
	lines := strings.Split(text, "\n")
	if len(lines) != 5 {
		return c, fmt.Errorf("%d lines where a checkpoint has 4", len(lines)-1)
	}
	c.Origin = lines[0]
	id, ok := strings.CutPrefix(c.Origin, keyName+"/")
	if !ok || !validID(id) {
		return c, errors.New("the first line names no log")
	}
	var err error
	if c.Seq, err = strconv.ParseUint(lines[1], 10, 64); err != nil || c.Seq == 0 {
		return c, errors.New("the second line is no count of records")
	}
	h, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(h) != len(c.Hash) {
		return c, errors.New("the third line is no SHA-256")
	}
	copy(c.Hash[:], h)
	if c.Time, err = time.Parse("time "+timeFormat, lines[3]); err != nil {
		return c, errors.New("the fourth line is no time")
	}
	if c.text() != text {
		return c, errors.New("not written the way the log writes")
	}
	return c, nil
}

// openNote checks the signature of one note and reads it. The kind says what is
// wrong with it.
func openNote(msg []byte, v note.Verifier) (Checkpoint, Kind, error) {
	if len(msg) > maxNote {
		return Checkpoint{}, Malformed, fmt.Errorf("a checkpoint of %d bytes; at most %d", len(msg), maxNote)
	}
	n, err := note.Open(msg, note.VerifierList(v))
	var bad *note.InvalidSignatureError
	var unknown *note.UnverifiedNoteError
	switch {
	case errors.As(err, &bad), errors.As(err, &unknown):
		return Checkpoint{}, Signature, errors.New("the checkpoint is not signed by the key")
	case err != nil:
		return Checkpoint{}, Malformed, errors.New("not a signed note")
	}
	// One signature, in its only spelling: base64 has bits that mean nothing.
	sig := n.Sigs[0]
	_, err = base64.StdEncoding.Strict().DecodeString(sig.Base64)
	if want := n.Text + "\n— " + sig.Name + " " + sig.Base64 + "\n"; err != nil || string(msg) != want {
		return Checkpoint{}, Malformed, errors.New("not the one spelling of a signed note")
	}
	c, err := parseCheckpoint(n.Text)
	return c, Malformed, err
}

// splitNote takes the first note with its empty line off b; nil if b holds no
// whole one.
func splitNote(b []byte) (msg, rest []byte) {
	blank := []byte("\n\n")
	i := bytes.Index(b, blank)
	if i < 0 {
		return nil, b
	}
	j := bytes.Index(b[i+2:], blank)
	if j < 0 {
		return nil, b
	}
	end := i + 2 + j + 1
	return b[:end], b[end+1:]
}

// lastNotes bounds what is read to find the last checkpoint: several notes, and
// a block that a power cut left full of zeros.
const lastNotes = 8 << 10

// lastCheckpoint returns the last whole checkpoint of f, its text, and where the
// whole ones end. All that it passes on the way must be signed. The zero Checkpoint means
// that there is none.
func lastCheckpoint(f *os.File, size int64, v note.Verifier) (last Checkpoint, text []byte, end int64, err error) {
	end = max(0, size-lastNotes)
	b := make([]byte, size-end)
	if _, err := f.ReadAt(b, end); err != nil && len(b) > 0 {
		return last, nil, 0, err
	}
	if end > 0 { // begin with a whole note
		i := bytes.Index(b, []byte("\n\n"+keyName+"/"))
		if i < 0 {
			return last, nil, 0, errors.New("no checkpoint near the end of the file")
		}
		b = b[i+2:]
		end += int64(i + 2)
	}
	for {
		msg, rest := splitNote(b)
		if msg == nil {
			return last, text, end, nil
		}
		if last, _, err = openNote(msg, v); err != nil {
			return last, nil, 0, err
		}
		text = msg
		end += int64(len(b) - len(rest))
		b = rest
	}
}

// LastCheckpoint returns the newest signed checkpoint of the log in dir, to be
// kept elsewhere and given to Verify as Since. It checks the signature, not the
// chain. The log may be open in another process.
func LastCheckpoint(dir, publicKey string) (string, error) {
	v, err := note.NewVerifier(strings.TrimSpace(publicKey))
	if err != nil {
		return "", fmt.Errorf("reading the public key: %w", err)
	}
	f, err := os.Open(filepath.Join(dir, checkpointFile))
	if err != nil {
		return "", fmt.Errorf("reading the checkpoints: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("reading the checkpoints: %w", err)
	}
	_, text, _, err := lastCheckpoint(f, st.Size(), v)
	if err == nil && text == nil {
		err = errors.New("none is signed yet")
	}
	if err != nil {
		return "", fmt.Errorf("reading the checkpoints: %w", err)
	}
	return string(text), nil
}
