// Package result prepares what a tool answers before a model sees it: it is
// held against the shape that MCP gives it, cleaned of characters that nobody
// sees, rid of known secrets, capped, and, if the tool is marked untrusted,
// labelled as data from outside. It is pure: the same result and the same [Spec]
// give the same bytes.
//
// What is removed: terminal escape sequences, control characters, direction
// controls, tag characters, selectors and invisible characters where their
// script or emoji does not need them. What stays is the text as a reader sees
// it. The names of members never change, nor do numbers, the order of members,
// or members that MCP does not name, but for secrets in them.
//
// What it does not protect:
//   - A model can be misled by plain words. Phrases that address it are looked
//     for, in English, to raise the taint of the session; most that are reworded,
//     translated or split over several blocks are not found.
//   - The label is a hint. A model may still do what the text inside says.
//   - Images, audio and blobs are passed on; what is drawn or said in them is
//     not looked at. structuredContent, names, titles and addresses are cleaned
//     and never labelled, since they have to stay what they are.
//   - A picture whose address carries data is reported and not removed.
//   - A secret that is a number, or that stands in two strings, is not found.
//   - A few bits a letter can still hide where joiners and selectors are
//     needed, such as behind Persian letters or Japanese ideographs.
package result

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/internal/redact"
)

const (
	// DefaultMaxBytes bounds a result if nothing else is said: an image of 3 MiB
	// in base64, and ten times the text that today's models can take.
	DefaultMaxBytes = 4 << 20

	// DefaultMaxBlocks bounds the blocks of one result: searches that answer with
	// one block a hit stay under a hundred.
	DefaultMaxBlocks = 1024

	// MinMark is the least length of a mark. 16 hexadecimal digits are 64 bits:
	// a server cannot guess them in the one try that it has.
	MinMark = 16

	// MaxMark keeps the delimiters short; what is random enough is shorter.
	MaxMark = 64
)

// Spec says how the results of one tool are prepared. The zero Spec cleans,
// caps at the defaults, and marks nothing.
type Spec struct {
	Server mcprun.ServerName // for the label
	Tool   mcprun.ToolName

	MaxBytes  int // of the result as JSON, without delimiters; 0 is DefaultMaxBytes
	MaxBlocks int // 0 is DefaultMaxBlocks

	// Raw keeps hidden characters: for tools whose output must come through byte
	// by byte. Shape, size, secrets and labels are as without it.
	Raw bool

	// Untrusted wraps text in delimiters with Mark, which must be random and new
	// for each result: MinMark to MaxMark ASCII letters and digits.
	Untrusted bool
	Mark      string

	Secrets *redact.Set // nil replaces nothing
}

// Report is what was found and done.
type Report struct {
	Types     map[string]int // blocks of content by type
	Removed   map[string]int // characters and escape sequences by kind; the kinds of lock.Hidden, "escape" and "invalid"
	Redacted  int            // secrets replaced
	Truncated int64          // bytes of text cut off
	Withheld  string         // why the result was replaced as a whole; "" if it was not

	// Instructions are phrases that address the model, and texts hidden in tag
	// characters or selectors: short, ASCII, at most maxFindings.
	Instructions []string
	// Pictures are addresses that a client may fetch and that carry data or leave
	// room for it, as instructions are written.
	Pictures []string

	FakeDelimiters int  // defused inside wrapped text
	HiddenNames    int  // names of members with hidden characters, which are kept
	Untrusted      bool // text was wrapped, or would have been if there were any
}

// Clean reports whether nothing was found that a reader of the record should see.
func (r Report) Clean() bool {
	return len(r.Removed) == 0 && r.Redacted == 0 && r.Truncated == 0 && r.Withheld == "" && len(r.Instructions) == 0 &&
		len(r.Pictures) == 0 && r.FakeDelimiters == 0 && r.HiddenNames == 0
}

// Prepare returns the result of a tools/call as it may go to the client. raw is
// what strictjson wrote (strictjson.Data, as in a mcpwire.Message); it is not
// changed, and is returned itself if nothing in it has to. A result whose shape
// is wrong is an error in words fit for the client. One that is too large where
// it cannot be cut is replaced by an isError result that says so.
//
// Hold the result against the output schema before: redaction may break a
// pattern in it.
func Prepare(raw jsontext.Value, s Spec) (jsontext.Value, Report, error) {
	return prepare(raw, s, false)
}

// prepare can be told to skip every short cut, which tests compare with.
func prepare(raw jsontext.Value, s Spec, slow bool) (jsontext.Value, Report, error) {
	if err := s.check(); err != nil {
		return nil, Report{}, err
	}
	p := &preparer{spec: s, raw: raw, slow: slow, types: map[string]int{}, reporter: newReporter()}
	p.report.Untrusted = s.Untrusted
	err := p.result()
	var big *withheldError
	switch {
	case errors.As(err, &big):
		p.report.Withheld = big.why
		return withheld(big.why), p.finish(), nil
	case err != nil:
		return nil, Report{}, err
	}
	if err := p.place(); errors.As(err, &big) {
		p.report.Withheld = big.why
		return withheld(big.why), p.finish(), nil
	}
	return p.apply(), p.finish(), nil
}

// check completes the Spec and refuses what only a mistake of the caller's makes.
func (s *Spec) check() error {
	if s.MaxBytes < 0 || s.MaxBlocks < 0 {
		return fmt.Errorf("a bound on results is negative: %d bytes, %d blocks", s.MaxBytes, s.MaxBlocks)
	}
	if s.MaxBytes == 0 {
		s.MaxBytes = DefaultMaxBytes
	}
	if s.MaxBlocks == 0 {
		s.MaxBlocks = DefaultMaxBlocks
	}
	if s.Untrusted && !isMark(s.Mark) {
		return fmt.Errorf("the mark of a wrapped result must be %d to %d ASCII letters and digits", MinMark, MaxMark)
	}
	return nil
}

// withheldError ends a result that has the right shape and cannot be passed on.
type withheldError struct{ why string }

func (e *withheldError) Error() string { return e.why }

// withheld is the result that stands for one that was not passed on.
func withheld(why string) jsontext.Value {
	out := []byte(`{"content":[{"type":"text","text":`)
	out, _ = jsontext.AppendQuote(out, "mcprun withheld the result of this call: "+why)
	return append(out, `}],"isError":true}`...)
}
