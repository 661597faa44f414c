package servers

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"regexp"
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
	sent := 0
	for lines.Scan() {
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
		got := strings.Join(after(string(line)), "")
		calls := passed() - before - 1 // less the control
		sent++
		if c.Expected == "allow" {
			wantAnswer(t, c.ID+" "+c.Note, line, got, calls)
		} else {
			wantRefusal(t, c.ID+" "+c.Note, got, calls)
		}
	}
	if err := lines.Err(); err != nil || sent == 0 {
		t.Errorf("%d lines sent, %v", sent, err)
	}
	t.Logf("%d lines sent", sent)
}

// wantRefusal checks that a line was recorded as no call and got no result.
func wantRefusal(t *testing.T, name, answer string, calls int) {
	t.Helper()
	if calls != 0 {
		t.Errorf("%s: it reached the server: %s", name, answer)
	}
	// A request without an id can have no answer; every other line has one.
	silent := strings.HasSuffix(name, " request_as_notification")
	if silent != (answer == "") {
		t.Errorf("%s: answered with %q", name, answer)
	}
	if !silent && !strings.Contains(answer, `"error":`) && !strings.Contains(answer, `"isError":true`) {
		t.Errorf("%s: not refused: %s", name, answer)
	}
}

// idOf finds the id of a request as it was written.
var idOf = regexp.MustCompile(`"id":[^,]*,`)

// wantAnswer checks that a line reached the server once and that its answer has
// the same id, byte for byte.
func wantAnswer(t *testing.T, name string, line []byte, answer string, calls int) {
	t.Helper()
	if calls != 1 || !strings.Contains(answer, "Echo: ") {
		t.Errorf("%s: %d calls, answer %q", name, calls, answer)
	}
	if id := string(idOf.Find(line)); !strings.Contains(answer, id) {
		t.Errorf("%s: the id %s came back as another: %s", name, id, answer)
	}
}
