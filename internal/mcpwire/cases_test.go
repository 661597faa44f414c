package mcpwire

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"os"
	"testing"
)

// wireCase is one line of testdata/wire.jsonl.
type wireCase struct {
	ID, Note, Expected string
	Raw                string          `json:"raw_b64"`
	Generator          json.RawMessage `json:"raw_gen"`
}

// wireReasons says why each blocked line is refused here.
var wireReasons = map[string]reason{
	"dup_argument_key":        {CodeInvalidRequest, "twice", "1", true},
	"dup_name_key":            {CodeInvalidRequest, "twice", "1", true},
	"dup_params_key":          {CodeInvalidRequest, "twice", "1", true},
	"case_variant_after":      {CodeInvalidRequest, `"message" and "Message" differ only in case`, "1", true},
	"case_variant_method":     {CodeInvalidRequest, `"Method"; it is written "method"`, "1", true},
	"invalid_utf8":            {CodeInvalidRequest, "invalid UTF-8", "1", true},
	"lone_surrogate":          {CodeInvalidRequest, "surrogate", "1", true},
	"raw_control_char":        {CodeParse, "not JSON", "null", true},
	"trailing_garbage":        {CodeParse, "something follows", "null", true},
	"batch":                   {CodeInvalidRequest, "batches", "null", true},
	"jsonrpc_1":               {CodeInvalidRequest, "jsonrpc", "1", true},
	"id_float":                {CodeInvalidRequest, "1.5 is not an integer", "null", true},
	"id_object":               {CodeInvalidRequest, "an id is a string or an integer", "null", true},
	"args_array":              {CodeInvalidParams, "params.arguments must be an object", "null", true},
	"args_proto":              {CodeInvalidRequest, "__proto__", "1", true},
	"deep_nest_5000":          {CodeInvalidRequest, "deeper than 64", "1", true},
	"single_quotes":           {CodeParse, "not JSON at byte 1", "null", true},
	"params_array":            {CodeInvalidParams, "params must be an object", "1", true},
	"request_as_notification": {CodeInvalidRequest, "if and only if there is no id", "null", false},
}

// judgedLater are lines that are sound on the wire: it takes the server's tools
// or the list of methods to refuse them.
var judgedLater = map[string]bool{"wrong_type": true, "name_case": true, "method_case": true, "unknown_method": true}

// sameIDBack is the id that must come back for the lines that are allowed.
var sameIDBack = map[string]string{"escaped_key": "1", "id_float_int": "1.0", "id_empty_string": `""`, "crlf_line": "1"}

func TestWireCases(t *testing.T) {
	for _, c := range readCases(t) {
		t.Run(c.Note, func(t *testing.T) {
			if len(c.Generator) > 0 && string(c.Generator) != "null" {
				t.Fatalf("no generator for %s", c.Generator)
			}
			line, err := base64.StdEncoding.DecodeString(c.Raw)
			if err != nil {
				t.Fatal(err)
			}
			m, refused := ParseClient(line)
			if refused == nil && m.Method == "tools/call" {
				_, refused = ParseCall(m.Params)
			}
			want, blocked := wireReasons[c.Note]
			switch {
			case blocked && c.Expected == "block":
				want.check(t, refused)
			case judgedLater[c.Note] && c.Expected == "block", sameIDBack[c.Note] != "" && c.Expected == "allow":
				if refused != nil {
					t.Errorf("refused: %+v", refused)
				}
			default:
				t.Errorf("no reason is known for %s of %s", c.Expected, c.ID)
			}
			if id := sameIDBack[c.Note]; id != "" && m.ID.String() != id {
				t.Errorf("id %v, want %s", m.ID, id)
			}
		})
	}
}

func readCases(t *testing.T) []wireCase {
	t.Helper()
	f, err := os.Open("testdata/wire.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var cases []wireCase
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c wireCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	if err := lines.Err(); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	return cases
}
