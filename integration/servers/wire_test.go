package servers

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mcprun/mcprun/integration/harness"
)

// TestWire sends each line of the attack cases raw over a live connection: what
// is to be blocked never reaches the server, what is allowed is answered under
// the same id bytes, and the connection lives on.
func TestWire(t *testing.T) {
	f, err := os.Open("../../internal/mcpwire/testdata/wire.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := harness.New(t)
	d.Up("everything", "everything", "profile: node\ntools:\n  echo: {risk: low}\n")
	cmd := d.Command("connect", "everything")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); cmd.Process.Kill(); cmd.Wait() }()
	out := bufio.NewReader(stdout)
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	// after returns the lines that come before the answer to a valid call.
	after := func(line string) []string {
		io.WriteString(in, line+"\n"+`{"jsonrpc":"2.0","id":"control","method":"tools/call","params":{"name":"echo","arguments":{"message":"control"}}}`+"\n")
		var got []string
		for {
			l, err := out.ReadString('\n')
			if err != nil {
				t.Fatalf("the connection died after %.100q: %v", line, err)
			}
			if strings.Contains(l, `"id":"control"`) {
				if !strings.Contains(l, "Echo: control") {
					t.Errorf("the control call got %s", l)
				}
				return got
			}
			got = append(got, l)
		}
	}
	passed := func() int {
		n := 0
		for _, l := range strings.Split(d.Must("audit", "tail", "-n", "1000", "--json"), "\n") {
			if strings.Contains(l, `"type":"call"`) {
				n++
			}
		}
		return n
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 0; lines.Scan(); n++ {
		var c struct{ ID, Note, Expected, Raw string }
		var raw struct {
			B64 string `json:"raw_b64"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(lines.Bytes(), &raw); err != nil {
			t.Fatal(err)
		}
		line, err := base64.StdEncoding.DecodeString(raw.B64)
		if err != nil {
			t.Fatal(err)
		}
		before := passed()
		got := after(string(line))
		calls := passed() - before - 1 // less the control
		switch answer := strings.Join(got, ""); {
		case c.Expected == "block" && calls != 0:
			t.Errorf("%s %s: it reached the server: %s", c.ID, c.Note, answer)
		case c.Expected == "block" && answer != "" && !strings.Contains(answer, `"error":`) && !strings.Contains(answer, `"isError":true`):
			t.Errorf("%s %s: answered with %s", c.ID, c.Note, answer)
		case c.Expected == "allow" && (calls != 1 || !strings.Contains(answer, "Echo: ")):
			t.Errorf("%s %s: %d calls, answer %q", c.ID, c.Note, calls, answer)
		case c.Note == "id_float_int" && !strings.Contains(answer, `"id":1.0,`):
			t.Errorf("%s: the id came back as another: %s", c.ID, answer)
		}
	}
}
