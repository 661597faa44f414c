package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Hash is the SHA-256 of one line, newline included.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Head is the newest record of a chain. The zero Head is the chain before its
// first record, which therefore names 64 zeros as the hash before it.
type Head struct {
	Seq  uint64
	Hash Hash
	Time time.Time
}

// Position is where a line stands.
type Position struct {
	File   string // name in the log's folder
	Line   int    // from 1
	Offset int64  // of its first byte
}

func (p Position) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Kind sorts what can be wrong with a log.
type Kind string

const (
	Malformed  Kind = "malformed"   // not a line or checkpoint that the log writes
	Missing    Kind = "missing"     // records or a file are not there
	Disorder   Kind = "disorder"    // a record stands where an other belongs
	BrokenLink Kind = "broken-link" // a record does not name the hash of the one before
	Rewritten  Kind = "rewritten"   // the chain is whole but not the one that was signed
	Cut        Kind = "cut"         // the log ends before what was signed
	Unsigned   Kind = "unsigned"    // checkpoints are missing
	Signature  Kind = "signature"   // a checkpoint is not signed by the key
	Foreign    Kind = "foreign"     // a checkpoint of another log
)

// Problem is one thing wrong with a log.
type Problem struct {
	At   Position
	Kind Kind
	What string
}

func (p *Problem) Error() string { return fmt.Sprintf("%s: %s: %s", p.At, p.Kind, p.What) }

// Entry is a record that was read, with its place in the chain.
type Entry struct {
	Record Record
	Prev   Hash // as the line says
	Hash   Hash
	At     Position
}

// Head is the chain's head as of this record.
func (e *Entry) Head() Head { return Head{Seq: e.Record.Seq, Hash: e.Hash, Time: e.Record.Time} }

// follows reports what keeps e from being the next record after head.
func (e *Entry) follows(head Head) *Problem {
	want, got := head.Seq+1, e.Record.Seq
	switch {
	case got > want:
		return &Problem{e.At, Missing, fmt.Sprintf("record %d stands where %d belongs: records were dropped or swapped", got, want)}
	case got < want:
		return &Problem{e.At, Disorder, fmt.Sprintf("record %d stands where %d belongs: records were swapped, repeated or put in", got, want)}
	case e.Prev != head.Hash:
		return &Problem{e.At, BrokenLink, fmt.Sprintf("record %d names another hash than that of record %d before it: one of the two was changed or spliced in", got, head.Seq)}
	}
	return nil
}

// before is the head that e claims to follow.
func (e *Entry) before() Head { return Head{Seq: e.Record.Seq - 1, Hash: e.Prev} }

// logID returns the id that a genesis record names.
func logID(r *Record) (string, error) {
	id := r.Detail[detailLog]
	if r.Seq != 1 || r.Type != TypeGenesis || !validID(id) {
		return "", errors.New("the first record does not begin a log")
	}
	return id, nil
}
