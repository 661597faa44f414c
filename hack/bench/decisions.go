package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/gate"
	"github.com/mcprun/mcprun/gate/result"
	"github.com/mcprun/mcprun/internal/redact"
	"github.com/mcprun/mcprun/internal/strictjson"
	"github.com/mcprun/mcprun/lock"
	"github.com/mcprun/mcprun/manifest"
)

const (
	// decisionsEach is the number of samples of each figure of the gate: enough for a
	// p99 that stands still.
	decisionsEach = 50_000
	// argumentBytes, ruleCount and resultBytes are what the aims speak of.
	argumentBytes = 1 << 10
	ruleCount     = 20
	resultBytes   = 10 << 10

	// The aims, in microseconds.
	aimDecisionP50 = 25
	aimDecisionP99 = 150
	aimResult      = 200
)

// decisions measures the gate by itself: one decision about a call that is looked at
// from all sides, and the cleaning of one result.
func decisions(_ *bench, r *report) error {
	progress("decisions of the gate")
	p, err := busyPolicy()
	if err != nil {
		return err
	}
	args, err := strictjson.Parse(fmt.Appendf(nil, `{"path":"/workspace/a/b/c.txt","n":7,"text":%q}`, strings.Repeat("The meeting is on Friday. ", argumentBytes/26)), strictjson.Request)
	if err != nil {
		return err
	}
	call := gate.Call{Server: "bench", Tool: "edit", Arguments: args, Principal: "uid:0", Session: "s", Now: time.Now(), Recent: map[string]int64{"tool_minute": 1},
		Taint: gate.Taint{Private: true}, Known: func(string) bool { return true }}
	if d := p.Decide(call); d.Verdict != mcprun.Allow {
		return fmt.Errorf("the call to be measured is not allowed: %s", d.Reason)
	}
	decided := sample(func() { p.Decide(call) })
	r.only("a decision, 1 KB and 20 rules, p50", "us", decided, p50, aimDecisionP50)
	r.only("a decision, 1 KB and 20 rules, p99", "us", decided, p99, aimDecisionP99)
	return cleaning(r)
}

func cleaning(r *report) error {
	const text = "The tool reads the file that you name and returns its lines, with \"quotes\" and numbers such as 12345.\nSee https://example.org/docs for more.\n"
	quoted, err := jsontext.AppendQuote(nil, strings.Repeat(text, resultBytes/len(text)))
	if err != nil {
		return err
	}
	raw, err := strictjson.Parse(fmt.Appendf(nil, `{"content":[{"type":"text","text":%s}]}`, quoted), strictjson.Data)
	if err != nil {
		return err
	}
	set, err := redact.New([]string{"ghp_0123456789abcdefghijABCDEFGHIJ012345"})
	if err != nil {
		return err
	}
	spec := result.Spec{Server: "bench", Tool: "get", Untrusted: true, Mark: strings.Repeat("0", result.MinMark), Secrets: set}
	if _, _, err := result.Prepare(raw, spec); err != nil {
		return err
	}
	cleaned := sample(func() { result.Prepare(raw, spec) })
	r.only("a result of 10 KB cleaned, p50", "us", cleaned, p50, aimResult)
	return nil
}

// sample times do by itself, over and over.
func sample(do func()) distribution {
	times := make([]time.Duration, decisionsEach)
	for i := range times {
		begun := time.Now()
		do()
		times[i] = time.Since(begun)
	}
	return quantiles(times, time.Microsecond)
}

// busyPolicy has a path check, a search for secrets and as many rules as the aim says.
func busyPolicy() (*gate.Policy, error) {
	var b strings.Builder
	b.WriteString("version: 1\nname: bench\nimage: ./bench.tar\negress: [{host: api.example.com}]\ntools:\n  edit:\n    risk: medium\n    sends: true\n")
	b.WriteString("    arguments: {path: {path: {under: [/workspace]}}, \"*\": {secret: forbidden}}\n    rules:\n")
	for i := range ruleCount {
		fmt.Fprintf(&b, "      - {when: \"has(args.n) && args.n > %d || size(args.path) > %d\", risk: high, reason: much}\n", 100+i, 200+i)
	}
	m, err := manifest.Parse("bench.yaml", []byte(b.String()))
	if err != nil {
		return nil, err
	}
	def, err := json.Marshal(map[string]any{"name": "edit", "inputSchema": jsontext.Value(`{"type":"object","properties":{"path":{"type":"string"},"text":{"type":"string"},"n":{"type":"integer"}},"required":["path"]}`)})
	if err != nil {
		return nil, err
	}
	tool, err := lock.NewTool(def)
	if err != nil {
		return nil, err
	}
	p, problems := gate.NewPolicy(m.Name, &lock.File{Version: lock.Version, Server: m.Name, Tools: []lock.Tool{tool}}, gate.Grants(m))
	for _, one := range problems {
		return nil, errors.Join(one.Err)
	}
	return p, nil
}
