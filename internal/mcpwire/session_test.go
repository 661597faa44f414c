package mcpwire

import (
	"io"
	"strings"
	"testing"
)

// A server that prints a banner, a broken line and too long a line is still read.
func TestReadingGoesOnAfterRubbish(t *testing.T) {
	r := NewReader(strings.NewReader("Starting server v1.0...\n"+
		`{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":2}}`+"\n"+
		strings.Repeat("x", 100)+"\n\r\n"+
		`{"jsonrpc":"2.0","id":2,"result":{}}`+"\r\n"), 60)
	var got []string
	for {
		line, err := r.Line()
		if err == io.EOF {
			break
		}
		if err != nil {
			got = append(got, err.Error())
			continue
		}
		m, refused := ParseServer(line)
		if refused != nil {
			got = append(got, refused.Message+" "+refused.ID.String())
			continue
		}
		got = append(got, m.Kind.String()+" "+m.ID.String())
	}
	want := "not JSON at byte 0: invalid character 'S' at start of value null|" +
		"a key appears twice in one object 1|a line of 100 bytes; at most 60|response 2"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}
