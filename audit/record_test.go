package audit

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcprun/mcprun"
)

var testTime = time.Date(2026, 11, 24, 1, 2, 3, 4, time.UTC)

func fullRecord() Record {
	return Record{
		Seq: 7, Time: testTime, Type: TypeRefuse, Call: "c-1", Server: "files", Instance: "files-1", Tool: "read_file",
		Method: "tools/call", Principal: "uid:1000", Session: "s-1", Risk: mcprun.High, Rule: "path.outside",
		Reason: "\"/etc\" is outside\n\x01 é \u2028", ToolDigest: "sha256:aa", ArgsDigest: "sha256:bb", Args: []byte(`{"path":"/etc","n":[1,2.50]}`),
		Size: 12, Duration: 1500, Outcome: "refused", Who: "uid:0", Why: "because", Detail: map[string]string{"b": "2", "a.x-y_0": "1"},
	}
}

func encode(t testing.TB, r *Record) string {
	t.Helper()
	line, err := appendBody(appendHead(nil, r.Seq, Hash{0xab}, r.Time), r)
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

func TestEncode(t *testing.T) {
	head := `{"seq":7,"prev":"ab` + strings.Repeat("0", 62) + `","time":"2026-11-24T01:02:03.000000004Z",`
	full := fullRecord()
	for _, tt := range []struct {
		name string
		rec  Record
		want string
	}{
		{"every field", full, `"type":"refuse","call":"c-1","server":"files","instance":"files-1","tool":"read_file","method":"tools/call",` +
			`"principal":"uid:1000","session":"s-1","verdict":"deny","risk":"high","rule":"path.outside",` +
			`"reason":"\"/etc\" is outside\n\u0001 é ` + "\u2028" + `","tool_digest":"sha256:aa","args_digest":"sha256:bb",` +
			`"args":{"path":"/etc","n":[1,2.50]},"size":12,"duration_ns":1500,"outcome":"refused","who":"uid:0","why":"because",` +
			`"detail":{"a.x-y_0":"1","b":"2"}}` + "\n"},
		{"a decision spells out its zeros", Record{Type: TypeRefuse}, `"type":"refuse","verdict":"deny","risk":"block"}` + "\n"},
		{"no decision, no zeros", Record{Type: TypeStart}, `"type":"start"}` + "\n"},
		{"a risk out of range blocks", Record{Type: TypeStart, Risk: 9}, `"type":"start"}` + "\n"},
		{"white space in arguments", Record{Type: TypeNote, Args: []byte("{ \"a\" :\n [ 1 , \" x \" ] }\r\n")}, `"type":"note","args":{"a":[1," x "]}}` + "\n"},
		{"arguments that are no JSON", Record{Type: TypeNote, Args: []byte("{\"a\":1}\n{}")},
			`"type":"note","args_digest":"` + sha([]byte("{\"a\":1}\n{}")) + `","size":10}` + "\n"},
		{"not UTF-8", Record{Type: TypeNote, Who: "a\xffb"}, `"type":"note","who":"a` + "\ufffd" + `b"}` + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.rec.Seq, tt.rec.Time = 7, testTime
			got := encode(t, &tt.rec)
			if diff := cmp.Diff(head+tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	want := fullRecord()
	var p parser
	got, prev, err := p.parse([]byte(encode(t, &want)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if prev != (Hash{0xab}) {
		t.Errorf("prev = %v", prev)
	}
}

// The largest record that can be made must be one that can be read, whatever
// stands in its fields.
func TestEncodeBounds(t *testing.T) {
	for _, fill := range []string{"x", "\x01", "\xff", "é", "\"", "\U0001f600"} {
		for _, size := range []int{MaxName, MaxDetailValue, MaxText, MaxLine} {
			testBounds(t, fill, size)
		}
	}
}

func testBounds(t *testing.T, fill string, size int) {
	t.Helper()
	s := strings.Repeat(fill, size/len(fill))
	r := Record{
		Seq: 1<<64 - 1, Time: testTime, Type: TypeAccessDenied, Call: mcprun.CallID(s), Server: mcprun.ServerName(s), Instance: s,
		Tool: mcprun.ToolName(s), Method: s, Principal: mcprun.Principal(s), Session: s, Rule: s, Reason: s,
		ToolDigest: mcprun.Digest(s), ArgsDigest: mcprun.Digest(s), Args: []byte(`"` + strings.Repeat("x", MaxInlineArgs-2) + `"`),
		Size: -1 << 63, Duration: -1 << 63, Outcome: s, Who: s, Why: s, Detail: map[string]string{},
	}
	for i := range MaxDetail {
		r.Detail[strings.Repeat("k", MaxDetailKey-1)+string(rune('a' + i%26))[:1]] = s
		r.Detail[strings.Repeat("j", MaxDetailKey-1)+string(rune('a' + i%6))[:1]] = s
	}
	if len(r.Detail) != MaxDetail {
		t.Fatalf("%d details in the test", len(r.Detail))
	}
	line := encode(t, &r)
	if len(line) > MaxLine {
		t.Errorf("%q: a line of %d bytes; at most %d", fill, len(line), MaxLine)
	}
	var p parser
	got, _, err := p.parse([]byte(line))
	if err != nil {
		t.Fatalf("%q: %v", fill, err)
	}
	if cut := size > MaxText; len(got.Instance) > MaxName || cut && !strings.HasSuffix(got.Reason, " bytes)") {
		t.Errorf("%q: instance of %d bytes, reason %q", fill, len(got.Instance), got.Reason)
	}
}

func TestLargeArgs(t *testing.T) {
	big := []byte(`"` + strings.Repeat("x", MaxInlineArgs-1) + `"`)
	for _, tt := range []struct {
		name   string
		rec    Record
		digest mcprun.Digest
	}{
		{"digest made", Record{Args: big}, mcprun.Digest(sha(big))},
		{"digest given", Record{Args: big, ArgsDigest: "sha256:00"}, "sha256:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.rec.Type, tt.rec.Seq, tt.rec.Time = TypeCall, 1, testTime
			var p parser
			got, _, err := p.parse([]byte(encode(t, &tt.rec)))
			if err != nil {
				t.Fatal(err)
			}
			want := Record{Seq: 1, Time: testTime, Type: TypeCall, ArgsDigest: tt.digest, Size: int64(len(big))}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestInvalidRecord(t *testing.T) {
	many := map[string]string{}
	for i := range MaxDetail + 1 {
		many[strings.Repeat("x", i+1)] = ""
	}
	l := newPlace(t).open(t, Options{})
	for _, tt := range []struct {
		name string
		rec  Record
		want string
	}{
		{"no type", Record{}, `invalid audit record: unknown type ""`},
		{"unknown type", Record{Type: "x"}, `invalid audit record: unknown type "x"`},
		{"key", Record{Type: TypeNote, Detail: map[string]string{"A": ""}}, `invalid audit record: detail "A": use a-z, 0-9, _ - and dot`},
		{"empty key", Record{Type: TypeNote, Detail: map[string]string{"": ""}}, `invalid audit record: detail "": use a-z, 0-9, _ - and dot`},
		{"too many", Record{Type: TypeNote, Detail: many}, `invalid audit record: 33 details; at most 32`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			head := l.Head()
			err := l.Append(&tt.rec)
			if !errors.Is(err, ErrInvalid) || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if l.Head() != head {
				t.Error("it was written")
			}
		})
	}
	if err := l.Append(&Record{Type: TypeNote}); err != nil {
		t.Errorf("a valid record after them: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	good := encode(t, &Record{Seq: 1, Time: testTime, Type: TypeNote, Who: "me"})
	var p parser
	if _, _, err := p.parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	const spelling = "not written the way the log writes"
	for _, tt := range []struct{ name, line, want string }{
		{"empty", "\n", "not JSON"},
		{"array", "[]\n", "not a JSON object"},
		{"cut", good[:40] + "\n", "not JSON"},
		{"no newline", good[:len(good)-1], spelling},
		{"trailing", good[:len(good)-1] + " \n", spelling},
		{"two values", good[:len(good)-1] + "{}\n", spelling},
		{"space", strings.Replace(good, ":", ": ", 1), spelling},
		{"escape", strings.Replace(good, `"me"`, `"\u006de"`, 1), spelling},
		{"case", strings.Replace(good, `"who"`, `"Who"`, 1), `field "Who": unknown field`},
		{"unknown", strings.Replace(good, `"who"`, `"whom"`, 1), `field "whom": unknown field`},
		{"twice", strings.Replace(good, `"who":"me"`, `"who":"me","who":"me"`, 1), "not JSON"},
		{"order", strings.Replace(good, `"type":"note","who":"me"`, `"who":"me","type":"note"`, 1), spelling},
		{"zero", strings.Replace(good, `"seq":1`, `"seq":0`, 1), "record 0"},
		{"seq", strings.Replace(good, `"seq":1`, `"seq":"1"`, 1), `field "seq"`},
		{"prev", strings.Replace(good, `"ab0`, `"AB0`, 1), spelling},
		{"type", strings.Replace(good, `"note"`, `"notes"`, 1), `unknown type "notes"`},
		{"zero field", strings.Replace(good, `"me"`, `""`, 1), spelling},
		{"number for text", strings.Replace(good, `"me"`, `1`, 1), `field "who": not a string`},
		{"verdict", strings.Replace(good, `,"who"`, `,"verdict":"maybe","who"`, 1), spelling},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.line == good {
				t.Fatal("the test changed nothing")
			}
			_, _, err := p.parse([]byte(tt.line))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	r := fullRecord()
	f.Add([]byte(encode(f, &r)))
	f.Add([]byte(encode(f, &Record{Seq: 1, Time: testTime, Type: TypeCall})))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, line []byte) {
		var p parser
		rec, prev, err := p.parse(line)
		if err != nil {
			return
		}
		again, err := appendBody(appendHead(nil, rec.Seq, prev, rec.Time), &rec)
		if err != nil || string(again) != string(line) {
			t.Errorf("accepted %q, but writes %q (%v)", line, again, err)
		}
	})
}

// Whatever a caller puts in a record, the line it becomes can be read.
func FuzzEncode(f *testing.F) {
	f.Add("note", "who\n", "\xff", []byte("{}"), int64(1), uint8(1))
	f.Fuzz(func(t *testing.T, typ, who, detail string, args []byte, size int64, small uint8) {
		r := Record{Type: Type(typ), Who: who, Tool: mcprun.ToolName(who), Args: args, Size: size, Detail: map[string]string{"d": detail}, Risk: mcprun.Risk(small), Verdict: mcprun.Verdict(small)}
		line, err := appendBody(appendHead(nil, 1, Hash{}, testTime), &r)
		if err != nil {
			if r.Type.known() {
				t.Fatal(err)
			}
			return
		}
		if strings.Count(string(line), "\n") != 1 || len(line) > MaxLine {
			t.Errorf("not one line: %q", line)
		}
		var p parser
		if _, _, err := p.parse(line); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	})
}
