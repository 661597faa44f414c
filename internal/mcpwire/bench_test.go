package mcpwire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

var typicalCall = []byte(`{"jsonrpc":"2.0","id":42,"method":"tools/call","params":{"name":"search_files","arguments":{"path":"/workspace/src","pattern":"*.go","excludePatterns":["vendor"]},"_meta":{"progressToken":"t-42"}}}`)

// records is a result of about n bytes in many small objects.
func records(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"jsonrpc":"2.0","id":42,"result":{"content":[`)
	for i := 0; b.Len() < n; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"type":"text","text":"line %d with \"quoted\" words\nand é","n":%d}`, i, i)
	}
	b.WriteString(`]}}`)
	return []byte(b.String())
}

// text is a result of about n bytes in one string.
func text(n int) []byte {
	const line = `the text of a file, as a tool returns it\n`
	return []byte(`{"jsonrpc":"2.0","id":42,"result":{"content":[{"type":"text","text":"` +
		strings.Repeat(line, n/len(line)) + `"}]}}`)
}

func BenchmarkParseClient(b *testing.B) {
	benchmarkParse(b, "call of 200 B", typicalCall, ParseClient)
}

func BenchmarkParseServer(b *testing.B) {
	benchmarkParse(b, "records 10 KB", records(10<<10), ParseServer)
	benchmarkParse(b, "records 1 MB", records(1<<20), ParseServer)
	benchmarkParse(b, "text 1 MB", text(1<<20), ParseServer)
}

func benchmarkParse(b *testing.B, name string, line []byte, parse func([]byte) (Message, *Error)) {
	b.Run(name, func(b *testing.B) {
		b.SetBytes(int64(len(line)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parse(line); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkForward is all that a call costs on the wire: read the message and the
// call, give it an id and a token of our own, write it.
func BenchmarkForward(b *testing.B) {
	b.ReportAllocs()
	var out []byte
	for b.Loop() {
		m, err := ParseClient(typicalCall)
		if err != nil {
			b.Fatal(err)
		}
		c, err := ParseCall(m.Params)
		if err != nil {
			b.Fatal(err)
		}
		c.Meta = ReplaceToken(c.Meta, IntID(7))
		out = AppendRequest(out[:0], IntID(7), m.Method, c.Params())
	}
}

func BenchmarkReader(b *testing.B) {
	for _, size := range []int{200, 10 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("lines of %d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			r := NewReader(&endless{line: []byte(strings.Repeat("x", size-1) + "\n")}, MaxResponseLine)
			for b.Loop() {
				if _, err := r.Line(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// endless repeats a line for ever; a read ends with the line, as a read from a
// socket does when the peer waits for an answer.
type endless struct {
	line []byte
	at   int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.line[e.at:])
	e.at = (e.at + n) % len(e.line)
	return n, nil
}

func BenchmarkAppendResult(b *testing.B) {
	m, err := ParseServer(text(1 << 20))
	if err != nil {
		b.Fatal(err)
	}
	var out []byte
	b.SetBytes(int64(len(m.Result)))
	for b.Loop() {
		out = AppendResult(out[:0], m.ID, jsontext.Value(m.Result))
	}
}
